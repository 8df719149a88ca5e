"""Lightweight GAN: the networks, their optimizers and one train step, with the losses of huggan's published code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan import augment, engine, losses, pixels
from sle_gan.config import CHANNELS, LightweightConfig
from sle_gan.gans.base import GAN, Batch, Phase, update_average
from sle_gan.gans.optimizers import adam, compute_precision, cotangents
from sle_gan.generation import generate_images
from sle_gan.models.lightweight import LightweightDiscriminator, LightweightGenerator, decoder_target
from sle_gan.models.lightweight_layers import from_unit, to_unit
from sle_gan.models.network import Network
from sle_gan.pictures import make_grid

SCALES = ("logits", "small_logits")
PENALTY_EVERY = 4  # steps


class LightweightGAN(GAN):
    """Generator, discriminator and averaged generator; hinge or dual contrastive, penalty and reconstruction losses.

    With the hinge loss the discriminator's logits are low for real images and high for generated ones, as in the
    published code, so that its weights go on. With the dual contrastive loss it is the other way round, there and here.

    Args:
        config: validated settings.
    """

    config: LightweightConfig

    def __init__(self, config: LightweightConfig):
        self.config = config
        size: dict[str, Any] = {
            "channels": CHANNELS[config.channels],
            "fmap_max": config.fmap_max,
            "fmap_inverse_coef": config.fmap_inverse_coef,
            "attn_res_layers": config.attention_sides,
            "antialias": config.antialias,
        }
        generator = {"latent": config.latent, "freq_chan_attn": config.freq_chan_attn, **size}
        with compute_precision(config):
            self.generator = LightweightGenerator(config.resolution, **generator)
            self.discriminator = LightweightDiscriminator(
                config.resolution, disc_output_size=config.disc_output_size, **size
            )
        # What is exported and scored computes as those who load it will: in float32.
        self.averaged = LightweightGenerator(config.resolution, name="generator_ema", **generator)
        self.averaged.set_weights(self.generator.get_weights())
        self.generator_optimizer = adam(config, config.G_learning_rate, self.generator, "generator_adam", beta_2=0.9)
        self.discriminator_optimizer = adam(
            config, config.D_learning_rate, self.discriminator, "discriminator_adam", beta_2=0.9
        )

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
        g_losses = self._update_generator(images, fakes, pull_generator, random)
        self.end_step(random)
        return {**g_losses, **d_losses}

    @property
    def phases(self) -> Sequence[Phase]:
        return Phase(("discriminator",), self._discriminator_phase), Phase(("generator",), self._generator_phase)

    def _discriminator_phase(self, batch: Batch, random: engine.RandomStream) -> dict[str, Any]:
        (images,) = batch
        return self._update_discriminator(images, self._generate(images.shape[0], random), random)

    def _generator_phase(self, batch: Batch, random: engine.RandomStream) -> dict[str, Any]:
        (images,) = batch
        return self._update_generator(images, *self._differentiable_fakes(images.shape[0], random), random)

    def end_step(self, random: engine.RandomStream) -> None:
        update_average(self.averaged, self.generator, random.step + 1, self.config.ema_decay)

    def _differentiable_fakes(self, batch_size: int, random: engine.RandomStream):
        """Fakes as D sees them, and the pullback of their cotangent to the generator."""
        return engine.vjp(lambda: self._generate(batch_size, random), self.generator.trainable_variables)

    def _generate(self, batch_size: int, random: engine.RandomStream) -> Any:
        latents = keras.random.normal((batch_size, self.config.latent), seed=random.fold("latents"))
        return self._augment(self.generator(latents, training=True), random.fold("augment fake"))

    def prepare_real(self, images: Any, random: engine.RandomStream) -> Any:
        return self._augment(self._mirrored(images, random), random.fold("augment real"))

    def _mirrored(self, images: Any, random: engine.RandomStream) -> Any:
        real = pixels.to_model(images)
        return augment.random_flip(real, random.fold("flip")) if self.config.flip else real

    def _augment(self, images: Any, seed: engine.RandomStream) -> Any:
        policy = self.config.policy_names if self.config.diff_augment else ()
        return augment.diff_augment([images], policy, seed)[0]

    def _update_discriminator(self, images: Any, fakes: Any, random: engine.RandomStream) -> dict[str, Any]:
        real = self.prepare_real(images, random)
        quadrant = keras.random.randint((), 0, 4, seed=random.shared("quadrant"))
        offset = (quadrant // 2 * 8, quadrant % 2 * 8)  # row and column of one of four quarters of the 16x16 map

        def judge() -> dict[str, Any]:
            seen = self.discriminator(real, reconstruct=True, part_offset=offset, training=True)
            adversarial = self._divergence(seen, self.discriminator(fakes, training=True))
            return {
                **adversarial,
                **{
                    f"reconstruct_{key}": losses.mse(to_unit(seen[key]), to_unit(decoder_target(real, key, offset)))
                    for key in self.discriminator.decoders
                },
            }

        d_losses, pull = engine.vjp(judge, self.discriminator.trainable_variables)
        gradients, _ = pull(cotangents(d_losses, self.discriminator_optimizer))
        if self.config.gradient_penalty:
            d_losses["penalty"], more = self._sometimes_penalise(images, random)
            gradients = [one + other for one, other in zip(gradients, more)]
        self.discriminator_optimizer.apply(gradients, self.discriminator.trainable_variables)
        return d_losses

    def _divergence(self, real: Mapping[str, Any], fake: Mapping[str, Any]) -> dict[str, Any]:
        """What D minimises of its judgements of real and generated images, both scales with the same weight."""
        if self.config.dual_contrast_loss:
            return {"real_fake": sum(self._contrast(real[scale], fake[scale]) for scale in SCALES)}
        return {
            "real": sum(losses.hinge_real(-real[scale]) for scale in SCALES),
            "fake": sum(losses.hinge_fake(-fake[scale]) for scale in SCALES),
        }

    @staticmethod
    def _contrast(ones: Any, others: Any) -> Any:
        """The contrast of the whole batch, the images of all replicas with each other."""
        return losses.dual_contrastive(engine.all_gather(ones), engine.all_gather(others))

    def _sometimes_penalise(self, images: Any, random: engine.RandomStream) -> tuple[Any, list[Any]]:
        """In every fourth step the penalty and its gradients, else zeros.

        On TensorFlow's CPU the gradients' last bits differ between calls with equal values: the second derivative of
        linear attention does, of whatever operations it is made. Without the penalty a run is exact.
        """
        variables = self.discriminator.trainable_variables
        unit = to_unit(self._mirrored(images, random))  # the penalty is of the slope before augmentation

        def penalise() -> tuple[Any, list[Any]]:
            penalty, pull = engine.vjp(lambda: self._penalty(unit, random), variables)
            gradients, _ = pull(cotangents({"penalty": penalty}, self.discriminator_optimizer)["penalty"])
            return penalty, gradients

        def skip() -> tuple[Any, list[Any]]:
            return ops.zeros(()), [ops.zeros(variable.shape, variable.dtype) for variable in variables]

        return ops.cond(random.step % PENALTY_EVERY == 0, penalise, skip)

    def _penalty(self, unit: Any, random: engine.RandomStream) -> Any:
        """weight * mean((|d(sum of an image's logits) / d(image in 0..1)| - 1)^2)."""

        def judged(unit: Any) -> Any:
            seen = self.discriminator(self._augment(from_unit(unit), random.fold("augment real")), training=True)
            return sum(ops.sum(seen[scale]) for scale in SCALES)

        total, pull = engine.vjp(judged, (), [unit])
        # Scaled on its way through a network that may compute in float16.
        scale = self.discriminator_optimizer.scale_loss(ops.ones_like(total))
        _, (slope,) = pull(scale)
        squares = ops.sum(ops.square(slope / scale), (1, 2, 3))  # (B,)
        length = ops.sqrt(ops.maximum(squares, 1e-24))  # the root has no gradient at 0
        return self.config.gradient_penalty * ops.mean(ops.square(length - 1.0))

    def _update_generator(
        self, images: Any, fakes: Any, pull_generator: Any, random: engine.RandomStream
    ) -> dict[str, Any]:
        def fool(fakes: Any) -> dict[str, Any]:
            fake = self.discriminator(fakes, training=True)
            if not self.config.dual_contrast_loss:
                return {"generator": sum(losses.hinge_generator(-fake[scale]) for scale in SCALES)}
            real = self.discriminator(self.prepare_real(images, random), training=True)
            return {"generator": sum(self._contrast(fake[scale], real[scale]) for scale in SCALES)}

        g_losses, pull_fakes = engine.vjp(fool, (), [fakes])
        _, (d_fakes,) = pull_fakes(cotangents(g_losses, self.generator_optimizer))
        gradients, _ = pull_generator(d_fakes)
        self.generator_optimizer.apply(gradients, self.generator.trainable_variables)
        return g_losses

    def generate(self, seeds: Iterable[int]) -> Iterator[np.ndarray]:
        return generate_images(self.averaged, seeds)

    def previews(self, real: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Samples, and what the discriminator decodes below its targets; the part is the top left quarter."""
        images = pixels.to_model(real[0])
        seen = self.discriminator(images, reconstruct=True, training=False)
        rows = [row for key in self.discriminator.decoders for row in (decoder_target(images, key), seen[key])]
        pictures = np.concatenate([ops.convert_to_numpy(pixels.to_uint8(row)) for row in rows])
        return {**super().previews(real), "reconstructions": make_grid(pictures, columns=len(real[0]))}
