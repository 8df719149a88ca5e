"""Decoded images on disk: one .npy to map into memory, one .json that says what it is and proves it whole.

The .json is written last, so an entry without one is not there. Both are written to a temporary name and
renamed: two processes that build the same entry write the same bytes, and either may win.
Entries are never changed, and the folder may be emptied at any time: what a process has mapped stays readable to it.
The statistics of scored sets (`sle_gan.metrics.scoring.Scorer`) are kept in the same folder.

Before something is added, the least recently used entries go until all is below a limit. When an entry was used is
the time of its youngest file, which reading it renews; access times are not kept by most systems.
"""

import contextlib
import json
import math
import mmap
import os
import re
import secrets
import time
import zlib
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from sle_gan.data.picture_files import SkippedFile
from sle_gan.errors import UserError

# Part of every key: raise it when `decode_image` gives other pixels, or old entries go on being used.
FORMAT_VERSION = 2
_HEADER_BYTES = 128
_ABANDONED_S = 3600

LIMIT_VARIABLE = "SLE_GAN_CACHE_GB"
DEFAULT_LIMIT_GB = 20.0
# The names that are ours. The folder may be one that a user keeps other things in.
_OURS = re.compile(r"([0-9a-f]{32})\.(?:npy|json)|(statistics-[0-9a-f]{24})\.npz")
_OUR_TEMPORARY = re.compile(
    r"[0-9a-f]{32}\.(?:npy|json)\.\d+-[0-9a-f]{8}\.tmp|\.statistics-[0-9a-f]{24}\.npz\.\d+\.tmp"
)


class CacheEntry(NamedTuple):
    """What an entry holds: images uint8 (N, H, W, C), mapped read-only, the names they came from, and notes."""

    images: np.ndarray
    files: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    notes: tuple[str, ...]


class DamagedCache(Exception):
    """The entry is there but is not what was written; the message says how."""


def read_entry(folder: Path, digest: str, shape: tuple[int, int, int], names: list[str]) -> CacheEntry | None:
    """The entry `digest`, or None when there is none. Raises `DamagedCache` when it fails a check.

    Every byte of the images is checked (CRC-32, some 2 GB/s: an epoch would read them anyway), and every
    one of `names` must be accounted for.
    """
    try:
        text = _meta_path(folder, digest).read_bytes()
        images = np.load(_array_path(folder, digest), mmap_mode="r")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise DamagedCache(f"the array cannot be read ({' '.join(str(error).split())})") from error
    files, skipped, notes, checksums = _parse_meta(text, digest)
    if sorted([*files, *(s.path for s in skipped)]) != sorted(names):
        raise DamagedCache("it lists other files")
    if images.dtype != np.uint8 or images.shape != (len(files), *shape) or not images.flags.c_contiguous:
        raise DamagedCache(f"the array is {images.dtype} {images.shape}, not uint8 {(len(files), *shape)}")
    for name, image, checksum in zip(files, images, checksums, strict=True):
        if zlib.crc32(image.data) != checksum:
            raise DamagedCache(f"the pixels of {name!r} have changed")
    release_pages(images)
    mark_used(_meta_path(folder, digest))
    return CacheEntry(images, files, skipped, notes)


def release_pages(images: np.ndarray) -> None:
    """Gives the memory of a mapped array's pages back; the next access reads them again, from the system's cache.

    Without it all images that were ever looked at count as the process's own memory. Does nothing to other arrays.
    """
    mapping = getattr(images, "_mmap", None)
    if mapping is not None and hasattr(mmap, "MADV_DONTNEED"):  # not on Windows
        mapping.madvise(mmap.MADV_DONTNEED)


