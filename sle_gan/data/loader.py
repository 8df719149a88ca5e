"""Batches of images, gathered in the background while the device works."""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from sle_gan.data.cache import release_pages
from sle_gan.data.mixing import MixIn
from sle_gan.data.sampler import balanced_indices, batch_indices, domain_seed

# For each domain the images (B, H, W, C) uint8, or their indices (B,) where the images are on the device. With labels
# those of the first domain follow, int32 (B,); where the images are on the device, so are they.
HostBatch = tuple[np.ndarray, ...]


class BatchLoader:
    """Batches `first_batch`, `first_batch + 1`, ... for ever, of images uint8 (N, H, W, C) of one or more domains.

    A thread gathers `prefetch` batches ahead. `next()` and iteration give (k, batch): the batch's number
    and a tuple with uint8 (B, H, W, C) for each domain, contiguous and the consumer's own. The images of domain d are
    `batch_indices(N_d, B, domain_seed(seed, d), k, drop_last)`: domains are paired at random and may differ in size.
    `waited_s` is how many seconds the consumer has waited in all: near zero when the thread keeps up.
    An exception in the thread (a vanished cache file) is raised by the `next()` that needed its batch.
    Use it as a context manager, or call `close()`. With `gather=False` a batch holds the indices, int32 (B,), in
    place of the images, for those who have the images elsewhere. `mix_in` takes some places of the first domain's
    batches; its indices follow on those of that domain.

    With `labels`, int32 (N,) of the first domain's images, a batch ends with theirs, int32 (B,), or with the indices
    again. With `balance` that domain's classes come equally often (`balanced_indices`). There is no `mix_in` with
    labels: its pictures have none.
    """

    def __init__(
        self,
        domains: Sequence[np.ndarray],
        batch_size: int,
        seed: int,
        first_batch: int = 0,
        prefetch: int = 2,
        gather: bool = True,
        drop_last: bool = False,
        mix_in: MixIn | None = None,
        labels: np.ndarray | None = None,
        balance: bool = False,
    ) -> None:
        if prefetch < 1:
            raise ValueError(f"prefetch {prefetch}: expected at least 1")
        for images in domains:  # wrong arguments fail here, not in the thread
            batch_indices(len(images), batch_size, seed, first_batch, drop_last)
        self.waited_s = 0.0
        self._domains = tuple(domains)
        self._batch_size = batch_size
        self._seed = seed
        self._gathers = gather
        self._drop_last = drop_last
        self._mix_in = mix_in
        self._labels, self._balance = labels, balance and labels is not None
        self._next_batch = first_batch
        # One thread: it gathers in order, and closing has at most one gather to wait for.
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="batch-loader")
        self._pending: deque[tuple[int, Future[HostBatch]]] = deque()
        self._closed = False
        for _ in range(prefetch):
            self._submit()

    def next(self) -> tuple[int, HostBatch]:
        """(k, (uint8 (B, H, W, C), ...)) of the next batch. Raises `RuntimeError` after `close()`."""
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

    def _gather(self, k: int) -> HostBatch:
        batch, first = [], None
        for domain, images in enumerate(self._domains):
            indices = self._indices(domain, k)
            first = indices if first is None else first
            mix_in = self._mix_in if domain == 0 else None
            if mix_in:
                indices = mix_in.indices(indices, len(images), self._seed, k)
            if self._gathers:
                # Fancy indexing copies: (B, H, W, C).
                batch.append(mix_in.gather(images, indices) if mix_in else np.ascontiguousarray(images[indices]))
                release_pages(images)
                if mix_in:
                    release_pages(mix_in.images)
            else:
                batch.append(indices.astype(np.int32))
        if self._labels is not None and first is not None:
            batch.append(self._labels[first] if self._gathers else first.astype(np.int32))
        return tuple(batch)

    def _indices(self, domain: int, k: int) -> np.ndarray:
        if domain == 0 and self._balance and self._labels is not None:
            return balanced_indices(self._labels, self._batch_size, self._seed, k)
        seed = domain_seed(self._seed, domain)
        return batch_indices(len(self._domains[domain]), self._batch_size, seed, k, self._drop_last)

    def __iter__(self) -> Iterator[tuple[int, HostBatch]]:
        while True:
            yield self.next()

    def __enter__(self) -> "BatchLoader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
