"""The networks, and nothing else: no losses, no optimizers."""

import importlib

from sle_gan.models.discriminator import Discriminator
from sle_gan.models.generator import Generator
from sle_gan.models.network import Network

# Generators that a weights file may name, and the module of each; imported when such a file is read.
GENERATORS = {"DCGANGenerator": "dcgan", "Generator": "generator", "LightweightGenerator": "lightweight"}


def generator_class(name: str) -> type[Network] | None:
    """The class of a generator that a weights file names; None if it is no generator."""
    if name not in GENERATORS:
        return None
    return getattr(importlib.import_module(f"sle_gan.models.{GENERATORS[name]}"), name)


__all__ = ["GENERATORS", "Discriminator", "Generator", "generator_class"]
