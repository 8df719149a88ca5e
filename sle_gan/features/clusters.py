"""Kinds of pictures, found by k-means of their features."""

from __future__ import annotations

import numpy as np

_PRIOR = 20
_ROUNDS = 30
_STARTS = 4


def centred(features: np.ndarray) -> np.ndarray:
    """Directions of the features from their mean, unit float32 (N, D); of few pictures, the mean counts for less."""
    mean = features.mean(0) * (len(features) / (len(features) + _PRIOR))
    away = (features - mean).astype(np.float32)
    return away / np.maximum(np.linalg.norm(away, axis=1, keepdims=True), 1e-12)


def default_clusters(count: int) -> int:
    """How many kinds a set of so many pictures is split into where nobody says."""
    return int(np.clip(round(np.sqrt(count / 5)), 1, 24))


def clusters(features: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """The kind of each picture by k-means of directions, the best of some starts; int (N,): 0 is the largest one."""
    units = centred(features)
    count = min(count, len(units))
    rng = np.random.default_rng(seed)
    labels, _ = max((_one_run(units, count, rng) for _ in range(_STARTS)), key=lambda run: run[1])
    sizes = np.bincount(labels, minlength=count)
    rank = np.empty(count, np.int64)
    rank[np.argsort(-sizes, kind="stable")] = np.arange(count)
    return rank[labels]


def _one_run(units: np.ndarray, count: int, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Labels, and the mean cosine to the own centre."""
    centres = _first_centres(units, count, rng)
    labels = np.full(len(units), -1)
    for _ in range(_ROUNDS):
        before, labels = labels, (units @ centres.T).argmax(1)
        if (before == labels).all():
            break
        sums = np.zeros_like(centres)
        np.add.at(sums, labels, units)
        lengths = np.linalg.norm(sums, axis=1, keepdims=True)
        centres = np.where(lengths > 1e-9, sums / np.maximum(lengths, 1e-9), centres)
    return labels, float((units * centres[labels]).sum(1).mean())


def _first_centres(units: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """k-means++ (Arthur and Vassilvitskii 2007): each next one is drawn by its distance from those before."""
    chosen = [int(rng.integers(len(units)))]
    away = 1 - units @ units[chosen[0]]
    while len(chosen) < count:
        weights = np.clip(away, 0, None).astype(np.float64) ** 2
        total = weights.sum()
        chosen.append(int(rng.choice(len(units), p=weights / total) if total > 0 else rng.integers(len(units))))
        away = np.minimum(away, 1 - units @ units[chosen[-1]])
    return units[chosen].copy()
