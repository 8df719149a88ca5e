"""Which shape of picture loses least of a set when all are cut to it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Those that networks make exactly (`sle_gan.shapes`), up to the default of --max-aspect, the simplest first.
_WIDE = ((5, 4), (3, 2), (7, 4), (2, 1), (5, 2), (3, 1))
SHAPES = ("1:1", *(f"{a}:{b}" for wide in _WIDE for a, b in (wide, wide[::-1])))
_WORTH = 0.02  # of the surface: less than this is no reason to leave the simpler shape, which comes first


class Shape(NamedTuple):
    """A recommendation: W:H, and the share of the pictures' surface that a cut to each shape keeps on average."""

    name: str
    kept: dict[str, float]


def recommend_shape(widths: np.ndarray, heights: np.ndarray) -> Shape:
    """The simplest shape that keeps within 2 % of the most; a covering crop to the centre is what training does."""
    aspects = np.asarray(widths, np.float64) / np.asarray(heights, np.float64)
    kept = {name: float(_kept(aspects, name).mean()) for name in SHAPES}
    best = max(kept.values())
    return Shape(next(name for name in SHAPES if kept[name] >= best - _WORTH), kept)


def _kept(aspects: np.ndarray, name: str) -> np.ndarray:
    width, height = map(int, name.split(":"))
    return np.minimum(aspects, width / height) / np.maximum(aspects, width / height)
