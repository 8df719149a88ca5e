"""SLE-GAN: the networks, their optimizers and one train step (arXiv 2101.04775)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan import augment, engine, losses, pixels
from sle_gan.config import CHANNELS, TrainConfig
from sle_gan.gans.base import GAN, adam
from sle_gan.generation import generate_images
from sle_gan.models import Discriminator, Generator
from sle_gan.models.discriminator import crop_part
from sle_gan.models.layers import downsample_nearest
from sle_gan.models.network import Network


class SLEGAN(GAN):
    """Generator, discriminator and averaged generator, trained with hinge and reconstruction losses.

    Args:
        config: validated settings.
        features: for the perceptual reconstruction loss, images -> feature maps.
    """

    def __init__(self, config: TrainConfig, features: losses.Features | None = None):
        self.config = config
        channels = CHANNELS[config.channels]
        size: dict[str, Any] = {"width": config.width, "channels": channels}
        self.generator = Generator(config.resolution, latent=config.latent, **size)
        self.discriminator = Discriminator(config.resolution, **size)
        self.averaged = Generator(config.resolution, latent=config.latent, name="generator_ema", **size)
        self.averaged.set_weights(self.generator.get_weights())
        self.generator_optimizer = adam(config.G_learning_rate, self.generator, "generator_adam")
        self.discriminator_optimizer = adam(config.D_learning_rate, self.discriminator, "discriminator_adam")
        self.reconstruction_loss = (
            losses.perceptual(features)
            if features is not None
            else {"l1": losses.l1, "mse": losses.mse}[config.reconstruction_loss]
        )

    @property
    def networks(self) -> dict[str, Network]:
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "generator_ema": self.averaged,
        }

    @property
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        return {"generator": self.generator_optimizer, "discriminator": self.discriminator_optimizer}

    @property
    def exports(self) -> dict[str, Network]:
        return {"generator_weights.h5": self.averaged, "discriminator_weights.h5": self.discriminator}

    @property
    def generator_export(self) -> Network:
        return self.averaged

    def train_step(self, images: Any, random: engine.RandomStream) -> dict[str, Any]:
        """One step on uint8 images (B, R, R, C): D on real and fake, then G, then the average of G."""
        real = self._prepare_real(images, random)
        fakes, pull_generator = engine.vjp(
            lambda: self._generate(images.shape[0], random), self.generator.trainable_variables
        )
        d_losses = self._update_discriminator(real, [ops.stop_gradient(fake) for fake in fakes], random)

        def fool(*fakes: Any) -> dict[str, Any]:
            return {"generator": losses.hinge_generator(self.discriminator(*fakes, training=True))}

        g_losses, pull_fakes = engine.vjp(fool, (), fakes)
        _, d_fakes = pull_fakes(_loss_cotangents(g_losses))
        gradients, _ = pull_generator(d_fakes)
        self.generator_optimizer.apply(gradients, self.generator.trainable_variables)
        self._update_average()
        return {**g_losses, **d_losses}

    def _prepare_real(self, images: Any, random: engine.RandomStream) -> Any:
        real = pixels.to_model(images)
        if self.config.flip:
            real = augment.random_flip(real, random.fold("flip"))
        return self._augment([real], random.fold("augment real"))[0]

    def _augment(self, scales: list[Any], seed: engine.RandomStream) -> list[Any]:
        policy = self.config.policy_names if self.config.diff_augment else ()
        return augment.diff_augment(scales, policy, seed)

    def _generate(self, batch_size: int, random: engine.RandomStream) -> list[Any]:
        """Augmented fakes at both scales; what D judges is what G is trained through."""
        latents = keras.random.normal((batch_size, self.config.latent), seed=random.fold("latents"))
        noise = self.generator.sample_noise(batch_size, random.fold("noise"))
        fakes = self.generator(latents, noise=noise, both_scales=True, training=True)
        return self._augment(list(fakes), random.fold("augment fake"))

    def _update_discriminator(self, real: Any, fakes: list[Any], random: engine.RandomStream) -> dict[str, Any]:
        margins = [losses.random_margins((real.shape[0], 50), random.fold(key)) for key in ("real", "fake")]
        offset: Any = (4, 4)
        if self.config.crop == "random":
            offset = ops.unstack(keras.random.randint((2,), 0, 9, seed=random.fold("crop")))

        def judge() -> dict[str, Any]:
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
        gradients, _ = pull(_loss_cotangents(d_losses))
        self.discriminator_optimizer.apply(gradients, self.discriminator.trainable_variables)
        return d_losses

    def _update_average(self) -> None:
        """Averages weights and batch-norm statistics; singular vectors are unit vectors and are copied.

        The decay grows from 0.1 to its final value as the average of torch_ema does, so that samples of the
        first hundreds of steps are not those of the initial weights.
        """
        step = ops.cast(self.generator_optimizer.iterations, "float32")
        decay = ops.minimum(self.config.ema_decay, (1.0 + step) / (10.0 + step))
        pairs = list(zip(self.averaged.variables, self.generator.variables))
        engine.update_averages([pair for pair in pairs if pair[0].name not in ("u", "v")], decay)
        engine.update_averages([pair for pair in pairs if pair[0].name in ("u", "v")], 0.0)

    def generate(self, seeds: Iterable[int]) -> Iterator[np.ndarray]:
        return generate_images(self.averaged, seeds)

    def reconstruct(self, images: Any) -> dict[str, Any]:
        """What the discriminator decodes from uint8 images, with the targets: float images in (-1, 1)."""
        real = pixels.to_model(images)
        seen = self.discriminator(real, reconstruct=True, training=False)
        size = self.discriminator.small_resolution
        return {
            "real": downsample_nearest(real, size),
            "decoded": seen["full"],
            "part": downsample_nearest(crop_part(real, (4, 4)), size),
            "decoded part": seen["part"],
        }


def _loss_cotangents(terms: dict[str, Any]) -> dict[str, Any]:
    """d(total) / d(term) where the total is the sum of the terms, averaged over the replicas."""
    return {name: ops.ones_like(term) / engine.replica_count() for name, term in terms.items()}
