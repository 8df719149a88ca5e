"""A picture -> the latents, and if wished the gates, whose picture is most like it ("backtracking", inversion).

The distance is LPIPS's form without its trained weights: squared differences of a frozen network's maps, each pixel's
channels brought to the length 1, and a fifth of the pixels' own (FastGAN's authors weigh them so). Latents are found by
Adam from several starts, the best of many random ones; the worse half of them is given up after each quarter of the
steps. The network is the one that generates: folded, in inference, with the noise of one seed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from sle_gan import engine
from sle_gan.features import FeatureMaps
from sle_gan.latents.mixing import with_gates
from sle_gan.latents.points import Point
from sle_gan.models.folded import TensorOperations, run
from sle_gan.pictures.pixels import to_model, to_rgb
from sle_gan.seeds import seeded_latents, seeded_noise

PIXEL_WEIGHT = 0.2
_BETAS, _TINY = (0.9, 0.999), 1e-8
_RISE, _FALL = 0.05, 0.9  # parts of the steps in which the rate rises, and in which it falls to nothing
_GATE_RATE, _GATE_PULL = 0.05, 1e-4
_ENOUGH = 1e-3  # what counts as nearer, as a part of the distance


class Found(NamedTuple):
    """A step of the search that came nearer than all before it.

    Attributes:
        step: its number, from 0 for the best of the random latents.
        distance: to the picture; smaller than those of earlier ones.
        point: where.
    """

    step: int
    distance: float
    point: Point


class Search(NamedTuple):
    """How to search.

    Attributes:
        candidates: random latents, of which the nearest are starts.
        starts: how many are followed.
        steps: at most; for gates half as many again.
        patience: end after so many steps that came no nearer.
        rate: Adam's, of latents.
        gates: whether gates are found too, when the latents are.
        seed: of the candidates: the first one's own.
        noise_seed: of the noise.
    """

    candidates: int = 200
    starts: int = 4
    steps: int = 300
    patience: int = 60
    rate: float = 0.1
    gates: bool = False
    seed: int = 0
    noise_seed: int = 0

    @property
    def rounds(self) -> int:
        """How often distances are computed at most: for parts of the candidates, then for each step."""
        return -(-max(self.candidates, self.starts) // self.starts) + self.steps + (self.steps // 2) * self.gates


def search_steps(
    generator: Any, maps: FeatureMaps, picture: np.ndarray, search: Search | None = None
) -> Iterator[Found]:
    """Searches the latents of a picture, for as long as it is asked to go on.

    Args:
        generator: see `sle_gan.latents`.
        maps: of a frozen network.
        picture: uint8 (R, R, C), of the generator's resolution and channels.
        search: how; by default as `Search()`.

    Yields:
        The nearest point so far, after each of at most `search.rounds`.
    """
    search = search or Search()
    measure = _Measure(generator, maps, picture, search.noise_seed)
    nearest = yield from _nearest_candidates(measure, generator.latent, search)
    best = nearest[0]
    starts = np.stack([found.point.latents for found in nearest])
    for found in _descend_latents(measure, starts, search, best):
        best = min(best, found, key=lambda each: each.distance)
        yield best
    if search.gates:
        (start,) = with_gates(generator, [best.point])
        for found in _descend_gates(measure, start, search):
            best = min(best, found, key=lambda each: each.distance)
            yield best


def project(
    generator: Any,
    maps: FeatureMaps,
    picture: np.ndarray,
    search: Search | None = None,
    progress: Callable[[float], None] | None = None,
) -> list[Found]:
    """Searches the latents of a picture to the end.

    Args:
        generator, maps, picture, search: as `search_steps`.
        progress: called after each of at most `search.rounds` with the smallest distance so far.

    Returns:
        Every point that was nearer than all before it; the last is what was searched.
    """
    history: list[Found] = []
    for found in search_steps(generator, maps, picture, search):
        add_step(history, found)
        if progress:
            progress(found.distance)
    return history


def add_step(history: list[Found], found: Found) -> None:
    """Adds what `search_steps` gave to the points that were nearer than all before them, one for each step."""
    if not history or found.distance < history[-1].distance:
        if history and found.step == history[-1].step:
            history.pop()
        history.append(found)


class _Measure:
    """Distances of points to a picture, and their gradients."""

    def __init__(self, generator: Any, maps: FeatureMaps, picture: np.ndarray, noise_seed: int):
        self.noise_seed = noise_seed
        folded = generator.fold().on_device() if hasattr(generator, "fold") else None
        self._arrays = folded.arrays if folded else []
        self._noise = [noise[None] for noise in seeded_noise(noise_seed, generator.noise_sizes)]
        self._target = ops.convert_to_numpy(to_model(picture))[None]

        def images(arrays: Any, latents: Any, noise: Any, gates: dict[int, Any]) -> Any:
            if folded is None:
                return generator(latents, [], gates, training=False)
            return run(
                TensorOperations(fuse=False), folded.stages, arrays, latents, noise, gates, lambda k, g: gates.get(k, g)
            )[0]

        def look(pictures: Any) -> list[Any]:
            return [_unit(found) for found in maps(to_rgb(pictures))]

        def compute(arrays: Any, target: Any, seen: Any, noise: Any, latents: Any, gates: dict[int, Any]) -> Any:
            sizes = sorted(gates)

            def distances(latents: Any, *gates: Any) -> Any:
                pictures = images(arrays, latents, noise, dict(zip(sizes, gates)))
                near = [ops.mean(ops.sum(ops.square(a - b), -1), (1, 2)) for a, b in zip(look(pictures), seen)]
                pixels = ops.mean(ops.square(pictures - target), (1, 2, 3))
                return sum(near) / len(near) + PIXEL_WEIGHT * pixels

            found, pullback = engine.vjp(distances, [], [latents, *(gates[size] for size in sizes)])
            _, (d_latents, *d_gates) = pullback(ops.ones_like(found))
            return found, d_latents, dict(zip(sizes, d_gates))

        self._compute = engine.compile_function(compute)
        self._seen = engine.compile_function(look)(self._target)

    def __call__(self, latents: np.ndarray, gates: dict[int, np.ndarray] | None = None) -> Any:
        """Latents (B, latent), gates (B, 1, 1, G) -> distances (B,), and gradients of the same shapes; float32."""
        tensors = {size: ops.convert_to_tensor(gate) for size, gate in (gates or {}).items()}
        found = self._compute(
            self._arrays, self._target, self._seen, self._noise, ops.convert_to_tensor(latents), tensors
        )
        return keras.tree.map_structure(ops.convert_to_numpy, found)


def _unit(maps: Any) -> Any:
    return maps / ops.sqrt(ops.sum(ops.square(maps), -1, keepdims=True) + 1e-10)


def _nearest_candidates(measure: _Measure, latent: int, search: Search) -> Generator[Found, None, list[Found]]:
    """Yields the nearest random latents so far; returns the `starts` nearest, the nearest first."""
    seeds = range(search.seed, search.seed + max(search.candidates, search.starts))
    latents = np.stack([seeded_latents(seed, latent) for seed in seeds])
    distances = np.zeros(0, np.float32)

    def found(i: int) -> Found:
        return Found(0, float(distances[i]), Point(latents[i], measure.noise_seed))

    for at in range(0, len(latents), search.starts):
        part = _padded(measure, latents[at : at + search.starts], search.starts)
        distances = np.concatenate([distances, part])
        yield found(int(distances.argmin()))
    order = np.argsort(distances, kind="stable")[: search.starts]
    return [found(int(i)) for i in order]


def _padded(measure: _Measure, latents: np.ndarray, size: int) -> np.ndarray:
    """Distances, computed for `size` latents, for which a program is compiled anyway."""
    whole = np.concatenate([latents, np.repeat(latents[-1:], size - len(latents), 0)])
    return measure(whole)[0][: len(latents)]


class _Adam:
    """Adam for rows of numbers, some of which may be dropped."""

    def __init__(self, values: np.ndarray):
        self.values, self._mean, self._square, self._count = values, 0 * values, 0 * values, 0

    def step(self, gradient: np.ndarray, rate: float) -> None:
        self._count += 1
        self._mean += (1 - _BETAS[0]) * (gradient - self._mean)
        self._square += (1 - _BETAS[1]) * (gradient**2 - self._square)
        mean, square = (m / (1 - beta**self._count) for m, beta in zip((self._mean, self._square), _BETAS))
        self.values = self.values - np.float32(rate) * mean / (np.sqrt(square) + _TINY)

    def keep(self, rows: Sequence[int]) -> None:
        self.values, self._mean, self._square = (x[rows] for x in (self.values, self._mean, self._square))


def _rate(step: int, steps: int) -> float:
    """The part of the rate that a step has: up in a line, then down like a cosine."""
    at = (step + 1) / steps
    falling = 0.5 + 0.5 * np.cos(np.pi * max(0.0, (at - 1 + _FALL) / _FALL))
    return float(min(at / _RISE, 1.0, falling))


class _Patience:
    """Whether a search has come no nearer for too long."""

    def __init__(self, distance: float, steps: int):
        self._best, self._steps, self._waited = distance, steps, 0

    def is_over(self, distance: float) -> bool:
        if distance < self._best * (1 - _ENOUGH):
            self._best, self._waited = distance, 0
        else:
            self._waited += 1
        return self._waited >= self._steps


def _descend_latents(measure: _Measure, starts: np.ndarray, search: Search, first: Found) -> Iterator[Found]:
    """The nearest of all starts before each step."""
    adam, patience = _Adam(starts), _Patience(first.distance, search.patience)
    quarters = {search.steps * part // 4 for part in (1, 2, 3)}
    for step in range(search.steps):
        distances, gradient, _ = measure(adam.values)
        i = int(distances.argmin())
        yield Found(step, float(distances[i]), Point(adam.values[i], measure.noise_seed))
        if patience.is_over(float(distances[i])):
            return
        adam.step(gradient, search.rate * _rate(step, search.steps))
        if step in quarters and len(adam.values) > 1:
            adam.keep(np.argsort(distances, kind="stable")[: len(adam.values) // 2].tolist())


def _descend_gates(measure: _Measure, start: Point, search: Search) -> Iterator[Found]:
    """Latents and gates together, from a point with all gates; gates are pulled to what they were."""
    latents = _Adam(start.latents[None])
    own = {size: _logit(gate)[None, None, None] for size, gate in start.gates.items()}
    logits = {size: _Adam(logit) for size, logit in own.items()}
    patience: _Patience | None = None
    steps = search.steps // 2
    for step in range(steps):
        gates = {size: _sigmoid(adam.values) for size, adam in logits.items()}
        distances, d_latents, d_gates = measure(latents.values, gates)
        distance = float(distances[0])
        point = Point(latents.values[0], measure.noise_seed, {size: gate[0, 0, 0] for size, gate in gates.items()})
        yield Found(search.steps + step, distance, point)
        patience = patience or _Patience(distance, search.patience)
        if step and patience.is_over(distance):
            return
        part = _rate(step, steps)
        latents.step(d_latents, search.rate * part / 2)
        for size, adam in logits.items():
            pull = _GATE_PULL * (adam.values - own[size])
            adam.step(d_gates[size] * gates[size] * (1 - gates[size]) + pull, _GATE_RATE * part)


def _logit(gate: np.ndarray) -> np.ndarray:
    inside = np.clip(gate, 1e-4, 1 - 1e-4)
    return np.log(inside / (1 - inside)).astype(np.float32)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (0.5 + 0.5 * np.tanh(x / 2)).astype(np.float32)


def film(history: Sequence[Found], frames: int) -> Iterator[Found]:
    """What was nearest at `frames` moments of the search, the first and the last among them."""
    last, at = history[-1].step, 0
    for frame in range(frames):
        step = round(frame * last / max(frames - 1, 1))
        while at + 1 < len(history) and history[at + 1].step <= step:
            at += 1
        yield history[at]
