"""Which files of a folder are pictures, and what their content is."""

import hashlib
import os
import stat
from pathlib import Path
from typing import NamedTuple

from sle_gan.data.unread import UNREAD_SUFFIXES, advice
from sle_gan.errors import UserError, counted, printable
from sle_gan.storage.paths import expanded, holds_model, reason

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".webp", ".avif", ".bmp", ".gif", ".tiff", ".tif")
_LISTED_SUFFIXES = {*IMAGE_SUFFIXES, *UNREAD_SUFFIXES}
_CHUNK = 1 << 20


class SkippedFile(NamedTuple):
    """A file that gave no image: its `path` relative to the folder, and the `reason`, one line each.

    `str()` of it is safe to print on any terminal: file names may hold newlines or bytes that are no text.
    """

    path: str
    reason: str

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.reason}"


def checked_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder as a `Path`. Raises `UserError` unless it is a folder that exists."""
    path = Path(expanded(os.fspath(folder)))
    shown = printable(str(path))
    try:
        if not path.exists():
            raise UserError(f"the data folder {shown!r} does not exist; give the path of a folder with pictures")
        if not path.is_dir():
            raise UserError(f"{shown!r} is a file, not a folder; give the folder that holds the pictures")
    except OSError as error:
        raise UserError(f"the data folder {shown!r} cannot be read: {reason(error)}") from error
    return path


def find_images(folder: str | os.PathLike[str]) -> tuple[list[str], list[SkippedFile]]:
    """The names of all pictures under `folder`, by suffix (any case), and what else was found and is not used.

    That is: sub-folders that cannot be listed, folders of training runs and shared models (all in one entry: the
    grids in them are no pictures to learn from; only where `folder` itself is one is it read), and, one for each
    suffix, files that people take for pictures.

    The names are relative to the folder, with forward slashes, sorted. Hidden files and folders are left
    out. Links to folders are followed, but no folder is entered twice, so that a link to a parent ends.
    Raises `UserError` when `folder` is missing, is no folder, cannot be listed or holds no picture.
    """
    root = checked_folder(folder)
    names: list[str] = []
    unlisted: list[SkippedFile] = []
    models: list[str] = []
    visited: set[tuple[int, int]] = set()
    unread: dict[str, list[str]] = {}
    waiting = [""]
    while waiting:
        prefix = waiting.pop()
        try:
            if prefix and holds_model(root / prefix):
                models.append(prefix.rstrip("/"))
                continue
            folders, files = _list_folder(root / prefix, visited)
        except OSError as error:
            if not prefix:
                raise UserError(f"cannot list the data folder {printable(str(root))!r}: {reason(error)}") from error
            unlisted.append(SkippedFile(prefix.rstrip("/"), f"folder cannot be listed: {reason(error)}"))
            continue
        for name in files:
            suffix = _suffix(name)
            (names if suffix in IMAGE_SUFFIXES else unread.setdefault(suffix, [])).append(prefix + name)
        # Reversed, for the stack gives the last one first: which of two links to one folder is
        # followed must not depend on the order in which the file system lists them.
        waiting += [f"{prefix}{name}/" for name in reversed(folders)]
    unlisted += [SkippedFile(min(of), advice(suffix, len(of))) for suffix, of in unread.items()]
    left_out = sorted(unlisted + _of_models(sorted(models)))
    if not names:
        raise UserError(
            f"no pictures in {printable(str(root))!r}: expected files that end in "
            f"{' '.join(suffix[1:] for suffix in IMAGE_SUFFIXES)}, in it or in its sub-folders"
            + "".join(f"; {file}" for file in left_out[:3])
        )
    return sorted(names), left_out


def _of_models(folders: list[str]) -> list[SkippedFile]:
    """One entry for all folders of training runs and shared models."""
    if not folders:
        return []
    more = f", and {counted(len(folders) - 1, 'more such folder')} left out" if folders[1:] else ""
    return [SkippedFile(folders[0], f"folder of a training run or a shared model, not of training pictures{more}")]


def _list_folder(folder: Path, visited: set[tuple[int, int]]) -> tuple[list[str], list[str]]:
    """Sorted names of sub-folders and of files with a picture's suffix; none where `folder` was visited before."""
    status = folder.stat()
    if (status.st_dev, status.st_ino) in visited:
        return [], []
    visited.add((status.st_dev, status.st_ino))
    folders, files = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if _is_folder(entry):
                folders.append(entry.name)
            elif _suffix(entry.name) in _LISTED_SUFFIXES:
                files.append(entry.name)
    return sorted(folders), sorted(files)


def _suffix(name: str) -> str:
    return Path(name).suffix.lower()


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself; a picture's name then leads to a reason in `content_hash`
        return False


def check_file(path: Path) -> None:
    """Raises `OSError` or `ValueError` with the reason where there is nothing to decode, without opening it."""
    if path.is_symlink() and not path.exists():
        raise ValueError("broken symbolic link")
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for its writer for ever
        raise ValueError("not a regular file")
    if status.st_size == 0:
        raise ValueError("empty file (0 bytes)")


def content_hash(path: Path) -> str:
    """Hex BLAKE2b of the file's bytes. Raises as `check_file`, and `OSError` when it cannot be read."""
    check_file(path)
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
