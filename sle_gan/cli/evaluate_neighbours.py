"""sle-gan evaluate neighbours: generated pictures beside the training pictures that are nearest to them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sle_gan.cli.common import REFERENCES, import_engine_to_compute, user_path
from sle_gan.cli.sets import Reading, check_folder, check_reading, generate, is_statistics, open_generator, warn_of
from sle_gan.data.sources import check_image_column
from sle_gan.errors import UserError
from sle_gan.storage.paths import check_output_file

if TYPE_CHECKING:
    import numpy as np

    from sle_gan.features import FeatureExtractor
    from sle_gan.weights import StoredNetwork

_GENERATED = 1000


class _Set(NamedTuple):
    """One side: the features (N, D) and names of its pictures, and how to see one of them again."""

    features: np.ndarray
    names: list[str]
    picture: Callable[[int], np.ndarray | None]


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--real",
        type=user_path,
        required=True,
        metavar="SOURCE",
        help="the training pictures: a folder, archive (.zip, .tar, .tar.gz) or dataset:user/name",
    )
    parser.add_argument(
        "--fake",
        type=user_path,
        required=True,
        metavar="SOURCE_OR_WEIGHTS",
        help=f"pictures as for --real, or a generator: {REFERENCES}",
    )
    parser.add_argument("--output", type=user_path, required=True, metavar="FILE", help="the sheet to write, a .png")
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
    generator = _check(options)
    import_engine_to_compute(options.engine)
    from sle_gan.features import load_extractor
    from sle_gan.metrics import find_neighbours
    from sle_gan.pictures import save_png
    from sle_gan.pictures.sheets import Cell, neighbour_sheet

    extractor = load_extractor(options.features, options.features_weights, options.batch_size)
    # The generator first: the training pictures have to be read at its resolution, and grey if its own are.
    if generator:
        fake, reading = _generated(extractor, generator, options)
    else:
        reading = Reading.asked_for(options)
        fake = _folder(extractor, options.fake, reading, "Fake images", options.count, options.seed)
    real = _folder(extractor, options.real, reading, "Real images")
    neighbours = find_neighbours(real.features, fake.features, options.nearest)

    def generated(number: int) -> Cell:
        picture = fake.picture(number)
        if picture is None:
            raise UserError(f"{fake.names[number]} could be read a moment ago and cannot be read now")
        return Cell(picture, "", fake.names[number])

    save_png(neighbour_sheet(neighbours, options.rows, generated, real.picture, real.names), options.output)
    print(neighbours)
    number = int(neighbours.nearest_first[0])
    name, distance = real.names[neighbours.indices[number, 0]], neighbours.distances[number, 0]
    print(f"nearest: {fake.names[number]}, {distance:.4g} from {name} ({extractor.version} features)")
    print(f"wrote {options.output}")


def _check(options: argparse.Namespace) -> StoredNetwork | None:
    """The generator, where there is one. Raises UserError before any work."""
    for flag, value in (("--count", options.count), ("--rows", options.rows), ("--nearest", options.nearest)):
        if value is not None and value < 1:
            raise UserError(f"{flag} {value}: expected at least 1")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: expected a number from 0 up")
    check_output_file("--output", options.output)
    if Path(options.output).suffix.lower() != ".png":
        raise UserError(f"--output {options.output}: expected the name of a .png file")
    for flag, path in (("--real", options.real), ("--fake", options.fake)):
        if is_statistics(path):
            raise UserError(f"{flag} {path} holds statistics, and the sheet shows pictures; give those")
    check_image_column(options.image_column, [options.real, options.fake])
    check_folder("--real", options.real, 2, options.image_column)
    generator = open_generator(options)
    if generator is None:
        check_folder("--fake", options.fake, 1, options.image_column)
    check_reading(options, generator=generator is not None)
    return generator


def _generated(extractor: FeatureExtractor, stored: StoredNetwork, options: argparse.Namespace) -> tuple[_Set, Reading]:
    """The generated side, and how the training pictures are to be read."""
    from sle_gan.generation import generate_images
    from sle_gan.metrics.scoring import as_rgb

    generator, seeds, images, reading, _ = generate(stored, options, options.count or _GENERATED)
    features = _features(extractor, images, len(seeds), "Fake images")

    def picture(number: int) -> np.ndarray:  # again, for many of them would not fit into memory
        return as_rgb(next(generate_images(generator, [seeds[number]])))[0]

    return _Set(features, [f"seed {seed}" for seed in seeds], picture), reading


def _folder(
    extractor: FeatureExtractor, folder: str, reading: Reading, title: str, count: int | None = None, seed: int = 0
) -> _Set:
    from sle_gan.data import quiet_pillow
    from sle_gan.metrics import ImageFolder

    images = ImageFolder(folder, count, seed, *reading)
    with quiet_pillow():
        features = _features(extractor, images.names, len(images.names), title, images.load)
    warn_of(images)
    skipped = {file.path for file in images.skipped}
    names = [name for name in images.names if name not in skipped]
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
