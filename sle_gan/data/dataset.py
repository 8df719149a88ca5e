"""A set of pictures as one uint8 array, decoded once."""

from __future__ import annotations

import hashlib
import math
import os
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from sle_gan.data.cache import FORMAT_VERSION, DamagedCache, EntryWriter, make_room, read_entry, size_limit
from sle_gan.data.decode import Decoded, PixelSettings, decode_failure, quiet_pillow, read_cut
from sle_gan.data.labels import NONE, Labels, read_labels
from sle_gan.data.levels import Levels, ValueRange, describe
from sle_gan.data.parallel import ordered_map, worker_count
from sle_gan.data.picture_files import SkippedFile
from sle_gan.data.sources import PictureSource, open_source
from sle_gan.errors import UserError, counted, printable
from sle_gan.shapes import SQUARE, as_text
from sle_gan.storage.paths import expanded, reason

_NAMED_IN_ERRORS = 3


@dataclass(frozen=True)
class Dataset:
    """The images of a folder, an archive or a data set.

    images: uint8 (N, H, W, C), read-only, mapped from the cache (or in memory where there can be none).
    files: their N names, relative to `source`, with forward slashes, sorted.
    skipped: the files that gave no image, each with its reason.
    digest: hex; names and content of all files plus the settings. Equal digests mean equal images.
    source: what they are from, as it was given.
    notes: what is to be known of how pictures of more than 8 bits a channel were read, a sentence each.
    classes: their names, where the pictures have labels; they are a part of the digest then.
    labels: int32 (N,), the class of each picture, an index of `classes`; None without labels.
    """

    images: np.ndarray
    files: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]
    digest: str
    source: Path
    notes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.files)


def default_cache_folder() -> Path | None:
    """$SLE_GAN_CACHE, else sle_gan under $XDG_CACHE_HOME, else ~/.cache/sle_gan; None where no home is known."""
    if own := os.environ.get("SLE_GAN_CACHE"):
        return Path(expanded(own))
    base = os.environ.get("XDG_CACHE_HOME", "")
    try:
        # The XDG specification: a relative path there is to be ignored.
        return (Path(base) if Path(base).is_absolute() else Path.home() / ".cache") / "sle_gan"
    except RuntimeError:  # no HOME, and a user without an entry, as in some containers
        return None


def cache_place(folder: str | os.PathLike[str] | None) -> Path | None:
    """The folder that was asked for, else the default one."""
    return default_cache_folder() if folder is None else Path(expanded(os.fspath(folder)))


def load_dataset(
    source: str | os.PathLike[str] | PictureSource,
    resolution: int = 256,
    channels: str = "rgb",
    cache_folder: str | os.PathLike[str] | None = None,
    workers: int | None = None,
    progress: bool = True,
    enlarge: str = "smooth",
    value_range: ValueRange | None = None,
    image_column: str | None = None,
    aspect: str = SQUARE,
    labels: str = NONE,
) -> Dataset:
    """All pictures of a source, as `decode_image` makes them: decoded the first time, mapped afterwards.

    Where the cache cannot be written (no permission, a full disk, no home) the images stay in memory, with a
    warning; a damaged one is made anew. Before it is written, the least recently used entries go until all
    are within $SLE_GAN_CACHE_GB (default 20).

    Args:
        source: a folder, searched with its subfolders for jpg, png, webp, avif, bmp, gif and tiff, in any case; an
            archive (.zip, .tar, .tar.gz); or a data set, `dataset:user/name[@revision][:split]` or `dataset:./folder`.
        resolution: side R of the square that each picture is scaled to cover and cut to, in pixels; the shorter side
            with another aspect.
        channels: "rgb", "grey" or "rgba".
        cache_folder: where decoded pictures are kept, keyed by the content of all files and the settings; by default
            $SLE_GAN_CACHE, else ~/.cache/sle_gan.
        workers: threads that decode, by default one for each CPU.
        progress: show a bar when it takes over a second.
        enlarge: how smaller pictures grow: "smooth" (Lanczos), or "pixels", which stay squares.
        value_range: values that are black and white in pictures of 16 bits and more; by default all that the format
            can hold.
        image_column: of a data set that has several columns with images.
        aspect: W:H of the images, of which the nearest is taken that networks make; see `sle_gan.shapes`.
        labels: "none", "folders", or a .csv or .json file that says each picture's class (`sle_gan.data.labels`).

    Returns:
        A `Dataset`: `images` uint8 (N, H, W, C), read-only; `files`, their names; `skipped`, those that gave no image.

    Raises:
        UserError: if the source is missing or holds no picture, if no file or less than half of them can be decoded,
            if a picture has no label or two, or if an argument or $SLE_GAN_CACHE_GB is wrong.

    Example:
        >>> import sle_gan
        >>> dataset = sle_gan.load_dataset("flowers", resolution=64, progress=False)
        >>> dataset.images.shape, str(dataset.images.dtype), len(dataset.skipped)
        ((2, 64, 64, 3), 'uint8', 0)
    """
    settings = PixelSettings(resolution, channels, enlarge, value_range, aspect)
    workers = worker_count(workers)
    opened = open_source(source, image_column)
    found = read_labels(labels, opened) if labels != NONE else None
    digest, unreadable = _digest(opened, settings, progress)
    cache = _Cache(cache_place(cache_folder), size_limit())
    decoding = _Decoding(opened, list(opened.names), unreadable, settings, workers, progress)
    images, files, skipped, notes = _read_or_decode(decoding, cache, digest)
    dataset = Dataset(images, tuple(files), (*opened.left_out, *skipped), digest, Path(opened.where), tuple(notes))
    return labelled(dataset, found) if found else dataset


