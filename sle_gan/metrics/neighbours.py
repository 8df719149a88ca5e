"""Which training pictures are nearest to each generated one, and how many generated ones are too near."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from sle_gan.metrics.checks import checked_pair
from sle_gan.metrics.precision_recall import squared_distances

_COMPARED = 2048  # real images whose distances to each other are measured; all of 100,000 would take an hour


class Neighbours(NamedTuple):
    """Generated images and the real ones nearest to them, in feature space.

    indices: (M, k) int, of the real images, nearest first.
    distances: (M, k) float64, Euclidean.
    usual: the median over real images of the distance to the nearest other real image.
    share: of generated images whose nearest real image is at most `usual` away, 0..1. Half of the real images are as
        near to another one, so new images of the same kind give about 0.5, copies 1, and a generator whose
        images are recognisably not photographs much less.
    """

    indices: np.ndarray
    distances: np.ndarray
    usual: float
    share: float

    @property
    def nearest_first(self) -> np.ndarray:
        """The generated images (M,) in the order of their distance to the nearest real one."""
        return np.argsort(self.distances[:, 0], kind="stable")

    def __str__(self) -> str:
        return (
            f"{100 * self.share:.1f} % of {len(self.distances):,} generated pictures are as near to a training picture "
            f"as half of the training pictures are to another one (at most {self.usual:.4g}); new pictures of the "
            "same kind would give about 50 %, copies 100 %"
        )


def find_neighbours(real: Any, fake: Any, count: int = 4) -> Neighbours:
    """The `count` real images nearest to each generated one; all of them where there are fewer.

    Args:
        real, fake: features (N, D) and (M, D) of one extractor. `usual` is taken over all real images, or over
            2,048 at equal steps where there are more, each compared with all others.

    Raises:
        UserError: on NaN or infinity, different D, fewer than two real images or no generated one.
    """
    a, b = checked_pair("real", real, "fake", fake, at_least=1)
    a, _ = checked_pair("real", a, "real", a, at_least=2)
    chosen = np.unique(np.linspace(0, len(a) - 1, min(len(a), _COMPARED)).astype(int))
    _, own = nearest(a[chosen], a, 1, themselves=chosen)
    indices, distances = nearest(b, a, min(count, len(a)))
    usual = float(np.median(own))
    return Neighbours(indices, distances, usual, float(np.mean(distances[:, 0] <= usual)))


def nearest(
    points: np.ndarray, centres: np.ndarray, count: int, themselves: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The `count` centres (N, D) nearest to each of the points (n, D): indices and distances (n, count), nearest first.

    themselves: (n,), for each point the centre that it is itself, which is left out.
    """
    found = np.zeros((len(points), count), int)
    squares = np.full((len(points), count), np.inf)
    for rows, columns, squared in squared_distances(points, centres):
        if themselves is not None:
            own = themselves[rows] - columns.start
            here = np.flatnonzero((own >= 0) & (own < squared.shape[1]))
            squared[here, own[here]] = np.inf
        candidates = np.concatenate([squares[rows], squared], axis=1)
        numbers = np.broadcast_to(np.arange(columns.start, columns.stop), squared.shape)
        numbers = np.concatenate([found[rows], numbers], axis=1)
        best = np.argpartition(candidates, count - 1, axis=1)[:, :count]
        squares[rows] = np.take_along_axis(candidates, best, axis=1)
        found[rows] = np.take_along_axis(numbers, best, axis=1)
    # Again, from the differences: a copy's distance is then zero and not a rounding error.
    differences = [points.astype(np.float64) - centres[column] for column in found.T]
    distances = np.stack([np.linalg.norm(difference, axis=1) for difference in differences], axis=1)
    order = np.argsort(distances, axis=1, kind="stable")
    return np.take_along_axis(found, order, axis=1), np.take_along_axis(distances, order, axis=1)
