"""`sle-gan explore mix`: a grid of contents by styles."""

from __future__ import annotations

import argparse
from typing import Any

from sle_gan.cli import explore_model as shared
from sle_gan.cli.common import user_path
from sle_gan.errors import UserError, counted

_MOST = 32  # contents, and styles: a sheet of 4,356 pixels


def add_flags(parser: Any) -> None:
    shared.add_model_flags(parser)
    parser.add_argument("--contents", default="0-5", metavar="POINTS", help=f"{shared.POINTS} (default %(default)s)")
    parser.add_argument("--styles", default="6-11", metavar="POINTS", help="likewise (default %(default)s)")
    parser.add_argument(
        "--style-strength",
        type=shared.number(0, 3),
        default=1.0,
        metavar="X",
        help="0 leaves the content as it is, 1 takes the style's gates, more exaggerates them (default %(default)s)",
    )
    parser.add_argument("--sheet", type=user_path, metavar="FILE", help="the labelled grid, a .png or .jpg")
    parser.add_argument("--save", type=user_path, metavar="FILE", help="the mixed pictures as latents with gates, .npz")


def main(arguments: argparse.Namespace) -> None:
    if not arguments.sheet and not arguments.save:
        raise UserError("nowhere to write to: give --sheet FILE.png or --save FILE.npz")
    shared.check_picture("--sheet", arguments.sheet)
    shared.check_npz("--save", arguments.save)
    stored = shared.open_generator(arguments)
    contents = shared.points(stored, arguments.contents, "--contents", _MOST)
    styles = shared.points(stored, arguments.styles, "--styles", _MOST)
    generator = shared.load(stored, arguments, contents=contents, styles=styles)
    from tqdm import tqdm

    from sle_gan.latents.mixing import mixed_points
    from sle_gan.latents.points import images_of, save_points
    from sle_gan.latents.sheets import mix_sheet
    from sle_gan.pictures import save_picture

    mixed = list(mixed_points(generator, contents, styles, arguments.style_strength))
    if arguments.save:
        save_points(shared.of_class(mixed, stored, arguments), shared.made_folder(arguments.save))
        print(f"wrote the latents and gates of {counted(len(mixed), 'picture')} to {arguments.save}")
    if arguments.sheet:
        pictures = list(tqdm(images_of(generator, mixed), total=len(mixed), unit="img", delay=2))
        sheet = mix_sheet(generator, contents, styles, pictures, arguments.style_strength)
        save_picture(sheet, shared.made_folder(arguments.sheet))
        print(f"wrote {len(contents)} contents by {len(styles)} styles to {arguments.sheet}")
