"""Pages that are made from the program: the flags of every command, and the names of `sle_gan`."""

from __future__ import annotations

import argparse
import ast
import importlib
import pkgutil
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import sle_gan.cli
from sle_gan.cli import train
from sle_gan.cli.main import COMMANDS
from sle_gan.cli.main import make_parser as make_program
from sle_gan.config import CONFIGS, DEFAULT_MODEL

Parser = argparse.ArgumentParser


def parsers() -> Iterator[tuple[str, Parser]]:
    """Every parser with what calls it, such as "sle-gan explore mix"; `train` once for each GAN."""
    yield "sle-gan", make_program()
    for name, command in COMMANDS.items():
        module = importlib.import_module(command.module)
        if module is train:
            for model, config in CONFIGS.items():
                suffix = "" if model == DEFAULT_MODEL else f" --model {model}"
                yield f"sle-gan train{suffix}", train.make_parser(config)
        else:
            yield from _with_subcommands(f"sle-gan {name}", module.make_parser())
            yield from _parsed_apart(name)


def _parsed_apart(name: str) -> Iterator[tuple[str, Parser]]:
    """Subcommands with a parser of their own, in a module `NAME_WORD` beside that of the command."""
    for found in pkgutil.iter_modules(sle_gan.cli.__path__, f"{sle_gan.cli.__name__}."):
        stem = found.name.rpartition(".")[2]
        if stem.startswith(f"{name}_"):
            module = importlib.import_module(found.name)
            if hasattr(module, "make_parser"):
                yield from _with_subcommands(f"sle-gan {stem.replace('_', ' ')}", module.make_parser())


def _with_subcommands(name: str, parser: Parser) -> Iterator[tuple[str, Parser]]:
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from _with_subcommands(f"{name} {word}", child)


def shown(parser: Parser) -> dict[str, list[argparse.Action]]:
    """The flags that --help lists, by the title of their group."""
    groups = {}
    for group in parser._action_groups:
        actions = [
            action
            for action in group._group_actions
            if action.help != argparse.SUPPRESS
            and not isinstance(action, (argparse._HelpAction, argparse._SubParsersAction))
        ]
        if actions:
            title = "" if group.title in ("options", "optional arguments", "positional arguments") else group.title
            groups[title or ""] = actions
    return groups


def commands_page() -> str:
    """Markdown: a section for each command with its flags, examples and exit codes as `--help` has them."""
    lines = [
        "# All commands and flags",
        "",
        "This page is made from the program's own parsers when the site is built. `sle-gan COMMAND --help` shows the",
        "same on a terminal.",
        "",
        "| command | what it does |",
        "|---|---|",
        *(f"| [`sle-gan {name}`](#sle-gan-{name}) | {command.help} |" for name, command in COMMANDS.items()),
    ]
    default = {line for rows in _rows(train.make_parser()).values() for line in rows}
    for name, parser in parsers():
        if name == "sle-gan":
            continue
        extra = "--model" in name
        lines += ["", f"{'###' if extra or name.count(' ') > 1 else '##'} {name}", "", _sentence(parser)]
        if extra:
            lines += ["", "The flags that are not those of `sle-gan train` above, or have another default:"]
        lines += _table(_rows(parser), default if extra else set())
        if parser.epilog and not extra:
            if name.count(" ") > 1 and _parent_epilog(name) == parser.epilog:
                continue  # said there
            lines += ["", "```text", parser.epilog.strip("\n"), "```"]
    return "\n".join(lines) + "\n"


def _parent_epilog(name: str) -> str | None:
    parent = dict(parsers()).get(name.rpartition(" ")[0])
    return parent.epilog if parent else None


def _sentence(parser: Parser) -> str:
    text = (parser.description or "").strip()
    return re.sub(r"\s+", " ", text)


def _rows(parser: Parser) -> dict[str, list[str]]:
    return {title: [_row(parser, action) for action in actions] for title, actions in shown(parser).items()}


