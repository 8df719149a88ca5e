"""`sle-gan generate`: a weights file -> pictures, a grid, an animation."""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sle_gan.cli import classes
from sle_gan.cli.common import (
    REFERENCES,
    Parser,
    add_engine_flag,
    add_precision_flag,
    import_engine_to_compute,
    user_path,
)
from sle_gan.errors import UserError, counted
from sle_gan.hub import open_model
from sle_gan.storage.paths import check_output_file, check_output_folder

if TYPE_CHECKING:
    import numpy as np

    from sle_gan.latents.directions import Move
    from sle_gan.latents.points import Point
    from sle_gan.weights import StoredNetwork

_OF_EACH = 8

EXAMPLES = """\
examples:
  sle-gan generate --weights generator_weights.h5 --count 64 --output-folder out
  sle-gan generate --weights generator_weights.h5 --count 25 --grid grid.png
  sle-gan generate --weights generator_weights.h5 --interpolate 8 --video loop.gif
  sle-gan generate --weights generator_weights.h5 --direction 3:+2 --grid moved.png
  sle-gan generate --weights generator_weights.h5 --class sunflower --output-folder out
  sle-gan generate --weights generator_weights.h5 --class all --grid grid.png
  sle-gan generate --weights generator_weights.h5 --class tulip:iris --interpolate 2 --video loop.gif
  sle-gan generate --model user/flowers --revision main --grid grid.png
  sle-gan generate --weights generator_weights.h5 --export onnx --output generator.onnx
  sle-gan generate --weights generator_weights.h5 --export saved_model --output generator

Image k comes from seed --seed + k and is named after it; it is the same in every batch and on every run.
"""


def make_parser() -> Parser:
    parser = Parser(prog="sle-gan generate", description="Make pictures with a trained generator.", epilog=EXAMPLES)
    parser.add_argument("--weights", type=user_path, metavar="MODEL", help=f"the generator: {REFERENCES}")
    parser.add_argument("--model", type=user_path, metavar="MODEL", help="the same as --weights; give one of them")
    parser.add_argument("--revision", metavar="REV", help="of the repository: a branch, a tag, a full commit hash")
    parser.add_argument(
        "--count", type=_at_least(1), metavar="N", help="how many (default 16); with --class all: of each (default 8)"
    )
    parser.add_argument("--seed", type=_at_least(0), metavar="N", help="of the first one (default 0)")
    parser.add_argument(
        "--class",
        dest="class_",
        metavar="CLASS",
        help=f"{classes.HELP}; all: a row of each, or a folder of each; A:B: from one to another (default: as often as "
        "in the training pictures)",
    )
    parser.add_argument(
        "--latents",
        type=user_path,
        metavar="FILE",
        help="instead of seeds: the latents of this file (.npz), such as sle-gan explore writes",
    )
    parser.add_argument(
        "--direction",
        action="append",
        metavar="K:X",
        help="move every picture by X along direction K, e.g. 3:+2; may be given again",
    )
    parser.add_argument(
        "--directions",
        type=user_path,
        metavar="FILE",
        help="with --direction: from sle-gan explore directions --save (default: the closed form of the first layer)",
    )
    parser.add_argument(
        "--output-folder", type=user_path, metavar="DIR", help="write each picture as a PNG into this folder"
    )
    parser.add_argument("--grid", type=user_path, metavar="FILE", help="write all pictures as one, a .png or .jpg")
    parser.add_argument(
        "--truncation",
        type=_truncation,
        metavar="X",
        help="draw latent values beyond this again, e.g. 1.0: less variety, more typical pictures",
    )
    parser.add_argument(
        "--interpolate", type=_at_least(2), metavar="N", help="a loop through N pictures, written to --video"
    )
    parser.add_argument("--video", type=user_path, metavar="FILE", help="the animation, a .gif")
    parser.add_argument(
        "--frames",
        type=_at_least(1),
        default=20,
        metavar="N",
        help="from each picture to the next (default 20)",
    )
    _add_export_flags(parser)
    add_engine_flag(parser)
    add_precision_flag(parser)
    return parser


