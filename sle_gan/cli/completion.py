"""Completion of the command line, through argcomplete (the extra `completion`)."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from typing import NoReturn

from sle_gan.cli.common import Parser

ASKED = "_ARGCOMPLETE"  # set by the shell that asks: how many words come before the first argument


def complete(parser: Parser, modules: Mapping[str, str]) -> NoReturn:
    """Answers the shell that asks what could come next, and ends the process.

    Args:
        parser: of everything but the subcommands' own flags.
        modules: of the subcommands, by their names; each has a `make_parser()`.
    """
    try:
        import argcomplete
        from argcomplete.lexers import split_line
    except ImportError:
        sys.exit(1)  # a command that is not yet whole must not run
    before = int(os.environ[ASKED])
    words = split_line(os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])])[3]
    name = words[before] if len(words) > before else ""
    if name in modules:
        os.environ[ASKED] = str(before + 1)
        parser = importlib.import_module(modules[name]).make_parser()
    else:
        parser.add_argument("command", choices=tuple(modules))
    argcomplete.autocomplete(parser)
    sys.exit()
