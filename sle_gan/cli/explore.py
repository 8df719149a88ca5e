"""`sle-gan explore`: what a generator learned, steered and shown; each subcommand is a module of its own."""

from __future__ import annotations

import argparse

from sle_gan.cli import explore_directions, explore_film, explore_mix, explore_project, explore_walk
from sle_gan.cli.common import Parser

EXAMPLES = """\
examples:
  sle-gan explore mix --model runs/flowers --contents 0-5 --styles 10-15 --sheet mix.png
  sle-gan explore directions --model runs/flowers --count 10 --sheet directions.png --save directions.npz
  sle-gan explore walk --model runs/flowers --through 3,14,15 --way ping-pong --seconds 6 --video walk.webp
  sle-gan explore film --run runs/flowers --video film.mp4
  sle-gan explore project --model runs/flowers --photo rose.jpg --save rose.npz --picture found.png --video rose.gif

A picture is meant by its seed, as in sle-gan generate, or by a file of latents (.npz) that a subcommand has written;
sle-gan generate --latents FILE makes its pictures at full size. sle-gan explore SUBCOMMAND --help lists its flags.
"""
SUBCOMMANDS = {
    "mix": (explore_mix, "the content of one picture with the style of another, as a grid"),
    "directions": (explore_directions, "the directions in which pictures change most, as a sheet and a file"),
    "walk": (explore_walk, "an animation from picture to picture"),
    "film": (explore_film, "the grids that a run drew while it trained, as an animation"),
    "project": (explore_project, "a photo found in the generator: its latents, their picture, a film of the search"),
}


def make_parser() -> Parser:
    parser = Parser(
        prog="sle-gan explore",
        description="See and steer what a trained generator learned.",
        epilog=EXAMPLES,
        listing="subcommands",
    )
    subparsers = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", required=True, parser_class=Parser)
    for name, (module, text) in SUBCOMMANDS.items():
        module.add_flags(subparsers.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}."))
    return parser


def main(argv: list[str]) -> None:
    """Parses, and runs the subcommand, which checks what can be checked without a backend first."""
    arguments: argparse.Namespace = make_parser().parse_args(argv)
    SUBCOMMANDS[arguments.subcommand][0].main(arguments)
