"""SLE-GAN as a run sees it: its networks, its reconstruction loss and its grids. The step is in step.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from keras import ops

from sle_gan import losses
from sle_gan.config import CHANNELS
from sle_gan.errors import UserError
from sle_gan.features import load_maps
from sle_gan.gans.base import LogNames
from sle_gan.gans.overfitting import LECAM, LECAM_LOGS, OVERFITTING, OVERFITTING_LOGS
from sle_gan.gans.slegan.config import SLEGANConfig
from sle_gan.gans.slegan.discriminator import Discriminator, crop_part
from sle_gan.gans.slegan.generator import Generator
from sle_gan.gans.slegan.step import SLEGANStep
from sle_gan.models.layers import downsample_nearest
from sle_gan.models.network import Network
from sle_gan.pictures import make_grid, pixels


def perceptual_features(config: SLEGANConfig) -> losses.Features | None:
    """What the perceptual reconstruction loss compares, where that is the loss."""
    if config.reconstruction_loss != "perceptual":
        return None
    try:
        return load_maps("vgg16", config.perceptual_weights)
    except UserError as error:
        raise UserError(f"--perceptual-weights: {error}; or use --reconstruction-loss l1") from error


class SLEGAN(SLEGANStep):
    """Generator, discriminator and averaged generator, trained with hinge and reconstruction losses.

    Args:
        config: validated settings.
        features: for the perceptual reconstruction loss, images -> feature maps.
    """

    config: SLEGANConfig
    totals: ClassVar[LogNames] = {**SLEGANStep.totals, "rec": ("reconstruct",)}
    panels: ClassVar[LogNames] = {
        LECAM: LECAM_LOGS,
        "reconstruction losses": ("reconstruct",),
        OVERFITTING: OVERFITTING_LOGS,
    }

    def __init__(self, config: SLEGANConfig, features: losses.Features | None = None):
        size: dict[str, Any] = {"width": config.width, "channels": CHANNELS[config.channels]}
        classes = {"classes": config.class_names or (), "class_pictures": config.class_pictures or ()}
        generator: dict[str, Any] = {"latent": config.latent, "tanh": config.tanh, **size, **classes}
        super().__init__(
            config,
            lambda name: Generator(config.resolution, aspect=config.aspect, name=name, **generator),
            self._make_discriminator,
        )
        self.reconstruction_loss = (
            losses.perceptual(features)
            if features is not None
            else {"l1": losses.l1, "mse": losses.mse}[config.reconstruction_loss]
        )

    @classmethod
    def create(cls, config: Any) -> SLEGAN:
        return cls(config, perceptual_features(config))

    def _make_discriminator(self) -> Network:
        config = self.config
        return Discriminator(
            config.resolution,
            width=config.discriminator_width,
            channels=CHANNELS[config.channels],
            aspect=config.aspect,
            class_count=config.class_count,
        )

    def previews(self, real: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Samples, and what the discriminator decodes with its targets below each other."""
        images = real[0]
        rows = [ops.convert_to_numpy(pixels.to_uint8(row)) for row in self._reconstruct(images)]
        return {**super().previews(real), "reconstructions": make_grid(np.concatenate(rows), columns=len(images))}

    def _reconstruct(self, images: Any) -> list[Any]:
        """Float images in (-1, 1): the images, decoded ones, their parts, decoded parts."""
        real = pixels.to_model(images)
        seen = self.discriminator(real, reconstruct=True, training=False)
        size = self.discriminator.small_resolution
        part = downsample_nearest(crop_part(real, self.discriminator.centre), size)
        return [downsample_nearest(real, size), seen["full"], part, seen["part"]]
