"""Points in a generator's latent space, and the files (.npz) that hold them.

| array | shape | what |
|---|---|---|
| `latents` | (N, latent) | float32 |
| `noise_seeds` | (N,) | whole numbers: the seeds that the noise of each picture comes from; 0 where it is missing |
| `gates_64`, `gates_128`, ... | (N, G) | float32: factors in place of those that the latents give; may be missing |
| `classes` | (N, K) | float32: the weights of the generator's K classes, where it was taught some; may be missing |
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from sle_gan.errors import UserError, shown
from sle_gan.seeds import seeded_class, seeded_latents, seeded_noise
from sle_gan.storage import npz
from sle_gan.storage.atomic import atomic_path

MOST_POINTS = 100_000
_GATES = re.compile(r"gates_([1-9][0-9]{0,4})")
_SEEDS = re.compile(r"([0-9]{1,18})(?:-([0-9]{1,18}))?")


class Point(NamedTuple):
    """A picture's place in latent space.

    Attributes:
        latents: (latent,) float32.
        noise_seed: what the noise comes from, as in `sle_gan.seeds.seeded_noise`.
        gates: (G,) float32 by the size of the maps that they are for, in place of those that the latents give.
        name: a seed or number, for labels.
        classes: (classes,) float32, the weights of the generator's classes; where there are none given, a generator
            that was taught classes takes the one of the noise's seed (`sle_gan.seeds.seeded_class`).
    """

    latents: np.ndarray
    noise_seed: int = 0
    gates: Mapping[int, np.ndarray] = MappingProxyType({})
    name: str = ""
    classes: np.ndarray | None = None


def parse_seeds(text: str) -> list[int] | None:
    """The seeds of "0,3,7-9"; None for what is no such list.

    Raises:
        UserError: for a range that goes down or is far too long.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = _SEEDS.fullmatch(part.strip())
        if not match:
            return None
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + MOST_POINTS:
            raise UserError(f"{part} is no range of seeds; expected FIRST-LAST, at most {MOST_POINTS:,} of them")
        seeds += range(first, last + 1)
    return seeds


def points_of(text: str, latent: int, flag: str, truncation: float | None = None) -> list[Point]:
    """The points that a user means by seeds ("0,3,7-9") or the name of a file of points.

    Args:
        latent: length of the generator's latent vectors.
        flag: that the text was given with, for messages.
        truncation: of seeds; see `sle_gan.seeds.seeded_latents`.

    Raises:
        UserError: if it is neither, or the file's points are no points of this generator.
    """
    seeds = parse_seeds(text)
    if seeds is None:
        return read_points(text, latent, flag)
    return [Point(seeded_latents(seed, latent, truncation), seed, name=str(seed)) for seed in seeds]


def read_points(path: str | Path, latent: int, flag: str) -> list[Point]:
    """The points of a file.

    Raises:
        UserError: if there is none, it is damaged, or its latents are not `latent` long.
    """
    what = f"{flag} {path}"
    if not Path(path).is_file():
        raise UserError(f"{what}: expected seeds such as 0,3,7-9, or a file of latents (.npz); there is no such file")
    try:
        with npz.opened(Path(path)) as archive:
            if "latents" not in archive.arrays:
                raise ValueError("it has no array called latents")
            arrays = {
                name: archive.array(name)
                for name in archive.arrays
                if name in ("latents", "noise_seeds", "classes") or _GATES.fullmatch(name)
            }
    except npz.ERRORS as error:
        raise UserError(f"{what} is no file of latents: {shown(error, 200)}") from error
    latents = arrays.pop("latents")
    if latents.ndim != 2 or latents.shape[1] != latent or not 0 < len(latents) <= MOST_POINTS:
        raise UserError(f"{what}: its latents are {latents.shape}; this generator's are (N, {latent})")
    seeds = arrays.pop("noise_seeds", np.zeros(len(latents), np.int64))
    if seeds.shape != latents.shape[:1] or seeds.dtype.kind not in "iu" or (seeds < 0).any():
        raise UserError(f"{what}: its noise_seeds are no {len(latents)} whole numbers of at least 0")
    for name, array in {"latents": latents, **arrays}.items():
        if array.dtype.kind not in "fiu" or array.shape[:1] != latents.shape[:1] or array.ndim != 2:
            raise UserError(f"{what}: {name} is {array.shape} of {array.dtype}; expected (N, G) numbers")
        if not np.isfinite(array).all():
            raise UserError(f"{what}: {name} has numbers that are not finite")
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    classes = arrays.pop("classes", [None] * len(latents))
    gates = {int(name.removeprefix("gates_")): array for name, array in arrays.items()}
    return [
        Point(
            latents[i].astype(np.float32),
            int(seeds[i]),
            {size: gate[i] for size, gate in gates.items()},
            f"#{i}",
            classes[i],
        )
        for i in range(len(latents))
    ]


def save_points(points: Sequence[Point], path: str | Path) -> None:
    """Writes points, all with gates of the same sizes and all or none with classes, to a file for `read_points`."""
    arrays = {
        "latents": np.stack([point.latents for point in points]),
        "noise_seeds": np.array([point.noise_seed for point in points], np.int64),
        **{f"gates_{size}": np.stack([point.gates[size] for point in points]) for size in points[0].gates},
    }
    classes = [point.classes for point in points if point.classes is not None]
    if classes:
        arrays["classes"] = np.stack(classes)
    save_arrays(path, arrays)


def save_arrays(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Writes an .npz as `sle_gan.storage.npz` reads it, through a temporary name."""
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def check_gates(points: Iterable[Point], generator: Any, flag: str) -> None:
    """Raises a UserError if points have gates or classes that the generator has not; one of one class takes any."""
    widths, known = generator.gate_widths, len(getattr(generator, "class_pictures", ()))
    for point in points:
        if point.classes is not None and known not in (0, len(point.classes)):
            raise UserError(f"{flag}: weights of {len(point.classes)} classes; this generator has {known}")
        for size, gate in point.gates.items():
            if widths.get(size) != len(gate):
                has = f"{widths[size]} there" if size in widths else f"gates for {sorted(widths) or 'no maps'}"
                raise UserError(f"{flag}: {len(gate)} gates for maps of {size} pixels; this generator has {has}")


def inputs_of(generator: Any, points: Iterable[Point]) -> Iterator[Any]:
    """What `sle_gan.generation.generate_from` takes, of each point."""
    from sle_gan.generation import Inputs

    for point in with_classes(generator, points):
        gates = {size: gate[None, None] for size, gate in point.gates.items()}
        yield Inputs(point.latents, seeded_noise(point.noise_seed, generator.noise_sizes), gates, point.classes)


def with_classes(generator: Any, points: Iterable[Point]) -> Iterator[Point]:
    """The same points; of a generator of classes, each with one: its own, else that of its noise's seed."""
    from sle_gan.generation import one_class

    pictures = getattr(generator, "class_pictures", ())
    for point in points:
        if pictures and point.classes is None:
            point = point._replace(classes=one_class(seeded_class(point.noise_seed, pictures), len(pictures)))
        yield point


def images_of(generator: Any, points: Iterable[Point]) -> Iterator[np.ndarray]:
    """Pictures (H, W, C) uint8 of points, one by one; all points have gates of the same sizes."""
    from sle_gan.generation import generate_from

    for group in generate_from(generator, inputs_of(generator, points)):
        yield from group
