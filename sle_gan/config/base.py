"""The settings that every GAN's training has: a frozen dataclass, validated once, written to and read from JSON."""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from sle_gan.data.labels import AUTO, NONE, check_labels
from sle_gan.errors import UserError, shown
from sle_gan.storage.paths import expanded

POLICIES = ("color", "translation", "cutout")
CHANNELS = {"grey": 1, "rgb": 3, "rgba": 4}
# What a generator may be asked to compute in, where it only makes pictures.
TO_GENERATE = ("float32", "bfloat16", "auto")
DEFAULT_STEPS = 50_000


def option(default: Any, help: str, **extra: Any) -> Any:
    """A field with its help text; `sle_gan.cli.common.add_flags` makes the command-line flag from both.

    Args:
        extra: `group`, the heading of the flag in --help; `metavar`, one of `PATHS` for a file or folder; `fixed=True`
            for what a resumed run cannot change; `hidden=True` for a common setting that a GAN has no use for: it
            gets no flag.
    """
    return dataclasses.field(default=default, metadata={"help": help, **extra})


LABELS = "{none,auto,folders,clusters,FILE}"
PATHS = ("DIR", "FILE", "PATH", "MODEL", LABELS)
DATA = "data and run"
NETWORKS = "networks"
TRAINING = "training"
AUGMENTATION = "augmentation"
QUALITY = "how good it is"
KEPT = "what is kept"
MACHINE = "machine"
HEADINGS = (DATA, NETWORKS, TRAINING, AUGMENTATION, QUALITY, KEPT, MACHINE)


