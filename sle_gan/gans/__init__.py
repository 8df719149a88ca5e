"""A GAN = networks + optimizers + one train step."""

from __future__ import annotations

import importlib

from sle_gan.config import TrainConfig
from sle_gan.gans.base import GAN

# Model name -> module and class; a GAN is imported when it is made.
GANS = {
    "slegan": ("slegan", "SLEGAN"),
    "dcgan": ("dcgan", "DCGAN"),
    "cyclegan": ("cyclegan", "CycleGAN"),
    "lightweight": ("lightweight", "LightweightGAN"),
    "projected": ("projected", "ProjectedGAN"),
}

__all__ = ["GAN", "GANS", "make_gan"]


def make_gan(config: TrainConfig) -> GAN:
    """The GAN that the settings are of."""
    module, name = GANS[config.model]
    return getattr(importlib.import_module(f"sle_gan.gans.{module}"), name).create(config)