def _add_export_flags(parser: Parser) -> None:
    parser.add_argument(
        "--export",
        metavar="FORMAT",
        help="write the generator for other programs, to --output: onnx (a file; needs the extra onnx) or saved_model "
        "(a folder). Latents (B, latent) float32 -> images (B, H, W, C) uint8, with the noise that a call of the "
        "generator without noise has",
    )
    parser.add_argument("--output", type=user_path, metavar="PATH", help="where --export writes; must not exist")


def main(argv: list[str]) -> None:
    """Parses, checks what can be checked without a backend, generates."""
    arguments = make_parser().parse_args(argv)
    _check(arguments)
    stored = _open_generator(arguments)
    steering = _read_steering(arguments, stored)
    numbers = _read_classes(arguments, stored)
    import_engine_to_compute(arguments.engine)
    import numpy as np
    from tqdm import tqdm

    from sle_gan.latents.points import check_gates, images_of
    from sle_gan.models.building import fold_network
    from sle_gan.pictures import make_grid, save_picture, save_png

    generator = fold_network(stored, arguments.mixed_precision)
    if len(numbers) == 1:
        generator = generator.of_class(classes.weights(numbers[0], stored))
    del stored  # of a PyTorch file it holds all arrays
    check_gates(steering.points, generator, "--latents")
    _make_folders(arguments)
    if arguments.export:
        from sle_gan.export.exporter import export

        export(generator, arguments.export, arguments.output)
        inputs = f"latents (B, {generator.latent}) float32"
        if getattr(generator, "classes", ()):
            inputs += f", classes (B,) int32 from 0 to {len(generator.classes) - 1}"
        print(f"wrote {arguments.output}: {inputs} -> images uint8")
    if arguments.video:
        _write_loop(arguments, generator, numbers)
    if not arguments.output_folder and not arguments.grid:
        return
    if arguments.class_ == classes.ALL and len(numbers) > 1:
        _write_all_classes(arguments, generator)
        return
    if len(numbers) > 1:
        steering = steering._replace(points=_way(numbers, steering, generator))
    count, images = steering.count, images_of(generator, steering.all_points(generator))
    kept = []
    for seed, image in zip(itertools.count(steering.first), tqdm(images, total=count, unit="img", delay=2)):
        if arguments.output_folder:
            save_png(image, Path(arguments.output_folder) / f"{seed:06d}.png")
        if arguments.grid:
            kept.append(image)
    if arguments.output_folder:
        print(f"wrote {counted(count, 'picture')} to {arguments.output_folder}")
    if arguments.grid:
        save_picture(make_grid(np.stack(kept)), arguments.grid)
        print(f"wrote a grid of {counted(count, 'picture')} to {arguments.grid}")


def _read_classes(arguments: argparse.Namespace, stored: StoredNetwork) -> list[int]:
    """The classes that are asked for: none, one, the two of A:B, or all.

    Raises:
        UserError: if the generator has not got them, or other flags do not go with them.
    """
    numbers = classes.parse_classes(arguments.class_, stored) if arguments.class_ else []
    if arguments.direction and classes.classes_of(stored):
        classes.one_class(arguments.class_, stored, "--direction")
    if len(numbers) > 1:
        every = arguments.class_ == classes.ALL
        what = "a row for each class" if every else "a way from one class to another"
        for name in ("latents", "export", *(["video"] if every else [])):
            if getattr(arguments, name):
                raise UserError(f"--class {arguments.class_} makes {what}, and takes no --{name}; give one class")
    return numbers


def _to_and_fro(numbers: Sequence[int], count: int, generator: Any) -> list[np.ndarray]:
    """The classes' weights of the key images of a loop that goes from one class to another and back."""
    from sle_gan.generation import between_classes, one_class

    start, end = (one_class(number, len(generator.classes)) for number in numbers)
    return [between_classes(start, end, 1 - abs(2 * i / count - 1)) for i in range(count)]


