"""What every source of pictures can do."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from sle_gan.data.picture_files import SkippedFile


class PictureSource(ABC):
    """Pictures by name, read one at a time.

    where: what the user gave, for messages.
    names: of all that may be pictures, sorted. They are relative, with forward slashes, and lead nowhere else: they
        may be joined to an output folder.
    left_out: what else was found and is not used, each with its reason.

    All methods may be called from several threads.
    """

    where: str
    names: Sequence[str]
    left_out: Sequence[SkippedFile]

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The picture's file as it is stored. Raises `OSError` or `ValueError` with the reason where there is none."""

    def picture(self, name: str) -> Path | IO[bytes]:
        """What the decoder takes: the file's content in memory, where it is no file of its own. Raises as `read`."""
        return io.BytesIO(self.read(name))

    def content_hash(self, name: str) -> str:
        """Hex BLAKE2b of the file's bytes: equal whatever holds them. Raises as `read`."""
        return hashlib.blake2b(self.read(name), digest_size=16).hexdigest()

    def path(self, name: str) -> Path | None:
        """The picture's own file, where it has one that can be linked to."""
        return None

    def table(self, name: str) -> bytes | None:
        """The content of a .csv or .json beside the pictures; None where there is none. Raises as `read`."""
        return None

    @property
    def folder(self) -> Path | None:
        """The folder that must stay as it is, if the source is one."""
        return None


def shared_folders(paths: Sequence[Sequence[str]]) -> int:
    """How many folders all files, given as parts of their paths, have in common."""
    folders = [list(path[:-1]) for path in paths]
    first, last = min(folders, default=[]), max(folders, default=[])  # what these share, those between them do too
    return next((i for i, (one, other) in enumerate(zip(first, last)) if one != other), min(len(first), len(last)))
