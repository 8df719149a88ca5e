"""How a set is made up by its features: pictures unlike all others, and kinds that have too many."""

from __future__ import annotations

import numpy as np
from tqdm import tqdm

from sle_gan.features.clusters import centred

_ROWS = 512
_NEIGHBOURS = 20


def unlikeness(features: np.ndarray) -> np.ndarray:
    """How far each picture is from its 20th neighbour (fewer in small sets), in spreads of the set; float (N,).

    0 is the median, and a spread what the standard deviation of a normal distribution would be. The 20th and
    not the nearest: things of another kind seldom come alone. Zeros for sets too small to tell.
    """
    count = len(features)
    neighbours = min(_NEIGHBOURS, max(3, count // 40))
    if count < 4 * neighbours:
        return np.zeros(count)
    units = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    distances = np.empty(count)
    for start in tqdm(range(0, count, _ROWS), "Neighbours", unit="block", delay=2, leave=False):
        cosines = units[start : start + _ROWS] @ units.T
        rows = np.arange(len(cosines))
        cosines[rows, start + rows] = -2
        distances[start : start + _ROWS] = 1 - np.partition(cosines, -neighbours, axis=1)[:, -neighbours]
    middle = np.median(distances)
    spread = 1.4826 * np.median(np.abs(distances - middle))
    return (distances - middle) / max(spread, 1e-6)


def balanced(features: np.ndarray, labels: np.ndarray, ratio: float) -> np.ndarray:
    """Which pictures stay when no kind may have more than `ratio` times the median of all kinds' sizes, bool (N,).

    Of a kind that has more, those stay that are most different from each other.
    """
    sizes = np.bincount(labels)
    most = max(1, round(ratio * float(np.median(sizes[sizes > 0]))))
    units = centred(features)
    stays = np.ones(len(labels), bool)
    for label in np.flatnonzero(sizes > most):
        members = np.flatnonzero(labels == label)
        stays[members] = False
        stays[members[_most_different(units[members], most)]] = True
    return stays


def _most_different(units: np.ndarray, count: int) -> list[int]:
    """Starts with the one nearest to the middle; each next one is the farthest from all before."""
    chosen = [int((units @ units.mean(0)).argmax())]
    away = 1 - units @ units[chosen[0]]
    while len(chosen) < count:
        away[chosen[-1]] = -np.inf
        chosen.append(int(away.argmax()))
        away = np.minimum(away, 1 - units @ units[chosen[-1]])
    return chosen
