"""Paths that users give: `~`, names that cannot be, places that cannot be written; whole files or none."""

from __future__ import annotations

import dataclasses
import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import REPOSITORY, as_another_user

from sle_gan import SLEGANConfig
from sle_gan.cli import common, convert, evaluate, generate, share, tiles, train, translate
from sle_gan.config import CONFIGS
from sle_gan.data import load_dataset
from sle_gan.errors import UserError
from sle_gan.features.download import keras_cache
from sle_gan.storage.atomic import atomic_path
from sle_gan.storage.paths import check_output_file, check_output_folder, expanded

COMMANDS: dict[str, Any] = {
    module.__name__.rpartition(".")[2]: module
    for module in (convert, evaluate, generate, share, tiles, train, translate)
}


# The home folder


def test_the_home_folder_is_found_as_a_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert expanded("~/runs") == str(tmp_path / "runs") and expanded("~") == str(tmp_path)
    for path in ("runs/~", "./~/runs", "", "runs", "~no-such-user/runs"):
        assert expanded(path) == path


def test_without_a_home_only_what_needs_one_is_refused(no_home: None, tmp_path: Path) -> None:
    assert expanded("runs") == "runs" and expanded("~else/runs") == "~else/runs"
    with pytest.raises(UserError, match=r"~/runs: your home folder is not known; set HOME"):
        expanded("~/runs")
    with pytest.raises(UserError, match="your home folder is not known"):
        SLEGANConfig(output_folder="~/runs")
    assert keras_cache() == Path("/tmp/.keras/models")


def test_without_a_home_pictures_stay_in_memory(no_home: None, pictures: Path) -> None:
    with pytest.warns(UserWarning, match="no home folder is known.*--cache-folder"):
        assert len(load_dataset(pictures, 16, progress=False)) == 24


def test_a_command_prints_a_warning_of_ours_as_one_line() -> None:
    warn = "warnings.warn('no cache'), warnings.warn('old name', RuntimeWarning)"
    program = f"import warnings; from sle_gan.cli.common import run; run(lambda: ({warn}), 'x')"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY)
    first, second = result.stderr.splitlines()
    assert first == "warning: no cache" and second.endswith("RuntimeWarning: old name")


def actions(parser: Any) -> list[Any]:
    """Every flag of a command and of its subcommands."""
    found = []
    for action in parser._actions:
        if isinstance(action.choices, dict):
            found += [inner for sub in action.choices.values() for inner in actions(sub)]
        found.append(action)
    return found


