"""The command `sle-gan`: its subcommands, and the commands that it prints."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import REPOSITORY, assert_refused, run
from PIL import Image

import sle_gan
from sle_gan.cli.main import COMMANDS, make_parser
from sle_gan.commands import command_line, resume_line


def test_every_command_is_in_the_help_and_says_its_name() -> None:
    text = run("--help").stdout
    for name, command in COMMANDS.items():
        assert f"  {name} " in text and command.help in text and len(command.help) < 80
        assert run(name, "--help").stdout.startswith(f"usage: sle-gan {name} ")
    assert run("-h").returncode == 0 and "COMMAND --help" in make_parser().format_help()
    assert run("--version").stdout == f"sle-gan {sle_gan.__version__}\n"


def test_what_is_no_command_is_one_line() -> None:
    assert_refused(run("trian"), "sle-gan: error: unknown command trian (did you mean train?)")
    assert_refused(run("frobnicate"), "unknown command frobnicate (--help lists all commands)")
    assert_refused(run("train.py\n"), r"unknown command train.py\n (did you mean train?)")
    assert_refused(run(), "give a command: train, generate")
    assert_refused(run(""), "give a command: train, generate")
    assert_refused(run("--versoin"), "--versoin", "did you mean --version?")
    assert_refused(run("tiles", "--shet", "a.png"), "sle-gan tiles: error: ")


@pytest.mark.parametrize("name", ("train", "generate", "evaluate"))
def test_the_scripts_of_a_clone_are_the_commands(name: str) -> None:
    line = [sys.executable, REPOSITORY / f"{name}.py"]
    shown = subprocess.run([*line, "--help"], capture_output=True, text=True)
    assert (shown.returncode, shown.stdout) == (0, run(name, "--help").stdout)
    assert_refused(subprocess.run([*line, "--seeed"], capture_output=True, text=True), f"sle-gan {name}: error: ")


def test_a_command_imports_no_other() -> None:
    code = (
        "import sys; from sle_gan.cli.main import main\n"
        "try: main(['tiles', '--help'])\n"
        "finally: print(*sorted(m for m in sys.modules if m.startswith('sle_gan.cli.')), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY)
    assert result.stderr.split() == ["sle_gan.cli.common", "sle_gan.cli.main", "sle_gan.cli.tiles"]


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    line = f"{shlex.quote(sys.executable)} {shlex.quote(str(REPOSITORY / 'sle_gan'))} train --help | true"
    result = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sle-gan ", {*COMMANDS}),
        ("sle-gan tr", {"train", "translate"}),
        ("sle-gan tiles --o", {"--output-folder"}),
        ("sle-gan evaluate ne", {"neighbours"}),
        ("sle-gan train --engine ", {"tensorflow", "jax", "torch"}),
    ],
)
def test_the_shell_completes(line: str, offered: set[str], tmp_path: Path) -> None:
    pytest.importorskip("argcomplete")
    answer = tmp_path / "answer"
    asked = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(answer), "COMP_TYPE": "9"}
    result = run(env={**os.environ, **asked, "COMP_LINE": line, "COMP_POINT": str(len(line))})
    assert {word.strip() for word in answer.read_text().split("\013")} >= offered, result.stderr
    assert not result.stdout and not result.stderr


@pytest.mark.parametrize("name", ("plain", "my flowers", "it's", "-x", "a;b $HOME `c` *", "blümchen 花"))
def test_printed_flags_are_read_as_they_were_meant(name: str, monkeypatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    from sle_gan.cli.train import make_parser

    words = shlex.split(resume_line(Path("my runs") / name, "jax"))
    arguments = make_parser().parse_args(words[words.index("train") + 1 :])
    assert (arguments.name, arguments.output_folder, arguments.engine) == (name, "my runs", "jax")
    assert arguments.resume
    assert "--engine" not in resume_line(Path("runs") / name, "tensorflow")
    assert "--output-folder" not in resume_line(Path("runs") / name, "tensorflow")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(Path(sys.executable).parent))
        assert shlex.split(command_line("train"))[0] in ("python", "python3")


# A command that prints another one.
PROBE = """
from sle_gan.commands import command_line
def main(argv): print(command_line("tiles", sheet="a b.png", tile=2, output_folder="out"))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with that command, a script for it, and the installed program in bin/."""
    folder = tmp_path_factory.mktemp("a clone")
    shutil.copytree(REPOSITORY / "sle_gan", folder / "sle_gan", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "sle_gan" / "cli" / "probe.py").write_text(PROBE)
    with (folder / "sle_gan" / "cli" / "main.py").open("a") as file:
        file.write('COMMANDS["probe"] = Command("sle_gan.cli.probe", "print a command")\n')
    (folder / "probe.py").write_text('from sle_gan.cli.main import entry\nentry("probe")\n')
    program = folder / "bin" / "sle-gan"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom sle_gan.cli.main import entry\nentry()\n")
    program.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("started", "at_home", "installed", "printed"),
    [
        ("python -m sle_gan probe", True, False, "-m sle_gan"),
        ("python probe.py", True, False, "-m sle_gan"),
        ("python CLONE/sle_gan probe", True, False, "-m sle_gan"),
        ("python CLONE/probe.py", False, False, "CLONE/sle_gan"),
        ("python CLONE/sle_gan probe", False, False, "CLONE/sle_gan"),
        ("python -m sle_gan probe", False, True, "-m sle_gan"),
        ("python CLONE/probe.py", False, True, "-m sle_gan"),
        ("sle-gan probe", False, True, "sle-gan tiles"),
        ("CLONE/bin/sle-gan probe", False, True, "CLONE/bin/sle-gan tiles"),
    ],
)
def test_printed_commands_run_as_printed(
    clone: Path, started: str, at_home: bool, installed: bool, printed: str, tmp_path: Path
) -> None:
    """From whatever folder and by whatever program the first one was started."""
    here = clone if at_home else tmp_path
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(clone)} if installed else {}  # as good as site-packages
    if started.startswith("sle-gan"):
        environment["PATH"] = f"{clone / 'bin'}{os.pathsep}{environment['PATH']}"

    def shell(line: str) -> str:
        result = subprocess.run(["/bin/sh", "-c", line], cwd=here, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, result.stderr
        return result.stdout.strip()

    place, python = str(clone).replace(" ", "\\ "), shlex.quote(sys.executable)
    line = shell(started.replace("CLONE", place).replace("python", python, 1))
    assert printed.replace("CLONE", str(clone)) in " ".join(shlex.split(line))
    Image.new("RGB", (4, 2), "red").save(here / "a b.png")
    shutil.rmtree(here / "out", ignore_errors=True)
    assert shell(line).startswith("wrote 2 tiles of 2x2 to out")
