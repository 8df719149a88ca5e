"""Threads over many files, in order, in bounded memory."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sle_gan import processors
from sle_gan.errors import UserError

Item = TypeVar("Item")
Result = TypeVar("Result")
_MAX_WORKERS = 16  # each may hold one undecoded picture of `MAX_PIXELS`


def worker_count(workers: int | None) -> int:
    """`workers`, or one for each CPU this process may use. Raises `UserError` when it is not positive."""
    if workers is not None:
        if workers < 1:
            raise UserError(f"workers {workers!r}: expected a positive number, or None for one each CPU")
        return workers
    return min(_MAX_WORKERS, processors.available())


def ordered_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Generator[Result, None, None]:
    """`map` on threads, results in order, at most `2 * workers` of them alive.

    Threads and not processes: Pillow and zlib let go of the interpreter lock while they work.
    `Executor.map` would queue everything at once and keep what the consumer has not taken yet.
    """
    pending: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for item in items:
                pending.append(pool.submit(function, item))
                if len(pending) >= 2 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
