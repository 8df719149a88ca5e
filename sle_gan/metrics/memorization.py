"""Does the generator copy its training set? The memorization distance and MiFID.

Bai et al. 2021, "On Training Sample Memorization: Lessons from Benchmarking Generative Modeling with a
Large-scale Competition" (arXiv 2106.03062), the measure of Kaggle's Generative Dog Images competition.
Written from the paper's formulas; threshold 0.1 and epsilon 1e-15 as in its evaluation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sle_gan.errors import UserError
from sle_gan.metrics.checks import blocks, checked_pair

THRESHOLD = 0.1
_EPSILON = 1e-15
_BLOCK = 2048


def memorization_distance(real: Any, fake: Any) -> float:
    """Mean over the generated images (M, D) of the cosine distance to the nearest training image (N, D).

    The distance is 1 - |cos|, from 0 (every generated image has a training image's direction) to 1. An
    image whose features are all zero has no direction: its distance to everything is 1. Time is one
    product (M, D) x (D, N), memory bounded by blocks of 2048 x 2048.

    Raises:
        UserError: on NaN or infinity, an empty set, or different D.
    """
    a, b = checked_pair("real", real, "fake", fake, at_least=1)
    nearest = np.zeros(len(b))  # the largest |cos| so far, (M,)
    for columns in blocks(len(a), _BLOCK):
        directions = _unit(a[columns])  # (block, D)
        for rows in blocks(len(b), _BLOCK):
            cosines = np.abs(_unit(b[rows]) @ directions.T)
            np.maximum(nearest[rows], cosines.max(axis=1), out=nearest[rows])
    return float(np.mean(1 - np.minimum(nearest, 1)))  # rounding must not make a copy's distance negative


def memorization_informed_distance(frechet: float, distance: float, threshold: float = THRESHOLD) -> float:
    """MiFID: the Fréchet distance, divided by the memorization distance where that is below `threshold`.

    Above the threshold nothing is penalised and the Fréchet distance is returned. The threshold belongs to
    Inception features; with others compare only the memorization distances of runs with each other. A pure
    copy (distance 0) divides by 1e-15: a number so large that it cannot be missed, unless the copies are
    the whole training set, whose Fréchet distance is zero: read the memorization distance beside it.

    Raises:
        UserError: on NaN, infinity or negative input.
    """
    if not (np.isfinite(frechet) and np.isfinite(distance)) or frechet < 0 or distance < 0:
        raise UserError(f"MiFID of the distances {frechet} and {distance}: expected finite numbers from 0 up")
    return frechet / (distance + _EPSILON) if distance < threshold else frechet


def _unit(features: np.ndarray) -> np.ndarray:
    rows = features.astype(np.float64)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)
