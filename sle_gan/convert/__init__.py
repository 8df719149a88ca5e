"""PyTorch checkpoints of other projects -> ours. What a layout is called and how it is read lies with its GAN."""

from sle_gan.convert.checkpoint import AdamState, Converted, TorchCheckpoint
from sle_gan.convert.layouts import read_torch
from sle_gan.storage.torch_files import is_torch_file

__all__ = ["AdamState", "Converted", "TorchCheckpoint", "is_torch_file", "read_torch"]
