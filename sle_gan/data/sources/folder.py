"""The pictures under a folder."""

from __future__ import annotations

import os
from pathlib import Path

from sle_gan.data.picture_files import check_file, checked_folder, content_hash, find_images
from sle_gan.data.sources.base import PictureSource


class FolderSource(PictureSource):
    """See `sle_gan.data.picture_files.find_images` for which files these are, and what it raises."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._root = checked_folder(folder)
        self.where = str(self._root)
        self.names, self.left_out = find_images(self._root)

    def read(self, name: str) -> bytes:
        path = self._root / name
        check_file(path)
        return path.read_bytes()

    def picture(self, name: str) -> Path:
        return self._root / name

    def content_hash(self, name: str) -> str:
        return content_hash(self._root / name)

    def path(self, name: str) -> Path | None:
        return self._root / name

    def table(self, name: str) -> bytes | None:
        path = self._root / name
        return path.read_bytes() if path.is_file() and path.resolve().is_relative_to(self._root.resolve()) else None

    @property
    def folder(self) -> Path | None:
        return self._root
