"""DCGAN: the networks, their optimizers and one train step (arXiv 1511.06434, in the form of PyTorch's tutorial)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan import augment, engine, losses, pixels
from sle_gan.config import CHANNELS, DCGANConfig
from sle_gan.gans.base import GAN, Batch, Phase, update_average
from sle_gan.gans.optimizers import adam, compute_precision, cotangents
from sle_gan.generation import generate_images
from sle_gan.models.dcgan import DCGANDiscriminator, DCGANGenerator
from sle_gan.models.network import Network


class DCGAN(GAN):
    """Generator, discriminator and averaged generator, trained with cross-entropy.

    The average is what is exported, as for SLE-GAN; with an `ema_decay` of 0 it is the generator itself.

    Args:
        config: validated settings.
    """

    config: DCGANConfig

    def __init__(self, config: DCGANConfig):
        self.config = config
        size: dict[str, Any] = {"width": config.width, "channels": CHANNELS[config.channels]}
        with compute_precision(config):
            self.generator = DCGANGenerator(config.resolution, latent=config.latent, **size)
            self.discriminator = DCGANDiscriminator(config.resolution, **size)
        # What is exported and scored computes as those who load it will: in float32.
        self.averaged = DCGANGenerator(config.resolution, latent=config.latent, name="generator_ema", **size)
        self.averaged.set_weights(self.generator.get_weights())
        self.generator_optimizer = adam(config, config.G_learning_rate, self.generator, "generator_adam")
        self.discriminator_optimizer = adam(config, config.D_learning_rate, self.discriminator, "discriminator_adam")
        # One-sided by default: smoothed targets of generated images can hold wrong samples (arXiv 1606.03498, 3.4).
        self.real_target = 1.0 - config.label_smoothing
        self.fake_target = config.label_smoothing if config.label_smoothing_sides == "two" else 0.0

    @property
    def networks(self) -> dict[str, Network]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_ema": self.averaged,
        }

    @property
    def optimizers(self) -> dict[str, Any]:
        return {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}

    @property
    def exports(self) -> dict[str, Network]:
        return {"generator_weights.h5": self.averaged, "discriminator_weights.h5": self.discriminator}

    @property
    def generator_export(self) -> Network:
        return self.averaged

    def train_step(self, batch: Batch, random: engine.RandomStream) -> dict[str, Any]:
        """The phases of one step with one forward pass of the generator for both of them."""
        (images,) = batch
        self.begin_step(random)
        fakes, pull_generator = self._differentiable_fakes(images.shape[0], random)
        d_losses = self._update_discriminator(images, ops.stop_gradient(fakes), random)
        g_losses = self._update_generator(fakes, pull_generator)
        self.end_step(random)
        return {**g_losses, **d_losses}

    @property
    def phases(self) -> Sequence[Phase]:
        return Phase(("discriminator",), self._discriminator_phase), Phase(("generator",), self._generator_phase)

    def _discriminator_phase(self, batch: Batch, random: engine.RandomStream) -> dict[str, Any]:
        (images,) = batch
        return self._update_discriminator(images, self._generate(images.shape[0], random), random)

    def _generator_phase(self, batch: Batch, random: engine.RandomStream) -> dict[str, Any]:
        return self._update_generator(*self._differentiable_fakes(batch[0].shape[0], random))

    def end_step(self, random: engine.RandomStream) -> None:
        update_average(self.averaged, self.generator, random.step + 1, self.config.ema_decay)

    def _differentiable_fakes(self, batch_size: int, random: engine.RandomStream):
        """Fakes as D sees them, and the pullback of their cotangent to the generator."""
        return engine.vjp(lambda: self._generate(batch_size, random), self.generator.trainable_variables)

    def _generate(self, batch_size: int, random: engine.RandomStream) -> Any:
        latents = keras.random.normal((batch_size, self.config.latent), seed=random.fold("latents"))
        fakes = self.generator(latents, training=True)
        return self._add_noise(self._augment(fakes, random.fold("fake")), random.fold("fake"))

    def prepare_real(self, images: Any, random: engine.RandomStream) -> Any:
        real = pixels.to_model(images)
        if self.config.flip:
            real = augment.random_flip(real, random.fold("flip"))
        real = augment.vary(real, random.fold("vary"), **self.config.variations)
        return self._augment(real, random.fold("real"))

    def _augment(self, images: Any, random: engine.RandomStream) -> Any:
        policy = self.config.policy_names if self.config.diff_augment else ()
        return augment.diff_augment([images], policy, random.fold("augment"))[0]

    def _add_noise(self, images: Any, random: engine.RandomStream) -> Any:
        """Instance noise (arXiv 1610.04490), of a deviation that falls to zero step by step."""
        if not self.config.instance_noise:
            return images
        left = 1.0 - ops.cast(random.step, keras.config.floatx()) / self.config.instance_noise_steps
        deviation = self.config.instance_noise * ops.maximum(left, 0.0)
        return images + deviation * keras.random.normal(images.shape, seed=random.fold("instance noise"))

    def _update_discriminator(self, images: Any, fakes: Any, random: engine.RandomStream) -> dict[str, Any]:
        real = self._add_noise(self.prepare_real(images, random), random.fold("real"))

        def judge() -> dict[str, Any]:
            # One after the other, as in the tutorial: batch norm sees real and generated images apart.
            return {
                "real": losses.cross_entropy(self.discriminator(real, training=True), self.real_target),
                "fake": losses.cross_entropy(self.discriminator(fakes, training=True), self.fake_target),
            }

        d_losses, pull = engine.vjp(judge, self.discriminator.trainable_variables)
        gradients, _ = pull(cotangents(d_losses, self.discriminator_optimizer))
        self.discriminator_optimizer.apply(gradients, self.discriminator.trainable_variables)
        return d_losses

    def _update_generator(self, fakes: Any, pull_generator: Any) -> dict[str, Any]:
        def fool(fakes: Any) -> dict[str, Any]:
            return {"generator": losses.cross_entropy(self.discriminator(fakes, training=True), 1.0)}

        g_losses, pull_fakes = engine.vjp(fool, (), [fakes])
        _, (d_fakes,) = pull_fakes(cotangents(g_losses, self.generator_optimizer))
        gradients, _ = pull_generator(d_fakes)
        self.generator_optimizer.apply(gradients, self.generator.trainable_variables)
        return g_losses

    def generate(self, seeds: Iterable[int]) -> Iterator[np.ndarray]:
        return generate_images(self.averaged, seeds)
