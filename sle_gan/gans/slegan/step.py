"""One training step of SLE-GAN, top to bottom: what is drawn, what D and G minimise, in which order they are updated.

Sections are those of the paper (arXiv 2101.04775); "code" is its authors' released code. The gradients of D's losses
are taken part by part, and an accumulated batch runs D's half for all its parts before G's: see `LatentGAN`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from sle_gan import engine, losses
from sle_gan.gans.base import DiscriminatorLosses
from sle_gan.gans.latent import LatentGAN, LossPart
from sle_gan.gans.slegan.config import SLEGANConfig
from sle_gan.gans.slegan.discriminator import crop_part
from sle_gan.models.layers import constant_singular_vectors, downsample_nearest


class SLEGANStep(LatentGAN):
    """The step. Its networks, and what else a run asks of the GAN, are `sle_gan.gans.slegan.gan.SLEGAN`'s."""

    config: SLEGANConfig
    reconstruction_loss: Callable[[Any, Any], Any]

    def train_step(self, batch: engine.Batch, random: engine.RandomStream) -> dict[str, Any]:
        images, *labels = batch  # x, uint8 (B, H, W, C), and with --labels the class of each, int32 (B,)
        self.begin_step(random)  # one power iteration for each spectral kernel of D and G (code: spectral_norm)
        fakes, pull_generator = self.differentiable_fakes(images.shape[0], random, *labels)  # G(z), once
        constants = [ops.stop_gradient(fake) for fake in fakes]
        d_losses = self.update_discriminator(images, constants, random, *labels)  # first D, by Adam (code: train_d)
        g_losses = self.update_generator(images, fakes, pull_generator, random, *labels)  # then G, through that D
        self.end_step(random)  # last the average of G (code: avg_param_G)
        return {**g_losses, **d_losses}

    def generate_fakes(self, batch_size: int, random: engine.RandomStream, labels: Any = None) -> list[Any]:
        latents = self.draw_latents(batch_size, random)  # z from N(0, 1) (code)
        noise = self.generator.sample_noise(batch_size, random.fold("noise"))  # injected in the longer blocks (code)
        with constant_singular_vectors():
            # G(z) at two sizes (3.1)
            scales = self.generator(latents, noise=noise, both_scales=True, labels=labels, training=True)
        return self.augment(list(scales), random.fold("augment fake"))  # DiffAugment (code: DiffAugment)

    def prepare_real(self, images: Any, random: engine.RandomStream) -> Any:
        return self.augment([self.mirror(images, random)], random.fold("augment real"))[0]  # as the fakes (code)

    def discriminator_losses(self) -> Sequence[LossPart]:
        return self.real_losses, self.fake_losses  # D minimises their sum (3.2)

    def real_losses(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, labels: Any = None
    ) -> DiscriminatorLosses:
        del fakes
        real = self.prepare_real(images, random)
        offset: Any = self.discriminator.centre  # which 8x8 of the 16x16 map the part decoder redraws: the middle
        if self.config.crop == "random":
            offset = self.random_offset(random.fold("crop"))  # anywhere (3.2)
        with constant_singular_vectors():
            seen = self.discriminator(real, reconstruct=True, part_offset=offset, labels=labels, training=True)
        targets = {"full": real, "small": real, "part": crop_part(real, offset)}  # I and I_part (3.2)
        size = self.discriminator.small_resolution
        margins = self.margins(images, random.fold("real"))
        hinge = {"real": losses.hinge_real(seen["logits"], margins)}  # max(0, m - D(x)) (3.2)
        reconstructions = {
            f"reconstruct_{key}": self.reconstruction_loss(seen[key], downsample_nearest(target, size))
            for key, target in targets.items()  # L_recons (3.2)
        }
        return DiscriminatorLosses({**hinge, **reconstructions}, real=[seen["logits"]])

    def fake_losses(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, labels: Any = None
    ) -> DiscriminatorLosses:
        with constant_singular_vectors():
            logits = self.discriminator(*fakes, labels=labels, training=True)
        loss = losses.hinge_fake(logits, self.margins(images, random.fold("fake")))  # max(0, m + D(G(z))) (3.2)
        return DiscriminatorLosses({"fake": loss}, fake=[logits])

    def random_offset(self, seed: engine.RandomStream) -> Any:
        rows, columns = (2 * middle + 1 for middle in self.discriminator.centre)  # 9 and 9 for squares
        if rows == columns:
            return ops.unstack(keras.random.randint((2,), 0, rows, seed=seed))
        drawn = ops.unstack(keras.random.randint((2,), 0, rows * columns, seed=seed))
        return [ops.mod(number, count) for number, count in zip(drawn, (rows, columns))]

    def margins(self, images: Any, seed: engine.RandomStream) -> Any:
        shape = (images.shape[0], self.discriminator.logit_count)
        return losses.random_margins(shape, seed)  # m from U(0.8, 1), not 1 (code: train_d)

    def generator_losses(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, labels: Any = None
    ) -> dict[str, Any]:
        del images, random
        with constant_singular_vectors():
            logits = self.discriminator(*fakes, labels=labels, training=True)
        return {"generator": losses.hinge_generator(logits)}  # -D(G(z)) (3.2)
