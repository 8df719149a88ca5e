"""The settings of a run: one frozen dataclass, validated once, written to and read from JSON."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sle_gan.errors import UserError

RESOLUTIONS = (64, 128, 256, 512, 1024)
POLICIES = ("color", "translation", "cutout")
CHANNELS = {"grey": 1, "rgb": 3, "rgba": 4}
DEFAULT_STEPS = 50_000


def option(default: Any, help: str, **extra: Any) -> Any:
    """A field with its help text; `sle_gan.cli.flags` makes the command-line flag from both."""
    return dataclasses.field(default=default, metadata={"help": help, **extra})


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training run. `TrainConfig(data_folder="flowers").validated()` is a complete one."""

    data_folder: str = option("", "folder with the pictures; subfolders are searched too", metavar="DIR")
    name: str = option("experiment", "name of the run: its folder within --output-folder", metavar="NAME")
    output_folder: str = option("runs", "where run folders are made", metavar="DIR")
    # what is trained
    resolution: int = option(512, "side of the images in pixels: a power of two, 64 to 1024")
    width: int = option(64, "ngf and ndf, the networks' base number of channels: a multiple of 8")
    latent: int = option(256, "length of a latent vector")
    channels: Literal["rgb", "grey", "rgba"] = option("rgb", "what is kept of the pictures' channels")
    generator_weights: str | None = option(
        None, "start the generator from an .h5 export or a FastGAN .pth", metavar="FILE"
    )
    discriminator_weights: str | None = option(
        None, "start the discriminator from an .h5 export or a FastGAN .pth", metavar="FILE"
    )
    # how
    batch_size: int = option(8, "images per step, over all devices")
    steps: int | None = option(None, f"train to this step (default {DEFAULT_STEPS:,}, unless --epochs is given)")
    epochs: int | None = option(None, "train for this many passes over the pictures, instead of --steps")
    G_learning_rate: float = option(2e-4, "learning rate of the generator's Adam")
    D_learning_rate: float = option(2e-4, "learning rate of the discriminator's Adam")
    ema_decay: float = option(0.999, "decay per step of the averaged generator, from which samples are made")
    diff_augment: bool = option(False, "differentiable augmentation; for fewer than some thousand pictures")
    augment_policy: str = option(
        "color,translation,cutout", "what --diff-augment does, separated by commas", metavar="POLICY"
    )
    flip: bool = option(True, "mirror each picture with probability one half")
    crop: Literal["center", "random"] = option("center", "which part of the image the part decoder redraws")
    reconstruction_loss: Literal["l1", "mse", "perceptual"] = option(
        "l1", "what the discriminator's decoders minimise; perceptual downloads VGG16"
    )
    perceptual_weights: str | None = option(
        None, "VGG16 weights for --reconstruction-loss perceptual, instead of a download", metavar="FILE"
    )
    seed: int = option(0, "seed of everything random; the same seed gives the same run on a CPU")
    # how good it is
    fid: bool = option(False, "measure the FID of the averaged generator while training, and keep the best one")
    fid_frequency: int = option(1000, "steps between measurements")
    fid_number_of_images: int = option(2048, "generated images per measurement; the real ones are always all")
    fid_features: Literal["inception", "mobilenet"] = option(
        "inception", "inception: as published FID; mobilenet: light, comparable only with itself"
    )
    fid_features_weights: str | None = option(
        None, "file with the feature network's weights, instead of a download", metavar="FILE"
    )
    # what is kept
    checkpoint_every: int = option(1000, "steps between checkpoints")
    keep_checkpoints: int = option(2, "how many of the newest checkpoints are kept")
    sample_every: int = option(500, "steps between sample grids")

    def validated(self) -> TrainConfig:
        """Returns itself, or raises a UserError that names the flag, the value and what was expected."""
        _check(self.resolution in RESOLUTIONS, "--resolution", self.resolution, "a power of two from 64 to 1024")
        _check(self.width >= 8 and self.width % 8 == 0, "--width", self.width, "a multiple of 8")
        for field in (
            "latent",
            "batch_size",
            "steps",
            "epochs",
            "checkpoint_every",
            "keep_checkpoints",
            "sample_every",
            "fid_frequency",
        ):
            value = getattr(self, field)
            _check(value is None or value >= 1, flag(field), value, "at least 1")
        _check(self.fid_number_of_images >= 2, "--fid-number-of-images", self.fid_number_of_images, "at least 2")
        for field in ("G_learning_rate", "D_learning_rate"):
            value = getattr(self, field)
            _check(math.isfinite(value) and value > 0, flag(field), value, "a positive number such as 2e-4")
        _check(0 <= self.ema_decay < 1, "--ema-decay", self.ema_decay, "at least 0 and less than 1")
        _check(0 <= self.seed < 2**31, "--seed", self.seed, "from 0 to 2147483647")
        for name in self.policy_names:
            hint = _suggestion(name, POLICIES)
            _check(name in POLICIES, "--augment-policy", name, f"some of {','.join(POLICIES)}{hint}")
        if self.steps is not None and self.epochs is not None:
            raise UserError(f"--steps {self.steps} and --epochs {self.epochs} were both given; give one of them")
        plain = self.name not in (".", "..") and not set(self.name) & {"/", "\\", "\0"}
        _check(bool(self.name) and plain, "--name", self.name, "a plain folder name; --output-folder says where")
        _check(
            self.reconstruction_loss != "perceptual" or self.channels == "rgb",
            "--channels",
            self.channels,
            "rgb with --reconstruction-loss perceptual, whose VGG16 sees in colour",
        )
        return self

    @property
    def policy_names(self) -> tuple[str, ...]:
        """The augmentation policy as names."""
        return tuple(name.strip() for name in self.augment_policy.split(",") if name.strip())

    @property
    def run_folder(self) -> Path:
        return Path(self.output_folder) / self.name

    def total_steps(self, image_count: int) -> int:
        """The step at which training ends, for a set of this many pictures."""
        if self.epochs is not None:
            return max(1, math.ceil(self.epochs * image_count / self.batch_size))
        return self.steps or DEFAULT_STEPS

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_dict(cls, values: dict[str, Any], source: str) -> TrainConfig:
        """Makes a configuration from JSON values, checking names and types.

        Raises:
            UserError: for an unknown name or a value of the wrong type; `source` is named.
        """
        hints = typing.get_type_hints(cls)
        for name, value in values.items():
            if name not in hints:
                raise UserError(f"{source}: unknown setting {name!r}{_suggestion(name, tuple(hints))}")
            if not _fits(value, hints[name]):
                raise UserError(f"{source}: {name} is {value!r}; expected {_describe(hints[name])}")
        return cls(**values)


