"""README and docs/ name nothing that is not there: commands are parsed, Python runs, the site is built."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import os
import re
import shlex
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers import REPOSITORY
from PIL import Image

import sle_gan
from sle_gan.cli import train
from sle_gan.cli.common import Parser
from sle_gan.cli.main import COMMANDS, Command
from sle_gan.config import CONFIGS

sys.path.append(str(REPOSITORY / "docs"))
import reference

PAGES = [
    REPOSITORY / "README.md",
    *(REPOSITORY / name for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")),
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "examples").glob("*/README.md")),
    REPOSITORY / "benchmarks" / "README.md",
]
BLOCK = re.compile(r"(?:<!-- test: needs (?P<needs>\S+) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S)
FLAG = re.compile(r"(?<![\w-])--[A-Za-z][\w-]*")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")
PROMPT = re.compile(r"^(?:\$ |sle-gan |python3? |pip |make |source |TF_CONFIG=)", re.M)
# Flags of other programs that pages name.
OTHERS = {"--logdir", "--help", "--version", "--strict", "--offline", "--repo-type"}
PARSERS = list(reference.parsers())


class Block(NamedTuple):
    page: Path
    language: str
    text: str
    needs: str | None


def blocks(page: Path) -> list[Block]:
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Block(page, match["language"], match["text"], match["needs"]) for match in found]


def commands(block: Block) -> Iterator[str]:
    """The command lines of a block, whole; where one has a prompt, what has none is output."""
    lines = block.text.replace("\\\n", " ").splitlines()
    prompted = any(line.startswith("$ ") for line in lines)
    if block.language not in ("", "sh", "bash") or not PROMPT.search(block.text):
        return
    command = ""
    for line in lines:
        if command or line.startswith("$ ") or not prompted:
            command += line.removeprefix("$ ")
            if is_whole(command):
                yield command.strip()
                command = ""
            else:
                command += "\n"
    if command:
        yield command


def is_whole(command: str) -> bool:
    """Whether all quotes of a command line are closed."""
    try:
        shlex.split(command, comments=True)
    except ValueError:
        return False
    return True


def shell_blocks(page: Path) -> list[str]:
    return ["\n".join(lines) for block in blocks(page) if (lines := list(commands(block)))]


def by_name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def our_words(line: str) -> list[str] | None:
    """What `sle-gan` is given by a command line; None where the line calls something else."""
    words = shlex.split(re.sub(r"\$\w+", "1", line), comments=True)  # variables of the shell: any value
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0], re.S):
        words = words[1:]
    if words[:1] == ["sle-gan"]:
        return words[1:]
    if words[:3] == ["python", "-m", "sle_gan"]:
        return words[3:]
    if len(words) > 1 and words[0] == "python" and words[1] in ("train.py", "generate.py", "evaluate.py"):
        return [words[1].removesuffix(".py"), *words[2:]]
    return None


def parsers_for(words: list[str]) -> tuple[int, list[argparse.ArgumentParser]]:
    """How many words name the command, and the parsers that may be meant.

    `train` has one for each GAN, which --init-from and --resume choose by a file.
    """
    if words[:1] == ["train"]:
        if "--model" in words:
            return 1, [train.make_parser(CONFIGS[words[words.index("--model") + 1]])]
        return 1, [train.make_parser(config) for config in CONFIGS.values()]
    known = dict(PARSERS)
    count = next(count for count in (2, 1, 0) if " ".join(["sle-gan", *words[:count]]) in known)
    return count, [known[" ".join(["sle-gan", *words[:count]])]]


def refusal(line: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Why no parser takes a command line of ours; "" where one does, or where it is another program's."""
    words = our_words(line)
    if words is None:
        return ""
    why = ""
    count, parsers = parsers_for(words)
    given = words[count:]
    for parser in parsers:
        if "..." in given:  # what stands for more
            options = parser._option_string_actions
            why = " ".join(word for word in given if word.startswith("--") and word not in options)
        else:
            try:
                parser.parse_args(given)
                why = ""
            except SystemExit as ended:
                why = capsys.readouterr().err if ended.code else ""
        if not why:
            return ""
    return f"{line}: {why}"


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_command_line_is_one(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [line for block in blocks(page) for line in commands(block)]
    inline = re.findall(r"`(sle-gan [^`\n]*[^`\n.]|python -m sle_gan [^`]*)`", page.read_text(encoding="utf-8"))
    for line in [*lines, *(f"{line} ..." for line in inline if not re.search(r" [A-Z]{3,}( |$)", line))]:
        assert not refusal(line, capsys)


def test_wrong_command_lines_are_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--seeed" in refusal("sle-gan generate --seeed 1", capsys)
    assert "--seeed" in refusal("A=1 sle-gan generate --seeed 1 ...", capsys)
    assert "--weights" in refusal("sle-gan translate --input a --output-folder b", capsys)
    assert "frob" in refusal("sle-gan frob", capsys)
    assert "--rotation" in refusal("sle-gan train --model slegan --rotation 5", capsys)
    assert not refusal("sle-gan train --rotation 5", capsys), "where a file may choose the GAN, one of them is enough"
    assert refusal("pip install --frob", capsys) == ""


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_every_flag_exists(page: Path) -> None:
    known = {name for _, parser in PARSERS for name in parser._option_string_actions} | OTHERS
    for script in (path for folder in ("benchmarks", "examples") for path in (REPOSITORY / folder).rglob("*.py")):
        known |= set(re.findall(r"\"(--[\w-]+)\"", script.read_text(encoding="utf-8")))
    for script in (REPOSITORY / "examples").rglob("*.py"):  # the names of their sources are flags
        known |= {f"--{word}" for word in re.findall(r"\"(\w+)\":", script.read_text(encoding="utf-8"))}
    text = page.read_text(encoding="utf-8")
    spans = [*re.findall(r"`([^`\n]+)`", text), *(block.text for block in blocks(page) if block.language != "diff")]
    lines = [line for span in spans for line in span.splitlines() if not line.strip().startswith("pip ")]
    unknown = {flag for line in lines for flag in FLAG.findall(line)} - known
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_extras_and_targets_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    project = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    extras = set(re.findall(r"^(\w+) = \[", project.partition("[project.optional-dependencies]")[2], re.M))
    named = {name for group in re.findall(r"\"\.\[([\w,]+)\]\"", text) for name in group.split(",")}
    assert named <= extras
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r"(?:^|`)make ([\w-]+)", text, re.M)) <= set(re.findall(r"^([\w-]+):", makefile, re.M))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_shell_blocks_are_shell(page: Path) -> None:
    for text in shell_blocks(page):
        result = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True)
        assert result.returncode == 0, f"{text}\n{result.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_python_blocks_compile_and_name_what_exists(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python":
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sle_gan":
                    assert hasattr(sle_gan, node.attr), f"{block.text}: sle_gan.{node.attr}"


