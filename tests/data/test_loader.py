"""The background loader gives what the sampler says, and ends."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, wait
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from sle_gan.data import BatchLoader, batch_indices
from sle_gan.data import loader as loader_module
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


class Waiting(Failing):
    """Each gather waits for leave."""

    def __init__(self) -> None:
        self.begun, self.leave = 0, threading.Semaphore(0)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        self.begun += 1
        self.leave.acquire()
        return IMAGES[indices]


class Clock:
    """Stands in for `time`: a gather lasts a second by it, and begins at once or when it is waited for."""

    def __init__(self, at_once: bool) -> None:
        self.now, self.calls, self.at_once, self.asked = 0.0, 0, at_once, threading.Semaphore(0)

    def perf_counter(self) -> float:
        self.calls += 1
        if self.calls % 2:  # the loader begins to wait
            self.asked.release()
        return self.now

    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        if not self.at_once:
            self.asked.acquire()
        self.now += 1.0
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


def pending(loader: BatchLoader) -> list[Future]:
    return [future for _, future in loader._pending]


def test_closing_waits_for_one_gather_and_may_be_repeated() -> None:
    images = Waiting()
    loader = BatchLoader([images], 4, seed=0, prefetch=50)
    last, ended = pending(loader)[-1], threading.Event()
    last.add_done_callback(lambda _: ended.set())
    closing = threading.Thread(target=loader.close, daemon=True)
    closing.start()
    ended.wait()  # while another gather may be running
    assert last.cancelled()
    images.leave.release()
    closing.join()
    loader.close()
    assert images.begun <= 1  # not fifty
    with pytest.raises(RuntimeError, match="closed"):
        loader.next()


def test_closes_when_the_consumer_fails() -> None:
    with pytest.raises(KeyError), BatchLoader([IMAGES], 4, seed=0):
        raise KeyError("training failed")


def test_waiting_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(at_once=False)
    monkeypatch.setattr(loader_module, "time", clock)
    with BatchLoader([clock], 4, seed=0, prefetch=1) as loader:
        for _ in range(4):
            loader.next()
        assert loader.waited_s == 4.0
        clock.asked.release()  # for the batch that was asked for ahead


def test_what_was_gathered_ahead_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(at_once=True)
    monkeypatch.setattr(loader_module, "time", clock)
    with BatchLoader([clock], 4, seed=0) as loader:
        wait(pending(loader))
        loader.next()
        assert loader.waited_s == 0.0 and clock.now >= 2.0


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
