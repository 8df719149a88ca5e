"""ZIP archives: the list by the standard library, the data by position, so that threads do not wait for each other."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from sle_gan.data.sources.archive import Entry, close_quietly, open_descriptor, pread, pread_all

_LOCAL_HEADER = struct.Struct("<4s22xHH")  # signature, lengths of the name and of the extra field
_USUAL_EXTRA = 64
_ENCRYPTED = 0x1


class ZipReader:
    """Entries stored or deflated, as all usual programs pack. Raises ValueError for what is no ZIP file."""

    def __init__(self, path: Path) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                self._infos = archive.infolist()
        except (zipfile.BadZipFile, NotImplementedError, struct.error, EOFError) as error:
            raise ValueError(f"it is no ZIP file, or damaged ({error})") from error
        self._descriptor = open_descriptor(path)

    def entries(self) -> Iterator[Entry]:
        for info in self._infos:
            place = (info.header_offset, info.compress_size, info.compress_type, info.CRC)
            yield Entry(info.filename, _kind(info), info.file_size, place)
        self._infos = []

    def read(self, entry: Entry) -> bytes:
        """Raises ValueError for data that are damaged or of another length than the list says."""
        offset, size, method, checksum = entry.place
        if offset < 0:
            raise ValueError("damaged in the archive: its list says that it begins before the file")
        guess = _LOCAL_HEADER.size + len(entry.name.encode("utf-8", "replace")) + _USUAL_EXTRA
        head = pread(self._descriptor, guess + size, offset)
        if len(head) < _LOCAL_HEADER.size:
            raise ValueError("the archive ends within it")
        signature, name, extra = _LOCAL_HEADER.unpack_from(head)
        if signature != b"PK\3\4":
            raise ValueError("damaged in the archive: no header where its list says")
        start = _LOCAL_HEADER.size + name + extra
        data = head[start : start + size]
        if len(data) < size:
            data = pread_all(self._descriptor, size, offset + start)
        if method == zipfile.ZIP_DEFLATED:
            data = _inflated(data, entry.size)
        if len(data) != entry.size or zlib.crc32(data) != checksum:
            raise ValueError("damaged in the archive: its checksum is wrong")
        return data

    def close(self) -> None:
        close_quietly(self._descriptor)


def _inflated(data: bytes, size: int) -> bytes:
    """At most one byte more than the list promised, whatever the data would unpack to."""
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return unpacker.decompress(data, size + 1)
    except zlib.error as error:
        raise ValueError(f"damaged in the archive: {error}") from error


def _kind(info: zipfile.ZipInfo) -> str:
    mode = info.external_attr >> 16
    if info.is_dir():
        return "folder"
    if stat.S_ISLNK(mode):
        return "link"
    if info.flag_bits & _ENCRYPTED:
        return "is locked with a password; unpack the archive first"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is compressed in a way that is not read; pack the archive anew with deflate, or as .tar"
    return "file"
