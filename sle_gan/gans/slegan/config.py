"""The settings of SLE-GAN."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from sle_gan.config.base import AUGMENTATION, NETWORKS, TRAINING, check, option
from sle_gan.config.latent import LatentConfig
from sle_gan.shapes import SQUARE, checked_aspect, picture_shape


@dataclass(frozen=True)
class SLEGANConfig(LatentConfig):
    """Settings of an SLE-GAN's training, frozen; each has a default.

    Args:
        data_folder: folder with the pictures; the one setting that a run must be given.
        resolution: shorter side of the images in pixels: 64, 128, 256, 512 or 1024.
        width, latent, ...: every flag of `sle-gan train --help` is a field, with `_` for `-`.

    Raises:
        UserError: `validated()` does, for the first setting that is out of its range; it returns the config.

    Example:
        >>> import sle_gan
        >>> config = sle_gan.SLEGANConfig(data_folder="flowers", resolution=256, batch_size=16).validated()
        >>> config.total_steps(image_count=400), str(config.run_folder)
        (50000, 'runs/experiment')
    """

    model: ClassVar[str] = "slegan"
    title: ClassVar[str] = "SLE-GAN: new pictures from a hundred to a few thousand"
    method: ClassVar[str] = "SLE-GAN, also known as FastGAN ([arXiv 2101.04775](https://arxiv.org/abs/2101.04775))"
    resolutions: ClassVar[tuple[int, ...]] = (64, 128, 256, 512, 1024)
    has_classes: ClassVar[bool] = True

    aspect: str = option(
        SQUARE,
        "shape of the images, width to height, such as 3:2 or 2:3; the shorter side is --resolution, the longer one "
        "the nearest multiple of a quarter of it",
        metavar="W:H",
        group=NETWORKS,
        fixed=True,
    )
    width: int = option(
        64, "ngf and ndf, the networks' base number of channels: a multiple of 8", group=NETWORKS, fixed=True
    )
    latent: int = option(256, "length of a latent vector", group=NETWORKS, fixed=True)
    tanh: bool = option(
        True, "end the generator in a tanh; FastGAN's has none at 256 and 512 pixels", group=NETWORKS, fixed=True
    )
    generator_weights: str | None = option(
        None,
        "start the generator from an .h5 export or a FastGAN .pth",
        metavar="FILE",
        group=NETWORKS,
        fixed=True,
    )
    discriminator_weights: str | None = option(
        None,
        "start the discriminator from an .h5 export or a FastGAN .pth",
        metavar="FILE",
        group=NETWORKS,
        fixed=True,
    )
    reconstruction_loss: Literal["l1", "mse", "perceptual"] = option(
        "l1", "what the discriminator's decoders minimise; perceptual downloads VGG16", group=TRAINING
    )
    perceptual_weights: str | None = option(
        None,
        "VGG16 weights for --reconstruction-loss perceptual, instead of a download",
        metavar="FILE",
        group=TRAINING,
    )
    diff_augment: bool = option(
        True, "augment all that the discriminator sees, differentiably (DiffAugment)", group=AUGMENTATION
    )
    augment_policy: str = option(
        "color,translation",
        "what DiffAugment does, separated by commas; cutout can be added",
        metavar="POLICY",
        group=AUGMENTATION,
    )
    crop: Literal["center", "random"] = option(
        "center", "which part of the image the part decoder redraws", group=TRAINING
    )

    @property
    def discriminator_width(self) -> int:
        """The discriminator's base number of channels, ndf."""
        return self.width

    @property
    def picture_shape(self) -> tuple[int, int]:
        return picture_shape(self.resolution, self.aspect)

    def validated(self) -> SLEGANConfig:
        super().validated()
        checked_aspect(self.aspect)
        check(self.width >= 8 and self.width % 8 == 0, "--width", self.width, "a multiple of 8")
        check(self.latent >= 1, "--latent", self.latent, "at least 1")
        check(
            self.reconstruction_loss != "perceptual" or self.channels == "rgb",
            "--channels",
            self.channels,
            "rgb with --reconstruction-loss perceptual, whose VGG16 sees in colour",
        )
        return self
