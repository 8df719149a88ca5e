"""The command `sle-gan`: its first word chooses a subcommand, whose module is the only one that is imported."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NamedTuple, NoReturn

from sle_gan import __version__
from sle_gan.cli.common import Parser, run

PROGRAM = "sle-gan"


class Command(NamedTuple):
    """A subcommand: the module with its `main(argv)`, and what it does in one line."""

    module: str
    help: str


COMMANDS = {
    "train": Command("sle_gan.cli.train", "train a GAN on a set of pictures"),
    "generate": Command("sle_gan.cli.generate", "make pictures with a trained generator, or export it"),
    "evaluate": Command("sle_gan.cli.evaluate", "score generated pictures (FID, KID, precision, recall), find copies"),
    "search": Command("sle_gan.cli.search", "find the settings that score best: learning rates, batch size, ..."),
    "explore": Command("sle_gan.cli.explore", "mix pictures and look at what a generator learned"),
    "studio": Command("sle_gan.cli.studio", "play with trained generators in a browser, and watch runs"),
    "translate": Command("sle_gan.cli.translate", "translate pictures with a trained CycleGAN"),
    "convert": Command("sle_gan.cli.convert", "read PyTorch checkpoints, and write FastGAN's"),
    "share": Command("sle_gan.cli.share", "make a folder or a hub repository of a trained generator"),
    "curate": Command("sle_gan.cli.curate", "look through pictures: copies, blurred, empty and foreign ones"),
    "tiles": Command("sle_gan.cli.tiles", "cut a sheet of sprites into pictures to train on"),
}


def make_parser() -> Parser:
    """The parser of everything but a subcommand's own flags."""
    width = max(map(len, COMMANDS))
    table = "\n".join(f"  {name:{width}}  {command.help}" for name, command in COMMANDS.items())
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [-h] [--version] COMMAND ...",
        description="Few-shot image generation: train GANs on small sets of pictures, and use them.",
        epilog=f"commands:\n{table}\n\n{PROGRAM} COMMAND --help lists the flags of a command",
        listing="commands",
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {__version__}")
    return parser


def main(argv: list[str]) -> None:
    """Runs the subcommand that the first word names.

    Raises:
        SystemExit: with 2 where it names none, with 0 after --help and --version.
    """
    name = argv[0] if argv else ""
    if name in COMMANDS:
        importlib.import_module(COMMANDS[name].module).main(argv[1:])
        return
    parser = make_parser()
    if name.startswith("-"):
        parser.parse_args(argv[:1])
    if name:
        parser.error_about("unknown command", name, COMMANDS)
    parser.error(f"give a command: {', '.join(COMMANDS)}")


def entry(*words: str) -> NoReturn:
    """What a program calls that is started by a user: runs the command line and ends the process.

    Args:
        words: put before those of the command line, such as "train".
    """
    argv = [*words, *sys.argv[1:]]
    if "_ARGCOMPLETE" in os.environ:  # the shell asks what could come next
        from sle_gan.cli.completion import complete

        complete(make_parser(), {name: command.module for name, command in COMMANDS.items()})
    prog = f"{PROGRAM} {argv[0]}" if argv and argv[0] in COMMANDS else PROGRAM
    run(lambda: main(argv), prog)
