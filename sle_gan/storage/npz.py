"""Zip archives of NumPy arrays (.npz) that may be a stranger's: sizes are compared before anything is read.

A megabyte can be packed so that it unpacks to a gigabyte, entries can overlap, and an array's header can claim any
shape. Ours are not packed, and an array takes the bytes that its shape says.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from sle_gan.errors import shown
from sle_gan.storage.json_objects import MOST_BYTES

# What reading a damaged archive raises; `opened` and `Archive` raise ValueError for one that is not as ours are.
ERRORS = (zipfile.BadZipFile, OSError, EOFError, ValueError, TypeError, RuntimeError, MemoryError, NotImplementedError)
_KINDS = "fiubU"  # floats, integers, truth values, texts


class Archive:
    """The entries of an open archive whose sizes were checked."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        self._entries = {entry.filename: entry for entry in archive.infolist()}

    @property
    def arrays(self) -> list[str]:
        """The names of the arrays, without `.npy`."""
        return [name.removesuffix(".npy") for name in self._entries if name.endswith(".npy")]

    def content(self, name: str) -> bytes:
        """The bytes of an entry that is no array and not large."""
        if self._entry(name).file_size > MOST_BYTES:
            raise ValueError(f"{shown(name)} has more than {MOST_BYTES / 1e6:.0f} MB")
        return self._archive.read(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of an array."""
        with self._archive.open(self._entry(f"{name}.npy")) as member:
            return self._checked_shape(name, member)

    def array(self, name: str) -> np.ndarray:
        """An array."""
        self.shape(name)
        with self._archive.open(f"{name}.npy") as member:
            return np.lib.format.read_array(member, allow_pickle=False)

    def _entry(self, name: str) -> zipfile.ZipInfo:
        if name not in self._entries:
            raise ValueError(f"it has no {name}")
        return self._entries[name]

    def _checked_shape(self, name: str, member: IO[bytes]) -> tuple[int, ...]:
        entry = self._entry(f"{name}.npy")
        shape, dtype = _read_header(member)
        needed = math.prod(shape) * dtype.itemsize
        if dtype.kind not in _KINDS or min(shape, default=0) < 0 or needed != entry.file_size - member.tell():
            raise ValueError(
                f"{shown(name)} says that it is {shown(shape)} of {shown(dtype)}, and has {entry.file_size:,} bytes"
            )
        return shape


def _read_header(member: IO[bytes]) -> tuple[tuple[int, ...], Any]:
    version = np.lib.format.read_magic(member)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"an array is of the version {version}")
    try:
        shape, _, dtype = read(member)
    except (RecursionError, MemoryError, SyntaxError):  # of the header's text
        raise ValueError("an array's header is damaged") from None
    return shape, dtype


@contextmanager
def opened(path: Path) -> Iterator[Archive]:
    """The archive for reading.

    Raises:
        ValueError: if its entries are packed or overlap; and others of `ERRORS` where it is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is packed; expected arrays as numpy.savez writes them")
        if sum(entry.file_size for entry in entries) > path.stat().st_size:
            raise ValueError("its entries would take more than its bytes")
        yield Archive(archive)
