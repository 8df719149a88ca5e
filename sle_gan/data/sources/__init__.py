"""Where pictures come from: a folder, an archive, or a data set of a hub; one interface for all of them.

| what is given | class |
|---|---|
| a folder | `FolderSource` |
| a .zip, .tar, .tar.gz or .tgz | `ArchiveSource` |
| `dataset:user/name[@revision][:split]`, `dataset:./folder[:split]` | `DatasetSource`, needs the extra `datasets` |

Names and content decide what a set is: the files of a folder have the same names and the same digest in an archive.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

from sle_gan.data.sources.archive import SUFFIXES, ArchiveSource, is_archive
from sle_gan.data.sources.base import PictureSource
from sle_gan.data.sources.folder import FolderSource
from sle_gan.data.sources.spec import PREFIX, DatasetSpec, is_dataset
from sle_gan.errors import UserError
from sle_gan.storage.paths import expanded, reason

__all__ = [
    "PREFIX",
    "SUFFIXES",
    "ArchiveSource",
    "FolderSource",
    "PictureSource",
    "check_image_column",
    "check_source",
    "is_archive",
    "is_dataset",
    "is_source",
    "open_source",
]


def open_source(source: str | os.PathLike[str] | PictureSource, image_column: str | None = None) -> PictureSource:
    """The pictures of a folder, an archive or a `dataset:`; what is a source already is returned as it is.

    Args:
        image_column: of a data set that has several columns with images; nothing else has columns.

    Raises:
        UserError: where it is missing, cannot be read, is refused, or holds no picture.
    """
    if isinstance(source, PictureSource):
        return source
    text = os.fspath(source)
    if is_dataset(text):
        from sle_gan.data.sources.hub_dataset import DatasetSource

        return DatasetSource(DatasetSpec.parse(text), image_column)
    return ArchiveSource(text) if is_archive(text) else FolderSource(text)


def is_source(text: str | os.PathLike[str]) -> bool:
    """Whether this names pictures: a folder that exists, an archive by its name, or a data set."""
    return is_dataset(text) or is_archive(text) or os.path.isdir(expanded(os.fspath(text)))  # noqa: PTH112


def check_image_column(image_column: str | None, sources: Iterable[str]) -> None:
    """Raises a UserError for a column where no source is a data set."""
    if image_column is not None and not any(map(is_dataset, sources)):
        raise UserError(f"--image-column {image_column} is for a {PREFIX}user/name, and none was given; leave it out")


def check_source(flag: str, text: str) -> None:
    """What can be found out without reading: raises a UserError for what `open_source` would refuse at once.

    Args:
        flag: that the message names, such as "--data-folder".
    """
    if not text:
        raise UserError(f"{flag} is missing; give the folder, archive or data set with your pictures")
    if is_dataset(text):
        DatasetSpec.parse(text).check()
        return
    try:
        found = os.path.isfile(text) if is_archive(text) else os.path.isdir(text)  # noqa: PTH112, PTH113
        exists = os.path.lexists(text)
    except (OSError, ValueError) as error:
        raise UserError(f"{flag} {text} cannot be read: {error}") from error
    if not found:
        missing = "does not exist" if is_archive(text) else "is no folder: there is nothing of that name"
        what = "is no folder or archive" if exists else missing
        raise UserError(
            f"{flag} {text} {what}; give a folder with your pictures, an archive ({', '.join(SUFFIXES)}) or "
            f"{PREFIX}user/name"
        )
    if is_archive(text) and not os.access(text, os.R_OK):
        raise UserError(f"{flag} {text} cannot be read: {reason(PermissionError(13, 'Permission denied'))}")
