"""Tensors out of a file that `torch.save` wrote before PyTorch 1.6, without PyTorch and without running anything.

Such a file is a row of pickles (a magic number, a protocol version, facts about the machine, the object, the keys of
its storages) followed by the storages' numbers. The object's pickle may name classes and functions; here it may
name five, and what is called in their place are functions of this module.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from sle_gan.errors import UserError

_MAGIC = 0x1950A86A20F9469CFC6C
_TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
}
_LARGEST = 1 << 30  # numbers in a storage


class _Storage(NamedTuple):
    dtype: np.dtype
    key: str
    size: int


class _Tensor(NamedTuple):
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_legacy_checkpoint(path: Path) -> dict[str, np.ndarray]:
    """Name -> array, of a file that holds one dictionary of tensors.

    Raises:
        UserError: for any other content, or a damaged file.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except Exception as error:  # pickle has no closed list of what a damaged file makes it raise
        raise UserError(f"{path} is damaged or no checkpoint of tensors by PyTorch before 1.6: {error}") from error


def _read(file: IO[bytes]) -> dict[str, np.ndarray]:
    if _Unpickler(file).load() != _MAGIC:
        raise ValueError("it does not begin as such a file does")
    for _ in ("protocol", "machine"):
        _Unpickler(file).load()
    tensors = _Unpickler(file).load()
    keys = _Unpickler(file).load()
    if not isinstance(tensors, dict) or not all(isinstance(tensor, _Tensor) for tensor in tensors.values()):
        raise ValueError("it holds something else than named tensors")
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    numbers = {}
    for key in keys:  # in the order in which they stand in the file
        storage = storages[key]
        count = int.from_bytes(file.read(8), "little")
        if count != storage.size or count > _LARGEST:
            raise ValueError(f"a storage has {count} numbers, expected {storage.size}")
        data = file.read(count * storage.dtype.itemsize)
        numbers[key] = np.frombuffer(data, storage.dtype, count)
    return {str(name): _array(numbers[tensor.storage.key], tensor) for name, tensor in tensors.items()}


def _array(numbers: np.ndarray, tensor: _Tensor) -> np.ndarray:
    """The tensor as an array of its own; nothing beyond its storage is read."""
    steps = [(size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides)]
    contained = all(size > 0 and stride >= 0 for size, stride in zip(tensor.shape, tensor.strides))
    fits = contained and tensor.offset >= 0 and tensor.offset + sum(steps) < len(numbers)
    if not fits or len(tensor.shape) != len(tensor.strides) or np.prod(tensor.shape, dtype=float) > len(numbers):
        raise ValueError(f"a tensor of shape {tensor.shape} reaches beyond its {len(numbers)} numbers")
    strides = [stride * numbers.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(numbers[tensor.offset :], tensor.shape, strides).copy()


def _rebuild(storage: _Storage, offset: int, shape: tuple, strides: tuple, *rest: Any) -> _Tensor:
    """What stands in the place of `torch._utils._rebuild_tensor_v2`."""
    del rest  # whether it wants a gradient, and hooks
    if not isinstance(storage, _Storage):
        raise ValueError("a tensor has no storage")
    return _Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))


class _Unpickler(pickle.Unpickler):
    """Knows ordered dictionaries, tensors and their storages, and no other name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild
        if module == "torch" and name in _TYPES:
            return np.dtype(_TYPES[name])
        raise pickle.UnpicklingError(f"it names {module}.{name}, and nothing but tensors is read")

    def persistent_load(self, pid: Any) -> _Storage:
        kind, dtype, key, _, size, view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or view is not None:
            raise pickle.UnpicklingError("it holds something else than whole storages")
        return _Storage(dtype, str(key), int(size))
