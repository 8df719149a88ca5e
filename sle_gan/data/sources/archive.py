"""The pictures in a .zip or .tar: read from where they lie in it, never unpacked to a path.

Names are used as names alone. Those that lead out of the archive (`../`, absolute paths) are refused with the whole
archive, for who wrote them meant harm; links, archives in it and files with a password are left out and told. What is
compressed beyond what pictures can be is refused as a bomb.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import weakref
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from sle_gan.data.picture_files import IMAGE_SUFFIXES, SkippedFile
from sle_gan.data.sources.base import PictureSource, shared_folders
from sle_gan.data.unread import UNREAD_SUFFIXES, advice
from sle_gan.errors import UserError, counted, printable
from sle_gan.storage.paths import expanded, reason

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
TABLES = (".csv", ".json")  # what may say which class a picture is of
_SEEKING = threading.Lock()
_NESTED = (*SUFFIXES, ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")
# As much as the largest picture that is decoded takes uncompressed, at 8 bytes a pixel.
MAX_FILE_BYTES = 8 * 89_478_485
# Pictures are compressed already. What unpacks to much more than it takes is no set of pictures: blank
# bitmaps, the best case among them, reach this in few files only.
MAX_RATIO = 100
FREE_BYTES = 256 << 20
MAX_ENTRIES = 1_000_000


class Entry(NamedTuple):
    """One entry of an archive, as its list says.

    name: as written in it.
    kind: "file", "folder" or "link"; anything else is told in these words.
    size: bytes unpacked. place: where its data are, and whatever the reader needs.
    """

    name: str
    kind: str
    size: int
    place: tuple[int, ...]


class Reader(Protocol):
    """One form of archive."""

    def entries(self) -> Iterable[Entry]: ...

    def read(self, entry: Entry) -> bytes: ...

    def close(self) -> None: ...


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether a path is named as an archive is, and is no folder."""
    text = os.fspath(path)
    return text.lower().endswith(SUFFIXES) and not Path(expanded(text)).is_dir()


class ArchiveSource(PictureSource):
    """The pictures of an archive. A folder that holds all of it, as packing a folder makes, is no part of the names.

    Raises:
        UserError: for an archive that is missing, damaged, dangerous or without pictures.
    """

    def __init__(self, archive: str | os.PathLike[str]) -> None:
        self._file = Path(expanded(os.fspath(archive)))
        self.where = str(self._file)
        self._shown = printable(self.where)
        self._reader = self._opened()
        self._close = weakref.finalize(self, self._reader.close)
        try:
            self._entries, self.left_out = self._sorted_out(self._listed())
        except BaseException:
            self._close()
            raise
        self.names = sorted(self._entries)

    def read(self, name: str) -> bytes:
        entry = self._entries[name]
        if entry.size == 0:
            raise ValueError("empty file (0 bytes)")
        if entry.size > MAX_FILE_BYTES:
            raise ValueError(f"refused: {entry.size:,} bytes unpacked are more than a picture has")
        return self._reader.read(entry)

    def table(self, name: str) -> bytes | None:
        entry = self._tables.get(name)
        if entry is None:
            return None
        if entry.size > MAX_FILE_BYTES:
            raise ValueError(f"refused: {entry.size:,} bytes unpacked")
        return self._reader.read(entry)

    def _opened(self) -> Reader:
        try:
            if not self._file.exists():
                raise UserError(f"the archive {self._shown!r} does not exist; give the path of a .zip, .tar or .tar.gz")
            if not self._file.is_file():
                raise UserError(f"{self._shown!r} is no regular file; give the path of a .zip, .tar or .tar.gz")
            if self.where.lower().endswith(".zip"):
                from sle_gan.data.sources.zip_reader import ZipReader

                return ZipReader(self._file)
            from sle_gan.data.sources.tar_reader import TarReader

            return TarReader(self._file, MAX_RATIO * self._file.stat().st_size + FREE_BYTES)
        except OSError as error:
            raise UserError(f"the archive {self._shown!r} cannot be read: {reason(error)}") from error
        except ValueError as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"the archive {self._shown!r} cannot be read: {error}") from error

    def _listed(self) -> list[Entry]:
        """All entries, none of them dangerous."""
        limit = MAX_RATIO * self._file.stat().st_size + FREE_BYTES
        entries: list[Entry] = []
        total = 0
        try:
            for entry in self._reader.entries():
                _check_name(entry.name, self._shown)
                entries.append(entry)
                total += entry.size
                if len(entries) > MAX_ENTRIES:
                    raise ValueError(f"it has more than {MAX_ENTRIES:,} entries; give a folder, or several archives")
                if total > limit:
                    raise ValueError(
                        f"refused as a decompression bomb: {self._file.stat().st_size:,} bytes would unpack to more "
                        f"than {limit:,}; give the pictures as a folder"
                    )
        except UserError:
            raise
        except (OSError, ValueError) as error:
            raise UserError(f"the archive {self._shown!r} cannot be used: {error}") from error
        return entries

    def _sorted_out(self, entries: Sequence[Entry]) -> tuple[dict[str, Entry], list[SkippedFile]]:
        """The pictures by name, and what is left out: one line for each kind."""
        places = [(_parts(entry.name), entry) for entry in entries]
        visible = [(parts, entry) for parts, entry in places if parts and not _is_hidden(parts)]
        files = [(parts, entry) for parts, entry in visible if entry.kind != "folder"]
        top = shared_folders([parts for parts, _ in files])
        pictures: dict[str, Entry] = {}
        self._tables = {
            "/".join(parts[top:]): entry
            for parts, entry in files
            if entry.kind == "file" and parts[-1].lower().endswith(TABLES)
        }
        others: dict[str, list[str]] = {}
        for parts, entry in files:
            name = "/".join(parts[top:])
            why = _why_not(name, entry)
            if why is None and name in pictures:
                why = "is in the archive more than once; the last one is used"
            if why != "":
                others.setdefault(why or "", []).append(name)
            if why is None or (why or "").startswith("is in the archive"):
                pictures[name] = entry
        others.pop("", None)
        left_out = sorted(SkippedFile(min(names), _told(why, len(names))) for why, names in others.items())
        if not pictures:
            raise UserError(
                f"no pictures in {self._shown!r}, which has {counted(len(entries), 'entry', 'entries')}: expected "
                f"files that end in {' '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)}"
                + "".join(f"; {file}" for file in left_out[:3])
            )
        return pictures, left_out


