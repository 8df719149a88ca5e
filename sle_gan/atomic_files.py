"""Writing files so that a reader sees the old content or the new one, never a part."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py

TEMPORARY = ".*.tmp"  # glob pattern of the names that `atomic_path` gives
_NAME_BYTES = 255  # what a file's name may have on every file system in use
# What file systems answer that cannot sync a folder (SMB, some of FUSE's).
_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Gives a temporary name beside `target`; on success it is synced to disk and renamed to `target`.

    On any error the temporary file is removed and `target` is left as it was.
    """
    target = Path(target)
    temporary = temporary_beside(target)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def temporary_beside(target: Path) -> Path:
    """A path in the same folder whose name `TEMPORARY` matches, and is no longer than names may be."""
    name, ending = target.name, f".{os.getpid()}.tmp"
    while len(os.fsencode(name)) + len(ending) + 1 > _NAME_BYTES:
        name = name[:-1]
    return target.with_name(f".{name}{ending}")


def _sync_folder(path: Path) -> None:
    """The rename itself must survive a power failure, where the file system knows how."""
    try:
        folder = os.open(path, os.O_RDONLY)
    except PermissionError:  # a folder may be open for writing and closed for reading
        return
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(folder)


@contextmanager
def new_hdf5(target: str | Path) -> Iterator[h5py.File]:
    """Gives an empty HDF5 file in memory; on success it is written to `target` as `atomic_path` does.

    HDF5 itself must not meet a full disk: it cannot close a file whose last parts it failed to write, and ends
    in thousands of messages and a crash of the process.

    Raises:
        OSError: if it cannot be written; what stood at `target` is untouched.
    """
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        yield file
    with atomic_path(target) as temporary:
        temporary.write_bytes(content.getbuffer())


class AppendedFile:
    """A file that records are appended to, each of them whole or not there, also where the disk was full for a while.

    What could not be written waits for the next `write`, up to `waiting_bytes` of it; records beyond are dropped.

    Raises:
        OSError: by every method, if the file cannot be opened or written.
    """

    waiting_bytes = 1_000_000

    def __init__(self, path: str | Path):
        # Unbuffered: Python's own buffer may hold a part of a record when a write fails.
        self._file = Path(path).open("ab", buffering=0)  # noqa: SIM115  # closed by `close`
        self._waiting = bytearray()

    def write(self, record: bytes) -> None:
        """Writes what has waited, then the record."""
        if len(self._waiting) < self.waiting_bytes:
            self._waiting += record
        while self._waiting:
            del self._waiting[: self._file.write(self._waiting)]

    def close(self) -> None:
        self._file.close()
