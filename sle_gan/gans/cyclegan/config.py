"""The settings of CycleGAN."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from sle_gan.config.base import DATA, NETWORKS, QUALITY, TRAINING, TrainConfig, check, flag, option

DEFAULT_EPOCHS = 200
_WEIGHTS = "an .h5 export, or a PyTorch file or folder of huggan's layout"


@dataclass(frozen=True)
class CycleGANConfig(TrainConfig):
    """Settings of a CycleGAN's training, from the pictures of one folder to those of another and back.

    Args:
        data_folder: folder with the pictures of domain A.
        target_folder: folder with the pictures of domain B; a run must be given both.
        resolution: side of the images in pixels while training: 64, 128, 256 or 512.
        width, blocks, ...: every flag of `sle-gan train --model cyclegan --help` is a field, with `_` for `-`.

    Raises:
        UserError: `validated()` does, for the first setting that is out of its range; it returns the config.

    Example:
        >>> import sle_gan
        >>> config = sle_gan.CycleGANConfig(data_folder="photos", target_folder="thermal").validated()
        >>> config.folders
        {'--data-folder': 'photos', '--target-folder': 'thermal'}
    """

    model: ClassVar[str] = "cyclegan"
    title: ClassVar[str] = "CycleGAN: pictures of one kind into another kind and back, without pairs"
    method: ClassVar[str] = "CycleGAN ([arXiv 1703.10593](https://arxiv.org/abs/1703.10593))"
    resolutions: ClassVar[tuple[int, ...]] = (64, 128, 256, 512)

    data_folder: str = option(
        "", "the pictures of domain A: a folder, an archive or dataset:user/name", metavar="PATH", group=DATA
    )
    target_folder: str = option(
        "", "the pictures of domain B: a folder, an archive or dataset:user/name", metavar="PATH", group=DATA
    )
    resolution: int = option(256, "side of the images in pixels while training", group=NETWORKS, fixed=True)
    width: int = option(64, "the networks' channels at full resolution", group=NETWORKS, fixed=True)
    blocks: int = option(
        9, "residual blocks of a generator; the paper takes 6 at 128 pixels", group=NETWORKS, fixed=True
    )
    generator_AB_weights: str | None = option(
        None, f"start the generator from A to B from {_WEIGHTS}", metavar="PATH", group=NETWORKS, fixed=True
    )
    generator_BA_weights: str | None = option(
        None, f"start the generator from B to A from {_WEIGHTS}", metavar="PATH", group=NETWORKS, fixed=True
    )
    steps: int | None = option(None, "train to this step, instead of --epochs", group=TRAINING)
    epochs: int | None = option(
        None,
        f"train for this many passes over the larger folder (default {DEFAULT_EPOCHS}, unless --steps is given)",
        group=TRAINING,
    )
    decay_epoch: int = option(
        80, "from this epoch on both learning rates fall in a straight line, to zero at the end", group=TRAINING
    )
    beta_1: float = option(0.5, "Adam's decay of the gradients' average", group=TRAINING)
    beta_2: float = option(0.999, "Adam's decay of the squared gradients' average", group=TRAINING)
    gan_loss: Literal["lsgan", "hinge"] = option("lsgan", "least squares or hinge loss of the logits", group=TRAINING)
    cycle_weight: float = option(10.0, "weight of the way there and back, in l1", group=TRAINING)
    identity_weight: float = option(
        5.0, "weight of leaving pictures of the target's kind alone, in l1; 0 for none", group=TRAINING
    )
    pool_size: int = option(
        50, "older translations kept, half of what the discriminators see; 0 for none", group=TRAINING, fixed=True
    )
    ema_decay: float = option(0.0, "not used: the generators are exported as they are", group=TRAINING, hidden=True)

    fid: bool = option(
        False,
        "measure FID and MiFID of A's translations against domain B while training, and keep the best generator",
        group=QUALITY,
    )
    fid_number_of_images: int = option(2048, "translations per measurement, at most one of each picture", group=QUALITY)

    def validated(self) -> CycleGANConfig:
        super().validated()
        for field, minimum in (("width", 1), ("blocks", 1), ("pool_size", 0), ("decay_epoch", 0)):
            value = getattr(self, field)
            check(value >= minimum, flag(field), value, f"at least {minimum}")
        for field in ("cycle_weight", "identity_weight"):
            value = getattr(self, field)
            check(math.isfinite(value) and value >= 0, flag(field), value, "a number of at least 0")
        for field in ("beta_1", "beta_2"):
            value = getattr(self, field)
            check(0 <= value < 1, flag(field), value, "at least 0 and less than 1")
        return self

    @property
    def folders(self) -> dict[str, str]:
        return {"--data-folder": self.data_folder, "--target-folder": self.target_folder}

    def total_steps(self, image_count: int) -> int:
        if self.steps is None and self.epochs is None:
            return dataclasses.replace(self, epochs=DEFAULT_EPOCHS).total_steps(image_count)
        return super().total_steps(image_count)
