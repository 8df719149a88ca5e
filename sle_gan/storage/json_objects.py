"""JSON objects out of files that may be a stranger's: no text makes reading one fail in another way than ValueError.

`read_config` reads the one that has a fixed name, config.json, and raises a UserError.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sle_gan.errors import UserError, shown

CONFIG = "config.json"  # of a run or a model: in ours, in other projects' folders and repositories
MOST_BYTES = 1_000_000  # of settings, a model's description or what a checkpoint says of itself


def parse_object(text: str | bytes) -> dict[str, Any]:
    """The object that a text is.

    Raises:
        ValueError: with the reason, in one line: it is too long, no JSON, nested too deeply, or no object.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES / 1e6:.0f} MB")
    try:
        values = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(values, dict):
        raise ValueError(f"it holds a {type(values).__name__}, expected an object")
    return values


def read_object(path: Path) -> dict[str, Any]:
    """The object in a file.

    Raises:
        OSError: if it cannot be read.
        ValueError: as `parse_object`.
    """
    if path.stat().st_size > MOST_BYTES:  # before it is read
        raise ValueError(f"it has more than {MOST_BYTES / 1e6:.0f} MB")
    return parse_object(path.read_bytes())


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json; empty if it has none.

    Raises:
        UserError: if it is too large or no JSON object.
    """
    path = folder / CONFIG
    try:
        return read_object(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or no JSON file ({shown(error, 200)})") from error
