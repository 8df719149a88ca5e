"""Weights of other implementations -> ours, and ours -> theirs."""

from sle_gan.convert.layouts import convert_torch, read_torch
from sle_gan.convert.lightweight import LightweightCheckpoint
from sle_gan.gans.cyclegan.huggan import convert_cyclegan
from sle_gan.gans.slegan.from_fastgan import Adam, Converted, FastGANCheckpoint, convert_fastgan, read_fastgan
from sle_gan.gans.slegan.to_fastgan import save_fastgan, trained_paths
from sle_gan.torch_files import is_torch_file

__all__ = [
    "Adam",
    "Converted",
    "FastGANCheckpoint",
    "LightweightCheckpoint",
    "convert_cyclegan",
    "convert_fastgan",
    "convert_torch",
    "is_torch_file",
    "read_fastgan",
    "read_torch",
    "save_fastgan",
    "trained_paths",
]
