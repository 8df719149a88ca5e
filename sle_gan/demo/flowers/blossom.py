"""Petals in polar coordinates: every petal of a ring is evaluated at once, for every pixel."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sle_gan.demo.flowers.canvas import LIGHT_ANGLE, Canvas, Colour, Pose, plane

_PROFILE_STEPS = 4096


@dataclass(frozen=True)
class PetalShape:
    """A petal's outline: half its width over its length, as a function of the position along it (0..1).

    width * sin(pi * t**belly) ** roundness: `belly` above 1 moves the widest place to the tip, `roundness`
    under 1 makes the tip blunt, from 1 on pointed. `notch` cuts a heart's dent, `frill` waves the edge.
    """

    width: float
    belly: float = 1.3
    roundness: float = 0.6
    notch: float = 0.0
    frill: float = 0.0


@dataclass(frozen=True)
class PetalColours:
    """Runs from `base` to `tip` along a petal; `accent` colours the throat or a stripe along the middle."""

    base: Colour
    tip: Colour
    accent: Colour
    throat: float = 0.0  # how far the accent reaches out from the centre, 0..1
    stripe: float = 0.0  # half the width of the accent's stripe, 0..1
    veins: float = 0.04


def paint_ring(
    canvas: Canvas,
    pose: Pose,
    count: int,
    length: float,
    shape: PetalShape,
    colours: PetalColours,
    phase: float,
    rng: np.random.Generator,
) -> None:
    """One ring of `count` petals, each a little different, each lying over its neighbour on one side."""
    part, x, y = canvas.window(pose.x, pose.y, 1.1 * length)
    u, v = pose.to_plane(x, y)
    radius = np.sqrt(u * u + v * v)
    sector = 2 * math.pi / count
    position = (np.arctan2(v, u) - phase) * (1 / sector)
    nearest = np.rint(position)
    facing = phase + pose.axis - LIGHT_ANGLE + np.arange(count) * sector
    tables = [
        table.astype(np.float32)
        for table in (
            length * rng.uniform(0.93, 1.04, count),
            rng.normal(0, 0.2 / count, count),
            rng.uniform(0.93, 1.05, count),
            np.cos(facing),
            np.sin(facing),
        )
    ]
    fields = _Fields(radius.shape, reach=0.08 * length)
    # A pixel can lie on the nearest petal and on those beside it: three evaluations draw any number.
    for offset in (1, 0, -1):
        slot = nearest + offset
        index = slot.astype(np.intp)
        own_length, angle, *light = [table.take(index, mode="wrap") for table in tables]
        delta = (position - slot) * sector - angle
        along, across, depth, edge = petal(radius, delta, own_length, shape)
        shade = _shade(along, across, light, colours)
        fields.add(along, across, depth, canvas.sharp(edge), shade)
    canvas.blend_petals(part, fields.colour(colours), fields.alpha, fields.shadow)


def petal(
    radius: np.ndarray, delta: np.ndarray, length: np.ndarray | float, shape: PetalShape
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(along, across, depth, edge) of each point in a petal; `delta` is the angle from the petal's axis.

    along: 0 at the base, 1 at the tip. across: -1 and 1 at the edges. depth: how far inside the edge,
    measured across the petal; negative outside. edge: the same as a true distance, good near the edge only.
    """
    scaled = radius / length
    t = scaled * np.cos(delta)
    v = scaled * np.sin(delta)
    if shape.notch:
        t *= 1 + shape.notch * np.exp(-np.square(v * (2.5 / shape.width)))
    if shape.frill:
        t *= 1 + shape.frill * np.cos(v * (9 / shape.width))
    along = np.clip(t, 0, 1)
    step = (along * (_PROFILE_STEPS - 1)).astype(np.intp)
    half, steepness = (table.take(step, mode="clip") for table in _profile(shape))
    depth = half - np.abs(v)
    beyond = np.abs(t - along)
    edge = (depth / steepness - beyond) * length
    return along, np.clip(v / half, -1, 1), (depth - beyond) * length, edge


@lru_cache(maxsize=32)
def _profile(shape: PetalShape) -> tuple[np.ndarray, np.ndarray]:
    """A petal's half width at evenly spaced positions, and how much longer its edge is than its axis there.

    To look up, for powers are slow. The second turns a distance across the petal into one from its edge.
    """
    t = np.linspace(0.0005, 0.9995, _PROFILE_STEPS)
    half = shape.width * np.sin(np.pi * t**shape.belly) ** shape.roundness
    steepness = np.sqrt(1 + np.gradient(half, t) ** 2)
    # A blunt tip is infinitely steep, where no straight line follows the edge: limited, or it grows a spike.
    return half.astype(np.float32), np.minimum(steepness, 4).astype(np.float32)


def _shade(
    along: np.ndarray,
    across: np.ndarray,
    light: Sequence[np.ndarray],
    colours: PetalColours,
) -> np.ndarray:
    """How light a petal is. `light`: brightness, cosine and sine of the angle from the light to its axis."""
    brightness, cos, sin = light
    # Petals are troughs that bend down at the tip: the sides that face the light are brighter.
    shade = brightness * (1 - 0.13 * across * sin + 0.16 * (along - 0.45) * cos)
    square = across * across
    shade *= 1 - 0.16 * np.exp(square * -39) * (1 - along)  # the crease along the middle
    shade *= 1 + colours.veins * np.cos(across * 15) * along
    shade *= 0.70 + 0.30 * np.clip(along * 2.2, 0, 1)  # deep in the flower it is darker
    shade *= 1 - 0.10 * square * square
    return shade


class _Fields:
    """What a ring looks like before it has colours: one number a pixel each, blended petal over petal.

    `reach` is how far a petal's shadow falls.
    """

    def __init__(self, shape: tuple[int, ...], reach: float) -> None:
        self.alpha, self.shadow, self._along, self._across, self._shade = np.zeros((5, *shape), np.float32)
        self._reach = reach

    def add(
        self, along: np.ndarray, across: np.ndarray, depth: np.ndarray, alpha: np.ndarray, shade: np.ndarray
    ) -> None:
        near = np.square(np.clip(1 + depth * (1 / self._reach), 0, 1))  # 1 on the petal, fading outside
        self._shade *= 1 - 0.34 * near * self.alpha
        for field, value in ((self._along, along), (self._across, across), (self._shade, shade)):
            field += alpha * (value - field)
        self.alpha += alpha * (1 - self.alpha)
        np.maximum(self.shadow, 0.42 * near, out=self.shadow)

    def colour(self, colours: PetalColours) -> np.ndarray:
        """RGB planes (3, h, w)."""
        base, tip, accent = plane(colours.base), plane(colours.tip), plane(colours.accent)
        whole = 1 / np.maximum(self.alpha, 1e-3)  # the fields are sums weighted by alpha
        along, across, shade = np.minimum(self._along * whole, 1), self._across * whole, self._shade * whole
        rgb = base + along * (tip - base)
        square = across * across
        if colours.throat:
            inner = np.clip((colours.throat * (1.12 - 0.3 * square) - along) * 7, 0, 1)
            rgb += inner * (accent - rgb)
        if colours.stripe:
            line = np.exp(square * (-1 / colours.stripe**2)) * np.sqrt(1 - along)
            rgb += line * (accent - rgb)
        rgb *= shade
        return rgb