def _way(numbers: Sequence[int], steering: Steering, generator: Any) -> list[Point]:
    """Points of one seed on the straight way from one class to another."""
    from sle_gan.generation import between_classes, one_class
    from sle_gan.latents.points import Point
    from sle_gan.seeds import seeded_latents

    start, end = (one_class(number, len(generator.classes)) for number in numbers)
    seed, count = steering.first, steering.count
    latents = seeded_latents(seed, generator.latent, steering.truncation)
    shares = [i / max(1, count - 1) for i in range(count)]
    return [Point(latents, seed, classes=between_classes(start, end, share)) for share in shares]


def _write_all_classes(arguments: argparse.Namespace, generator: Any) -> None:
    """A labelled grid with a row for each class, a folder of pictures for each, or both; of the same seeds."""
    import numpy as np
    from tqdm import tqdm

    from sle_gan.generation import generate_images
    from sle_gan.pictures import labelled_rows, save_picture, save_png

    names, each, first = generator.classes, arguments.count or _OF_EACH, arguments.seed or 0
    total = each * len(names)
    labels = [label for label in range(len(names)) for _ in range(each)]
    seeds = [first + i % each for i in range(total)]
    batches = generate_images(generator, seeds, arguments.truncation, labels)
    kept = []
    images = tqdm(itertools.chain.from_iterable(batches), total=total, unit="img", delay=2)
    for label, seed, image in zip(labels, seeds, images):
        if arguments.output_folder:
            folder = Path(arguments.output_folder) / classes.folder_name(names[label], label)
            folder.mkdir(parents=True, exist_ok=True)
            save_png(image, folder / f"{seed:06d}.png")
        if arguments.grid:
            kept.append(image)
    what = f"{counted(total, 'picture')}, {each} of each of {len(names)} classes,"
    if arguments.output_folder:
        print(f"wrote {what} to {arguments.output_folder}, a folder for each class")
    if arguments.grid:
        save_picture(labelled_rows(np.stack(kept), names, each), arguments.grid)
        print(f"wrote a grid of {what} to {arguments.grid}")


def _write_loop(arguments: argparse.Namespace, generator: Any, numbers: Sequence[int]) -> None:
    """The animation: a loop through pictures, which goes from one class to another and back where two are given."""
    from tqdm import tqdm

    from sle_gan import generation
    from sle_gan.pictures import save_gif

    first = arguments.seed or 0
    seeds = range(first, first + arguments.interpolate)
    between = _to_and_fro(numbers, len(seeds), generator) if len(numbers) > 1 else None
    groups = generation.interpolation(generator, seeds, arguments.frames, arguments.truncation, between)
    frames = itertools.chain.from_iterable(groups)
    total = arguments.interpolate * arguments.frames
    count = save_gif(tqdm(frames, total=total, unit="frame", delay=2), arguments.video)
    print(f"wrote {counted(count, 'frame')} to {arguments.video}")


class Steering(NamedTuple):
    """The pictures that are to be made.

    Attributes:
        points: those of --latents; none where pictures come from seeds.
        seeds: else.
        truncation: of seeds.
        moves: of --direction.
        directions: those of --directions; None for the closed form of the generator's first layer.
    """

    points: Sequence[Point]
    seeds: range
    truncation: float | None
    moves: Sequence[Move]
    directions: np.ndarray | None

    @property
    def count(self) -> int:
        return len(self.points) or len(self.seeds)

    @property
    def first(self) -> int:
        """What the first picture's file is called after."""
        return 0 if self.points else self.seeds[0]

    def all_points(self, generator: Any) -> Iterator[Point]:
        """Each picture's point, after all moves."""
        from sle_gan.latents.directions import find, moved
        from sle_gan.latents.points import Point
        from sle_gan.seeds import seeded_latents

        directions = self.directions
        if self.moves and directions is None:
            directions = find(generator, "closed-form", max(move.direction for move in self.moves))
        points = self.points or (
            Point(seeded_latents(seed, generator.latent, self.truncation), seed) for seed in self.seeds
        )
        for point in points:
            yield point if directions is None else moved(point, directions, self.moves)


