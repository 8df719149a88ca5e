"""DCGAN: the networks, their optimizers and one train step (arXiv 1511.06434, in the form of PyTorch's tutorial)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from sle_gan import augment, engine, losses
from sle_gan.config import CHANNELS
from sle_gan.gans.base import DiscriminatorLosses
from sle_gan.gans.dcgan.config import DCGANConfig
from sle_gan.gans.dcgan.networks import DCGANDiscriminator, DCGANGenerator
from sle_gan.gans.latent import LatentGAN, LossPart


class DCGAN(LatentGAN):
    """Generator, discriminator and averaged generator, trained with cross-entropy.

    The average is what is exported, as for SLE-GAN; with an `ema_decay` of 0 it is the generator itself.

    Args:
        config: validated settings.
    """

    config: DCGANConfig

    def __init__(self, config: DCGANConfig):
        size: dict[str, Any] = {"width": config.width, "channels": CHANNELS[config.channels]}
        super().__init__(
            config,
            lambda name: DCGANGenerator(config.resolution, latent=config.latent, name=name, **size),
            lambda: DCGANDiscriminator(config.resolution, **size),
        )
        # One-sided by default: smoothed targets of generated images can hold wrong samples (arXiv 1606.03498, 3.4).
        self.real_target = 1.0 - config.label_smoothing
        self.fake_target = config.label_smoothing if config.label_smoothing_sides == "two" else 0.0

    def generate_fakes(self, batch_size: int, random: engine.RandomStream) -> list[Any]:
        fakes = self.generator(self.draw_latents(batch_size, random), training=True)
        random = random.fold("fake")
        (fakes,) = self.augment([fakes], random.fold("augment"))
        return [self._add_noise(fakes, random)]

    def prepare_real(self, images: Any, random: engine.RandomStream) -> Any:
        real = augment.vary(self.mirror(images, random), random.fold("vary"), **self.config.variations)
        return self.augment([real], random.fold("real").fold("augment"))[0]

    def _add_noise(self, images: Any, random: engine.RandomStream) -> Any:
        """Instance noise (arXiv 1610.04490), of a deviation that falls to zero step by step."""
        if not self.config.instance_noise:
            return images
        left = 1.0 - ops.cast(random.step, keras.config.floatx()) / self.config.instance_noise_steps
        deviation = self.config.instance_noise * ops.maximum(left, 0.0)
        return images + deviation * keras.random.normal(images.shape, seed=random.fold("instance noise"))

    def discriminator_losses(self) -> Sequence[LossPart]:
        # One after the other, as in the tutorial: batch norm sees real and generated images apart.
        return self.real_losses, self.fake_losses

    def real_losses(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> DiscriminatorLosses:
        del fakes
        real = self._add_noise(self.prepare_real(images, random), random.fold("real"))
        logits = self.discriminator(real, training=True)
        return DiscriminatorLosses({"real": losses.cross_entropy(logits, self.real_target)}, real=[logits])

    def fake_losses(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> DiscriminatorLosses:
        del images, random
        logits = self.discriminator(*fakes, training=True)
        return DiscriminatorLosses({"fake": losses.cross_entropy(logits, self.fake_target)}, fake=[logits])

    def generator_losses(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> dict[str, Any]:
        del images, random
        return {"generator": losses.cross_entropy(self.discriminator(*fakes, training=True), 1.0)}
