"""The folder of a shared model: config.json, weights, samples.png, README.md."""

from __future__ import annotations

from pathlib import Path

from sle_gan.errors import UserError
from sle_gan.hub.model_files import CARD, LIBRARY, SAMPLES, is_ours
from sle_gan.storage.json_objects import CONFIG, read_config


def is_shared(path: Path) -> bool:
    """Whether this is a folder that `save_pretrained` made."""
    return path.is_dir() and read_config(path).get("library_name") == LIBRARY


def check_target(folder: Path, override: bool) -> None:
    """Raises a UserError unless a shared model may be written to the folder."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; expected a folder to write the model to")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not override:
        raise UserError(f"{folder} exists and is not empty; replace the model in it (--override) or choose another")
    if read_config(folder).get("library_name") != LIBRARY:
        raise UserError(f"--override replaces only shared models, and {folder} holds none; choose another folder")


def shared_files(folder: Path) -> list[str]:
    """The names of the files that make a shared model.

    Raises:
        UserError: if the folder is not one that `save_pretrained` made.
    """
    if read_config(folder).get("library_name") != LIBRARY:
        raise UserError(f"{folder} is no model that sle-gan share made: its {CONFIG} is missing or another library's")
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    shared = [name for name in names if name in (CONFIG, CARD, SAMPLES) or is_ours(name)]
    if CARD not in shared or not any(map(is_ours, shared)):
        raise UserError(f"{folder} lacks its {CARD} or its weights; make it again with sle-gan share --folder")
    return shared
