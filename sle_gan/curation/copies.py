"""Pictures that are in a set more than once, exactly or nearly."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from tqdm import tqdm

from sle_gan.features.clusters import centred

_ROWS = 512
_BIT = 0.01  # what a bit by which two perceptual hashes differ takes from the cosine of two pictures' features


def exact_groups(contents: Sequence[str]) -> list[list[int]]:
    """Numbers of the pictures with equal content, for each content that is there more than once."""
    places: dict[str, list[int]] = {}
    for number, content in enumerate(contents):
        places.setdefault(content, []).append(number)
    return [numbers for numbers in places.values() if len(numbers) > 1]


def near_pairs(features: np.ndarray, hashes: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs that are nearly one picture, and how near each picture's nearest one is.

    Nearness is the cosine of the features, as they differ from the set's mean, less 1 % for each bit by which the
    perceptual hashes differ; the mirror image's hash counts too. Neither is enough: features also agree for two
    pictures of one thing, hashes for two things of one layout.

    Args:
        features: float (N, D). hashes: uint64 (N, 2), of pictures and mirror images.
        threshold: the nearness from which a pair counts.

    Returns:
        int (P, 2), the first smaller than the second; and float32 (N,), at most 1 and -1 for a picture alone.
    """
    units = centred(features)
    best = np.full(len(units), -1.0, np.float32)
    found = [np.zeros((0, 2), np.int64)]
    blocks = range(0, len(units), _ROWS)
    for start in tqdm(blocks, "Near copies", unit="block", delay=2, leave=False):
        rows = np.arange(start, min(start + _ROWS, len(units)))
        cosines = units[rows] @ units.T
        cosines[rows - start, rows] = -2
        nearest = cosines.argmax(1)
        own = _less_bits(cosines[rows - start, nearest], hashes, rows, nearest)
        best[rows] = np.maximum(best[rows], own)
        one, other = np.nonzero(cosines >= threshold)
        nearness = _less_bits(cosines[one, other], hashes, rows[one], other)
        near = nearness >= threshold
        np.maximum.at(best, rows[one[near]], nearness[near])
        pairs = np.stack([rows[one[near]], other[near]], 1)
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
    return np.concatenate(found), best if len(units) > 1 else np.full(len(units), -1.0, np.float32)


def _less_bits(cosines: np.ndarray, hashes: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    bits = np.bitwise_count(hashes[one, :1] ^ hashes[other]).min(1)
    return (cosines - _BIT * bits).astype(np.float32)


def grouped(pairs: Iterable[Sequence[int]], count: int) -> list[list[int]]:
    """Groups of pictures that pairs connect, each sorted; pictures alone are left out."""
    parent = list(range(count))

    def root(number: int) -> int:
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    for one, other in pairs:
        low, high = sorted((root(int(one)), root(int(other))))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for number in range(count):
        members.setdefault(root(number), []).append(number)
    return [group for group in members.values() if len(group) > 1]