@dataclass(frozen=True)
class TrainConfig:
    """Settings that all GANs share; each GAN's own class adds to them and may change a default."""

    model: ClassVar[str]
    title: ClassVar[str]
    method: ClassVar[str]  # for a model card: the method's name and its paper, in Markdown
    resolutions: ClassVar[tuple[int, ...]]
    has_classes: ClassVar[bool] = False  # whether it learns pictures with --labels

    data_folder: str = option(
        "",
        "the pictures: a folder with its subfolders, an archive (.zip, .tar, .tar.gz), or dataset:user/name"
        "[@revision][:split], dataset:./folder",
        metavar="PATH",
        group=DATA,
    )
    image_column: str | None = option(
        None, "of a dataset: that has several columns with images", metavar="NAME", group=DATA
    )
    labels: str = option(
        "none",
        "(slegan, projected) the pictures' classes, which the networks learn apart: folders, those that the pictures "
        "are in; a .csv or .json file, also one within the data; or clusters[:N], groups of like pictures, found by a "
        "pretrained network; auto, projected's default: clusters where there can be some",
        metavar=LABELS,
        group=DATA,
    )
    balance_classes: bool = option(
        False, "with --labels: draw all classes equally often, however many pictures each has", group=DATA
    )
    class_names: tuple[str, ...] | None = option(None, "of the pictures, as --labels gave them", hidden=True)
    class_pictures: tuple[int, ...] | None = option(None, "how many pictures each class has", hidden=True)
    name: str = option("experiment", "name of the run: its folder within --output-folder", metavar="NAME", group=DATA)
    output_folder: str = option("runs", "where run folders are made", metavar="DIR", group=DATA)
    seed: int = option(
        0, "seed of everything random; the same seed gives the same run on a CPU", group=DATA, fixed=True
    )
    resolution: int = option(512, "side of the images in pixels", group=NETWORKS, fixed=True)
    channels: Literal["rgb", "grey", "rgba"] = option(
        "rgb", "what is kept of the pictures' channels", group=NETWORKS, fixed=True
    )
    enlarge: Literal["smooth", "pixels"] = option(
        "smooth",
        "how pictures smaller than the resolution grow: smooth (Lanczos), or pixels, which stay squares",
        group=DATA,
    )
    value_range: str | None = option(
        None,
        "values that are black and white in pictures of 16 bits and more, such as 0,4095 (default: all that the "
        "format can hold)",
        metavar="LOW,HIGH",
        group=DATA,
    )
    init_from: str | None = option(
        None,
        "start from a run, a folder, .h5, .npz or .pth file, or a hub repository: layers that fit are loaded, "
        "the others named; settings of the networks that are not given are those of the source",
        metavar="MODEL",
        group=NETWORKS,
        fixed=True,
    )
    freeze_discriminator_layers: int = option(
        0, "with --init-from: keep the N layers of the discriminator nearest to the image as they are", group=NETWORKS
    )
    steps: int | None = option(
        None, f"train to this step (default {DEFAULT_STEPS:,}, unless --epochs is given)", group=TRAINING
    )
    epochs: int | None = option(
        None, "train for this many passes over the pictures, instead of --steps", group=TRAINING
    )
    batch_size: int = option(8, "images per step, over all devices", group=TRAINING)
    drop_last: bool = option(
        False,
        "leave out what a pass over the pictures has left after its last whole batch, so that no batch has one twice",
        group=TRAINING,
    )
    G_learning_rate: float = option(2e-4, "learning rate of the generator's Adam", group=TRAINING)
    D_learning_rate: float = option(2e-4, "learning rate of the discriminator's Adam", group=TRAINING)
    ema_decay: float = option(
        0.999, "decay per step of the averaged generator, from which samples are made", group=TRAINING
    )
    diff_augment: bool = option(
        False, "differentiable augmentation; for fewer than some thousand pictures", group=AUGMENTATION
    )
    augment_policy: str = option(
        "color,translation,cutout",
        "what --diff-augment does, separated by commas",
        metavar="POLICY",
        group=AUGMENTATION,
    )
    augment_probability: float | Literal["auto"] = option(
        1.0,
        "with which each transformation is applied to an image, 0 to 1; auto: it rises while the discriminator "
        "recognises the training pictures, and falls while it does not",
        metavar="P",
        group=AUGMENTATION,
    )
    flip: bool = option(True, "mirror each picture with probability one half", group=AUGMENTATION)
    fid: bool = option(
        False, "measure the FID of the averaged generator while training, and keep the best one", group=QUALITY
    )
    fid_frequency: int = option(1000, "steps between measurements", group=QUALITY)
    fid_number_of_images: int = option(
        2048, "generated images per measurement; the real ones are always all", group=QUALITY
    )
    fid_features: Literal[
        "inception", "mobilenet", "efficientnet_lite0", "efficientnet_lite1", "dinov2_s", "dinov2_b", "dinov2_l"
    ] = option("inception", "inception: as published FID; each of the others compares only with itself", group=QUALITY)
    fid_features_weights: str | None = option(
        None, "file with the feature network's weights, instead of a download", metavar="FILE", group=QUALITY
    )
    patience: int | None = option(
        None, "with --fid: stop after N measurements without a better FID (default: never)", group=QUALITY
    )
    checkpoint_every: int = option(1000, "steps between checkpoints", group=KEPT)
    keep_checkpoints: int = option(2, "how many of the newest checkpoints are kept", group=KEPT)
    sample_every: int = option(500, "steps between sample grids", group=KEPT)
    mixed_precision: Literal["float32", "bfloat16", "float16", "auto"] = option(
        "float32",
        "what the networks compute in; weights, norms and losses stay float32. auto: bfloat16 on a GPU with matrix "
        "units for it, or where some steps, timed before the run, are faster in it; else float32",
        group=MACHINE,
        fixed=True,
    )
    gradient_accumulation: int = option(
        1, "compute a batch in this many parts: less memory, same update but for batch norm", group=MACHINE
    )
    steps_per_call: int | None = option(
        None, "steps that the device makes without coming back to Python (default: 1 on a CPU, else 10)", group=MACHINE
    )
    cache_folder: str | None = option(
        None,
        "where decoded pictures and the statistics of --fid are kept (default: $SLE_GAN_CACHE, else ~/.cache/sle_gan)",
        metavar="DIR",
        group=MACHINE,
    )
    devices: int | None = option(None, "use at most this many GPUs (default: all)", group=MACHINE)
    distributed: bool = option(False, "train together with the other processes that TF_CONFIG names", group=MACHINE)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if is_path(field) and isinstance(value, str):
                object.__setattr__(self, field.name, expanded(value))  # frozen for everyone else
            if isinstance(value, list):
                object.__setattr__(self, field.name, tuple(value))  # out of JSON

    def validated(self) -> TrainConfig:
        """Returns itself, or raises a UserError that names the flag, the value and what was expected."""
        check(
            self.resolution in self.resolutions,
            "--resolution",
            self.resolution,
            f"a power of two from {min(self.resolutions)} to {max(self.resolutions)}",
        )
        for field in (
            "batch_size",
            "steps",
            "epochs",
            "checkpoint_every",
            "keep_checkpoints",
            "sample_every",
            "fid_frequency",
            "patience",
            "gradient_accumulation",
            "steps_per_call",
            "devices",
        ):
            value = getattr(self, field)
            check(value is None or value >= 1, flag(field), value, "at least 1")
        check(self.fid_number_of_images >= 2, "--fid-number-of-images", self.fid_number_of_images, "at least 2")
        for field in ("G_learning_rate", "D_learning_rate"):
            value = getattr(self, field)
            check(math.isfinite(value) and value > 0, flag(field), value, "a positive number such as 2e-4")
        check(0 <= self.ema_decay < 1, "--ema-decay", self.ema_decay, "at least 0 and less than 1")
        frozen = self.freeze_discriminator_layers
        check(frozen >= 0, "--freeze-discriminator-layers", frozen, "at least 0")
        check(not frozen or bool(self.init_from), "--freeze-discriminator-layers", frozen, "--init-from beside it")
        check(0 <= self.seed < 2**31, "--seed", self.seed, "from 0 to 2147483647")
        for name in self.policy_names:
            hint = suggestion(name, POLICIES)
            check(name in POLICIES, "--augment-policy", name, f"some of {','.join(POLICIES)}{hint}")
        self._check_augment_probability()
        check(self.patience is None or self.fid, "--patience", self.patience, "--fid beside it, which it waits for")
        if self.steps is not None and self.epochs is not None:
            raise UserError(f"--steps {self.steps} and --epochs {self.epochs} were both given; give one of them")
        check(
            self.batch_size % self.gradient_accumulation == 0,
            "--gradient-accumulation",
            self.gradient_accumulation,
            f"a divisor of --batch-size {self.batch_size}",
        )
        if self.gradient_accumulation > 1 and (self.steps_per_call or 1) > 1:
            raise UserError(
                f"--steps-per-call {self.steps_per_call} and --gradient-accumulation {self.gradient_accumulation} "
                "exclude each other: give one of them"
            )
        parse_value_range(self.value_range)
        self._check_labels()
        plain = self.name not in (".", "..") and not set(self.name) & {"/", "\\", "\0"}
        check(bool(self.name) and plain, "--name", self.name, "a plain folder name; --output-folder says where")
        return self

    def _check_labels(self) -> None:
        check_labels(self.labels)
        if self.labels != NONE and not self.has_classes:
            raise UserError(
                f"--labels is {self.labels}, and {self.model} has no classes; leave it out, or give --model slegan or "
                "--model projected"
            )
        if self.balance_classes:
            check(self.labels not in (NONE, AUTO), "--balance-classes", "given", "--labels beside it")
            check(not self.drop_last, "--balance-classes", "given", "no --drop-last: small classes come again")

    def _check_augment_probability(self) -> None:
        value = self.augment_probability
        check(
            value == "auto" or 0 <= float(value) <= 1, "--augment-probability", value, "a number from 0 to 1, or auto"
        )
        if value != 1 and not (self.diff_augment and self.policy_names):
            raise UserError(
                f"--augment-probability {value} is of differentiable augmentation, and there is none; "
                f"give {'an --augment-policy' if self.diff_augment else '--diff-augment'}, or leave it out"
            )

    @property
    def picture_shape(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return self.resolution, self.resolution

    @property
    def class_count(self) -> int:
        """Of the pictures' classes; 0 without labels."""
        return len(self.class_names or ())

    @property
    def policy_names(self) -> tuple[str, ...]:
        """The augmentation policy as names."""
        return tuple(name.strip() for name in self.augment_policy.split(",") if name.strip())

    @property
    def value_limits(self) -> tuple[float, float] | None:
        """`value_range` as numbers."""
        return parse_value_range(self.value_range)

    @property
    def folders(self) -> dict[str, str]:
        """The sources of pictures by their flags, one for each domain of images that the GAN learns from."""
        return {"--data-folder": self.data_folder}

    @property
    def further_sources(self) -> dict[str, str]:
        """Sources of pictures by their flags that are no domain of their own."""
        return {}

    @property
    def run_folder(self) -> Path:
        return Path(self.output_folder) / self.name

    def total_steps(self, image_count: int) -> int:
        """The step at which training ends, for a set of this many pictures."""
        if self.epochs is not None and self.drop_last:
            return self.epochs * (image_count // self.batch_size)
        if self.epochs is not None:
            return max(1, math.ceil(self.epochs * image_count / self.batch_size))
        return self.steps or DEFAULT_STEPS

    def to_json(self) -> str:
        return json.dumps({"model": self.model, **dataclasses.asdict(self)}, indent=2) + "\n"

    @classmethod
    def check_values(cls, values: dict[str, Any], source: str) -> None:
        """Raises a UserError for an unknown name or a value of the wrong type; `source` is named."""
        hints = {name: hint for name, hint in typing.get_type_hints(cls).items() if name in field_names(cls)}
        for name, value in values.items():
            if name not in hints:
                raise UserError(f"{source}: unknown setting {shown(name)!r}{suggestion(name, tuple(hints))}")
            if not _fits(value, hints[name]):
                raise UserError(f"{source}: {name} is {shown(repr(value))}; expected {_describe(hints[name])}")


def parse_value_range(text: str | None) -> tuple[float, float] | None:
    """LOW,HIGH as numbers. Raises a UserError for anything else."""
    if text is None:
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        low = high = math.nan
    check(math.isfinite(low) and low < high < math.inf, "--value-range", text, "black and white, such as 0,4095")
    return low, high


def field_names(config: type[TrainConfig]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(config))


def is_path(field: dataclasses.Field[Any]) -> bool:
    """Whether a setting is the path of a file or folder."""
    return field.metadata.get("metavar") in PATHS


def flag(field: str) -> str:
    """The command-line flag of a field: batch_size -> --batch-size."""
    return "--" + field.replace("_", "-")


def check(condition: bool, name: str, value: Any, expected: str) -> None:
    if not condition:
        raise UserError(f"{name} is {value}; expected {expected}")


def suggestion(name: str, names: typing.Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def is_union(hint: Any) -> bool:
    """Whether a type hint is `A | B`; with a Literal among them Python makes another class of it."""
    return typing.get_origin(hint) in (types.UnionType, typing.Union)


def _fits(value: Any, hint: Any) -> bool:
    if is_union(hint):
        return any(_fits(value, choice) for choice in typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        return value in typing.get_args(hint)
    if typing.get_origin(hint) is tuple:  # of any length; a list in JSON
        return isinstance(value, (list, tuple)) and all(_fits(each, typing.get_args(hint)[0]) for each in value)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    return type(value) is hint


def _describe(hint: Any) -> str:
    if is_union(hint):
        return " or ".join(_describe(choice) for choice in typing.get_args(hint))
    if typing.get_origin(hint) is Literal:
        return "one of " + ", ".join(typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"a list of {typing.get_args(hint)[0].__name__}"
    return {type(None): "null", str: "a string", int: "an integer", bool: "true or false", float: "a number"}[hint]
