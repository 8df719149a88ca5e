"""The settings of the projected GAN."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from sle_gan.config.base import DATA, LABELS, NETWORKS, TRAINING, check, flag, option, suggestion
from sle_gan.errors import UserError
from sle_gan.gans.slegan.config import SLEGANConfig
from sle_gan.shapes import picture_shape

JUDGES = ("own", "projected")
OF_THE_OWN_JUDGE = ("own_weight", "own_width", "projected_weight", "crop", "reconstruction_loss", "perceptual_weights")
# Heads need maps of 64 pixels and more; see models/projected.py.
SMALLEST_FEATURE_RESOLUTION = 128


@dataclass(frozen=True)
class ProjectedConfig(SLEGANConfig):
    """Settings of a SLE-GAN whose generator is judged through a frozen pretrained network too.

    Args:
        data_folder: folder with the pictures; the one setting that a run must be given.
        judges: "own,projected", or "projected" alone.
        feature_network, width, ...: every flag of `sle-gan train --model projected --help` is a field, with `_`
            for `-`; those of `SLEGANConfig` are among them.

    Raises:
        UserError: `validated()` does, for the first setting that is out of its range; it returns the config.

    Example:
        >>> import sle_gan
        >>> config = sle_gan.ProjectedConfig(data_folder="flowers", resolution=256).validated()
        >>> config.judge_names
        ('own', 'projected')
    """

    model: ClassVar[str] = "projected"
    title: ClassVar[str] = "projected: SLE-GAN's generator, judged through a pretrained network too"
    method: ClassVar[str] = (
        "SLE-GAN's generator ([arXiv 2101.04775](https://arxiv.org/abs/2101.04775)), "
        "judged through a pretrained network too ([arXiv 2111.01007](https://arxiv.org/abs/2111.01007))"
    )

    labels: str = option(
        "auto",
        "the pictures' classes, which the networks learn apart: folders, those that the pictures are in; a .csv or "
        ".json file, also one within the data; clusters[:N], groups of like pictures, found by the feature network; "
        "auto: clusters of 180 pictures and more, without --mix-in and --distributed",
        metavar=LABELS,
        group=DATA,
    )
    judges: str = option(
        "own,projected",
        "who judges, separated by commas: own is SLE-GAN's discriminator, projected looks through a pretrained network",
        metavar="JUDGES",
        group=NETWORKS,
        fixed=True,
    )
    own_weight: float = option(1.0, "weight of the own judge in the generator's loss", group=TRAINING)
    own_width: int | None = option(
        None,
        "channel multiplier of the own judge (ndf; default: half of --width, which leaves time for the other judge)",
        group=NETWORKS,
        fixed=True,
    )
    projected_weight: float = option(1.0, "weight of the projected judge in the generator's loss", group=TRAINING)
    feature_network: Literal["mobilenet", "efficientnet_lite0"] = option(
        "mobilenet",
        "the pretrained network that the projected judge looks through",
        group=NETWORKS,
        fixed=True,
    )
    feature_weights: str | None = option(
        None,
        "file with that network's weights, instead of the package's or a download",
        metavar="FILE",
        group=NETWORKS,
    )
    feature_resolution: int = option(
        SMALLEST_FEATURE_RESOLUTION,
        "side in pixels, the shorter one, at which that network sees the images",
        group=NETWORKS,
        fixed=True,
    )
    head_width: int = option(
        32,
        "channels of the projections and of the heads' first convolution; 64 in Projected GAN",
        group=NETWORKS,
        fixed=True,
    )

    @property
    def judge_names(self) -> tuple[str, ...]:
        """The judges as names, in the order of `JUDGES`."""
        names = {name.strip() for name in self.judges.split(",")}
        return tuple(name for name in JUDGES if name in names)

    @property
    def discriminator_width(self) -> int:
        """Of SLE-GAN's discriminator, ndf."""
        return 8 * math.ceil(self.width / 16) if self.own_width is None else self.own_width

    def validated(self) -> ProjectedConfig:
        super().validated()
        for name in self.judges.split(","):
            hint = suggestion(name.strip(), JUDGES)
            check(name.strip() in JUDGES, "--judges", name.strip(), f"some of {','.join(JUDGES)}{hint}")
        check("projected" in self.judge_names, "--judges", self.judges, "projected among them; --model slegan has none")
        for name in JUDGES:
            weight = getattr(self, f"{name}_weight")
            check(0 < weight < float("inf"), f"--{name}-weight", weight, "a positive number")
        width = self.discriminator_width
        check(width >= 8 and width % 8 == 0, "--own-width", width, "a multiple of 8 from 8 up")
        side = self.feature_resolution
        check(
            side >= SMALLEST_FEATURE_RESOLUTION and side % 32 == 0,
            "--feature-resolution",
            side,
            f"a multiple of 32 from {SMALLEST_FEATURE_RESOLUTION} up",
        )
        longer = max(picture_shape(side, self.aspect))
        check(
            longer % 32 == 0,
            "--feature-resolution",
            side,
            f"a multiple of {SMALLEST_FEATURE_RESOLUTION} with --aspect {self.aspect}: the longer side, {longer} here, "
            "has to be a multiple of 32 too",
        )
        check(self.head_width >= 1, "--head-width", self.head_width, "at least 1")
        if "own" not in self.judge_names:
            self._refuse_settings_of_the_own_judge()
        return self

    def _refuse_settings_of_the_own_judge(self) -> None:
        """Alone, the projected judge has no decoders, and Adam takes no notice of the only loss's weight."""
        for field in dataclasses.fields(self):
            if field.name in OF_THE_OWN_JUDGE and getattr(self, field.name) != field.default:
                raise UserError(
                    f"{flag(field.name)} is {getattr(self, field.name)}, which changes nothing with "
                    f"--judges {self.judges}; leave it out, or let own judge too"
                )
