"""SLE-GAN: the networks, their optimizers and one train step (arXiv 2101.04775)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan import augment, engine, losses, pixels
from sle_gan.config import CHANNELS, SLEGANConfig
from sle_gan.gans.base import GAN, Batch, Phase, update_average
from sle_gan.gans.optimizers import adam, compute_precision, cotangents
from sle_gan.generation import generate_images
from sle_gan.models import Discriminator, Generator
from sle_gan.models.discriminator import crop_part
from sle_gan.models.layers import downsample_nearest, shared_kernels
from sle_gan.models.network import Network
from sle_gan.models.perceptual import vgg16_features
from sle_gan.pictures import make_grid


class SLEGAN(GAN):
    """Generator, discriminator and averaged generator, trained with hinge and reconstruction losses.

    Args:
        config: validated settings.
        features: for the perceptual reconstruction loss, images -> feature maps.
    """

    config: SLEGANConfig

    def __init__(self, config: SLEGANConfig, features: losses.Features | None = None):
        self.config = config
        channels = CHANNELS[config.channels]
        size: dict[str, Any] = {"width": config.width, "channels": channels}
        generator: dict[str, Any] = {"latent": config.latent, "tanh": config.tanh, **size}
        with compute_precision(config):
            self.generator = Generator(config.resolution, **generator)
            self.discriminator = Discriminator(config.resolution, **size)
        # What is exported and scored computes as those who load it will: in float32.
        self.averaged = Generator(config.resolution, name="generator_ema", **generator)
        self.averaged.set_weights(self.generator.get_weights())
        self.generator_optimizer = adam(config, config.G_learning_rate, self.generator, "generator_adam")
        self.discriminator_optimizer = adam(config, config.D_learning_rate, self.discriminator, "discriminator_adam")
        self.reconstruction_loss = (
            losses.perceptual(features)
            if features is not None
            else {"l1": losses.l1, "mse": losses.mse}[config.reconstruction_loss]
        )

    @classmethod
    def create(cls, config: Any) -> SLEGAN:
        perceptual = config.reconstruction_loss == "perceptual"
        return cls(config, vgg16_features(config.perceptual_weights) if perceptual else None)

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
        d_losses = self._update_discriminator(images, [ops.stop_gradient(fake) for fake in fakes], random)
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
        """Fakes at both scales, and the pullback of their cotangents to the generator."""
        return engine.vjp(lambda: self._generate(batch_size, random), self.generator.trainable_variables)

    def _generate(self, batch_size: int, random: engine.RandomStream) -> list[Any]:
        """Augmented fakes at both scales; what D judges is what G is trained through."""
        latents = keras.random.normal((batch_size, self.config.latent), seed=random.fold("latents"))
        noise = self.generator.sample_noise(batch_size, random.fold("noise"))
        with shared_kernels():
            fakes = self.generator(latents, noise=noise, both_scales=True, training=True)
        return self._augment(list(fakes), random.fold("augment fake"))

    def _augment(self, scales: list[Any], seed: engine.RandomStream) -> list[Any]:
        policy = self.config.policy_names if self.config.diff_augment else ()
        return augment.diff_augment(scales, policy, seed)

    def prepare_real(self, images: Any, random: engine.RandomStream) -> Any:
        real = pixels.to_model(images)
        if self.config.flip:
            real = augment.random_flip(real, random.fold("flip"))
        return self._augment([real], random.fold("augment real"))[0]

    def _update_discriminator(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> dict[str, Any]:
        real = self.prepare_real(images, random)
        margins = [losses.random_margins((real.shape[0], 50), random.fold(key)) for key in ("real", "fake")]
        offset: Any = (4, 4)
        if self.config.crop == "random":
            offset = ops.unstack(keras.random.randint((2,), 0, 9, seed=random.fold("crop")))

        def judge() -> dict[str, Any]:
            with shared_kernels():  # both batches pass the same kernels
                seen = self.discriminator(real, reconstruct=True, part_offset=offset, training=True)
                fake_logits = self.discriminator(*fakes, training=True)
            targets = {"full": real, "small": real, "part": crop_part(real, offset)}
            size = self.discriminator.small_resolution
            return {
                "real": losses.hinge_real(seen["logits"], margins[0]),
                "fake": losses.hinge_fake(fake_logits, margins[1]),
                **{
                    f"reconstruct_{key}": self.reconstruction_loss(seen[key], downsample_nearest(target, size))
                    for key, target in targets.items()
                },
            }

        d_losses, pull = engine.vjp(judge, self.discriminator.trainable_variables)
        gradients, _ = pull(cotangents(d_losses, self.discriminator_optimizer))
        self.discriminator_optimizer.apply(gradients, self.discriminator.trainable_variables)
        return d_losses

    def _update_generator(self, fakes: Sequence[Any], pull_generator: Any) -> dict[str, Any]:
        def fool(*fakes: Any) -> dict[str, Any]:
            with shared_kernels():
                return {"generator": losses.hinge_generator(self.discriminator(*fakes, training=True))}

        g_losses, pull_fakes = engine.vjp(fool, (), fakes)
        _, d_fakes = pull_fakes(cotangents(g_losses, self.generator_optimizer))
        gradients, _ = pull_generator(d_fakes)
        self.generator_optimizer.apply(gradients, self.generator.trainable_variables)
        return g_losses

    def generate(self, seeds: Iterable[int]) -> Iterator[np.ndarray]:
        return generate_images(self.averaged, seeds)

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
