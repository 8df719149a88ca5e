"""Mixing in a second source: shares that add up, places anywhere, and a function of the seed and the step alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sle_gan.data import BatchLoader, MixIn, batch_indices

shares = st.floats(0.001, 1.0)
steps = st.integers(1, 50)
batch_sizes = st.integers(1, 12)
seeds = st.integers(0, 2**31 - 1)

OWN = np.zeros((7, 2, 2, 3), np.uint8) + np.arange(7, dtype=np.uint8)[:, None, None, None]
OTHER = np.zeros((5, 2, 2, 3), np.uint8) + np.arange(100, 105, dtype=np.uint8)[:, None, None, None]


def mixed(share: float, length: int, batch_size: int, seed: int, k: int, num: int = 5) -> np.ndarray:
    mix = MixIn(OTHER[:num], share, length)
    return mix.indices(batch_indices(7, batch_size, seed, k), 7, seed, k)


@given(shares, steps, batch_sizes, seeds)
def test_the_share_of_all_batches_is_what_was_asked_for(share: float, length: int, batch_size: int, seed: int) -> None:
    """So many pictures in all as the shares of the steps add up to; each batch has its own share, rounded."""
    counts = [int((mixed(share, length, batch_size, seed, k) >= 7).sum()) for k in range(length + 3)]
    wanted = [share * batch_size * max(0.0, 1 - k / length) for k in range(length + 3)]
    for k in range(length + 3):
        assert abs(sum(counts[: k + 1]) - sum(wanted[: k + 1])) < 1 + 1e-6
        assert math.floor(wanted[k] - 1e-6) <= counts[k] <= math.ceil(wanted[k] + 1e-6)
    assert counts[length:] == [0, 0, 0]


@given(shares, steps, batch_sizes, seeds, st.integers(0, 60))
def test_what_it_takes_no_place_of_stays(share: float, length: int, batch_size: int, seed: int, k: int) -> None:
    own, batch = batch_indices(7, batch_size, seed, k), mixed(share, length, batch_size, seed, k)
    kept = batch < 7
    np.testing.assert_array_equal(batch[kept], own[kept])
    assert batch.dtype == np.int64 and batch.max() < 12
    if k >= length:
        np.testing.assert_array_equal(batch, own)


@given(shares, batch_sizes, seeds)
def test_every_picture_of_the_second_source_comes_as_often(share: float, batch_size: int, seed: int) -> None:
    row = np.concatenate([mixed(share, 40, batch_size, seed, k) for k in range(40)])
    counts = np.bincount(row[row >= 7] - 7, minlength=5)  # passes over its 5 pictures, and a part of the next one
    assert counts.max() - counts.min() <= 1


def test_places_are_anywhere_in_the_batch() -> None:
    taken = sum((mixed(0.25, 10_000, 8, 3, k) >= 7).astype(int) for k in range(800))
    assert taken.min() > 140 and taken.max() < 260  # 200 at each of the 8 places; 5 deviations


def test_values_never_change() -> None:
    """Resuming an old run needs these very numbers."""
    assert mixed(0.5, 100, 8, 42, 0).tolist() == [1, 11, 4, 10, 9, 0, 8, 4]
    assert mixed(0.5, 100, 8, 42, 7).tolist() == [0, 7, 11, 4, 8, 5, 2, 5]


@pytest.mark.parametrize("first", (0, 3))
def test_the_loader_gives_these_pictures_or_their_indices(first: int) -> None:
    mix = MixIn(OTHER, 0.4, 12)
    together = np.concatenate([OWN, OTHER])
    second = OWN[::-1]  # a domain of its own stays as it is
    options = {"batch_size": 5, "seed": 9, "first_batch": first, "mix_in": mix}
    with (
        BatchLoader([OWN, second], **options) as pictures,
        BatchLoader([OWN, second], gather=False, **options) as places,
    ):
        for k in range(first, first + 12):
            (one, images), (other, indices) = pictures.next(), places.next()
            assert one == other == k
            np.testing.assert_array_equal(indices[0], mix.indices(batch_indices(7, 5, 9, k), 7, 9, k))
            np.testing.assert_array_equal(images[0], together[indices[0]])
            np.testing.assert_array_equal(images[1], second[indices[1]])
            assert images[0].flags.c_contiguous and images[0].flags.writeable and indices[0].dtype == np.int32


def test_with_drop_last_no_batch_has_a_picture_twice() -> None:
    mix = MixIn(OTHER, 0.5, 30)
    for k in range(40):
        batch = mix.indices(batch_indices(7, 5, 1, k, drop_last=True), 7, 1, k)
        own = batch[batch < 7]
        assert len({*own.tolist()}) == len(own)