def _read_or_decode(decoding: _Decoding, cache: _Cache, digest: str) -> _Result:
    """What the cache holds, or where that is nothing or damaged, what it will."""
    try:
        entry = (
            read_entry(cache.folder, digest, decoding.settings.shape, list(decoding.names)) if cache.folder else None
        )
    except DamagedCache as error:
        warnings.warn(f"the cache entry {digest} in {cache.folder} is made anew: {error}", stacklevel=3)
        entry = None
    return _decode(decoding, cache, digest) if entry is None else entry


def labelled(dataset: Dataset, found: Labels) -> Dataset:
    """The pictures with their classes, which become a part of the digest.

    Raises:
        UserError: if a class has no pictures.
    """
    indices = found.indices(dataset.files, str(dataset.source))
    digest = hashlib.blake2b(dataset.digest.encode(), digest_size=16)
    digest.update(repr(found.classes).encode("utf-8", "backslashreplace") + indices.astype("<i4").tobytes())
    return replace(dataset, digest=digest.hexdigest(), classes=found.classes, labels=indices)


def load_images(
    paths: Iterable[str | os.PathLike[str]],
    resolution: int = 256,
    channels: str = "rgb",
    workers: int | None = None,
    progress: bool = True,
) -> tuple[np.ndarray, tuple[SkippedFile, ...]]:
    """The given files in memory, without a cache: (uint8 (N, R, R, C) in their order, skipped files).

    Raises `UserError` as `load_dataset` does.
    """
    settings = PixelSettings(resolution, channels)
    names = [os.fspath(path) for path in paths]
    if not names:
        raise UserError("no pictures were given: expected at least one path")
    decoding = _Decoding(None, names, {}, settings, worker_count(workers), progress)
    images, _, skipped, _ = _decode_to_memory(decoding)
    return images, tuple(skipped)


def _digest(source: PictureSource, settings: PixelSettings, progress: bool) -> tuple[str, dict[str, str]]:
    """The dataset's digest, and the reason for each file that cannot be read.

    Every byte is read at every start (0.2 s for 110 MB): sizes and times would be faster, but a copy or a
    checkout that keeps them would then train on yesterday's pictures.
    """
    unreadable: dict[str, str] = {}
    total = hashlib.blake2b(digest_size=16)
    total.update(repr((FORMAT_VERSION, settings.resolution, settings.channels)).encode())
    if settings.enlarge != "smooth":  # the default leaves digests as they were before there was a choice
        total.update(settings.enlarge.encode())
    if settings.value_range:
        total.update(repr(settings.value_range).encode())
    height, width, _ = settings.shape
    if height != width:
        total.update(as_text(height, width).encode())
    for name in tqdm(source.names, "Checking files", unit="file", delay=1, disable=not progress, leave=False):
        try:
            content = source.content_hash(name)
        except (OSError, ValueError) as error:
            content = unreadable[name] = decode_failure(error)
        # Names are part of it (they give the order), and so are reasons: a file may become readable later.
        total.update(b"\0".join((os.fsencode(name), content.encode("utf-8", "replace"), b"")))
    return total.hexdigest(), unreadable


