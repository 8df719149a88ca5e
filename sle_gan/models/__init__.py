"""The networks, and nothing else: no losses, no optimizers."""

from sle_gan.models.discriminator import Discriminator
from sle_gan.models.generator import Generator

__all__ = ["Discriminator", "Generator"]
