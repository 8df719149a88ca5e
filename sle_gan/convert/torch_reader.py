"""Reading PyTorch files without running what they contain, and without more memory than they have bytes."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sle_gan.errors import UserError, shown

# Before this version `weights_only=True` could be made to run a program (CVE-2025-32434).
_SAFE_VERSION = (2, 6)
# Tensors may share numbers, as two names of one network do, and grow when they become float32. Not without end.
_MOST_GROWTH = 16


def load_torch_file(path: str | Path) -> Any:
    """The content of a file that `torch.save` or safetensors wrote: tensors in dicts and lists, nothing executable.

    Tensors are mapped into memory, not read, unless the file is of the time before PyTorch 1.6.

    Raises:
        UserError: if PyTorch is not installed or too old to read safely; if the file is missing or damaged, holds
            anything but tensors and plain containers (`torch.load(weights_only=True)` refuses to run it), is packed,
            or has tensors that claim more numbers than it holds.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no PyTorch file at {path}")
    try:
        import torch
    except ImportError as error:
        raise UserError(f"reading {path.name} needs PyTorch: pip install 'sle-gan[torch]'") from error
    content = _load_safetensors(path) if path.suffix.lower() == ".safetensors" else _load_pickled(path)
    _check_tensors(content, path, torch)
    return content


def _load_pickled(path: Path) -> Any:
    import torch

    version = re.match(r"(\d+)\.(\d+)", str(torch.__version__))
    if version and tuple(map(int, version.groups())) < _SAFE_VERSION:
        raise UserError(
            f"{path} was not opened: reading it safely needs PyTorch {'.'.join(map(str, _SAFE_VERSION))} or later, and "
            f"{torch.__version__} is installed; pip install --upgrade 'sle-gan[torch]'"
        )
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped:
            _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of other kinds of files, which end in an error as well
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except UserError:
        raise
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds Python objects beside tensors and was not opened, because loading it could run "
            "any program; expected a checkpoint of tensors"
        ) from error
    except Exception as error:  # PyTorch has no closed list of what a damaged file makes it raise
        raise UserError(f"{path} is damaged or no PyTorch file: {_reason(error)}") from error


def _check_archive(path: Path) -> None:
    """Refuses archives whose files are packed or overlap, as no `torch.save` makes them: they unpack to any size."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    packed = next((entry for entry in entries if entry.compress_type != zipfile.ZIP_STORED), None)
    if packed:
        raise UserError(f"{path} is packed, and PyTorch's files are not; save it again with torch.save")
    if sum(entry.file_size for entry in entries) > path.stat().st_size:
        raise UserError(f"{path} is damaged or no PyTorch file: its parts overlap")


def _load_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(f"reading {path.name} needs the package safetensors: pip install 'sle-gan[torch]'") from error
    try:
        return load_file(path)
    except Exception as error:  # as above
        raise UserError(f"{path} is damaged or no safetensors file: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return shown((str(error) or type(error).__name__).splitlines()[0], 200)


def _check_tensors(content: Any, path: Path, torch: Any) -> None:
    """Raises a UserError for a tensor that has not all of its numbers in the file, such as an expanded one."""
    stored: dict[int, int] = {}
    needed = 0
    seen: set[int] = set()
    waiting = [("its content", content)]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, torch.Tensor):
            reason = _unreadable(value, torch)
            if reason:
                raise UserError(f"{path} is not read: the tensor {shown(name)} {reason}; expected plain tensors")
            storage = value.untyped_storage()
            stored[storage.data_ptr()] = storage.nbytes()
            needed += max(4, value.element_size()) * value.numel()
        elif isinstance(value, (Mapping, list, tuple)) and id(value) not in seen:  # containers may hold themselves
            seen.add(id(value))
            items = value.items() if isinstance(value, Mapping) else enumerate(value)
            waiting += [(str(key), item) for key, item in items]
    if needed > _MOST_GROWTH * sum(stored.values()):
        raise UserError(
            f"{path} is not read: its tensors would take {needed / 1e6:,.1f} MB, and it holds "
            f"{sum(stored.values()) / 1e6:,.1f} MB; expected tensors that do not share their numbers"
        )


def _unreadable(tensor: Any, torch: Any) -> str:
    """Why a tensor is not read; "" for a plain one."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter):
        return f"is a {type(tensor).__name__}"
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
        return f"is a {tensor.layout} tensor of {tensor.dtype} on {tensor.device}"
    held = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > held:
        return f"has the shape {tuple(tensor.shape)}, for which its {held:,} bytes are too few"
    return ""
