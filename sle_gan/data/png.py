"""PNGs without their metadata, which may cost a picture whose pixels are fine.

Pillow reads all text and profiles when it opens a PNG, and refuses the whole file where one of them unpacks to
more than 1 MB, is damaged, or has a form that it does not know. Its limits are global and other libraries'
too, so the chunks are left out here instead.
"""

import io
import struct
import zlib
from typing import IO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LIMIT = 1 << 20
# Ancillary chunks that pixels or their orientation depend on. All others (text, profiles, times, ...) go.
_ORIENTATION = {b"eXIf": None, b"tEXt": b"Raw profile type exif", b"zTXt": b"Raw profile type exif"}
_ORIENTATION[b"iTXt"] = b"XML:com.adobe.xmp"


def without_metadata(file: IO[bytes]) -> io.BytesIO:
    """A PNG, read from its start, as it is needed for pixels, transparency and orientation; in memory.

    An animation keeps its first picture alone. What follows a damaged header of a chunk is kept as it is, for
    Pillow to give its reason.
    """
    kept = io.BytesIO()
    kept.write(file.read(len(SIGNATURE)))
    size = file.seek(0, io.SEEK_END)
    file.seek(len(SIGNATURE))
    while len(header := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        rest = min(length + 4, size - file.tell())  # the data and its checksum
        if not kind.isalpha():
            kept.write(header + file.read())
        elif kind == b"tRNS" or kind[:1].isupper():
            kept.write(header + file.read(rest))
        elif kind in _ORIENTATION and rest <= _LIMIT:
            body = file.read(rest)
            if _is_whole(kind, body) and _may_turn(kind, body[:-4]):
                kept.write(header + body)
        else:
            file.seek(rest, io.SEEK_CUR)
        if kind == b"IEND":
            break
    kept.seek(0)
    return kept


def _is_whole(kind: bytes, body: bytes) -> bool:
    return body[-4:] == struct.pack(">I", zlib.crc32(kind + body[:-4]))


def _may_turn(kind: bytes, data: bytes) -> bool:
    """Whether a chunk may hold an orientation, and Pillow reads it without complaint."""
    keyword = _ORIENTATION[kind]
    if keyword is None:
        return True
    name, _, text = data.partition(b"\0")
    if name != keyword:
        return False
    if kind == b"zTXt":
        return text[:1] == b"\0" and _unpacks(text[1:])
    if kind == b"iTXt" and text[:1] != b"\0":
        return _unpacks(text[2:].split(b"\0", 2)[-1])
    return True


def _unpacks(data: bytes) -> bool:
    """Whether zlib data is sound, and small when unpacked."""
    unpacked = zlib.decompressobj()
    try:
        return len(unpacked.decompress(data, _LIMIT)) < _LIMIT
    except zlib.error:
        return False
