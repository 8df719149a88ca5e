"""Batches of images, gathered in the background while the device works."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from sle_gan.data.cache import release_pages
from sle_gan.data.sampler import batch_indices


class BatchLoader:
    """Batches `first_batch`, `first_batch + 1`, ... for ever, of `images` uint8 (N, R, R, C).

    A thread gathers `prefetch` batches ahead. `next()` and iteration give (k, batch): the batch's number
    and uint8 (B, R, R, C), contiguous and the consumer's own; its images are `batch_indices(N, B, seed, k)`.
    `waited_s` is how many seconds the consumer has waited in all: near zero when the thread keeps up.
    An exception in the thread (a vanished cache file) is raised by the `next()` that needed its batch.
    Use it as a context manager, or call `close()`.
    """

    def __init__(self, images: np.ndarray, batch_size: int, seed: int, first_batch: int = 0, prefetch: int = 2) -> None:
        if prefetch < 1:
            raise ValueError(f"prefetch {prefetch}: expected at least 1")
        batch_indices(len(images), batch_size, seed, first_batch)  # wrong arguments fail here, not in the thread
        self.waited_s = 0.0
        self._images = images
        self._batch_size = batch_size
        self._seed = seed
        self._next_batch = first_batch
        # One thread: it gathers in order, and closing has at most one gather to wait for.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batch-loader")
        self._pending: deque[tuple[int, Future[np.ndarray]]] = deque()
        self._closed = False
        for _ in range(prefetch):
            self._submit()

    def next(self) -> tuple[int, np.ndarray]:
        """(k, uint8 (B, R, R, C)) of the next batch. Raises `RuntimeError` after `close()`."""
        if self._closed:
            raise RuntimeError("this BatchLoader is closed")
        k, future = self._pending[0]
        started = time.perf_counter()
        try:
            batch = future.result()
        finally:
            self.waited_s += time.perf_counter() - started
        self._pending.popleft()
        self._submit()
        return k, batch

    def close(self) -> None:
        """Stops the thread. May be called twice."""
        self._closed = True
        self._pending.clear()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self) -> None:
        self._pending.append((self._next_batch, self._pool.submit(self._gather, self._next_batch)))
        self._next_batch += 1

    def _gather(self, k: int) -> np.ndarray:
        indices = batch_indices(len(self._images), self._batch_size, self._seed, k)
        batch = np.ascontiguousarray(self._images[indices])  # fancy indexing copies: (B, R, R, C)
        release_pages(self._images)
        return batch

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        while True:
            yield self.next()

    def __enter__(self) -> "BatchLoader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
