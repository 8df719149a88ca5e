"""`sle-gan tiles`: a sheet of sprites -> a folder of pictures to train on."""

from __future__ import annotations

import argparse
import re

from sle_gan.cli.common import Parser, user_path
from sle_gan.errors import counted
from sle_gan.storage.paths import check_output_folder

EXAMPLES = """\
examples:
  sle-gan tiles --sheet punks.png --tile 24 --output-folder punks
  sle-gan tiles --sheet cards.png --tile 60x90 --output-folder cards
"""


def make_parser() -> Parser:
    parser = Parser(prog="sle-gan tiles", description="Cut a sheet of equal tiles into one PNG each.", epilog=EXAMPLES)
    parser.add_argument(
        "--sheet", type=user_path, required=True, metavar="FILE", help="the picture to cut; transparency is kept"
    )
    parser.add_argument(
        "--tile", required=True, type=_tile, metavar="N|WxH", help="size of a tile in pixels, such as 24 or 60x90"
    )
    parser.add_argument(
        "--output-folder",
        type=user_path,
        required=True,
        metavar="DIR",
        help="a new or empty folder for SHEET_0000.png, row by row",
    )
    return parser


def main(argv: list[str]) -> None:
    """Parses, cuts, says what was written."""
    arguments = make_parser().parse_args(argv)
    check_output_folder("--output-folder", arguments.output_folder)
    from sle_gan.data.tiles import cut_sheet

    written, empty = cut_sheet(arguments.sheet, arguments.tile, arguments.output_folder)
    size = "x".join(map(str, arguments.tile))
    left_out = f", left out {empty:,} without a visible pixel" if empty else ""
    print(f"wrote {counted(written, 'tile')} of {size} to {arguments.output_folder}{left_out}")


def _tile(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d{0,5})(?:x([1-9]\d{0,5}))?", text, re.ASCII)
    if not match:
        raise argparse.ArgumentTypeError(f"{text} is no size in pixels such as 24 or 60x90")
    return int(match[1]), int(match[2] or match[1])
