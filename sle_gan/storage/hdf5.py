"""HDF5 files that may be a stranger's: only what stands in the file itself, as it stands there.

HDF5 can fetch numbers from any other file of this machine, by links, virtual and external datasets; name other objects
by references; and unpack a thousand bytes to as many gigabytes. None of that is followed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan.errors import UserError, shown

# What h5py raises for files that are damaged, or that somebody made so that they are.
_ERRORS = (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, ArithmeticError, MemoryError)


@contextmanager
def opened(path: Path, otherwise: str) -> Iterator[Any]:
    """The `h5py.File` for reading; whatever reading it raises becomes a UserError, "PATH is damaged or OTHERWISE"."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            yield file
    except UserError:
        raise
    except _ERRORS as error:
        reason = shown(error, 200) or type(error).__name__
        raise UserError(f"{path} is damaged or {otherwise} ({reason})") from error


def text(item: Any, attribute: str) -> str:
    """A text among the attributes of a file or group; "" where there is none."""
    value = item.attrs.get(attribute, "")
    value = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    return value if isinstance(value, str) else ""


def datasets(group: Any) -> dict[str, Any]:
    """All datasets in a file or group by their paths, each of which `numbers` can read.

    Raises:
        UserError: if something in it is a link, packed, in another file, or no array of floats.
    """
    import h5py

    found: dict[str, Any] = {}
    seen = set()  # groups may hold themselves
    waiting = [("", group)]
    while waiting:
        prefix, parent = waiting.pop()
        address = h5py.h5o.get_info(parent.id).addr
        if address in seen:
            continue
        seen.add(address)
        for name in parent:
            path = f"{prefix}{name}"
            item = get(parent, name)
            if isinstance(item, h5py.Group):
                waiting.append((f"{path}/", item))
            elif isinstance(item, h5py.Dataset):
                _check(item)
                found[path] = item
    size = Path(group.file.filename).stat().st_size
    if sum(item.nbytes for item in found.values()) > size:
        raise UserError(f"{group.file.filename} is damaged: its arrays would take more than its {size:,} bytes")
    return found


def get(group: Any, name: str) -> Any:
    """The group or dataset of a name within a group.

    Raises:
        KeyError: if there is none.
        UserError: if it is a link to somewhere else.
    """
    import h5py

    for part in name.split("/"):
        if not group.id.links.exists(part.encode("utf-8", "surrogateescape")):
            raise KeyError(f"it has no {name}")
        if not isinstance(group.get(part, getlink=True), h5py.HardLink):
            raise UserError(f"{group.file.filename} is not read: {shown(name)} is a link; expected arrays in the file")
        group = group[part]
    return group


def numbers(dataset: Any) -> np.ndarray:
    """The array of a dataset.

    Raises:
        UserError: if it is packed, in another file, or no array of floats.
    """
    _check(dataset)
    return dataset[()]


def _check(dataset: Any) -> None:
    reason = ""
    if dataset.dtype.kind != "f" or dataset.shape is None:
        reason = f"is of the type {shown(dataset.dtype)}; expected floats"
    elif dataset.external or dataset.is_virtual or dataset.id.get_storage_size() != dataset.nbytes:
        reason = "is packed or in another file; expected plain numbers"
    if reason:
        raise UserError(f"{dataset.file.filename} is not read: {shown(dataset.name)} {reason}")
