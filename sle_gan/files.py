"""Writing files so that a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TEMPORARY = ".*.tmp"  # glob pattern of the names that `atomic_path` gives


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Gives a temporary name beside `target`; on success it is synced to disk and renamed to `target`.

    On any error the temporary file is removed and `target` is left as it was.
    """
    target = Path(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)  # the rename itself must survive a power failure
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