def read_config_file(path: str | Path) -> dict[str, Any]:
    """The settings in a JSON file, such as a run's config.json, checked for names and types."""
    try:
        values = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"--config {path}: {error.strerror}; expected a JSON file such as a run's config.json"
        ) from error
    except ValueError as error:
        raise UserError(f"--config {path} is not JSON ({error})") from error
    if not isinstance(values, dict):
        raise UserError(f"--config {path} holds a {type(values).__name__}; expected an object of settings")
    TrainConfig.from_dict(values, f"--config {path}")
    return values


def flag(field: str) -> str:
    """The command-line flag of a field: batch_size -> --batch-size."""
    return "--" + field.replace("_", "-")


def _check(condition: bool, name: str, value: Any, expected: str) -> None:
    if not condition:
        raise UserError(f"{name} is {value}; expected {expected}")


def _suggestion(name: str, names: typing.Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _fits(value: Any, hint: Any) -> bool:
    if isinstance(hint, types.UnionType):
        return any(_fits(value, choice) for choice in typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is hint


def _describe(hint: Any) -> str:
    if isinstance(hint, types.UnionType):
        return " or ".join(_describe(choice) for choice in typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(typing.get_args(hint))
    return {type(None): "null", str: "a string", int: "an integer", bool: "true or false", float: "a number"}[hint]
