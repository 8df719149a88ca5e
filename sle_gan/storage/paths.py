"""Paths that users give: read as they meant them, and tried before the work whose result goes there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from sle_gan.errors import UserError
from sle_gan.storage.torch_files import HUB_NAMES


def expanded(path: str) -> str:
    """A path with `~` or `~name` in front replaced, as a shell does it, though not in --output-folder=~/runs.

    Raises:
        UserError: where it is the user's own home, and that is not known.
    """
    if not path.startswith("~"):
        return path
    try:
        return str(Path(path).expanduser())
    except RuntimeError as error:
        if Path(path).parts[0] != "~":
            return path  # no user has this name: a shell too takes it as it is
        raise UserError(f"{path}: your home folder is not known; set HOME, or give the path without ~") from error


def reason(error: OSError) -> str:
    """Why something could not be read or written, in the system's words: "Permission denied"."""
    return error.strerror or str(error) or type(error).__name__


def holds_model(folder: Path) -> bool:
    """Whether this is the folder of a training run or a shared model: settings beside checkpoints or weights."""
    if not (folder / "config.json").is_file():
        return False
    if (folder / "checkpoints").is_dir():
        return True
    return any(file.name.endswith("_weights.h5") or file.name in HUB_NAMES for file in folder.iterdir())


def check_text(what: str, path: str | Path) -> None:
    """Raises a UserError for a path that is no UTF-8 text, which TensorFlow and TensorBoard cannot write to."""
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{what} {path} cannot be written by TensorFlow: it is no UTF-8 text; rename it") from error


def check_output_file(flag: str, file: str | Path, parents: bool = False) -> None:
    """Finds out before the work whether its result can be written.

    Args:
        flag: what the message names, such as "--grid".
        file: to be written with `atomic_path`; it may exist.
        parents: folders that are missing above it will be made.

    Raises:
        UserError: if it cannot.
    """
    path = Path(file).absolute()
    try:
        if path.is_dir():
            raise UserError(f"{flag} {file}: that is a folder, expected the name of a file")
        if path.exists() and not path.is_file():
            raise UserError(f"{flag} {file} is no regular file; expected a name that is free, or a file to replace")
        if not parents and not path.parent.is_dir():
            raise UserError(f"{flag} {file}: the folder it should go to does not exist")
    except OSError as error:
        raise UserError(f"{flag} {file} cannot be written: {reason(error)}") from error
    _check_place(f"{flag} {file}", path, path.parent)


def check_output_folder(what: str, folder: str | Path) -> None:
    """Finds out before the work whether files can be written into a folder, which is made where it is missing.

    Raises:
        UserError: if they cannot; the message begins with `what`, such as "--output-folder", and the folder.
    """
    path = Path(folder).absolute()
    _check_place(f"{what} {folder}", path, path)


def _check_place(what: str, path: Path, folder: Path) -> None:
    """Raises a UserError unless `path` can be made in `folder` or, while that is missing, in the one above it."""
    try:
        while not os.path.lexists(folder):
            folder = folder.parent
        if not folder.is_dir():
            found = "a file, expected a folder" if folder.exists() else "a link to nothing"
            raise UserError(f"{what} cannot be written: {folder} is {found}")
        longest = os.pathconf(folder, "PC_NAME_MAX")
        for name in path.relative_to(folder).parts:
            if len(os.fsencode(name)) > longest:
                raise UserError(f"{what} cannot be written: a name may have {longest} bytes at most there")
        # The attempt, and not its permission bits: a file system that is read-only or a quota does not show there.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{what} cannot be written: {folder}: {reason(error)}; choose another place, or make that one yours"
        ) from error
