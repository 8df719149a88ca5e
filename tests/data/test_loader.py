"""The background loader gives what the sampler says, and ends."""

import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from sle_gan.data import BatchLoader, batch_indices
from sle_gan.data.sampler import domain_seed

IMAGES = np.arange(7 * 4 * 4 * 3, dtype=np.uint8).reshape(7, 4, 4, 3)


class Failing:
    """Images whose file goes away at the `good`-th gather."""

    def __init__(self, good: int) -> None:
        self.good = good

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        self.good -= 1
        if self.good < 0:
            raise OSError("the cache file is gone")
        return IMAGES[indices]


class Slow(Failing):
    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        time.sleep(0.05)
        return IMAGES[indices]


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batch-loader")]


@pytest.mark.parametrize("first_batch", [0, 5])
def test_equals_the_sampler(first_batch: int) -> None:
    with BatchLoader([IMAGES], 4, seed=3, first_batch=first_batch) as loader:
        for expected, (k, (batch,)) in zip(range(first_batch, first_batch + 10), loader):
            assert k == expected
            assert batch.dtype == np.uint8 and batch.flags.c_contiguous and batch.flags.writeable
            np.testing.assert_array_equal(batch, IMAGES[batch_indices(7, 4, 3, k)])


def test_domains_of_unequal_sizes_are_paired_at_random() -> None:
    other = np.arange(5 * 2 * 2, dtype=np.uint8).reshape(5, 2, 2, 1)
    with BatchLoader([IMAGES, other, IMAGES], 4, seed=3) as loader:
        for k, (a, b, c) in islice(loader, 5):
            np.testing.assert_array_equal(a, IMAGES[batch_indices(7, 4, 3, k)])
            np.testing.assert_array_equal(b, other[batch_indices(5, 4, domain_seed(3, 1), k)])
            assert (a != c).any()


def test_dropping_the_last_batch_of_each_domain() -> None:
    other = np.arange(5 * 2 * 2, dtype=np.uint8).reshape(5, 2, 2, 1)
    with BatchLoader([IMAGES, other], 3, seed=3, drop_last=True) as loader:
        for k, (a, b) in islice(loader, 5):
            np.testing.assert_array_equal(a, IMAGES[batch_indices(7, 3, 3, k, drop_last=True)])
            np.testing.assert_array_equal(b, other[batch_indices(5, 3, domain_seed(3, 1), k, drop_last=True)])
    with pytest.raises(ValueError, match="at most num_images 5"):
        BatchLoader([IMAGES, other], 6, seed=3, drop_last=True)


def test_resuming_gives_the_same() -> None:
    with BatchLoader([IMAGES], 3, seed=1) as loader:
        straight = [batch for _, batch in islice(loader, 8)]
    with BatchLoader([IMAGES], 3, seed=1, first_batch=5, prefetch=4) as loader:
        resumed = [batch for _, batch in islice(loader, 3)]
    np.testing.assert_array_equal(straight[5:], resumed)


def test_an_error_in_the_thread_surfaces_in_its_place() -> None:
    with BatchLoader([Failing(good=2)], 4, seed=0) as loader:
        assert loader.next()[0] == 0
        assert loader.next()[0] == 1
        for _ in range(2):  # and stays: no batch is skipped in silence
            with pytest.raises(OSError, match="the cache file is gone"):
                loader.next()


def test_closing_does_not_hang_and_may_be_repeated() -> None:
    started = time.perf_counter()
    loader = BatchLoader([Slow(0)], 4, seed=0, prefetch=50)
    loader.close()
    loader.close()
    assert time.perf_counter() - started < 1  # one gather, not fifty
    with pytest.raises(RuntimeError, match="closed"):
        loader.next()


def test_closes_when_the_consumer_fails() -> None:
    with pytest.raises(KeyError), BatchLoader([Slow(0)], 4, seed=0):
        raise KeyError("training failed")


def test_waiting_is_measured() -> None:
    with BatchLoader([Slow(0)], 4, seed=0, prefetch=1) as loader:
        for _ in range(4):
            loader.next()
        assert 0.1 < loader.waited_s < 5
    with BatchLoader([IMAGES], 4, seed=0) as loader:
        time.sleep(0.2)  # it has time to work ahead
        loader.next()
        assert loader.waited_s < 0.1


@pytest.mark.parametrize("arguments", [{"batch_size": 0}, {"seed": -1}, {"first_batch": -1}, {"prefetch": 0}])
def test_wrong_arguments_are_refused_at_once(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="expected"):
        BatchLoader([IMAGES], **{"batch_size": 4, "seed": 0, **arguments})


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_mapped_images_do_not_stay_in_memory(tmp_path: Path) -> None:
    """64 MB are read in batches; the process keeps a small part of them."""
    np.save(tmp_path / "images.npy", np.ones((1000, 256, 256, 1), np.uint8))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")

    def mapped_mb() -> float:
        text = Path("/proc/self/status").read_text()
        return int(text.split("RssFile:")[1].split()[0]) / 1e3

    before = mapped_mb()
    with BatchLoader([images], 50, seed=0) as loader:
        for _ in range(20):
            loader.next()
    assert mapped_mb() - before < 20
    assert int(images.sum()) == 1000 * 256 * 256
    assert mapped_mb() - before > 50, "what it would be otherwise"