def _parse_meta(
    text: bytes, digest: str
) -> tuple[tuple[str, ...], tuple[SkippedFile, ...], tuple[str, ...], list[int]]:
    try:
        meta = json.loads(text)
        files = tuple(meta["files"])
        skipped = tuple(SkippedFile(path, reason) for path, reason in meta["skipped"])
        notes, checksums = tuple(meta["notes"]), list(meta["crc32"])
        found = (meta["format"], meta["digest"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedCache("its description is no JSON of ours") from error
    strings = [*files, *(part for entry in skipped for part in entry), *notes]
    if found != (FORMAT_VERSION, digest) or not all(isinstance(s, str) for s in strings):
        raise DamagedCache("its description belongs to something else")
    if not files or len(files) != len(checksums):
        raise DamagedCache("its description is not complete")
    return files, skipped, notes, checksums


class EntryWriter:
    """Writes one entry, image by image, in the memory of one image.

    with EntryWriter(folder, digest, shape) as writer: writer.append(image)...; writer.commit(...)
    Left without `commit`, by an exception or not, it removes what it wrote. Raises `OSError` when the
    folder cannot be written or the disk is full.
    """

    def __init__(self, folder: Path, digest: str, shape: tuple[int, int, int]) -> None:
        self._folder, self._digest, self._shape = folder, digest, shape
        self._checksums: list[int] = []

    def __enter__(self) -> "EntryWriter":
        self._folder.mkdir(parents=True, exist_ok=True)
        self._temporary = _temporary_name(_array_path(self._folder, self._digest))
        self._file: BinaryIO = self._temporary.open("xb")
        self._file.write(bytes(_HEADER_BYTES))  # filled in by `commit`: N is not known before
        return self

    def append(self, image: np.ndarray) -> None:
        """Adds uint8 (H, W, C)."""
        # Plain writes: on a full disk they raise OSError, where a memory map kills the process (SIGBUS).
        pixels = np.ascontiguousarray(image, dtype=np.uint8).reshape(self._shape)
        self._file.write(pixels.data)
        self._checksums.append(zlib.crc32(pixels.data))

    def commit(
        self, files: list[str], skipped: list[SkippedFile], settings: dict[str, Any], notes: list[str]
    ) -> np.ndarray:
        """Makes the entry visible and returns its images, mapped read-only."""
        array_path = _array_path(self._folder, self._digest)
        self._write_header()
        _sync(self._file)
        self._file.close()
        self._temporary.replace(array_path)
        images = np.load(array_path, mmap_mode="r")
        meta = {
            "format": FORMAT_VERSION,
            "digest": self._digest,
            "settings": settings,
            "files": files,
            "skipped": skipped,
            "notes": notes,
            "crc32": self._checksums,
        }
        self._temporary = _temporary_name(_meta_path(self._folder, self._digest))
        with self._temporary.open("xb") as file:
            file.write(json.dumps(meta).encode("ascii"))
            _sync(file)
        self._temporary.replace(_meta_path(self._folder, self._digest))
        return images

    def _write_header(self) -> None:
        shape = (len(self._checksums), *self._shape)
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        if self._file.tell() != _HEADER_BYTES:
            raise RuntimeError(f"numpy wrote a header of {self._file.tell()} bytes for {shape}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError:  # flushing to a full disk; where that matters the error has been raised already
            if kind is None:
                raise
        finally:
            self._temporary.unlink(missing_ok=True)


def _array_path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.npy"


def _meta_path(folder: Path, digest: str) -> Path:
    return folder / f"{digest}.json"


def _temporary_name(path: Path) -> Path:
    return path.with_name(f"{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")


def size_limit() -> int:
    """Bytes that all entries together may take: $SLE_GAN_CACHE_GB, by default 20 GB.

    Raises:
        UserError: if that is no number of gigabytes.
    """
    text = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = math.nan
    if not 0 <= limit < math.inf:
        raise UserError(f"{LIMIT_VARIABLE} is {text!r}; expected gigabytes, such as 20")
    return int(limit * 1e9)


def mark_used(path: Path) -> None:
    """Notes that an entry was used now."""
    with contextlib.suppress(OSError):  # a folder that is only read: others decide what goes
        os.utime(path)


def make_room(folder: Path, needed: int, limit: int) -> None:
    """Removes the least recently used entries until `needed` more bytes are within the limit, and what kills left.

    Nothing but entries is touched. Where something cannot be removed, it stays: the limit is a wish.
    """
    sizes: Counter[str] = Counter()
    used: dict[str, float] = {}
    for path in folder.iterdir():
        match = _OURS.fullmatch(path.name)
        with contextlib.suppress(OSError):  # another process was faster, or it is not ours to remove
            status = path.stat()
            if match:
                key = match[1] or match[2]
                sizes[key] += status.st_size
                used[key] = max(used.get(key, 0.0), status.st_mtime)
            elif _OUR_TEMPORARY.fullmatch(path.name) and time.time() - status.st_mtime > _ABANDONED_S:
                path.unlink()  # one that is still being written is never an hour old
    total = sizes.total() + needed
    for key in sorted(used, key=lambda key: used[key]):
        if total <= limit:
            return
        for suffix in (".json", ".npy", ".npz"):  # the .json first: without it the rest is no entry
            with contextlib.suppress(OSError):
                (folder / f"{key}{suffix}").unlink(missing_ok=True)
        total -= sizes[key]


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
