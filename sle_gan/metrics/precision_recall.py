"""Precision (are the generated images realistic?) and recall (do they cover the real ones?), apart.

Kynkäänniemi et al. 2019, "Improved Precision and Recall Metric for Assessing Generative Models"
(arXiv 1904.06991). Written from the paper; the paper's features are VGG-16's, ours are the extractor's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from sle_gan.errors import UserError
from sle_gan.metrics.checks import blocks, checked_pair

_BLOCK = 2048


class PrecisionRecall(NamedTuple):
    precision: float
    recall: float


def precision_recall(real: Any, fake: Any, neighbours: int = 3) -> PrecisionRecall:
    """Improved precision and recall of features (N, D) and (M, D), both in 0..1.

    Each set's manifold is the union of balls around its points that reach to their `neighbours`-th nearest
    neighbour in the same set. Precision: the share of generated images inside the real manifold. Recall:
    the share of real images inside the generated one. Both depend on the counts: compare equal ones.
    Time O((N + M)^2 D), memory bounded by blocks of 2048 x 2048 distances.

    Raises:
        UserError: on NaN or infinity, different D, or a set of no more than `neighbours` images.
    """
    if neighbours < 1:
        raise UserError(f"neighbours {neighbours}: expected a positive number (the paper uses 3)")
    a, b = checked_pair("real", real, "fake", fake, at_least=neighbours + 1)
    return PrecisionRecall(
        precision=float(inside(b, a, squared_radii(a, neighbours)).mean()),
        recall=float(inside(a, b, squared_radii(b, neighbours)).mean()),
    )


def squared_radii(points: np.ndarray, neighbours: int) -> np.ndarray:
    """Squared distance of each point (N, D) to its k-th nearest neighbour, itself left out: (N,)."""
    nearest = np.full((len(points), neighbours), np.inf)
    for rows, columns, squared in squared_distances(points, points):
        if rows == columns:
            np.fill_diagonal(squared, np.inf)
        candidates = np.concatenate([nearest[rows], squared], axis=1)
        nearest[rows] = np.partition(candidates, neighbours - 1, axis=1)[:, :neighbours]
    return nearest.max(axis=1)


def inside(points: np.ndarray, centres: np.ndarray, squared: np.ndarray) -> np.ndarray:
    """Which of the points (N, D) lie in any ball around `centres` (M, D) or on its boundary: bool (N,)."""
    found = np.zeros(len(points), bool)
    for rows, columns, distances in squared_distances(points, centres):
        found[rows] |= (distances <= squared[columns]).any(axis=1)
    return found


def squared_distances(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[slice, slice, np.ndarray]]:
    """Blocks of |a_i - b_j|^2, in float64: |a|^2 + |b|^2 - 2 a.b loses half of the digits."""
    for rows in blocks(len(a), _BLOCK):
        left = a[rows].astype(np.float64)
        left_norms = np.einsum("ij,ij->i", left, left)
        for columns in blocks(len(b), _BLOCK):
            right = b[columns].astype(np.float64)
            squared = left @ right.T
            squared *= -2
            squared += left_norms[:, None]
            squared += np.einsum("ij,ij->i", right, right)
            yield rows, columns, np.maximum(squared, 0, out=squared)
