"""evaluate.py neighbours: generated pictures beside the training pictures that are nearest to them."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sle_gan.cli.common import import_engine_to_compute
from sle_gan.cli.sources import generator_of, is_model_folder
from sle_gan.errors import UserError

if TYPE_CHECKING:
    import numpy as np

    from sle_gan.cli.evaluate import _Reading
    from sle_gan.features import FeatureExtractor

_GENERATED = 1000


class _Set(NamedTuple):
    """One side: the features (N, D) and names of its pictures, and how to see one of them again."""

    features: np.ndarray
    names: list[str]
    picture: Callable[[int], np.ndarray | None]


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", required=True, metavar="DIR", help="folder of the training pictures")
    parser.add_argument(
        "--fake",
        required=True,
        metavar="DIR_OR_WEIGHTS",
        help="generator weights (.h5, .pth), a run or a shared model's folder, or a folder of pictures",
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="the sheet to write, a .png")
    parser.add_argument(
        "--count",
        type=int,
        metavar="N",
        help=f"generated pictures that are looked at (default {_GENERATED}), or drawn from the folder (default: all)",
    )
    parser.add_argument("--rows", type=int, default=16, metavar="N", help="of them on the sheet, the nearest first")
    parser.add_argument("--nearest", type=int, default=4, metavar="N", help="training pictures beside each of them")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the first picture, or of the draw (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> None:
    """Finds the nearest training pictures, prints the share that is too near, writes the sheet."""
    fake_file = _check(options)
    import_engine_to_compute(options.engine)
    from sle_gan.features import load_extractor
    from sle_gan.metrics import find_neighbours
    from sle_gan.pictures import save_png
    from sle_gan.sheets import Cell, neighbour_sheet

    extractor = load_extractor(options.features, options.features_weights, options.batch_size)
    # The generator first: the training pictures have to be read at its resolution, and grey if its own are.
    fake, reading = _fake(extractor, options, fake_file)
    real = _folder(extractor, options.real, reading, "Real images")
    neighbours = find_neighbours(real.features, fake.features, options.nearest)

    def generated(number: int) -> Cell:
        picture = fake.picture(number)
        assert picture is not None, "it could be read a moment ago"
        return Cell(picture, "", fake.names[number])

    save_png(neighbour_sheet(neighbours, options.rows, generated, real.picture, real.names), options.output)
    print(neighbours)
    number = int(neighbours.nearest_first[0])
    name, distance = real.names[neighbours.indices[number, 0]], neighbours.distances[number, 0]
    print(f"nearest: {fake.names[number]}, {distance:.4g} from {name} ({extractor.version} features)")
    print(f"wrote {options.output}")


def _check(options: argparse.Namespace) -> Path | None:
    """Raises UserError before any work; returns the generator's file, or None where the fake side is pictures."""
    from sle_gan.cli import evaluate

    for flag, value in (("--count", options.count), ("--rows", options.rows), ("--nearest", options.nearest)):
        if value is not None and value < 1:
            raise UserError(f"{flag} {value}: expected at least 1")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: expected a number from 0 up")
    evaluate._check_output("--output", options.output)
    if Path(options.output).suffix.lower() != ".png":
        raise UserError(f"--output {options.output}: expected the name of a .png file")
    for flag, path in (("--real", options.real), ("--fake", options.fake)):
        if not Path(path).exists():
            raise UserError(f"{flag} {path}: there is no such file or folder")
    if not Path(options.real).is_dir():
        raise UserError(f"--real {options.real}: expected a folder of pictures, for the sheet shows them")
    file = _generator_file(options.fake)
    evaluate._check_reading(options, generator=file is not None)
    return file


def _generator_file(path: str) -> Path | None:
    if Path(path).suffix == ".npz":
        raise UserError(f"--fake {path}: statistics hold no pictures; give a generator or a folder")
    if Path(path).is_file():
        return Path(path)
    return generator_of("--fake", path) if is_model_folder(path) else None


def _fake(extractor: FeatureExtractor, options: argparse.Namespace, file: Path | None) -> tuple[_Set, _Reading]:
    """The generated side, and how the training pictures are to be read."""
    from sle_gan.cli.evaluate import _Reading

    reading = _Reading.asked_for(options)
    if file is None:
        return _folder(extractor, options.fake, reading, "Fake images", options.count, options.seed), reading
    from sle_gan.generation import generate_images, load_folded
    from sle_gan.metrics.scoring import as_rgb

    seeds = range(options.seed, options.seed + (options.count or _GENERATED))
    generator = load_folded(file)
    batches = generate_images(generator, seeds)
    first = next(batches)
    side, channels = first.shape[1], "grey" if first.shape[-1] == 1 else "rgb"
    for flag, given, own in (("--resolution", options.resolution, side), ("--channels", options.channels, channels)):
        if given not in (None, own):
            raise UserError(f"{flag} {given}: {options.fake} generates pictures with {own}; leave it out")
    images = itertools.chain.from_iterable(map(as_rgb, itertools.chain([first], batches)))
    features = _features(extractor, images, len(seeds), "Fake images")

    def picture(number: int) -> np.ndarray:  # again, for many of them would not fit into memory
        return as_rgb(next(generate_images(generator, [seeds[number]])))[0]

    names = [f"seed {seed}" for seed in seeds]
    return _Set(features, names, picture), reading._replace(resolution=side, channels=channels)


def _folder(
    extractor: FeatureExtractor, folder: str, reading: _Reading, title: str, count: int | None = None, seed: int = 0
) -> _Set:
    from sle_gan.metrics import ImageFolder

    images = ImageFolder(folder, count, seed, *reading)
    unreadable: set[str] = set()

    def load(name: str) -> np.ndarray | None:
        picture = images.load(name)
        if picture is None:
            unreadable.add(name)
        return picture

    features = _features(extractor, images.names, len(images.names), title, load)
    images.check()
    names = [name for name in images.names if name not in unreadable]
    return _Set(features, names, lambda number: images.load(names[number]))


def _features(
    extractor: FeatureExtractor,
    items: Iterable[Any],
    total: int,
    title: str,
    load: Callable[[Any], np.ndarray | None] | None = None,
) -> np.ndarray:
    import numpy as np
    from tqdm import tqdm

    found = []
    with tqdm(total=total, desc=title, unit="image", delay=2, leave=False) as bar:
        for features in extractor.stream(items, load):
            found.append(features)
            bar.update(len(features))
    return np.concatenate(found) if found else np.zeros((0, extractor.dimension), np.float32)
