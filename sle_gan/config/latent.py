"""The settings that all GANs with one generator of latents and one discriminator share."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sle_gan.config.base import DATA, TRAINING, TrainConfig, check, flag, option
from sle_gan.data.labels import AUTO, NONE


@dataclass(frozen=True)
class LatentConfig(TrainConfig):
    """Settings of a `sle_gan.gans.latent.LatentGAN`; each GAN's own class adds to them."""

    lecam: float = option(
        0.0,
        "weight of LeCam, which keeps the discriminator's logits near their averages: 0.1 to 0.3 with a hinge loss",
        group=TRAINING,
    )

    mix_in: str | None = option(
        None,
        "a second source of pictures, such as photos beside few paintings: the discriminator takes them for real too",
        metavar="PATH",
        group=DATA,
    )
    mix_in_share: float = option(
        0.3, "with --mix-in: their share of a batch at the first step, from which it falls", group=DATA
    )
    mix_in_steps: int = option(5000, "with --mix-in: steps in which their share falls to 0, linearly", group=DATA)

    @property
    def further_sources(self) -> dict[str, str]:
        return {**super().further_sources, **({"--mix-in": self.mix_in} if self.mix_in else {})}

    def validated(self) -> LatentConfig:
        super().validated()
        check(math.isfinite(self.lecam) and self.lecam >= 0, "--lecam", self.lecam, "a number of at least 0")
        check(0 < self.mix_in_share <= 1, "--mix-in-share", self.mix_in_share, "more than 0 and at most 1")
        check(self.mix_in_steps >= 1, "--mix-in-steps", self.mix_in_steps, "at least 1")
        for name in ("mix_in_share", "mix_in_steps"):
            value = getattr(self, name)
            given = value != getattr(LatentConfig, name)
            check(bool(self.mix_in) or not given, flag(name), value, "--mix-in beside it, whose pictures it is about")
        unlabelled = not self.mix_in or self.labels in (NONE, AUTO)
        check(unlabelled, "--labels", self.labels, "no --mix-in beside it: its pictures would have no class")
        return self
