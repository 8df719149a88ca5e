"""The settings of a lightweight GAN; those of the networks have the names that the published code gave them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from sle_gan.config.base import AUGMENTATION, NETWORKS, TRAINING, check, option
from sle_gan.config.latent import LatentConfig
from sle_gan.errors import UserError


@dataclass(frozen=True)
class LightweightConfig(LatentConfig):
    """Settings of a lightweight GAN's training; networks, losses and Adam as huggan's command has them by default.

    Args:
        data_folder: folder with the pictures; the one setting that a run must be given.
        resolution: side of the images in pixels: a power of two, 32 to 1024.
        fmap_max, latent, ...: every flag of `sle-gan train --model lightweight --help` is a field, with `_` for `-`.

    Raises:
        UserError: `validated()` does, for the first setting that is out of its range; it returns the config.

    Example:
        >>> import sle_gan
        >>> config = sle_gan.LightweightConfig(data_folder="butterflies", attn_res_layers="32,64").validated()
        >>> config.attention_sides
        (32, 64)
    """

    model: ClassVar[str] = "lightweight"
    title: ClassVar[str] = "lightweight GAN: huggan's relative of SLE-GAN, with attention; starts from its model.pt"
    method: ClassVar[str] = (
        "lightweight GAN, a relative of SLE-GAN ([arXiv 2101.04775](https://arxiv.org/abs/2101.04775))"
    )
    resolutions: ClassVar[tuple[int, ...]] = (32, 64, 128, 256, 512, 1024)

    resolution: int = option(
        256, "side of the images in pixels, a power of two: 32 to 1024", group=NETWORKS, fixed=True
    )
    latent: int = option(256, "length of a latent vector", group=NETWORKS, fixed=True)
    fmap_max: int = option(512, "most channels of a map: a multiple of 8", group=NETWORKS, fixed=True)
    fmap_inverse_coef: int = option(
        12,
        "C: the map that is s pixels wide has 2^(C + 1) / s channels in the generator, 2^C / s in the discriminator",
        group=NETWORKS,
        fixed=True,
    )
    attn_res_layers: str = option(
        "32",
        "sides of the maps with attention, separated by commas; '' for none",
        metavar="SIDES",
        group=NETWORKS,
        fixed=True,
    )
    freq_chan_attn: bool = option(
        False, "scale high maps by cosine coefficients of low ones, not by a global context", group=NETWORKS, fixed=True
    )
    antialias: bool = option(False, "blur after upsampling and before downsampling", group=NETWORKS, fixed=True)
    disc_output_size: int = option(
        1, "5: the discriminator judges 5x5 parts of an image; 1: the whole", group=NETWORKS, fixed=True
    )
    dual_contrast_loss: bool = option(
        False, "contrast each image with all of the other kind, instead of the hinge loss", group=TRAINING
    )
    gradient_penalty: float = option(
        10.0, "weight of keeping the discriminator's slope at 1, in every 4th step; 0 for none", group=TRAINING
    )
    # There: 0.995 in every 10th step.
    ema_decay: float = option(
        0.9995, "decay per step of the averaged generator, from which samples are made", group=TRAINING
    )
    augment_policy: str = option(
        "translation,cutout",
        "what --diff-augment does, separated by commas",
        metavar="POLICY",
        group=AUGMENTATION,
    )

    def validated(self) -> LightweightConfig:
        super().validated()
        check(self.latent >= 1, "--latent", self.latent, "at least 1")
        check(self.fmap_max >= 8 and self.fmap_max % 8 == 0, "--fmap-max", self.fmap_max, "a multiple of 8")
        check(8 <= self.fmap_inverse_coef <= 20, "--fmap-inverse-coef", self.fmap_inverse_coef, "from 8 to 20")
        allowed = [2**i for i in range(2, self.resolution.bit_length())]
        for side in self.attention_sides:
            check(side in allowed, "--attn-res-layers", self.attn_res_layers, f"some of {','.join(map(str, allowed))}")
        check(self.disc_output_size in (1, 5), "--disc-output-size", self.disc_output_size, "1 or 5")
        if self.dual_contrast_loss and self.disc_output_size != 1:
            raise UserError(
                f"--dual-contrast-loss contrasts whole images, and --disc-output-size is {self.disc_output_size}; "
                "give --disc-output-size 1 or leave --dual-contrast-loss out"
            )
        for name, value, off in (
            ("--augment-probability", self.augment_probability, self.augment_probability != "auto"),
            ("--lecam", self.lecam, not self.lecam),
        ):
            if self.dual_contrast_loss and not off:
                raise UserError(
                    f"{name} {value} needs logits that mean something by themselves, and under --dual-contrast-loss "
                    "only their differences do; leave one of the two out"
                )
        weight = self.gradient_penalty
        check(math.isfinite(weight) and weight >= 0, "--gradient-penalty", weight, "a number of at least 0")
        return self

    @property
    def attention_sides(self) -> tuple[int, ...]:
        """`attn_res_layers` as numbers."""
        try:
            return tuple(int(side) for side in self.attn_res_layers.split(",") if side.strip())
        except ValueError:
            raise UserError(
                f"--attn-res-layers is {self.attn_res_layers}; expected sides of maps such as 32,64"
            ) from None