class _Cache(NamedTuple):
    """Where entries are kept, if anywhere, and how many bytes they may take."""

    folder: Path | None
    limit: int


@dataclass(frozen=True)
class _Decoding:
    """What to decode, and how. Without a source the names are paths."""

    source: PictureSource | None
    names: Sequence[str]
    unreadable: dict[str, str]
    settings: PixelSettings
    workers: int
    progress: bool

    def run(self, append: Callable[[np.ndarray], None]) -> tuple[list[str], list[SkippedFile], list[str]]:
        """Gives each image, uint8 (H, W, C), to `append`; returns their names, the files without one, and notes.

        Raises `UserError` when these are more than half, or all.
        """
        files: list[str] = []
        skipped: list[SkippedFile] = []
        levels: dict[str, Levels] = {}
        # Closed and not left to the garbage collector: after an error in `append` decoding may begin again.
        with quiet_pillow(), closing(ordered_map(self._decode, self.names, self.workers)) as images:
            bar = tqdm(images, "Decoding", len(self.names), unit="image", delay=1, disable=not self.progress)
            with bar:
                for name, image in zip(self.names, bar, strict=True):
                    if isinstance(image, str):
                        skipped.append(SkippedFile(name, image))
                        continue
                    append(image.pixels)
                    files.append(name)
                    if image.levels:
                        levels[name] = image.levels
        self._check(skipped)
        return files, skipped, describe(levels, chosen=self.settings.value_range is not None)

    def _decode(self, name: str) -> Decoded | str:
        if name in self.unreadable:
            return self.unreadable[name]
        try:
            return read_cut(self.source.picture(name) if self.source else name, self.settings)
        except Exception as error:  # whatever Pillow raises on a hostile file becomes that file's reason
            return decode_failure(error)

    def _check(self, skipped: Sequence[SkippedFile]) -> None:
        if 2 * len(skipped) <= len(self.names) and len(skipped) < len(self.names):
            return
        some = "; ".join(str(file) for file in skipped[:_NAMED_IN_ERRORS])
        where = f" in {printable(self.source.where)!r}" if self.source else ""
        more = "; ..." if len(skipped) > _NAMED_IN_ERRORS else ""
        raise UserError(
            f"{len(skipped)} of {counted(len(self.names), 'picture')} cannot be used ({some}{more}); "
            f"at least half must be good: repair or remove them{where}"
        )


_Result = tuple[np.ndarray, Sequence[str], Sequence[SkippedFile], Sequence[str]]


def _decode(decoding: _Decoding, cache: _Cache, digest: str) -> _Result:
    """Into the cache; or into memory, with a warning, where that cannot be written."""
    try:
        if cache.folder:
            return _decode_to_cache(decoding, cache.folder, cache.limit, digest)
        why = "cannot write a cache (no home folder is known)"
    except OSError as error:
        why = f"cannot write the cache to {cache.folder} ({reason(error)})"
    warnings.warn(
        f"{why}; the images stay in memory and are decoded again at the next start. Give a folder with space with "
        "--cache-folder or SLE_GAN_CACHE",
        stacklevel=4,
    )
    return _decode_to_memory(decoding)


def _decode_to_cache(decoding: _Decoding, cache: Path, limit: int, digest: str) -> _Result:
    shape = decoding.settings.shape
    cache.mkdir(parents=True, exist_ok=True)
    make_room(cache, len(decoding.names) * math.prod(shape), limit)
    with EntryWriter(cache, digest, shape) as writer:
        files, skipped, notes = decoding.run(writer.append)
        return writer.commit(files, skipped, decoding.settings.to_dict(), notes), files, skipped, notes


def _decode_to_memory(decoding: _Decoding) -> _Result:
    # Reserved at once, used as it fills: a list of arrays and np.stack would need twice the memory.
    images = np.empty((len(decoding.names), *decoding.settings.shape), np.uint8)
    places = iter(images)

    def append(image: np.ndarray) -> None:
        next(places)[...] = image

    files, skipped, notes = decoding.run(append)
    images = images[: len(files)]
    images.setflags(write=False)
    return images, files, skipped, notes
