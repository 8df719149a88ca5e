"""A lock on an open file that ends with the process, as far as the system has one."""

from __future__ import annotations

import errno
import time
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None
try:
    import msvcrt
except ImportError:  # everything else
    msvcrt = None


def lock(file: IO[str]) -> None:
    """Locks the file against other processes until it is closed.

    Raises:
        BlockingIOError: another process has it.
        OSError: of another kind, where there are no locks.
    """
    if fcntl:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    elif msvcrt:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        except PermissionError as error:  # what Windows says of a byte that is locked
            raise BlockingIOError(errno.EWOULDBLOCK, "locked by another process") from error
    else:
        raise OSError(errno.ENOSYS, "this system has no file locks")


def wait_for_lock(file: IO[str], look_s: float = 0.02) -> None:
    """As `lock`, once no other process has it; raises an OSError where there are no locks."""
    while True:
        try:
            return lock(file)
        except BlockingIOError:
            time.sleep(look_s)