def _row(parser: Parser, action: argparse.Action) -> str:
    formatter = parser.formatter_class(parser.prog, width=10_000)
    metavar = formatter._metavar_formatter(action, action.dest.upper())(1)[0] if action.nargs != 0 else ""
    names = ", ".join(action.option_strings) or action.dest
    help_ = formatter._expand_help(action) if action.help else ""
    needed = " (required)" if action.required and action.option_strings else ""
    metavar = metavar.replace(",", ", ") if metavar.startswith("{") else metavar  # where a narrow column may break
    cells = f"`{names}{' ' + metavar if metavar else ''}`", f"{_escaped(help_)}{needed}"
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _escaped(text: str) -> str:
    """Words that Markdown would read as markup: flags and placeholders become code."""
    text = re.sub(r"\s+", " ", text).replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_").replace("[", "\\[")
    return re.sub(r"(?<![\w-])(--[a-zA-Z][\w-]*)", r"`\1`", text)


def _table(groups: dict[str, list[str]], without: set[str]) -> list[str]:
    lines = []
    for title, rows in groups.items():
        rows = [row for row in rows if row not in without]
        if rows:
            lines += ["", f"**{title}**" if title else "", "", "| flag | what it does |", "|---|---|", *rows]
    return lines


def api_page() -> str:
    """Markdown: signature and docstring of each name of `sle_gan.__all__`, read from the sources: no engine starts."""
    lines = [
        "# The names of `sle_gan`",
        "",
        "`import sle_gan` starts no engine; a name is imported when it is first used. Every example below is run by",
        "the tests. Names that are not on this page may change in any release.",
    ]
    for name in sle_gan.__all__:
        lines += ["", f"## {name}", "", *_entry(name)]
    return "\n".join(lines) + "\n"


def _entry(name: str) -> list[str]:
    home = sle_gan._HOMES[name].replace(".", "/")
    package = Path(sle_gan.__file__).parent
    file = next(file for file in (package / f"{home}.py", package / home / "__init__.py") if file.exists())
    for module in (file, *file.parent.glob("*.py")):  # a package may only pass it on
        tree = ast.parse(module.read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)) and node.name == name:
                text = ast.get_docstring(node) or ""  # before the signature: that empties the node
                return [*_signature(node), "", *_sections(text)]
    raise LookupError(f"sle_gan.{name} is not defined in {file} or beside it")


def _signature(node: ast.ClassDef | ast.FunctionDef) -> list[str]:
    """How it is called: a function's parameters, those of a class's `__init__`, or a bare name."""
    function: ast.stmt | None = node
    if isinstance(node, ast.ClassDef):
        function = next((item for item in node.body if getattr(item, "name", "") == "__init__"), None)
    text = node.name
    if isinstance(function, ast.FunctionDef):
        if isinstance(node, ast.ClassDef):
            function.args.args.pop(0)  # self
            function.returns = None
        function.body, function.decorator_list, function.name = [ast.Pass()], [], node.name
        text = ast.unparse(function).removeprefix("def ").partition(":\n")[0]
        if len(text) > 90:
            text = re.sub(r"^(\w+)\((.*)\)", lambda found: _in_lines(*found.groups()), text)
    return ["```python", f"sle_gan.{text}", "```"]


def _in_lines(name: str, parameters: str) -> str:
    parts = re.split(r", (?![^\[]*\])", parameters)
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), ")"])


def _sections(docstring: str) -> list[str]:
    """Google's sections as Markdown: arguments and errors as lists, examples as code."""
    lines: list[str] = []
    for block in re.split(r"\n\n(?=\S)", docstring):
        title, _, body = block.partition("\n")
        if not (title.endswith(":") and body.startswith("    ")):
            lines += [block, ""]
            continue
        body = textwrap.dedent(body)
        lines += [f"**{title}**", ""]
        if ">>>" in body:
            lines += ["```pycon", body, "```", ""]
        else:
            items = re.split(r"\n(?=\S)", body)
            lines += [re.sub(r"^([\w, .]+): ", r"* `\1`: ", re.sub(r"\s+", " ", item)) for item in items] + [""]
    return lines


if __name__ == "__main__":
    print(commands_page())
