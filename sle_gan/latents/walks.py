"""Ways through latent space, from point to point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sle_gan.latents.points import Point
from sle_gan.seeds import slerp

WAYS = ("loop", "once", "ping-pong")
EASINGS: dict[str, Callable[[float], float]] = {  # of the part of the way between two points
    "linear": lambda t: t,
    "smooth": lambda t: t * t * (3 - 2 * t),
    "smoother": lambda t: t**3 * (t * (6 * t - 15) + 10),
}


def walk(points: Sequence[Point], frames: int, way: str = "loop", easing: str = "linear") -> Iterator[Point]:
    """Points of an animation's frames.

    Args:
        points: two or more, with gates of the same sizes; all are passed at equal distances in time. Those of a
            generator that was taught classes name theirs (`sle_gan.latents.points.with_classes`).
        frames: how many in all.
        way: `loop` goes on from the last point to the first, `once` ends at the last, `ping-pong` goes back through
            the others. All but `once` end one frame before the first point, so that they can be repeated.
        easing: of `EASINGS`: `smooth` rests at each point.

    Yields:
        Spherical interpolations of the latents, linear ones of gates and classes. The noise is that of the first point
        throughout: it would flicker.

    Raises:
        ValueError: for fewer than two points or frames.
    """
    if len(points) < 2 or frames < 2:
        raise ValueError(f"a walk takes at least two points and two frames; received {len(points)} and {frames}")
    keys = [*points, *points[-2:0:-1]] if way == "ping-pong" else list(points)
    legs, last = (len(keys) - 1, frames - 1) if way == "once" else (len(keys), frames)
    for frame in range(frames):
        leg, rest = divmod(frame * legs, last)
        start, end = keys[leg % len(keys)], keys[(leg + 1) % len(keys)]
        yield _between(start, end, EASINGS[easing](rest / last))._replace(noise_seed=points[0].noise_seed)


def _between(start: Point, end: Point, t: float) -> Point:
    if t == 0:
        return start
    gates = {size: gate + (end.gates[size] - gate) * t for size, gate in start.gates.items()}
    classes = start.classes
    if classes is not None and end.classes is not None:
        classes = classes + (end.classes - classes) * np.float32(t)
    return Point(slerp(start.latents, end.latents, t), gates=gates, classes=classes)
