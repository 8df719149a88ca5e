"""Which files are PyTorch's: found without PyTorch, and without a backend."""

from __future__ import annotations

import zipfile
from pathlib import Path

# What other projects call the weights of a model that is a folder or a repository.
HUB_NAMES = ("model.pt", "pytorch_model.bin", "model.safetensors")
_NAMES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", ".pth.tar", ".pt.tar")
_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number, pickled


def is_torch_file(path: str | Path) -> bool:
    """Whether a file holds PyTorch's tensors: as its name says, in capitals or not, or as its content does."""
    path = Path(path)
    return path.name.lower().endswith(_NAMES) or _has_torch_content(path)


def _has_torch_content(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            start = file.read(len(_BEFORE_1_6))
        if not start.startswith(b"PK"):
            return start == _BEFORE_1_6
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False
