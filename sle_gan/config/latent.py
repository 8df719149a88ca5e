"""The settings that all GANs with one generator of latents and one discriminator share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sle_gan.config.base import TRAINING, TrainConfig, check, option


@dataclass(frozen=True)
class LatentConfig(TrainConfig):
    """Settings of a `sle_gan.gans.latent.LatentGAN`; each GAN's own class adds to them."""

    lecam: float = option(
        0.0,
        "weight of LeCam, which keeps the discriminator's logits near their averages: 0.1 to 0.3 with a hinge loss",
        group=TRAINING,
    )

    def validated(self) -> LatentConfig:
        super().validated()
        check(math.isfinite(self.lecam) and self.lecam >= 0, "--lecam", self.lecam, "a number of at least 0")
        return self