PLACES = ("DIR", "FILE", "PATH", "MODEL")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_flag_for_a_path_knows_the_home_folder(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make = COMMANDS[command].make_parser
    parsers = [make(config) for config in CONFIGS.values()] if command == "train" else [make()]
    flags = [
        action
        for parser in parsers
        for action in actions(parser)
        if isinstance(action.metavar, str) and set(action.metavar.split("_")) & set(PLACES)
    ]
    assert len(flags) >= 2
    for action in flags:
        assert action.type is not None and action.type("~/x") == str(tmp_path / "x"), action.option_strings


@pytest.mark.parametrize("model", CONFIGS)
def test_every_setting_for_a_path_knows_the_home_folder(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that is text is a path unless it is one of these."""
    monkeypatch.setenv("HOME", str(tmp_path))
    config = CONFIGS[model]
    text = {field.name for field in dataclasses.fields(config) if field.type in ("str", "str | None")}
    text -= {"name", "augment_policy", "attn_res_layers", "value_range", "image_column", "judges", "aspect"}
    assert {"data_folder", "output_folder", "init_from", "cache_folder"} <= text
    made = config(**dict.fromkeys(text, "~/x"))
    assert {getattr(made, name) for name in text} == {str(tmp_path / "x")}


# Before the work

LONG = "n" * 300


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("folder", "that is a folder, expected the name of a file"),
        ("pipe", "is no regular file"),
        ("file/x.png", "the folder it should go to does not exist"),
        ("new/x.png", "the folder it should go to does not exist"),
        (LONG, "cannot be written: File name too long"),
        (f"folder/{'n' * 252}.png", "cannot be written: File name too long"),
        ("x" * 255, None),
        ("file", None),
        ("x.png", None),
    ],
)
def test_output_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, message: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    os.mkfifo("pipe")
    Path("file").write_text("old")
    before = sorted(tmp_path.rglob("*"))
    if message:
        with pytest.raises(UserError, match=f"^--grid {file}.* ?{message}"):
            check_output_file("--grid", file)
    else:
        check_output_file("--grid", file)
        assert sorted(tmp_path.rglob("*")) == before, "a check leaves nothing"
        with atomic_path(file) as temporary:
            temporary.write_text("new")
        assert Path(file).read_text() == "new"


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("file", "file is a file, expected a folder"),
        ("file/deep/x", "file is a file, expected a folder"),
        ("dangling/x", "dangling is a link to nothing"),
        (f"new/{LONG}/x", "a name may have 255 bytes"),
        ("new/deep", None),
        (".", None),
    ],
)
def test_output_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, message: str | None) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("dangling").symlink_to("gone")
    if message:
        with pytest.raises(UserError, match=f"^--output-folder {folder} cannot be written: .*{message}"):
            check_output_folder("--output-folder", folder)
    else:
        check_output_folder("--output-folder", folder)
    assert not Path("new").exists()


def test_places_that_may_not_be_written(public: Path) -> None:
    (public / "closed").mkdir()
    with as_another_user(public, {"closed": 0o555, ".": 0o555}):
        for name in ("new", "new/deep", "closed", "closed/new"):
            with pytest.raises(UserError, match=r"cannot be written: .*Permission denied; choose another place"):
                check_output_folder("--output-folder", public / name)
            with pytest.raises(UserError, match=r"cannot be written: .*Permission denied; choose another place"):
                check_output_file("--grid", public / name / "x.png", parents=True)
    with as_another_user(public, {"closed": 0}), pytest.raises(UserError, match=r"closed/x cannot .*Permission denied"):
        check_output_file("--grid", public / "closed" / "x")


BAD_PLACES = {
    "train": ["--data-folder pics --preview-augmentation {}.png", "--data-folder pics --cache-folder {}"],
    "generate": [
        "--weights g.h5 --grid {}.png",
        "--weights g.h5 --output-folder {}",
        "--weights g.h5 --interpolate 2 --video {}.gif",
        "--weights g.h5 --export saved_model --output {}",
    ],
    "evaluate": [
        "stats --real pics --output {}",
        "score --real pics --fake pics --json {}",
        "neighbours --real pics --fake pics --output {}.png",
    ],
    "translate": ["--weights g.h5 --input pics --grid {}.png", "--weights g.h5 --input pics --output-folder {}"],
    "convert": [
        "--input g.pth --output-folder {}",
        "--input g.pth --run-folder {}",
        "--input g.h5 --to-fastgan {}.pth",
    ],
    "share": ["--weights g.h5 --folder {}"],
    "tiles": ["--sheet pics/a.png --tile 8 --output-folder {}"],
}


@pytest.mark.parametrize(("command", "arguments"), [(name, text) for name in BAD_PLACES for text in BAD_PLACES[name]])
def test_commands_find_out_before_the_work(
    public: Path, monkeypatch: pytest.MonkeyPatch, command: str, arguments: str
) -> None:
    """A name that is too long, a folder of somebody else: one line, and no engine was started for it."""
    module = COMMANDS[command]

    def work(*arguments: object) -> None:
        raise AssertionError("the work began")

    for name in ("import_backend", "import_engine_to_compute", "read_torch", "cut_sheet"):
        monkeypatch.setattr(module, name, work, raising=False)
    monkeypatch.chdir(public)
    Path("pics").mkdir()
    for file in ("g.h5", "g.pth", "pics/a.png"):
        Path(file).touch()
    (public / "in the way.png").mkdir()
    with pytest.raises((UserError, OSError), match=r"(?i)too long|255 bytes"):
        module.main(arguments.format(LONG).split())
    with as_another_user(public, {".": 0o555}), pytest.raises(UserError, match="Permission denied"):
        module.main(arguments.format("new").split())
    assert sorted(path.name for path in public.iterdir()) == ["g.h5", "g.pth", "in the way.png", "pics"]


# At the end


def test_what_no_check_foresaw_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: Exception) -> None:
        raise error

    for error, line in (
        (
            PermissionError(errno.EACCES, "Permission denied", "a\nb"),
            "sle-gan x: error: a\\nb: Permission denied\n",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "sle-gan x: error: No space left on device\n"),
        (UserError("the folder a\nb is none"), "sle-gan x: error: the folder a\\nb is none\n"),
    ):
        with pytest.raises(SystemExit) as caught:
            common.run(lambda error=error: fail(error), "sle-gan x")
        assert caught.value.code == 2
        assert capsys.readouterr().err == line


@pytest.mark.parametrize("encoding", ("utf-8:strict", "ascii:strict"))
def test_no_name_ends_a_command_that_prints_it(encoding: str) -> None:
    code = "from sle_gan.cli import common; common.run(lambda: print('b\\udcfcume \\u82b1'), 'x')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": encoding, "PYTHONPATH": str(REPOSITORY)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"b\\udcfcume ")


def test_no_name_ends_a_command_whose_errors_go_nowhere() -> None:
    """`2>&-`: the stream that takes the place of the closed one fails at no name either."""
    code = "from sle_gan.cli import common; import sys; common.run(lambda: print('b\\udcfcume', file=sys.stderr), 'x')"
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, code],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=False,
    )
    assert done.returncode == 0


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.write_text("old")
    with pytest.raises(KeyError), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyError
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("number", (errno.EINVAL, errno.ENOTSUP, errno.EIO))
def test_a_file_system_that_cannot_sync_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Some network file systems; a disk that fails is another thing."""
    sync = os.fsync

    def refuse(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))
        sync(file)

    monkeypatch.setattr(os, "fsync", refuse)

    def write() -> None:
        with atomic_path(tmp_path / "x") as temporary:
            temporary.write_text("new")

    if number == errno.EIO:
        with pytest.raises(OSError, match="error"):
            write()
    else:
        write()
    assert (tmp_path / "x").read_text() == "new"
