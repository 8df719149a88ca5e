"""Which images make batch k: a pure function, so that resuming a run needs one integer."""

from functools import lru_cache

import numpy as np


def batch_indices(num_images: int, batch_size: int, seed: int, k: int, drop_last: bool = False) -> np.ndarray:
    """Indices of the images in batch `k`: int64 (batch_size,), each in 0..num_images-1.

    They are positions k*B .. k*B+B-1 of an endless row of permutations, one an epoch, each a function of
    (seed, epoch). Every image comes once an epoch, also where batches straddle epochs or are larger than
    the set. `seed` is in 0..2**64-1. Raises `ValueError` for other arguments.

    With `drop_last` no batch straddles epochs, so that none holds an image twice: an epoch has N // B batches,
    and the N % B images that its permutation leaves over are left out of it. There B may not exceed N.
    """
    if num_images < 1 or batch_size < 1 or k < 0 or not 0 <= seed < 2**64:
        raise ValueError(
            f"num_images {num_images}, batch_size {batch_size}, seed {seed}, k {k}: "
            "expected num_images and batch_size >= 1, k >= 0 and seed in 0..2**64-1"
        )
    if drop_last:
        if batch_size > num_images:
            raise ValueError(f"batch_size {batch_size}: expected at most num_images {num_images} with drop_last")
        epoch, place = divmod(k, num_images // batch_size)
        return _permutation(num_images, seed, epoch)[place * batch_size :][:batch_size].copy()
    return positions(num_images, seed, k * batch_size, (k + 1) * batch_size)


def positions(num_images: int, seed: int, start: int, stop: int) -> np.ndarray:
    """The images at the positions start to stop - 1 of the endless row of permutations: int64 (stop - start,)."""
    parts = []
    while start < stop:
        epoch, first = divmod(start, num_images)
        part = _permutation(num_images, seed, epoch)[first : first + stop - start]
        parts.append(part)
        start += len(part)
    return np.concatenate(parts)


def balanced_indices(labels: np.ndarray, batch_size: int, seed: int, k: int) -> np.ndarray:
    """Indices of the images in batch `k`, int64 (batch_size,), with every class equally often.

    Positions k*B .. k*B+B-1 of an endless row of rounds: a round has each class once, in the order of a permutation
    that is a function of (seed, round), and takes the class's next image from an endless row of permutations of its
    images. An image of a small class comes more often than one of a large class.

    Args:
        labels: integers (N,), the class of each image; no class of 0..max is empty.
    """
    count = int(labels.max()) + 1
    members = [np.flatnonzero(labels == label) for label in range(count)]
    chosen = []
    for position in range(k * batch_size, (k + 1) * batch_size):
        turn, place = divmod(position, count)
        label = int(_permutation(count, seed, turn)[place])
        epoch, at = divmod(turn, len(members[label]))
        chosen.append(members[label][_permutation(len(members[label]), domain_seed(seed, label + 1), epoch)[at]])
    return np.array(chosen, np.int64)


def domain_seed(seed: int, domain: int) -> int:
    """The seed of a domain's permutations: the run's own for the first domain, others for the next ones."""
    return (seed + domain * 0x9E3779B97F4A7C15) % 2**64


@lru_cache(maxsize=4096)  # two epochs of a batch in each of two domains, or one of each class
def _permutation(num_images: int, seed: int, epoch: int) -> np.ndarray:
    # Sorting raw Philox words, and not Generator.permutation: numpy promises the words for ever, but may
    # change its generators' algorithms, and a resumed run must continue its epoch after an upgrade.
    key = np.array([seed, epoch], dtype=np.uint64)
    order = np.argsort(np.random.Philox(key=key).random_raw(num_images), kind="stable").astype(np.int64)
    order.setflags(write=False)
    return order
