"""Directions in latent space along which a generator's pictures change most; no training, no labels.

`closed_form` are the directions that change the first layer's output most: the eigenvectors of A^T A, where A is that
layer as a matrix (SeFa, arXiv 2007.06600). `principal` are the latents' least squares fits to the principal components
of the first activated maps over samples (GANSpace, arXiv 2004.02546). Both are unit vectors, the strongest first; the
largest number of each is positive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from sle_gan.errors import UserError, shown
from sle_gan.latents.points import Point, save_arrays
from sle_gan.storage import npz

METHODS = ("closed-form", "principal")


class FirstLayer(NamedTuple):
    """A generator's first layer, everything constant folded in, and what follows it.

    Attributes:
        kernel: (latent, rows, columns, F) float32, 4x4 for squares.
        bias: (F,) float32; of a generator of one class (rows, columns, F).
        activation: `glu` halves the channels.
        unit: whether the channels of each pixel are then brought to the length 1.
    """

    kernel: np.ndarray
    bias: np.ndarray
    activation: Literal["glu", "relu"]
    unit: bool = False

    def maps(self, latents: np.ndarray) -> np.ndarray:
        """Latents (N, latent) -> the first activated maps, flat: (N, rows columns channels)."""
        length, *shape = self.kernel.shape
        x = (latents @ self.kernel.reshape(length, -1)).reshape(-1, *shape) + self.bias
        if self.activation == "relu":
            x = np.maximum(x, 0)
        else:
            values, gates = np.split(x, 2, axis=-1)
            x = values * (0.5 + 0.5 * np.tanh(gates / 2))  # the sigmoid, without overflow
        if self.unit:
            x = x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
        return x.reshape(len(x), -1)


def first_layer(generator: Any) -> FirstLayer:
    """That of a `Folded`, or of a network that has no such form and gives it as `first_layer`."""
    if not hasattr(generator, "stages"):
        return FirstLayer(*generator.first_layer())
    own = {name: np.asarray(array) for name, array in generator.arrays[0].items()}
    return FirstLayer(own["kernel"], own["bias"], generator.stages[0].activation)


def closed_form(layer: FirstLayer, count: int) -> np.ndarray:
    """The `count` strongest directions (count, latent) float32 of the first layer."""
    matrix = layer.kernel.reshape(len(layer.kernel), -1).astype(np.float64)
    _, vectors = np.linalg.eigh(matrix @ matrix.T)  # the weakest first
    return _oriented(vectors.T[::-1][:count])


def principal(layer: FirstLayer, count: int, samples: int = 2000, seed: int = 0) -> np.ndarray:
    """The `count` strongest directions (count, latent) float32 of the first maps' variance.

    Args:
        samples: latents that are drawn, more than `count`.
        seed: of the draw.
    """
    latents = np.random.default_rng(seed).standard_normal((samples, len(layer.kernel)), dtype=np.float32)
    maps = np.concatenate([layer.maps(part) for part in np.array_split(latents, 8)])  # the GLU takes as much again
    maps -= maps.mean(0)
    # Of the maps' covariance, 16,384 on a side in a large network, the samples' products have the same components.
    _, scores = np.linalg.eigh((maps @ maps.T).astype(np.float64))
    scores = scores.T[::-1][:count]
    return _oriented(scores @ (latents - latents.mean(0)))  # scores are orthonormal: the fit is this product


def _oriented(directions: np.ndarray) -> np.ndarray:
    unit = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    largest = np.take_along_axis(unit, np.abs(unit).argmax(1)[:, None], 1)
    return (unit * np.sign(largest)).astype(np.float32)


def find(generator: Any, method: str, count: int) -> np.ndarray:
    """Directions (count, latent) by one of `METHODS`.

    A class adds to the first layer's maps, so that all classes have the directions of `closed_form`. `principal` takes
    the maps of the classes' mean, weighted by their pictures.

    Raises:
        UserError: if the generator's latents are fewer than `count`.
    """
    if pictures := getattr(generator, "class_pictures", ()):
        generator = generator.of_class(np.array(pictures) / sum(pictures))
    layer = first_layer(generator)
    if not 0 < count <= len(layer.kernel):
        raise UserError(f"{count} directions: this generator's latents have {len(layer.kernel)} numbers, so as many")
    return closed_form(layer, count) if method == "closed-form" else principal(layer, count)


class Move(NamedTuple):
    """How far to go along which direction, the first being 1; lengths are in the latents' standard deviations."""

    direction: int
    length: float

    @classmethod
    def parse(cls, text: str) -> Move:
        """ "3:+2" -> Move(3, 2.0).

        Raises:
            UserError: for anything else.
        """
        number, _, length = text.partition(":")
        try:
            move = cls(int(number) if number.isdecimal() else 0, float(length))
        except ValueError:
            move = cls(0, 0.0)
        if move.direction < 1 or not abs(move.length) <= 1000:
            raise UserError(f"direction {text!r}: expected NUMBER:LENGTH such as 3:+2, the first direction being 1")
        return move


def moved(point: Point, directions: np.ndarray, moves: Iterable[Move]) -> Point:
    """The point after all moves along directions (K, latent)."""
    latents = point.latents
    for move in moves:
        latents = latents + np.float32(move.length) * directions[move.direction - 1]
    return point._replace(latents=latents)


def check_moves(moves: Sequence[Move], count: int) -> None:
    """Raises a UserError for a move along a direction that there is not."""
    for move in moves:
        if move.direction > count:
            raise UserError(f"direction {move.direction}: there are {count}, numbered from 1")


def save_directions(directions: np.ndarray, method: str, path: str | Path) -> None:
    """Writes directions (K, latent) to an .npz: `directions`, and `method` as text."""
    save_arrays(path, {"directions": directions, "method": np.array(method)})


def read_directions(path: str | Path, latent: int, flag: str) -> np.ndarray:
    """The directions (K, latent) float32 of a file.

    Raises:
        UserError: if there is none, or it has none of this length.
    """
    what = f"{flag} {path}"
    if not Path(path).is_file():
        raise UserError(f"{what}: there is no such file; sle-gan explore directions --save writes one")
    try:
        with npz.opened(Path(path)) as archive:
            if "directions" not in archive.arrays:
                raise ValueError("it has no array called directions")
            found = archive.array("directions")
    except npz.ERRORS as error:
        raise UserError(f"{what} is no file of directions: {shown(error, 200)}") from error
    if found.ndim != 2 or found.shape[1] != latent or not len(found) or found.dtype.kind != "f":
        raise UserError(f"{what}: its directions are {found.shape} of {found.dtype}; expected floats (K, {latent})")
    if not np.isfinite(found).all():
        raise UserError(f"{what}: its directions have numbers that are not finite")
    return found.astype(np.float32)