def test_the_diffs_of_the_examples_are_of_this_code() -> None:
    """What a diff takes away or stands beside is in the file that it names."""
    sections = 0
    for block in blocks(REPOSITORY / "CONTRIBUTING.md"):
        for section in re.split(r"^--- ", block.text, flags=re.M)[1:] if block.language == "diff" else []:
            name, _, changes = section.partition("\n")
            if name == "/dev/null":
                continue
            lines = (REPOSITORY / name.removeprefix("a/")).read_text(encoding="utf-8").splitlines()
            old = [line[1:] for line in changes.splitlines() if line[:1] in (" ", "-")]
            assert old and not [line for line in old if line not in lines], name
            sections += 1
    assert sections >= 9


def make_what_is_needed(name: str) -> None:
    """The files that code blocks open, in the working folder."""
    if name == "generator_weights.h5" and not Path(name).exists():
        sle_gan.Generator(64, width=16, latent=64).save_weights(name)
    if name == "generator.onnx":
        pytest.importorskip("onnx", reason="needs the extra `onnx`")
        make_what_is_needed("generator_weights.h5")
        from sle_gan.cli.generate import main

        main(["--weights", "generator_weights.h5", "--export", "onnx", "--output", name])


@pytest.mark.parametrize("page", [page for page in PAGES if page.parent.name == "docs"], ids=by_name)
def test_python_blocks_of_the_docs_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [block for block in blocks(page) if block.language == "python"]
    monkeypatch.chdir(tmp_path)
    for block in found:
        make_what_is_needed("generator_weights.h5")
        if block.needs:
            make_what_is_needed(block.needs)
        if "onnxruntime" in block.text:
            pytest.importorskip("onnxruntime")
        exec(compile(block.text, by_name(page), "exec"), {})


