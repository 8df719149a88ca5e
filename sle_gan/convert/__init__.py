"""Weights of other implementations -> ours."""

from sle_gan.convert.cyclegan import convert_cyclegan
from sle_gan.convert.fastgan import convert_fastgan, is_torch_file

__all__ = ["convert_cyclegan", "convert_fastgan", "is_torch_file"]
