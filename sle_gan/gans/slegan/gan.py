"""SLE-GAN: the networks, their optimizers and one train step (arXiv 2101.04775)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from sle_gan import engine, losses, pixels
from sle_gan.config import CHANNELS
from sle_gan.errors import UserError
from sle_gan.features import load_maps
from sle_gan.gans.base import Judged, LogNames
from sle_gan.gans.latent import Judgement, LatentGAN
from sle_gan.gans.overfitting import LECAM, LECAM_LOGS, OVERFITTING, OVERFITTING_LOGS
from sle_gan.gans.slegan.config import SLEGANConfig
from sle_gan.gans.slegan.discriminator import Discriminator, crop_part
from sle_gan.gans.slegan.generator import Generator
from sle_gan.models.layers import constant_singular_vectors, downsample_nearest
from sle_gan.models.network import Network
from sle_gan.pictures import make_grid


def perceptual_features(config: SLEGANConfig) -> losses.Features | None:
    """What the perceptual reconstruction loss compares, where that is the loss."""
    if config.reconstruction_loss != "perceptual":
        return None
    try:
        return load_maps("vgg16", config.perceptual_weights)
    except UserError as error:
        raise UserError(f"--perceptual-weights: {error}") from error


class SLEGAN(LatentGAN):
    """Generator, discriminator and averaged generator, trained with hinge and reconstruction losses.

    Args:
        config: validated settings.
        features: for the perceptual reconstruction loss, images -> feature maps.
    """

    config: SLEGANConfig
    totals: ClassVar[LogNames] = {**LatentGAN.totals, "rec": ("reconstruct",)}
    panels: ClassVar[LogNames] = {
        LECAM: LECAM_LOGS,
        "reconstruction losses": ("reconstruct",),
        OVERFITTING: OVERFITTING_LOGS,
    }

    def __init__(self, config: SLEGANConfig, features: losses.Features | None = None):
        size: dict[str, Any] = {"width": config.width, "channels": CHANNELS[config.channels]}
        generator: dict[str, Any] = {"latent": config.latent, "tanh": config.tanh, **size}
        super().__init__(
            config,
            lambda name: Generator(config.resolution, name=name, **generator),
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
        return Discriminator(config.resolution, width=config.width, channels=CHANNELS[config.channels])

    def _generate(self, batch_size: int, random: engine.RandomStream) -> list[Any]:
        """Images at both scales."""
        latents = self._draw_latents(batch_size, random)
        noise = self.generator.sample_noise(batch_size, random.fold("noise"))
        with constant_singular_vectors():
            fakes = self.generator(latents, noise=noise, both_scales=True, training=True)
        return self._augment(list(fakes), random.fold("augment fake"))

    def prepare_real(self, images: Any, random: engine.RandomStream) -> Any:
        return self._augment([self._mirror(images, random)], random.fold("augment real"))[0]

    def _judgements(self) -> Sequence[Judgement]:
        return self._judge_real, self._judge_fake

    def _judge_real(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> Judged:
        del fakes
        real = self.prepare_real(images, random)
        offset: Any = (4, 4)
        if self.config.crop == "random":
            offset = ops.unstack(keras.random.randint((2,), 0, 9, seed=random.fold("crop")))
        with constant_singular_vectors():
            seen = self.discriminator(real, reconstruct=True, part_offset=offset, training=True)
        targets = {"full": real, "small": real, "part": crop_part(real, offset)}
        size = self.discriminator.small_resolution
        d_losses = {
            "real": losses.hinge_real(seen["logits"], self._margins(images, random.fold("real"))),
            **{
                f"reconstruct_{key}": self.reconstruction_loss(seen[key], downsample_nearest(target, size))
                for key, target in targets.items()
            },
        }
        return Judged(d_losses, real=[seen["logits"]])

    def _judge_fake(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> Judged:
        with constant_singular_vectors():
            logits = self.discriminator(*fakes, training=True)
        return Judged({"fake": losses.hinge_fake(logits, self._margins(images, random.fold("fake")))}, fake=[logits])

    @staticmethod
    def _margins(images: Any, seed: engine.RandomStream) -> Any:
        return losses.random_margins((images.shape[0], 50), seed)

    def _fool(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> dict[str, Any]:
        del images, random
        with constant_singular_vectors():
            return {"generator": losses.hinge_generator(self.discriminator(*fakes, training=True))}

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
        part = downsample_nearest(crop_part(real, (4, 4)), size)
        return [downsample_nearest(real, size), seen["full"], part, seen["part"]]