def _why_not(name: str, entry: Entry) -> str | None:
    """None for a picture, an empty string for what nobody takes for one, else a reason or an unread suffix."""
    suffix = PurePosixPath(name).suffix.lower()
    if entry.kind == "link":
        return "is a link; links in archives are not followed"
    if name.lower().endswith(_NESTED):
        return "is an archive in the archive, and not opened; unpack it first"
    if suffix in UNREAD_SUFFIXES:
        return suffix
    if suffix not in IMAGE_SUFFIXES:
        return ""
    return None if entry.kind == "file" else entry.kind


def _told(why: str, count: int) -> str:
    if why in UNREAD_SUFFIXES:
        return advice(why, count)
    return f"{why} (one of {count:,})" if count > 1 else why


def _check_name(name: str, shown: str) -> None:
    """Raises UserError for a name that leads out of the archive."""
    path = name.replace("\\", "/")
    if path.startswith("/") or re.match("[A-Za-z]:/", path) or ".." in path.split("/") or "\0" in path:
        raise UserError(
            f"the archive {shown!r} is refused: its entry {printable(name[:100])!r} leads out of it; "
            "pack the pictures anew, with paths of their own folder"
        )


def _parts(name: str) -> list[str]:
    return [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]


def _is_hidden(parts: Sequence[str]) -> bool:
    """Also what macOS adds to every archive."""
    return any(part.startswith(".") for part in parts) or parts[0] == "__MACOSX"


def open_descriptor(path: Path) -> int:
    """Opens a file for reading bytes by position."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # Windows would translate line ends


def pread(descriptor: int, count: int, offset: int) -> bytes:
    """`os.pread`, which Windows has not: there threads seek and read one after the other."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, offset)
    with _SEEKING:
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, count)


def pread_all(descriptor: int, count: int, offset: int) -> bytes:
    """Raises ValueError where the file ends before."""
    data = pread(descriptor, count, offset)
    while len(data) < count:  # the system may give less, and gives at most 2 GB
        more = pread(descriptor, count - len(data), offset + len(data))
        if not more:
            raise ValueError("the archive ends within it")
        data += more
    return data


def close_quietly(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.close(descriptor)
