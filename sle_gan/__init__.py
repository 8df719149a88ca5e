"""SLE-GAN: few-shot image generation in Keras 3.

The names below are imported when they are first used (PEP 562): `import sle_gan` starts no backend, so
that a command can answer `--help` at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sle_gan.data import load_dataset
    from sle_gan.errors import TrainingStopped, UserError
    from sle_gan.gans.cyclegan.config import CycleGANConfig
    from sle_gan.gans.dcgan.config import DCGANConfig
    from sle_gan.gans.lightweight.config import LightweightConfig
    from sle_gan.gans.projected.config import ProjectedConfig
    from sle_gan.gans.slegan.config import SLEGANConfig
    from sle_gan.gans.slegan.discriminator import Discriminator
    from sle_gan.gans.slegan.from_fastgan import convert_fastgan
    from sle_gan.gans.slegan.generator import Generator
    from sle_gan.generation import create_input_noise, generate_images, postprocess_images
    from sle_gan.hub.loading import from_pretrained, load_generator
    from sle_gan.hub.save import push_to_hub, save_pretrained

__version__ = "0.1.0"

_HOMES = {
    "CycleGANConfig": "gans.cyclegan.config",
    "DCGANConfig": "gans.dcgan.config",
    "Discriminator": "gans.slegan.discriminator",
    "Generator": "gans.slegan.generator",
    "LightweightConfig": "gans.lightweight.config",
    "ProjectedConfig": "gans.projected.config",
    "SLEGANConfig": "gans.slegan.config",
    "TrainingStopped": "errors",
    "UserError": "errors",
    "convert_fastgan": "gans.slegan.from_fastgan",
    "create_input_noise": "generation",
    "from_pretrained": "hub.loading",
    "generate_images": "generation",
    "load_dataset": "data",
    "load_generator": "hub.loading",
    "postprocess_images": "generation",
    "push_to_hub": "hub.save",
    "save_pretrained": "hub.save",
}

__all__ = [
    "CycleGANConfig",
    "DCGANConfig",
    "Discriminator",
    "Generator",
    "LightweightConfig",
    "ProjectedConfig",
    "SLEGANConfig",
    "TrainingStopped",
    "UserError",
    "convert_fastgan",
    "create_input_noise",
    "from_pretrained",
    "generate_images",
    "load_dataset",
    "load_generator",
    "postprocess_images",
    "push_to_hub",
    "save_pretrained",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sle_gan' has no attribute {name!r}")
    return getattr(importlib.import_module(f"sle_gan.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
