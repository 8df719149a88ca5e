"""What the subcommands of `sle-gan explore` share: the generator, and the points that a user means."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sle_gan.cli import classes
from sle_gan.cli.common import REFERENCES, add_engine_flag, import_engine_to_compute, user_path
from sle_gan.errors import UserError, shown
from sle_gan.hub import open_model
from sle_gan.storage.paths import check_output_file

if TYPE_CHECKING:
    from sle_gan.latents.points import Point
    from sle_gan.weights import StoredNetwork

POINTS = "seeds such as 0,3,7-9, or a file of latents (.npz)"


def add_model_flags(parser: Any) -> None:
    parser.add_argument("--model", type=user_path, required=True, metavar="MODEL", help=f"the generator: {REFERENCES}")
    parser.add_argument("--revision", metavar="REV", help="of the repository: a branch, a tag, a full commit hash")
    parser.add_argument("--class", dest="class_", metavar="CLASS", help=classes.HELP)
    add_engine_flag(parser)


def open_generator(arguments: argparse.Namespace, one_class: bool = False) -> StoredNetwork:
    """The generator of --model; says which commit a repository is at.

    Args:
        one_class: whether it has to be of one class. Where it was taught some and none is given, --class becomes the
            one with the most training pictures. Otherwise each picture is of the class of its seed.
    """
    model = open_model(arguments.model, "--model", arguments.revision)
    if model.commit:
        print(f"{arguments.model} is at commit {model.commit}")
    stored = model.generator()
    if arguments.class_ is not None:
        classes.one_class(arguments.class_, stored, "sle-gan explore")
    elif one_class and (names := classes.classes_of(stored)):
        pictures = stored.architecture["class_pictures"]
        arguments.class_ = names[pictures.index(max(pictures))]
        print(f"note: of {len(names)} classes this is {shown(arguments.class_)}, which has most pictures; see --class")
    return stored


def points(stored: StoredNetwork, text: str, flag: str, most: int, truncation: float | None = None) -> list[Point]:
    """The points that a flag's text means.

    Raises:
        UserError: if it means none of this generator, or more than `most`.
    """
    from sle_gan.latents.points import points_of

    found = points_of(text, stored.architecture["latent"], flag, truncation)
    if len(found) > most:
        raise UserError(f"{flag} {text} are {len(found):,} pictures; expected at most {most}")
    return found


def load(
    stored: StoredNetwork, arguments: argparse.Namespace, precision: str = "float32", **checked: list[Point]
) -> Any:
    """Starts the engine and builds the generator, that of --class where it is given.

    Args:
        precision: what it computes in.
        checked: points by the flag that they were given with; their gates must be the generator's.
    """
    import_engine_to_compute(arguments.engine)
    from sle_gan.latents.points import check_gates
    from sle_gan.models.building import fold_network

    generator = fold_network(stored, precision)
    if arguments.class_ is not None:
        generator = classes.of_class(generator, arguments.class_, stored, "sle-gan explore")
    for flag, given in checked.items():
        check_gates(given, generator, f"--{flag.replace('_', '-')}")
    return generator


def of_class(found: list[Point], stored: StoredNetwork, arguments: argparse.Namespace) -> list[Point]:
    """The points as a file keeps them: with the class that they are in where --class named it."""
    if arguments.class_ is None:
        return found
    weights = classes.weights(classes.one_class(arguments.class_, stored, "sle-gan explore"), stored)
    return [point._replace(classes=weights) for point in found]


def check_picture(flag: str, file: str | None) -> None:
    """Raises a UserError unless a picture of that name can be written."""
    from sle_gan.pictures import check_suffix

    if file:
        check_suffix(flag, file)
        check_output_file(flag, file, parents=True)


def check_npz(flag: str, file: str | None) -> None:
    """Raises a UserError unless an .npz of that name can be written."""
    if file and Path(file).suffix.lower() != ".npz":
        raise UserError(f"{flag} {file}: expected a name that ends in .npz")
    if file:
        check_output_file(flag, file, parents=True)


def add_video_flags(parser: Any, required: bool = True) -> None:
    parser.add_argument(
        "--video",
        type=user_path,
        required=required,
        metavar="FILE",
        help="the animation, a .gif, .webp or .mp4 (the last with the extra video)",
    )
    parser.add_argument(
        "--seconds", type=number(0.1, 600), default=8.0, metavar="X", help="that it lasts (default %(default)g)"
    )
    parser.add_argument(
        "--fps", type=number(1, 60, True), default=25, metavar="N", help="frames a second (default %(default)s)"
    )


def frame_count(arguments: argparse.Namespace) -> int:
    """The frames of `add_video_flags`, at least two."""
    return max(2, round(arguments.seconds * arguments.fps))


def check_video_flags(arguments: argparse.Namespace) -> None:
    """Raises a UserError unless the animation can be written."""
    from sle_gan.pictures.videos import check_video

    check_video("--video", arguments.video, arguments.fps)
    check_output_file("--video", arguments.video, parents=True)


def made_folder(file: str) -> str:
    """The file's name, with the folders above it made."""
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    return file


def number(low: float, high: float, whole: bool = False) -> Callable[[str], float]:
    """The type of a flag that takes a number within limits."""

    def parse(text: str) -> float:
        try:
            value = int(text) if whole else float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            kind = "whole number" if whole else "number"
            raise argparse.ArgumentTypeError(f"{text} is no {kind} from {low:g} to {high:g}")
        return value

    return parse