def _read_steering(arguments: argparse.Namespace, stored: StoredNetwork) -> Steering:
    """What the flags say of the pictures to make, with the files that they name.

    Raises:
        UserError: if a file is not of this generator, or there is no direction of that number.
    """
    from sle_gan.latents.directions import Move, check_moves, read_directions
    from sle_gan.latents.points import read_points

    latent, first = stored.architecture["latent"], arguments.seed or 0
    points = read_points(arguments.latents, latent, "--latents") if arguments.latents else []
    directions = read_directions(arguments.directions, latent, "--directions") if arguments.directions else None
    moves = [Move.parse(text) for text in arguments.direction or ()]
    check_moves(moves, latent if directions is None else len(directions))
    return Steering(points, range(first, first + (arguments.count or 16)), arguments.truncation, moves, directions)


def _open_generator(arguments: argparse.Namespace) -> StoredNetwork:
    """The generator of --model or --weights; says which commit a repository is at."""
    flag, reference = ("--model", arguments.model) if arguments.model else ("--weights", arguments.weights)
    model = open_model(reference, flag, arguments.revision)
    if model.commit:
        print(f"{reference} is at commit {model.commit}")
    return model.generator()


def _check(arguments: argparse.Namespace) -> None:
    """Raises a UserError for flags that do not go together and places that cannot be written."""
    if bool(arguments.weights) == bool(arguments.model):
        raise UserError("give either --weights FILE or --model FOLDER_OR_REPOSITORY")
    given = (("--count", arguments.count), ("--seed", arguments.seed), ("--truncation", arguments.truncation))
    for flag, value in given:
        if arguments.latents and value is not None:
            raise UserError(f"{flag} {value} goes with seeds; --latents {arguments.latents} makes each of its pictures")
    if (arguments.latents or arguments.direction) and not (arguments.grid or arguments.output_folder):
        raise UserError("--latents and --direction make pictures: give --output-folder DIR or --grid FILE")
    if (arguments.latents or arguments.direction) and arguments.video:
        raise UserError("--video goes from seed to seed, and takes no --latents and --direction; see explore walk")
    if arguments.directions and not arguments.direction:
        raise UserError(f"--directions {arguments.directions} goes with --direction NUMBER:LENGTH, such as 3:+2")
    if arguments.revision and not arguments.model:
        raise UserError(f"--revision {arguments.revision} goes with --model USER/NAME")
    if bool(arguments.interpolate) != bool(arguments.video):
        raise UserError("--interpolate N and --video FILE.gif go together; give both")
    if arguments.video and Path(arguments.video).suffix.lower() != ".gif":
        raise UserError(f"--video {arguments.video} is no .gif; expected a name such as loop.gif")
    if arguments.grid:
        from sle_gan.pictures import check_suffix

        check_suffix("--grid", arguments.grid)
    if bool(arguments.export) != bool(arguments.output):
        raise UserError("--export FORMAT and --output PATH go together; give both")
    if not (arguments.video or arguments.grid or arguments.output_folder or arguments.export):
        raise UserError("nowhere to write to: give --output-folder DIR, --grid FILE, --video FILE.gif or --export")
    if arguments.export:
        from sle_gan.export.formats import check

        if arguments.mixed_precision != "float32":
            raise UserError(f"--mixed-precision {arguments.mixed_precision}: --export writes float32; leave it out")
        check(arguments.export, arguments.output, arguments.engine)
        check_output_file("--output", arguments.output, parents=True)
    if arguments.output_folder:
        check_output_folder("--output-folder", arguments.output_folder)
    for flag, file in (("--grid", arguments.grid), ("--video", arguments.video)):
        if file:
            check_output_file(flag, file, parents=True)


def _make_folders(arguments: argparse.Namespace) -> None:
    """Makes the folders that the pictures go to, where they are missing."""
    folders = [Path(file).parent for file in (arguments.grid, arguments.video) if file]
    if arguments.output_folder:
        folders.append(Path(arguments.output_folder))
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)


def _at_least(minimum: int):
    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < minimum:
            raise argparse.ArgumentTypeError(f"{text} is no whole number of at least {minimum}")
        return int(text)

    return parse


def _truncation(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # Below a tenth, drawing again until everything is inside takes for ever.
    if not 0.1 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no number of at least 0.1")
    return value
