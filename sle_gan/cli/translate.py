"""`sle-gan translate`: pictures, or what a generator makes -> their translations by a CycleGAN."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sle_gan.cli.common import REFERENCES, Parser, add_engine_flag, import_engine_to_compute, user_path
from sle_gan.config import parse_value_range
from sle_gan.data.sources import check_image_column, check_source, is_archive, is_dataset, is_source
from sle_gan.errors import UserError, counted, printable
from sle_gan.hub import open_model
from sle_gan.storage.paths import check_output_file, check_output_folder

if TYPE_CHECKING:
    import numpy as np

    from sle_gan.weights import StoredNetwork

EXAMPLES = """\
examples:
  sle-gan translate --weights runs/roses --direction AB --input photos --output-folder out
  sle-gan translate --weights generator_BA_weights.h5 --input photo.jpg --output-folder out --grid both.png
  sle-gan translate --weights runs/roses --direction AB --source generator_weights.h5 --count 16 --grid both.png

Pictures keep their size and their names (as PNG). A generator's picture k comes from seed --seed + k, as in
sle-gan generate, and is named after it.
"""

_GRID_SIDE = 256
_GRID_PAIRS = 32


def make_parser() -> Parser:
    parser = Parser(
        prog="sle-gan translate",
        description="Translate pictures from one domain of a CycleGAN to the other.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "--weights",
        type=user_path,
        metavar="RUN_OR_FILE",
        required=True,
        help=f"the CycleGAN: {REFERENCES}",
    )
    parser.add_argument(
        "--direction", choices=("AB", "BA"), help="which of a run's two generators: from A to B (default) or back"
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--input",
        type=user_path,
        metavar="SOURCE_OR_FILE",
        help="the picture to translate, or the folder, archive (.zip, .tar, .tar.gz) or dataset:user/name with them",
    )
    what.add_argument(
        "--source", type=user_path, metavar="MODEL", help="translate what this generator makes: what --weights takes"
    )
    parser.add_argument("--image-column", metavar="NAME", help="of a dataset: that has several columns with images")
    parser.add_argument("--count", type=int, metavar="N", help="with --source: how many pictures (default 16)")
    parser.add_argument("--seed", type=int, metavar="N", help="with --source: seed of the first one (default 0)")
    parser.add_argument(
        "--output-folder", type=user_path, metavar="DIR", help="write each translation as a PNG into this folder"
    )
    parser.add_argument(
        "--grid",
        type=user_path,
        metavar="FILE",
        help=f"one .png or .jpg with pictures and translations side by side, the first {_GRID_PAIRS}",
    )
    parser.add_argument(
        "--whole-pixels",
        type=int,
        metavar="N",
        help="translate larger pictures in strips of about this size, to the same result with less memory "
        "(default 1048576)",
    )
    parser.add_argument(
        "--value-range",
        metavar="LOW,HIGH",
        help="with --input: values that are black and white in pictures of 16 bits and more, as in training",
    )
    add_engine_flag(parser)
    return parser


def main(argv: list[str]) -> None:
    """Parses, checks what can be checked without a backend, translates."""
    arguments = make_parser().parse_args(argv)
    _check(arguments)
    stored = open_model(arguments.weights, "--weights").translator(arguments.direction)
    source = open_model(arguments.source, "--source").generator() if arguments.source else None
    if source and source.architecture["channels"] != stored.architecture["channels"]:
        raise UserError(
            f"--source {arguments.source} makes pictures of {counted(source.architecture['channels'], 'channel')}, and "
            f"--weights {arguments.weights} translates {stored.architecture['channels']}; both must have the same"
        )
    import_engine_to_compute(arguments.engine)
    import numpy as np

    from sle_gan import translation
    from sle_gan.models.building import build_network
    from sle_gan.pictures import make_grid, save_picture, save_png

    translator: Any = build_network(stored)
    pictures = _generated(arguments, source) if source else _read(arguments, translator)
    whole = arguments.whole_pixels or translation.WHOLE_PIXELS
    count, cells = 0, []
    for name, picture in pictures:
        result = translation.translate(translator, picture, whole, progress=True)
        count += 1
        if arguments.output_folder:
            path = Path(arguments.output_folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            save_png(result, path)
        if arguments.grid and count <= _GRID_PAIRS:
            cells += [_cell(picture, bool(arguments.input)), _cell(result, bool(arguments.input))]
    if arguments.output_folder:
        print(f"wrote {counted(count, 'translation')} to {arguments.output_folder}")
    if arguments.grid:
        pairs = len(cells) // 2
        columns = 2 * max(1, round((pairs / 2) ** 0.5))
        Path(arguments.grid).parent.mkdir(parents=True, exist_ok=True)
        save_picture(make_grid(np.stack(cells), columns), arguments.grid)
        print(
            f"wrote a grid of {counted(pairs, 'picture')}, each with its translation to the right, to {arguments.grid}"
        )


def _check(arguments: argparse.Namespace) -> None:
    """Raises a UserError for flags that do not go together and places that cannot be read or written."""
    if not arguments.source and (arguments.count is not None or arguments.seed is not None):
        raise UserError("--count and --seed go with --source; --input translates every picture once")
    for flag, value, least in (("--count", arguments.count, 1), ("--seed", arguments.seed, 0)):
        if value is not None and value < least:
            raise UserError(f"{flag} {value}: expected at least {least}")
    if arguments.whole_pixels is not None and arguments.whole_pixels < 1:
        raise UserError(f"--whole-pixels {arguments.whole_pixels}: expected a positive number of pixels")
    parse_value_range(arguments.value_range)
    if arguments.grid:
        from sle_gan.pictures import check_suffix

        check_suffix("--grid", arguments.grid)
    if not arguments.output_folder and not arguments.grid:
        raise UserError("nowhere to write to: give --output-folder DIR or --grid FILE")
    if arguments.input and not is_dataset(arguments.input) and not Path(arguments.input).exists():
        raise UserError(f"--input {arguments.input}: there is no such file or folder")
    check_image_column(arguments.image_column, [arguments.input or ""])
    if arguments.input and is_source(arguments.input):
        check_source("--input", arguments.input)
    if arguments.input and arguments.output_folder and not is_dataset(arguments.input):
        folder = Path(arguments.input)
        folder = folder if folder.is_dir() else folder.parent
        if not is_archive(arguments.input) and folder.resolve() == Path(arguments.output_folder).resolve():
            raise UserError(f"--output-folder {arguments.output_folder} is the input's own folder; choose another one")
    if arguments.output_folder:
        check_output_folder("--output-folder", arguments.output_folder)
    if arguments.grid:
        check_output_file("--grid", arguments.grid, parents=True)


Pictures = Iterator[tuple[str, "np.ndarray"]]


def _read(arguments: argparse.Namespace, translator: Any) -> Pictures:
    """Names of translations, and the pictures at their own size in the translator's channels."""
    from tqdm import tqdm

    from sle_gan.config import CHANNELS
    from sle_gan.data import Levels, decode_failure, describe, open_source, quiet_pillow, read_whole

    pictures = open_source(arguments.input, arguments.image_column) if is_source(arguments.input) else None
    single = Path(arguments.input)
    files = list(pictures.names) if pictures else [single.name]
    for file in pictures.left_out if pictures else ():
        print(f"skipped {file}")
    channels = next(name for name, count in CHANNELS.items() if count == translator.channels)
    stems = [str(Path(file).with_suffix(".png")) for file in files]
    limits = parse_value_range(arguments.value_range)
    levels: dict[str, Levels] = {}
    good = 0
    for stem, file in zip(tqdm(stems, unit="picture", delay=2), files):
        try:
            with quiet_pillow():
                picture, read = read_whole(pictures.picture(file) if pictures else single, channels, limits)
        except Exception as error:  # Pillow has no closed list of what a hostile file makes it raise
            tqdm.write(f"skipped {printable(file)}: {decode_failure(error)}")
            continue
        good += 1
        if read:
            levels[file] = read
        # photo.jpg and photo.png in one folder: both become photo.*.png
        yield (stem if stems.count(stem) == 1 else f"{file}.png"), picture
    if not good:
        raise UserError(f"--input {arguments.input}: none of {counted(len(files), 'picture')} can be read")
    for note in describe(levels, chosen=limits is not None):
        print(f"warning: {note}")


def _generated(arguments: argparse.Namespace, source: StoredNetwork) -> Pictures:
    from tqdm import tqdm

    from sle_gan import generation
    from sle_gan.models.building import fold_network

    generator = fold_network(source)
    first, count = arguments.seed or 0, arguments.count or 16
    seeds = range(first, first + count)
    images = itertools.chain.from_iterable(generation.generate_images(generator, seeds))
    for image, seed in zip(tqdm(images, total=count, unit="picture", delay=2), seeds):
        yield f"{seed:06d}.png", image


def _cell(picture: np.ndarray, crop: bool) -> np.ndarray:
    """A picture as the grid shows it: pictures of many sizes are cut square and resized."""
    if not crop:
        return picture
    import numpy as np
    from PIL import Image

    from sle_gan.data import cover_box
    from sle_gan.pictures import to_pillow

    image = to_pillow(picture)
    small = image.resize((_GRID_SIDE, _GRID_SIDE), Image.Resampling.LANCZOS, box=cover_box(*image.size))
    return np.asarray(small).reshape(_GRID_SIDE, _GRID_SIDE, -1)
