"""`sle-gan explore directions`: the directions along which pictures change most, a row each."""

from __future__ import annotations

import argparse
from typing import Any

from sle_gan.cli import explore_model as shared
from sle_gan.cli.common import user_path
from sle_gan.errors import UserError, counted

_MOST_DIRECTIONS, _MOST_STEPS = 64, 33


def add_flags(parser: Any) -> None:
    shared.add_model_flags(parser)
    parser.add_argument(
        "--method",
        choices=("closed-form", "principal"),
        default="closed-form",
        help="of the first layer's matrix, or of its activated maps over 2,000 samples (default %(default)s)",
    )
    parser.add_argument("--count", type=shared.number(1, _MOST_DIRECTIONS, True), default=8, metavar="N",
                        help="how many, the strongest first (default %(default)s)")  # fmt: skip
    parser.add_argument("--around", default="0", metavar="POINT",
                        help=f"the picture that is moved: one of {shared.POINTS} (default %(default)s)")  # fmt: skip
    parser.add_argument("--length", type=shared.number(0.01, 100), default=3.0, metavar="X",
                        help="how far to go to either side, in standard deviations (default %(default)s)")  # fmt: skip
    parser.add_argument("--steps", type=shared.number(2, _MOST_STEPS, True), default=7, metavar="N",
                        help="pictures of a row (default %(default)s)")  # fmt: skip
    parser.add_argument("--sheet", type=user_path, metavar="FILE", help="a row for each direction, a .png or .jpg")
    parser.add_argument("--save", type=user_path, metavar="FILE",
                        help="the directions, .npz, for sle-gan generate --directions FILE")  # fmt: skip


def main(arguments: argparse.Namespace) -> None:
    if not arguments.sheet and not arguments.save:
        raise UserError("nowhere to write to: give --sheet FILE.png or --save FILE.npz")
    shared.check_picture("--sheet", arguments.sheet)
    shared.check_npz("--save", arguments.save)
    stored = shared.open_generator(arguments)
    around = shared.points(stored, arguments.around, "--around", 1)
    if arguments.count > stored.architecture["latent"]:
        raise UserError(
            f"--count {arguments.count}: this generator has latents of {stored.architecture['latent']} numbers, "
            "and as many directions"
        )
    generator = shared.load(stored, arguments, around=around)

    from sle_gan.latents.directions import find, save_directions
    from sle_gan.pictures import save_picture

    directions = find(generator, arguments.method, arguments.count)
    if arguments.save:
        save_directions(directions, arguments.method, shared.made_folder(arguments.save))
        print(f"wrote {counted(len(directions), 'direction')} to {arguments.save}")
    if arguments.sheet:
        sheet = _sheet(arguments, generator, directions, around[0])
        save_picture(sheet, shared.made_folder(arguments.sheet))
        print(f"wrote a sheet of {counted(len(directions), 'direction')} to {arguments.sheet}")


def _sheet(arguments: argparse.Namespace, generator: Any, directions: Any, around: Any) -> Any:
    import numpy as np
    from tqdm import tqdm

    from sle_gan.latents.directions import Move, moved
    from sle_gan.latents.points import images_of
    from sle_gan.pictures.sheets import Cell, labelled_sheet

    lengths = np.linspace(-arguments.length, arguments.length, arguments.steps).tolist()
    moves = [Move(i + 1, length) for i in range(len(directions)) for length in lengths]
    places = (moved(around, directions, [move]) for move in moves)
    pictures = tqdm(images_of(generator, places), total=len(moves), unit="img", delay=2)
    (own,) = images_of(generator, [around])
    cells = [Cell(picture, f"{move.direction}:{move.length:+.3g}") for picture, move in zip(pictures, moves)]
    rows = [
        [Cell(own, around.name, "itself"), *cells[at : at + len(lengths)]] for at in range(0, len(cells), len(lengths))
    ]
    return labelled_sheet(f"The {arguments.method} directions around {around.name}, the strongest first", rows)
