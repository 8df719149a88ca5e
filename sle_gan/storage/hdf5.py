"""HDF5 files that may be a stranger's: only what stands in the file itself, as it stands there.

HDF5 can fetch numbers from any other file of this machine, by links, virtual and external datasets; name other objects
by references; and unpack a thousand bytes to as many gigabytes. None of that is followed here. And a file whose heap of
texts names sizes that lead nowhere keeps the HDF5 library (1.14) busy for ever, so that heap is looked at first.
"""

from __future__ import annotations

import contextlib
import mmap
import struct
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
        _check_heaps(path)
        with h5py.File(path, "r") as file:
            yield file
    except UserError:
        raise
    except _ERRORS as error:
        reason = shown(error, 200) or type(error).__name__
        raise UserError(f"{path} is damaged or {otherwise} ({reason})") from error


# A global heap (HDF5 file format 2.0, III.E): signature and version, three bytes, size of all; then objects.
_HEAP = b"GCOL\x01"
_HEAP_HEADER = struct.Struct("<5s3xQ")
_OBJECT_HEADER = struct.Struct("<H6xQ")  # index, 0 for the free rest; references and padding; size


def _check_heaps(path: Path) -> None:
    """Raises OSError where the library would go from object to object of a heap without ever reaching its end."""
    with path.open("rb") as file, contextlib.closing(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)) as content:
        start = content.find(_HEAP)
        while 0 <= start <= len(content) - _HEAP_HEADER.size:
            _check_heap(content, start)
            start = content.find(_HEAP, start + 1)


def _check_heap(content: mmap.mmap, start: int) -> None:
    end = start + _HEAP_HEADER.unpack_from(content, start)[1]
    if end > len(content):
        return  # by chance among numbers, or damaged in a way that the library finds out
    place = start + _HEAP_HEADER.size
    while place + _OBJECT_HEADER.size <= end:
        index, size = _OBJECT_HEADER.unpack_from(content, place)
        # The free rest counts its own header, the others do not, and begin at multiples of 8.
        length = size if index == 0 else _OBJECT_HEADER.size + -(-size // 8) * 8
        if not _OBJECT_HEADER.size <= length <= end - place:
            raise OSError(f"the heap at byte {start} has an object of {length} bytes where {end - place} are left")
        place += length


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
