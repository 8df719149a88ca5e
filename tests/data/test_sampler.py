"""Batch k is a pure function of (seed, k), and every epoch is a permutation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sle_gan.data import batch_indices
from sle_gan.data.sampler import _permutation

sizes = st.integers(1, 40)
batches = st.integers(1, 60)
seeds = st.integers(0, 2**64 - 1)


@given(sizes, batches, seeds, st.integers(0, 2**40))
def test_pure(num_images: int, batch_size: int, seed: int, k: int) -> None:
    first = batch_indices(num_images, batch_size, seed, k)
    batch_indices(num_images + 1, batch_size, seed, k + 7)
    _permutation.cache_clear()
    again = batch_indices(num_images, batch_size, seed, k)
    np.testing.assert_array_equal(first, again)
    assert first.shape == (batch_size,)
    assert first.dtype == np.int64
    assert first.min() >= 0 and first.max() < num_images


@given(sizes, batches, seeds)
def test_every_epoch_is_a_permutation(num_images: int, batch_size: int, seed: int) -> None:
    """Also where batches straddle epochs, and where they are larger than the set."""
    epochs = 3
    count = -(-epochs * num_images // batch_size)
    row = np.concatenate([batch_indices(num_images, batch_size, seed, k) for k in range(count)])
    for epoch in range(epochs):
        part = row[epoch * num_images : (epoch + 1) * num_images]
        np.testing.assert_array_equal(np.sort(part), np.arange(num_images))


@given(sizes, st.integers(1, 12), seeds, st.integers(0, 50))
def test_batch_size_only_cuts_the_row(num_images: int, batch_size: int, seed: int, k: int) -> None:
    ones = [batch_indices(num_images, 1, seed, k * batch_size + i)[0] for i in range(batch_size)]
    np.testing.assert_array_equal(batch_indices(num_images, batch_size, seed, k), ones)


@given(sizes, st.integers(1, 40), seeds)
def test_dropping_the_last_batch(num_images: int, batch_size: int, seed: int) -> None:
    """An epoch is as many whole batches as fit, of images that differ; what is left over changes with the epoch."""
    batch_size = min(batch_size, num_images)
    fit = num_images // batch_size
    for epoch in range(3):
        rows = [batch_indices(num_images, batch_size, seed, epoch * fit + i, drop_last=True) for i in range(fit)]
        seen = np.concatenate(rows)
        assert all(row.shape == (batch_size,) for row in rows)
        np.testing.assert_array_equal(seen, batch_indices(num_images, num_images, seed, epoch)[: fit * batch_size])


def test_dropping_the_last_batch_needs_one() -> None:
    with pytest.raises(ValueError, match="at most num_images 3"):
        batch_indices(3, 4, 0, 0, drop_last=True)


def test_epochs_and_seeds_differ() -> None:
    orders = {tuple(batch_indices(50, 50, seed, k)) for seed in (0, 1, 2**63) for k in range(5)}
    assert len(orders) == 15


def test_first_place_is_uniform() -> None:
    """Over 6000 epochs each of 6 images comes first 1000 times; 4 standard deviations are 115."""
    first = [batch_indices(6, 6, 3, k)[0] for k in range(6000)]
    assert np.abs(np.bincount(first, minlength=6) - 1000).max() < 115


def test_values_never_change() -> None:
    """Resuming an old run needs these very numbers, on every machine and with every numpy."""
    assert batch_indices(10, 12, 42, 0).tolist() == [7, 1, 6, 4, 3, 5, 9, 0, 2, 8, 4, 9]


def test_result_may_be_changed() -> None:
    batch_indices(4, 4, 0, 0)[:] = 0
    batch_indices(4, 4, 0, 0, drop_last=True)[:] = 0
    np.testing.assert_array_equal(np.sort(batch_indices(4, 4, 0, 0)), np.arange(4))


@pytest.mark.parametrize("arguments", [(0, 1, 0, 0), (1, 0, 0, 0), (1, 1, -1, 0), (1, 1, 2**64, 0), (1, 1, 0, -1)])
def test_wrong_arguments(arguments: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        batch_indices(*arguments)
