"""Weights of other implementations -> ours."""

from sle_gan.convert.fastgan import convert_fastgan, is_torch_file

__all__ = ["convert_fastgan", "is_torch_file"]
