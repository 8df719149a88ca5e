"""The files that the browser may fetch: made by the page, in a folder of its own, and gone after an hour."""

from __future__ import annotations

import io
import secrets
import shutil
import time
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from sle_gan.pictures import to_pillow

KEPT_SECONDS = 3600


class Outbox:
    """A folder of files, each in a folder of its own whose name cannot be guessed.

    Args:
        folder: where; it is the only one whose files the page serves.
    """

    def __init__(self, folder: Path):
        self.folder = folder / "out"

    def place(self, name: str) -> Path:
        """A free path for a file of that name; removes files that are too old."""
        self.folder.mkdir(parents=True, exist_ok=True)
        oldest = time.time() - KEPT_SECONDS
        for path in list(self.folder.iterdir()):
            with suppress(OSError):  # another visitor's request is removing it too
                if path.stat().st_mtime < oldest:
                    shutil.rmtree(path, ignore_errors=True)
        made = self.folder / secrets.token_urlsafe(16)
        made.mkdir()
        return made / name

    def picture(self, image: np.ndarray, name: str) -> str:
        """The path of a PNG of uint8 (H, W, C)."""
        path = self.place(name)
        to_pillow(image).save(path, format="PNG", compress_level=1)
        return str(path)

    def zipped(self, files: Mapping[str, str], name: str) -> str:
        """The path of an archive of files, by their names in it. They are PNGs, which are compressed already."""
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
            for file, path in files.items():
                archive.write(path, file)
        path = self.place(name)
        path.write_bytes(content.getvalue())
        return str(path)
