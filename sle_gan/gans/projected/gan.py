"""SLE-GAN's generator with two discriminators: SLE-GAN's own, and heads on a frozen network (arXiv 2111.01007).

With the heads the content of the pictures is right after hundreds of steps, but with the heads alone their variety is
low; SLE-GAN's discriminator, with its decoders, preserves it. `--judges` says which of the two there are; the heads
always are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from sle_gan import engine, losses
from sle_gan.errors import UserError
from sle_gan.features import FeatureMaps, load_maps
from sle_gan.gans.base import DiscriminatorLosses, LogNames, Phase
from sle_gan.gans.latent import LatentGAN, LossPart
from sle_gan.gans.optimizers import compute_precision, make_adam
from sle_gan.gans.overfitting import LeCam
from sle_gan.gans.projected.config import ProjectedConfig
from sle_gan.gans.projected.networks import ProjectedDiscriminator, Projection, resize
from sle_gan.gans.slegan.gan import SLEGAN, perceptual_features
from sle_gan.models.layers import constant_singular_vectors
from sle_gan.models.network import Network
from sle_gan.pictures.pixels import to_rgb
from sle_gan.shapes import picture_shape

# What SLE-GAN's discriminator is called with: the images at two scales. The heads' maps follow them.
SCALES = 2


class ProjectedGAN(SLEGAN):
    """Generator, averaged generator, and one discriminator or two.

    Args:
        config: validated settings.
        features: the frozen network; made in the precision in which the GAN computes.
        perceptual: for the perceptual reconstruction loss, images -> feature maps.
    """

    config: ProjectedConfig
    totals: ClassVar[LogNames] = {
        **SLEGAN.totals,
        "heads G": ("projected_generator",),
        "heads D": ("projected_real", "projected_fake"),
    }
    panels: ClassVar[LogNames] = {"losses of the projected judge": ("projected_",), **SLEGAN.panels}

    def __init__(self, config: ProjectedConfig, features: FeatureMaps, perceptual: losses.Features | None = None):
        self.features = features
        self.projection = Projection.draw(features.channels, config.head_width, config.seed)
        self.own = "own" in config.judge_names
        super().__init__(config, perceptual)
        self.heads, self.heads_optimizer = self.discriminator, self.discriminator_optimizer
        if self.own:
            with compute_precision(config):
                self.heads = self._make_heads()
            self.heads_optimizer = make_adam(config, config.D_learning_rate, self.heads, "heads_adam", 0.0, 0.99)
            self._lecams["heads"] = LeCam(config.lecam, "lecam_heads")

    @classmethod
    def create(cls, config: Any) -> ProjectedGAN:
        try:
            with compute_precision(config):
                features = load_maps(config.feature_network, config.feature_weights)
        except UserError as error:
            raise UserError(f"--feature-network {config.feature_network}, --feature-weights: {error}") from error
        return cls(config, features, perceptual_features(config))

    def _make_discriminator(self) -> Network:
        return super()._make_discriminator() if self.own else self._make_heads("discriminator")

    def _make_heads(self, name: str = "heads") -> ProjectedDiscriminator:
        config = self.config
        return ProjectedDiscriminator(
            config.feature_resolution, self.projection.widths, config.head_width, config.class_count, name=name
        )

    @property
    def constants(self) -> dict[str, str]:
        return {"features": self.features.version}

    @property
    def networks(self) -> dict[str, Network]:
        return {**super().networks, **({"heads": self.heads} if self.own else {})}

    @property
    def optimizers(self) -> dict[str, Any]:
        return {**super().optimizers, **({"heads": self.heads_optimizer} if self.own else {})}

    @property
    def exports(self) -> dict[str, Network]:
        return {**super().exports, **({"heads_weights.h5": self.heads} if self.own else {})}

    @property
    def phases(self) -> Sequence[Phase]:
        of_discriminator, of_generator = super().phases
        if self.own:
            of_discriminator = of_discriminator._replace(updates=("discriminator", "heads"))
        return of_discriminator, of_generator

    def look(self, images: Any) -> list[Any]:
        """What the heads see of images (B, H, W, C) in (-1, 1): maps of four sizes."""
        images = resize(to_rgb(images), *picture_shape(self.config.feature_resolution, self.config.aspect))
        return self.projection(self.features(images))

    def generate_fakes(self, batch_size: int, random: engine.RandomStream, labels: Any = None) -> list[Any]:
        """Images at both scales, and the maps that the heads see of them."""
        scales = super().generate_fakes(batch_size, random, labels)
        return [*scales, *self.look(scales[0])]

    def discriminator_losses(self) -> Sequence[LossPart]:
        return super().discriminator_losses() if self.own else self._head_losses()

    def _head_losses(self) -> Sequence[LossPart]:
        return self._real_head_losses, self._fake_head_losses

    def _train_discriminator(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, *labels: Any
    ) -> DiscriminatorLosses:
        found = super()._train_discriminator(images, fakes, random, *labels)
        if self.own:
            parts = self._head_losses()
            more, gradients = self._discriminator_gradients("heads", parts, images, fakes, random, *labels)
            self.heads_optimizer.apply(gradients, self.heads.trainable_variables)
            found = found.joined(more)
        return found

    def fake_losses(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, labels: Any = None
    ) -> DiscriminatorLosses:
        return super().fake_losses(images, fakes[:SCALES], random, labels)

    def _real_head_losses(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, labels: Any = None
    ) -> DiscriminatorLosses:
        del fakes
        logits = self._head_logits(self.look(self.prepare_real(images, random)), labels)
        return DiscriminatorLosses({"projected_real": losses.hinge_real(logits)}, real=[logits])

    def _fake_head_losses(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, labels: Any = None
    ) -> DiscriminatorLosses:
        del images, random
        logits = self._head_logits(fakes[SCALES:], labels)
        return DiscriminatorLosses({"projected_fake": losses.hinge_fake(logits)}, fake=[logits])

    def _head_logits(self, maps: list[Any], labels: Any = None) -> Any:
        with constant_singular_vectors():
            return self.heads(*maps, labels=labels, training=True)

    def generator_losses(
        self, images: Any, fakes: list[Any], random: engine.RandomStream, labels: Any = None
    ) -> dict[str, Any]:
        found = {"projected_generator": losses.hinge_generator(self._head_logits(fakes[SCALES:], labels))}
        weights = {"projected_generator": self.config.projected_weight, "generator": self.config.own_weight}
        if self.own:
            found = {**super().generator_losses(images, fakes[:SCALES], random, labels), **found}
        return {name: weights[name] * loss for name, loss in found.items()}

    def previews(self, real: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return super().previews(real) if self.own else LatentGAN.previews(self, real)
