"""TAR archives: listed once, then read by position. A .tar.gz is unpacked first, into a file without a name."""

from __future__ import annotations

import gzip
import os
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tqdm import tqdm

from sle_gan.data.sources.archive import Entry, close_quietly, open_descriptor, pread_all
from sle_gan.errors import UserError, printable
from sle_gan.storage.paths import reason

_CHUNK = 1 << 20
_GZIP = b"\x1f\x8b"


class TarReader:
    """Raises ValueError for what is no TAR file, and for a .tar.gz of more than `limit` bytes unpacked."""

    def __init__(self, path: Path, limit: int) -> None:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
        if packed:
            with _unpacked(path, limit) as file:
                self._descriptor = os.dup(file.fileno())
        else:
            self._descriptor = open_descriptor(path)

    def entries(self) -> Iterator[Entry]:
        with os.fdopen(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            try:
                with tarfile.open(fileobj=file, mode="r:") as archive:
                    while (member := archive.next()) is not None:
                        archive.members = []  # type: ignore[attr-defined]  # it would keep them all
                        yield Entry(member.name, _kind(member), member.size, (member.offset_data,))
            except (tarfile.TarError, EOFError, UnicodeDecodeError, RecursionError) as error:
                raise ValueError(f"it is no TAR file, or damaged ({error})") from error

    def read(self, entry: Entry) -> bytes:
        return pread_all(self._descriptor, entry.size, entry.place[0])

    def close(self) -> None:
        close_quietly(self._descriptor)


def _unpacked(path: Path, limit: int) -> BinaryIO:
    """The content of a .gz in a temporary file that is nowhere to be found: reading from its middle takes no second."""
    shown = printable(str(path))
    try:
        temporary = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    except OSError as error:
        raise UserError(f"{shown!r} needs a place to be unpacked to: {reason(error)}; set TMPDIR") from error
    try:
        _unpack(path, temporary, limit, shown)
    except BaseException:
        temporary.close()
        raise
    return temporary


def _unpack(path: Path, target: BinaryIO, limit: int, shown: str) -> None:
    size = path.stat().st_size
    bar = tqdm(total=size, desc="Unpacking", unit="B", unit_scale=True, delay=2, leave=False)
    with path.open("rb") as packed, gzip.open(packed) as content, bar:
        total = 0
        while chunk := _chunk(content):
            total += len(chunk)
            if total > limit:
                raise ValueError(f"refused as a decompression bomb: {size:,} bytes unpack to more than {limit:,}")
            try:
                target.write(chunk)
            except OSError as error:
                raise UserError(
                    f"{shown!r} could not be unpacked to {tempfile.gettempdir()}: {reason(error)}; set TMPDIR to a "
                    "folder with space, or give a .tar or .zip"
                ) from error
            bar.update(packed.tell() - bar.n)
    target.flush()


def _chunk(content: gzip.GzipFile) -> bytes:
    try:
        return content.read(_CHUNK)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"it is damaged ({error})") from error


def _kind(member: tarfile.TarInfo) -> str:
    if member.isdir():
        return "folder"
    if member.issym() or member.islnk():
        return "link"
    if member.issparse():
        return "is stored with holes in it, which is not read; pack the archive anew without --sparse"
    return "file" if member.isreg() else "is no regular file"
