"""Reading PyTorch files without running what they contain."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

from sle_gan.errors import UserError


def load_torch_file(path: str | Path) -> Any:
    """The content of a file that `torch.save` or safetensors wrote: tensors in dicts and lists, nothing executable.

    Tensors are mapped into memory, not read, unless the file is of the time before PyTorch 1.6.

    Raises:
        UserError: if PyTorch is not installed, the file is missing or damaged, or it holds anything
            but tensors and plain containers (`torch.load(weights_only=True)` refuses to run it).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no PyTorch file at {path}")
    try:
        import torch
    except ImportError as error:
        raise UserError(f"reading {path.name} needs PyTorch: pip install 'sle-gan[torch]'") from error
    if path.suffix == ".safetensors":
        return _load_safetensors(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} holds Python objects beside tensors and was not opened, because loading it could run "
            "any program; expected a checkpoint of tensors"
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"{path} is damaged or no PyTorch file: {reason}") from error


def _load_safetensors(path: Path) -> dict[str, Any]:
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise UserError(f"reading {path.name} needs the package safetensors: pip install 'sle-gan[torch]'") from error
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is damaged or no safetensors file: {str(error).splitlines()[0]}") from error
