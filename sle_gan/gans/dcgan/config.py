"""The settings of a DCGAN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from sle_gan.config.base import AUGMENTATION, NETWORKS, TRAINING, check, flag, option
from sle_gan.config.latent import LatentConfig


@dataclass(frozen=True)
class DCGANConfig(LatentConfig):
    """Settings of a DCGAN's training; the defaults are those of PyTorch's DCGAN tutorial, flips and average aside.

    Args:
        data_folder: folder with the pictures; the one setting that a run must be given.
        resolution: side of the images in pixels: 32, 64 or 128.
        width, latent, ...: every flag of `sle-gan train --model dcgan --help` is a field, with `_` for `-`.

    Raises:
        UserError: `validated()` does, for the first setting that is out of its range; it returns the config.

    Example:
        >>> import sle_gan
        >>> config = sle_gan.DCGANConfig(data_folder="punks", channels="grey", rotation=15.0).validated()
        >>> config.resolution, config.variations["rotation"]
        (64, 15.0)
    """

    model: ClassVar[str] = "dcgan"
    title: ClassVar[str] = "DCGAN: small and fast, up to 128 pixels, for transfer from a large set to a small one"
    method: ClassVar[str] = "DCGAN ([arXiv 1511.06434](https://arxiv.org/abs/1511.06434))"
    resolutions: ClassVar[tuple[int, ...]] = (32, 64, 128)

    resolution: int = option(64, "side of the images in pixels: 32, 64 or 128", group=NETWORKS, fixed=True)
    width: int = option(64, "ngf and ndf, channels of the map next to the image", group=NETWORKS, fixed=True)
    latent: int = option(100, "length of a latent vector", group=NETWORKS, fixed=True)
    batch_size: int = option(128, "images per step, over all devices", group=TRAINING)
    drop_last: bool = option(
        True,
        "leave out what a pass over the pictures has left after its last whole batch, so that no batch has one twice",
        group=TRAINING,
    )
    label_smoothing: float = option(
        0.0, "how far the discriminator's targets are from 0 and 1, e.g. 0.1", group=TRAINING
    )
    label_smoothing_sides: Literal["one", "two"] = option(
        "one", "one: smooth the targets of real pictures; two: those of generated ones also", group=TRAINING
    )
    instance_noise: float = option(
        0.0, "deviation of the noise on all that the discriminator sees, where black to white is 2", group=TRAINING
    )
    instance_noise_steps: int = option(5000, "steps in which --instance-noise falls to 0, linearly", group=TRAINING)
    rotation: float = option(0.0, "turn real pictures by up to this many degrees, e.g. 15", group=AUGMENTATION)
    shear: float = option(0.0, "tilt real pictures by up to this many degrees, e.g. 5", group=AUGMENTATION)
    zoom: float = option(
        1.0, "cut real pictures to at least this share of their side, e.g. 0.8: 80 to 100 %", group=AUGMENTATION
    )
    brightness: float = option(
        0.0, "shift real pictures by up to this share of black to white, e.g. 0.1", group=AUGMENTATION
    )
    contrast: float = option(
        0.0, "change the contrast of real pictures by up to this share, e.g. 0.2: 80 to 120 %", group=AUGMENTATION
    )

    def validated(self) -> DCGANConfig:
        super().validated()
        for field in ("width", "latent", "instance_noise_steps"):
            value = getattr(self, field)
            check(value >= 1, flag(field), value, "at least 1")
        ranges = {
            "label_smoothing": (0.0, 0.49),
            "instance_noise": (0.0, math.inf),
            "rotation": (0.0, 180.0),
            "shear": (0.0, 45.0),
            "zoom": (0.1, 1.0),
            "brightness": (0.0, 1.0),
            "contrast": (0.0, 1.0),
        }
        for field, (low, high) in ranges.items():
            value = getattr(self, field)
            expected = f"from {low:g} to {high:g}" if high < math.inf else f"a number of at least {low:g}"
            check(low <= value <= high and math.isfinite(value), flag(field), value, expected)
        return self

    @property
    def variations(self) -> dict[str, float]:
        """The image-level augmentation, as `sle_gan.augment.vary` takes it."""
        return {name: getattr(self, name) for name in ("rotation", "shear", "zoom", "brightness", "contrast")}