def test_pictures_are_there_described_and_small() -> None:
    for page in PAGES:
        for description, link in PICTURE.findall(page.read_text(encoding="utf-8")):
            file = page.parent / link
            assert file.is_file(), f"{by_name(page)}: {link}"
            assert len(description) > 10, f"{by_name(page)}: {link} has no description"
    for file in (REPOSITORY / "docs" / "images").iterdir():
        assert file.stat().st_size < 300_000, file
        with Image.open(file) as picture:
            picture.verify()


def test_every_picture_is_used() -> None:
    texts = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert not {file.name for file in (REPOSITORY / "docs" / "images").iterdir() if file.name not in texts}


def test_the_page_of_commands_has_every_flag() -> None:
    text = reference.commands_page()
    for name, parser in PARSERS:
        assert name == "sle-gan" or re.search(f"^##+ {re.escape(name)}$", text, re.M), name
        for actions in reference.shown(parser).values():
            for action in actions:
                assert name == "sle-gan" or all(
                    f"`{flag}" in text or f", {flag}" in text for flag in action.option_strings
                )


def test_a_new_command_appears_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def make_parser() -> Parser:
        parser = Parser(prog="sle-gan probe", description="Look <twice>.")
        parser.add_argument("--new-flag", metavar="A|B", required=True, help="what *it* does in 100 %%, of [this]")
        return parser

    module = types.ModuleType("a_probe")
    module.make_parser = make_parser  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_probe", module)
    monkeypatch.setitem(COMMANDS, "probe", Command("a_probe", "look"))
    text = reference.commands_page()
    assert "\n## sle-gan probe\n" in text
    assert "| `--new-flag A\\|B` | what \\*it\\* does in 100 %, of \\[this] (required) |" in text


def test_the_page_of_names_has_them_all() -> None:
    text = reference.api_page()
    for name in sle_gan.__all__:
        assert f"\n## {name}\n" in text and f"sle_gan.{name}" in text
    assert "**Returns:**" in text and "```pycon\n>>> import sle_gan" in text


def hooks() -> types.ModuleType:
    pytest.importorskip("mkdocs", reason="needs the extra `docs`")
    spec = importlib.util.spec_from_file_location("docs_hooks", REPOSITORY / "docs" / "hooks.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_that_are_missing_or_unknown_break_nothing() -> None:
    order = hooks().ordered({"index.md", "faq.md", "new_idea.md"})
    assert order == [{"Start": ["index.md", "faq.md"]}, {"More": ["new_idea.md"]}]


def test_links_between_files_become_links_of_the_site(caplog: pytest.LogCaptureFixture) -> None:
    link = hooks().site_link
    assert link("../art/demo.png", "docs/index.md") == "art/demo.png"
    assert link("docs/faq.md#a", "README.md") == "faq.md#a"
    assert link("../benchmarks/README.md#b", "docs/speed.md") == "benchmarks.md#b"
    assert link("speed.md", "docs/gpu.md") == "speed.md" and link("#c", "docs/gpu.md") == "#c"
    assert link("https://arxiv.org/abs/2101.04775", "docs/a.md") == "https://arxiv.org/abs/2101.04775"
    assert not caplog.records
    link("https://nowhere", "docs/a.md"), link("http://example.org", "docs/a.md"), link("../sle_gan/x.py", "docs/a.md")
    assert len(caplog.records) == 3
    assert link("../Makefile", "docs/a.md") is None and len(caplog.records) == 3, "a file of the repository: no link"


def test_the_site_is_built_without_a_warning_and_asks_for_nothing_outside(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="needs the extra `docs`")
    pytest.importorskip("material", reason="needs the extra `docs`")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(REPOSITORY)}
    result = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        text = page.read_text(encoding="utf-8")
        fetched = re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"?((?:https?:)?//[^\" >]+)", text
        )
        assert not fetched, f"{page.name}: {fetched}"


def test_the_citation_is_of_this_version() -> None:
    text = (REPOSITORY / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {sle_gan.__version__}\n" in text and "\ncff-version: 1.2.0\n" in f"\n{text}"
