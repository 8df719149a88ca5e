"""A GAN = networks + optimizers + one train step."""

from sle_gan.gans.base import GAN
from sle_gan.gans.slegan import SLEGAN

__all__ = ["GAN", "SLEGAN"]
