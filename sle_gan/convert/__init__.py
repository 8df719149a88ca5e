"""Weights of other implementations -> ours, and ours -> theirs."""

from sle_gan.convert.cyclegan import convert_cyclegan
from sle_gan.convert.fastgan import (
    Adam,
    Converted,
    FastGANCheckpoint,
    convert_fastgan,
    is_torch_file,
    read_fastgan,
)
from sle_gan.convert.to_fastgan import save_fastgan, trained_paths

__all__ = [
    "Adam",
    "Converted",
    "FastGANCheckpoint",
    "convert_cyclegan",
    "convert_fastgan",
    "is_torch_file",
    "read_fastgan",
    "save_fastgan",
    "trained_paths",
]
