"""The sets of pictures that sle-gan evaluate looks at: how a folder is read, and what a generator makes."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sle_gan.config import parse_value_range
from sle_gan.data.sources import is_source
from sle_gan.errors import UserError, counted
from sle_gan.hub import Kind, open_model
from sle_gan.runs.folder import read_run_config
from sle_gan.shapes import SQUARE, as_text, aspect_of, checked_aspect, made_aspect, picture_shape
from sle_gan.storage.paths import holds_model

if TYPE_CHECKING:
    import numpy as np

    from sle_gan.metrics import ImageFolder
    from sle_gan.weights import StoredNetwork


class Reading(NamedTuple):
    """How the pictures of a folder are read: at their own size, or as training reads them."""

    resolution: int | None
    channels: str = "rgb"
    enlarge: str = "smooth"
    value_range: tuple[float, float] | None = None
    image_column: str | None = None
    aspect: str = SQUARE

    @classmethod
    def asked_for(cls, options: argparse.Namespace) -> Reading:
        limits = parse_value_range(options.value_range)
        channels, enlarge = options.channels or "rgb", options.enlarge or "smooth"
        aspect = options.aspect or SQUARE
        return cls(options.resolution, channels, enlarge, limits, options.image_column, aspect)

    def __str__(self) -> str:
        values = ", values {:g} to {:g}".format(*self.value_range) if self.value_range else ""
        return self._shape() + values

    def _shape(self) -> str:
        if self.resolution is None:
            return "own size"
        grey = " grey" if self.channels == "grey" else ""
        enlarged = ", small ones enlarged as pixels" if self.enlarge == "pixels" else ""
        return f"{as_text(*picture_shape(self.resolution, self.aspect))}{grey} as trained on{enlarged}"


class Generated(NamedTuple):
    """What a generator makes: image k, uint8 (H, W, 3), is of `seeds[k]`; and how pictures are to be read beside it.

    labels: of a generator that was taught classes, the class of each image.
    """

    generator: Any
    seeds: range
    images: Iterator[np.ndarray]
    reading: Reading
    labels: Sequence[int] = ()


def generate(stored: StoredNetwork, options: argparse.Namespace, count: int) -> Generated:
    """The images of the generator that `--fake` leads to, from `--seed` on.

    Raises:
        UserError: if it makes images of another size or kind than flags ask for.
    """
    from sle_gan.generation import generate_images
    from sle_gan.metrics.scoring import as_rgb
    from sle_gan.models.building import fold_network
    from sle_gan.seeds import seeded_class

    seeds = range(options.seed, options.seed + count)
    generator = fold_network(stored)
    batches = generate_images(generator, seeds)
    first = next(batches)
    (_, height, width, count), asked = first.shape, Reading.asked_for(options)
    side, aspect, channels = min(height, width), aspect_of(height, width), "grey" if count == 1 else "rgb"
    aspect_given = options.aspect and made_aspect(options.aspect)
    for flag, given, own in (
        ("--resolution", options.resolution, side),
        ("--aspect", aspect_given, aspect),
        ("--channels", options.channels, channels),
    ):
        if given not in (None, own):
            raise UserError(f"{flag} {given}: {options.fake} generates pictures with {own}; leave it out")
    images = itertools.chain.from_iterable(map(as_rgb, itertools.chain([first], batches)))
    reading = asked._replace(resolution=side, channels=channels, aspect=aspect)
    pictures = getattr(generator, "class_pictures", ())
    labels = [seeded_class(seed, pictures) for seed in seeds] if pictures else []
    return Generated(generator, seeds, images, reading, labels)


def warn_of(images: ImageFolder) -> None:
    """After reading: says on stderr what was left out, and how deep pictures were read.

    Raises:
        UserError: when more than half could not be read.
    """
    images.check()
    for reason in (*images.unread, *sorted(images.skipped)):
        print(f"warning: skipped {reason}", file=sys.stderr)
    for note in images.notes:
        print(f"warning: {images.folder}: {note}", file=sys.stderr)


def is_statistics(path: str) -> bool:
    """Whether a file is what `stats` wrote, whatever its name.

    A .npz that is no checkpoint of a run is taken for it too, so that an error says why it is none.
    """
    from sle_gan.metrics import FeatureStatistics

    file = Path(path)
    if not file.is_file() or (file.parent.name == "checkpoints" and holds_model(file.parent.parent)):
        return False
    return path.endswith(".npz") or FeatureStatistics.is_in(path)


def open_generator(options: argparse.Namespace) -> StoredNetwork | None:
    """The generator that --fake leads to, or None where it is a folder of pictures or saved statistics.

    A run, or a shared model, stands for its generator and not for the pictures that lie in its folder. What a run
    knows of how its training pictures were read is taken over, unless flags say otherwise.

    Raises:
        UserError: if it is none of these.
    """
    folder = Path(options.fake)
    if is_statistics(options.fake) or (is_source(options.fake) and not holds_model(folder)):
        return None
    model = open_model(options.fake, "--fake")
    generator = model.generator()
    if folder.is_dir():
        best = folder / f"best_{Path(generator.source).name}"
        other = f"; for the best one give {best}" if best.is_file() else ""
        print(f"--fake {options.fake} stands for its newest generator, {generator.source}{other}")
    if model.kind is Kind.RUN:
        config = read_run_config(model.path)
        options.enlarge = options.enlarge or config.enlarge
        options.value_range = options.value_range or config.value_range
    return generator


def check_folder(flag: str, path: str, at_least: int, image_column: str | None = None) -> None:
    """Raises UserError unless it is a folder, archive or data set with so many pictures."""
    from sle_gan.data import open_source

    if not is_source(path):
        received = "a file without pictures in it" if Path(path).exists() else "there is no such file or folder"
        raise UserError(
            f"{flag} {path}: {received}; expected a folder of pictures, an archive of them, dataset:NAME, or the file "
            "of sle-gan evaluate stats"
        )
    if holds_model(Path(path)) or (Path(path).name == "samples" and holds_model(Path(path).parent)):
        raise UserError(
            f"{flag} {path} is of a training run: its pictures are grids and curves; give a folder of photos"
        )
    count = len(open_source(path, image_column).names)
    if count < at_least:
        raise UserError(f"{flag} {path} holds {counted(count, 'picture')}; expected at least {at_least}")


def check_reading(options: argparse.Namespace, generator: bool) -> None:
    parse_value_range(options.value_range)
    if options.resolution is not None and not 8 <= options.resolution <= 4096:
        raise UserError(f"--resolution {options.resolution}: expected 8 to 4096 pixels")
    if options.aspect:
        checked_aspect(options.aspect)
    given = next((name for name in ("channels", "enlarge", "aspect") if getattr(options, name)), None)
    if given and not options.resolution and not generator:
        raise UserError(f"--{given} {getattr(options, given)} is for pictures read at a --resolution; give one, too")
