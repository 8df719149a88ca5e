"""A data set of a hub, or of a folder with parquet files or pictures, by the library `datasets`.

Its tables stay on disk, mapped into memory: a row's image is read when it is asked for, and decoded by ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from sle_gan.data.picture_files import IMAGE_SUFFIXES, check_file
from sle_gan.data.sources.base import PictureSource, shared_folders
from sle_gan.data.sources.spec import DatasetSpec
from sle_gan.errors import UserError, counted, shown

_PREFERRED = "train"


class DatasetSource(PictureSource):
    """The images of one column of one split.

    A row's name is that of its file, where the data set knows files' names and each has its own; else its number.

    Args:
        image_column: needed where several columns hold images.

    Raises:
        UserError: without the library, for a data set that is missing or cannot be had, an unknown split or column,
            and where there are no images.
    """

    def __init__(self, spec: DatasetSpec, image_column: str | None = None) -> None:
        spec.check()
        import datasets

        self.where = str(spec)
        table = _table(spec)
        column = _image_column(table, image_column, self.where)
        if not len(table):
            raise UserError(f"{self.where} has no rows; expected a split with pictures")
        # As bytes: our decoder honours orientation and says why a picture cannot be used.
        self._rows = table.cast_column(column, datasets.Image(decode=False)).data.column(column)
        self._roots = [Path(spec.name).resolve()] if spec.local else _caches()
        names = _names(self._rows, self._roots[0] if spec.local else None)
        self._row_of = {name: row for row, name in enumerate(names)}
        self.names, self.left_out = sorted(names), []

    def read(self, name: str) -> bytes:
        row = self._rows[self._row_of[name]].as_py()
        if not row or not (row["bytes"] or row["path"]):
            raise ValueError("the row has no image")
        if row["bytes"]:
            return row["bytes"]
        path = Path(row["path"])
        # A table says which of this machine's files are read: none but those of the data set.
        if not path.is_absolute() or not any(path.is_relative_to(root) for root in self._roots):
            raise ValueError("the row names a file outside the data set, which is not read; store the images' bytes")
        check_file(path)
        return path.read_bytes()


def _table(spec: DatasetSpec) -> Any:
    """The split that was asked for, else the only one or the training one."""
    import datasets

    where: dict[str, Any] = {"path": spec.name, **({"revision": spec.revision} if spec.revision else {})}
    try:
        return datasets.load_dataset(**where, split=_split(spec, datasets.get_dataset_split_names(**where)))
    except UserError:
        raise
    except Exception as error:  # of the library, of its client, of the network: no common class
        raise UserError(_cannot(spec, error)) from error


def _split(spec: DatasetSpec, names: Sequence[str]) -> str:
    if not names:
        raise UserError(f"{spec} has no splits, so no rows")
    if spec.split is not None:
        if spec.split.split("[")[0] not in names:
            raise UserError(f"{spec}: there is no such split; expected one of {', '.join(names)}")
        return spec.split
    if len(names) > 1 and _PREFERRED not in names:
        raise UserError(f"{spec} has the splits {', '.join(names)}; say which: {spec}:{names[0]}")
    return _PREFERRED if _PREFERRED in names else names[0]


def _cannot(spec: DatasetSpec, error: Exception) -> str:
    way = "give a folder with pictures or parquet files" if spec.local else "check its name, and that you are online"
    return f"{spec} cannot be loaded: {shown(' '.join(str(error).split()), 200) or type(error).__name__}; {way}"


def _image_column(table: Any, asked: str | None, where: str) -> str:
    columns = {name: _holds_images(feature) for name, feature in table.features.items()}
    found = [name for name, images in columns.items() if images]
    if asked is not None:
        if asked not in columns:
            raise UserError(f"--image-column {asked}: {where} has the columns {', '.join(columns)}")
        if asked not in found:
            raise UserError(f"--image-column {asked}: it holds no images, but {shown(table.features[asked])}")
        return asked
    if not found:
        raise UserError(f"{where} has no images: its columns are {shown(', '.join(columns), 200)}")
    # Bytes may be anything: they count where no column says that it holds images.
    declared = [name for name in found if type(table.features[name]).__name__ == "Image"] or found
    if len(declared) > 1:
        raise UserError(
            f"{where} has {counted(len(declared), 'column')} with images: give --image-column with one of "
            f"{', '.join(declared)}"
        )
    return declared[0]


def _holds_images(feature: Any) -> bool:
    """Images as the library declares them, as others store them (bytes and path), or bytes."""
    if type(feature).__name__ == "Image":
        return True
    if isinstance(feature, dict):
        return set(feature) == {"bytes", "path"} and getattr(feature["bytes"], "dtype", "") == "binary"
    return getattr(feature, "dtype", "") in ("binary", "large_binary")


def _names(rows: Any, root: Path | None) -> list[str]:
    import pyarrow.compute

    paths = pyarrow.compute.struct_field(rows, "path").to_pylist()
    named = _of_files(paths, root)
    if named and len(set(named)) == len(named):
        return named
    return [f"row_{row:0{max(6, len(str(len(rows))))}}" for row in range(len(rows))]


def _of_files(paths: Sequence[str | None], root: Path | None) -> list[str] | None:
    """The files' names below the root, or below what they have in common; None where there is one without."""
    parts = []
    for path in paths:
        if not path or ".." in PurePosixPath(path).parts or PurePosixPath(path).suffix.lower() not in IMAGE_SUFFIXES:
            return None
        pure = PurePosixPath(path)
        below = root is not None and pure.is_relative_to(root.as_posix())
        parts.append(pure.relative_to(root.as_posix()).parts if root and below else pure.parts)
    if all(not pure or pure[0] != "/" for pure in parts):
        return ["/".join(pure) for pure in parts]
    shared = shared_folders(parts)
    return ["/".join(pure[shared:]) for pure in parts] if shared else None


def _caches() -> list[Path]:
    """Where the library keeps what it downloads."""
    from datasets import config

    return [Path(config.HF_CACHE_HOME).resolve(), Path(config.HF_DATASETS_CACHE).resolve()]
