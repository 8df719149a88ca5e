"""Reading a safetensors file: eight bytes of length, a JSON header, and the numbers. Nothing in it can be executed.

Our own reader, because the format is this simple, and so that a feature network needs no package but numpy.
Layout: github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from sle_gan.errors import UserError

_HEADER_BYTES = 16_000_000  # the headers of vision networks take some 100 kB; a wrong length must not fill the memory
_DIMENSIONS = 8
_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """All tensors by name: float32, or float16 and float64 as they are stored. They are mapped, not read.

    Raises:
        UserError: if the file is damaged, or a tensor is of another type, has an impossible shape or lies
            outside the file.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > min(_HEADER_BYTES, path.stat().st_size - 8):
                raise ValueError(f"its header would have {length:,} bytes")
            header = json.loads(file.read(length))
        if not isinstance(header, dict):
            raise ValueError(f"its header holds a {type(header).__name__}, not an object")
        data = np.memmap(path, np.uint8, "r")[8 + length :]
        return {name: _tensor(name, entry, data) for name, entry in header.items() if name != "__metadata__"}
    except (OSError, ValueError, RecursionError) as error:  # JSON's and Unicode's errors are ValueErrors
        raise UserError(f"{path} is damaged or no safetensors file: {error}") from error


def _tensor(name: str, entry: Any, data: np.ndarray) -> np.ndarray:
    fields: dict[str, Any] = entry if isinstance(entry, dict) else {}
    kind, shape, place = fields.get("dtype"), fields.get("shape"), fields.get("data_offsets")
    if kind not in _TYPES:
        raise ValueError(f"{name} is of type {kind!r}, expected one of {', '.join(_TYPES)}")
    if not (_are_sizes(shape) and len(shape) <= _DIMENSIONS and _are_sizes(place) and len(place) == 2):
        raise ValueError(f"{name} has the shape {shape!r} and the place {place!r}")
    start, end = place
    size = math.prod(shape) * np.dtype(_TYPES[kind]).itemsize
    if not start <= end <= len(data) or end - start != size:
        raise ValueError(
            f"{name} takes bytes {start:,} to {end:,} of {len(data):,}, and its shape {shape} takes {size:,}"
        )
    array = data[start:end].view(_TYPES[kind]).reshape(shape)
    if kind == "BF16":  # the upper half of a float32, which numpy has no type for
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def _are_sizes(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)
