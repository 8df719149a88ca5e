"""Lightweight GAN: the networks, their optimizers and one train step, with the losses of huggan's published code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from sle_gan import engine, losses
from sle_gan.config import CHANNELS
from sle_gan.gans.base import DiscriminatorLosses, LogNames
from sle_gan.gans.latent import LatentGAN, LossPart
from sle_gan.gans.lightweight.config import LightweightConfig
from sle_gan.gans.lightweight.layers import from_unit, to_unit
from sle_gan.gans.lightweight.networks import LightweightDiscriminator, LightweightGenerator, decoder_target
from sle_gan.gans.optimizers import cotangents
from sle_gan.gans.overfitting import LECAM, LECAM_LOGS, OVERFITTING, OVERFITTING_LOGS
from sle_gan.pictures import make_grid, pixels

SCALES = ("logits", "small_logits")
PENALTY_EVERY = 4  # steps


class LightweightGAN(LatentGAN):
    """Generator, discriminator and averaged generator; hinge or dual contrastive, penalty and reconstruction losses.

    With the hinge loss the discriminator's logits are low for real images and high for generated ones, as in the
    published code, so that its weights go on. With the dual contrastive loss it is the other way round, there and here.

    Args:
        config: validated settings.
    """

    config: LightweightConfig
    period: ClassVar[int] = PENALTY_EVERY
    totals: ClassVar[LogNames] = {**LatentGAN.totals, "rec": ("reconstruct",)}
    panels: ClassVar[LogNames] = {
        "gradient penalty": ("penalty",),  # of another order than the rest
        LECAM: LECAM_LOGS,
        "reconstruction losses": ("reconstruct",),
        OVERFITTING: OVERFITTING_LOGS,
    }

    def __init__(self, config: LightweightConfig):
        size: dict[str, Any] = {
            "channels": CHANNELS[config.channels],
            "fmap_max": config.fmap_max,
            "fmap_inverse_coef": config.fmap_inverse_coef,
            "attn_res_layers": config.attention_sides,
            "antialias": config.antialias,
        }
        generator = {"latent": config.latent, "freq_chan_attn": config.freq_chan_attn, **size}
        super().__init__(
            config,
            lambda name: LightweightGenerator(config.resolution, name=name, **generator),
            lambda: LightweightDiscriminator(config.resolution, disc_output_size=config.disc_output_size, **size),
            beta_2=0.9,
        )

    def generate_fakes(self, batch_size: int, random: engine.RandomStream) -> list[Any]:
        fakes = self.generator(self.draw_latents(batch_size, random), training=True)
        return self.augment([fakes], random.fold("augment fake"))

    def prepare_real(self, images: Any, random: engine.RandomStream) -> Any:
        return self.augment([self.mirror(images, random)], random.fold("augment real"))[0]

    def discriminator_losses(self) -> Sequence[LossPart]:
        return (self._losses,)  # the dual contrastive loss compares real images with generated ones

    def _losses(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> DiscriminatorLosses:
        real = self.prepare_real(images, random)
        quadrant = keras.random.randint((), 0, 4, seed=random.shared("quadrant"))
        offset = (quadrant // 2 * 8, quadrant % 2 * 8)  # row and column of one of four quarters of the 16x16 map
        seen = self.discriminator(real, reconstruct=True, part_offset=offset, training=True)
        found = self._divergence(seen, self.discriminator(*fakes, training=True))
        reconstructions = {
            f"reconstruct_{key}": losses.mse(to_unit(seen[key]), to_unit(decoder_target(real, key, offset)))
            for key in self.discriminator.decoders
        }
        return found._replace(losses={**found.losses, **reconstructions})

    def _divergence(self, real: Mapping[str, Any], fake: Mapping[str, Any]) -> DiscriminatorLosses:
        """What D minimises of its logits of real and generated images, both scales with the same weight."""
        if self.config.dual_contrast_loss:
            # Differences of logits are all that it sees: a single logit, or its sign, means nothing.
            return DiscriminatorLosses({"real_fake": sum(self._contrast(real[scale], fake[scale]) for scale in SCALES)})
        reals, fakes = ([-seen[scale] for scale in SCALES] for seen in (real, fake))
        d_losses = {
            "real": sum(losses.hinge_real(logits) for logits in reals),
            "fake": sum(losses.hinge_fake(logits) for logits in fakes),
        }
        return DiscriminatorLosses(d_losses, reals, fakes)

    @staticmethod
    def _contrast(ones: Any, others: Any) -> Any:
        """The contrast of the whole batch, the images of all replicas with each other."""
        return losses.dual_contrastive(engine.all_gather(ones), engine.all_gather(others))

    def _penalty_and_gradients(self, images: Any, random: engine.RandomStream) -> tuple[dict[str, Any], list[Any]]:
        """In every fourth step the gradient penalty and its gradients, else zeros.

        On TensorFlow's CPU the gradients' last bits differ between calls with equal values: the second derivative of
        linear attention does, of whatever operations it is made. Without the penalty a run is exact.
        """
        if not self.config.gradient_penalty:
            return {}, []
        variables = self.discriminator.trainable_variables
        unit = to_unit(self.mirror(images, random))  # the penalty is of the slope before augmentation

        def penalise() -> tuple[Any, list[Any]]:
            penalty, pull = engine.vjp(lambda: self._penalty(unit, random), variables)
            gradients, _ = pull(cotangents({"penalty": penalty}, self.discriminator_optimizer)["penalty"])
            return penalty, gradients

        def skip() -> tuple[Any, list[Any]]:
            return ops.zeros(()), [ops.zeros(variable.shape, variable.dtype) for variable in variables]

        penalty, gradients = ops.cond(random.step % PENALTY_EVERY == 0, penalise, skip)
        return {"penalty": penalty}, gradients

    def _penalty(self, unit: Any, random: engine.RandomStream) -> Any:
        """weight * mean((|d(sum of an image's logits) / d(image in 0..1)| - 1)^2)."""

        def summed_logits(unit: Any) -> Any:
            seen = self.discriminator(*self.augment([from_unit(unit)], random.fold("augment real")), training=True)
            return sum(ops.sum(seen[scale]) for scale in SCALES)

        total, pull = engine.vjp(summed_logits, (), [unit])
        # Scaled on its way through a network that may compute in float16.
        scale = self.discriminator_optimizer.scale_loss(ops.ones_like(total))
        _, (slope,) = pull(scale)
        squares = ops.sum(ops.square(slope / scale), (1, 2, 3))  # (B,)
        length = ops.sqrt(ops.maximum(squares, 1e-24))  # the root has no gradient at 0
        return self.config.gradient_penalty * ops.mean(ops.square(length - 1.0))

    def generator_losses(self, images: Any, fakes: list[Any], random: engine.RandomStream) -> dict[str, Any]:
        fake = self.discriminator(*fakes, training=True)
        if not self.config.dual_contrast_loss:
            return {"generator": sum(losses.hinge_generator(-fake[scale]) for scale in SCALES)}
        real = self.discriminator(self.prepare_real(images, random), training=True)
        return {"generator": sum(self._contrast(fake[scale], real[scale]) for scale in SCALES)}

    def previews(self, real: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Samples, and what the discriminator decodes below its targets; the part is the top left quarter."""
        images = pixels.to_model(real[0])
        seen = self.discriminator(images, reconstruct=True, training=False)
        rows = [row for key in self.discriminator.decoders for row in (decoder_target(images, key), seen[key])]
        pictures = np.concatenate([ops.convert_to_numpy(pixels.to_uint8(row)) for row in rows])
        return {**super().previews(real), "reconstructions": make_grid(pictures, columns=len(real[0]))}
