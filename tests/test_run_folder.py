"""Run folders: who may make, delete and write them."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
from pathlib import Path

import pytest
from helpers import as_another_user

from sle_gan import SLEGANConfig
from sle_gan.errors import UserError
from sle_gan.runs import folder as run_folder
from sle_gan.runs.folder import RunFolder, check_new, check_usable, is_run, read_run
from sle_gan.training.resume import resumed_config


@pytest.fixture
def config(tmp_path: Path) -> SLEGANConfig:
    return SLEGANConfig(data_folder="x", name="a", output_folder=str(tmp_path), resolution=64, steps=10)


def test_a_run_is_made_once_and_overridden_on_demand(config: SLEGANConfig) -> None:
    with RunFolder.create(config, override=False) as folder:
        (folder.samples / "old.png").touch()
    assert is_run(config.run_folder)
    with pytest.raises(UserError, match="--override"):
        RunFolder.create(config, override=False)
    with RunFolder.create(config, override=True) as folder:
        assert not list(folder.samples.iterdir())


@pytest.mark.parametrize("content", ("nothing", "a file", "a config", "a link"))
def test_override_deletes_nothing_but_runs(config: SLEGANConfig, tmp_path: Path, content: str) -> None:
    path = config.run_folder
    if content == "a link":
        RunFolder.create(dataclasses.replace(config, name="b"), override=False).close()
        path.symlink_to(tmp_path / "b")
    else:
        path.mkdir()
        (path / "thesis.tex").touch()
    if content == "a config":
        (path / "checkpoints").mkdir()
        (path / "config.json").write_text('{"some": "other program\'s"}')
    with pytest.raises(UserError, match="deletes only training runs"):
        RunFolder.create(config, override=True)
    assert (
        path / ("config.json" if content in ("a config", "a link") else "thesis.tex" if content != "nothing" else "")
    ).exists()


def test_two_processes_cannot_share_a_run(config: SLEGANConfig) -> None:
    with RunFolder.create(config, override=False):
        for attempt in (lambda: RunFolder.open(config.run_folder), lambda: RunFolder.create(config, override=True)):
            with pytest.raises(UserError, match="another process"):
                attempt()
        assert is_run(config.run_folder)
    RunFolder.open(config.run_folder).close()


@pytest.mark.parametrize("number", (errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP))
def test_a_file_system_without_locks_is_said_once_and_used(
    config: SLEGANConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for make in (
        lambda: RunFolder.create(config, override=False),
        lambda: RunFolder.open(config.run_folder),
        lambda: RunFolder.create(config, override=True),
    ):
        with make() as folder:
            assert is_run(folder.path)
        assert capsys.readouterr().out.count("without locks (no locks here)") == 1


@pytest.mark.parametrize("error", (OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()))
def test_a_run_that_cannot_be_made_leaves_nothing(
    config: SLEGANConfig, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def fail(self: RunFolder, config: SLEGANConfig) -> None:
        raise error

    monkeypatch.setattr(RunFolder, "write_config", fail)
    with pytest.raises((UserError, KeyboardInterrupt)) as caught:
        RunFolder.create(config, override=False)
    assert isinstance(caught.value, KeyboardInterrupt) or "cannot be made: No space left on device" in str(caught.value)
    assert not config.run_folder.exists()


def test_of_two_that_make_a_run_at_once_the_second_takes_nothing_away(
    config: SLEGANConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that the name is free."""
    with RunFolder.create(config, override=False) as first:
        with monkeypatch.context() as patch:
            patch.setattr(run_folder, "check_new", lambda config, override: None)
            patch.setattr(Path, "exists", lambda path: False)
            with pytest.raises(UserError, match="File exists"):
                RunFolder.create(config, override=False)
        assert is_run(first.path)


CLOSED = {
    "its folder": ({"a": 0o555}, "the run folder .*a cannot be written: .*Permission denied"),
    "its checkpoints": ({"a/checkpoints": 0o555}, "checkpoints cannot be written: .*Permission denied"),
    "its samples": ({"a/samples": 0o555}, "samples cannot be written: .*Permission denied"),
    "its lock": ({"a/.lock": 0o444}, r"\.lock cannot be written: Permission denied; does the run belong"),
    "its log": ({"a/log.jsonl": 0o444}, r"log\.jsonl cannot be written: Permission denied; does the run belong"),
    "its last checkpoint": ({"a/checkpoints/step_00000001.npz": 0}, "npz cannot be read: Permission denied"),
    "its settings": ({"a/config.json": 0}, r"config\.json: Permission denied"),
    "everything": ({"a": 0}, "a is no training run: Permission denied"),
}


@pytest.mark.parametrize("what", CLOSED)
def test_a_run_of_another_user_is_refused_before_it_is_touched(config: SLEGANConfig, public: Path, what: str) -> None:
    modes, message = CLOSED[what]
    with RunFolder.create(dataclasses.replace(config, output_folder=str(public)), override=False) as folder:
        folder.log.touch()
        (folder.checkpoints / "step_00000001.npz").touch()
    with as_another_user(public, modes):
        with pytest.raises(UserError, match=message):
            RunFolder.open(public / "a")
        if what not in ("its settings", "everything"):  # those a resuming command meets when it reads the run
            with pytest.raises(UserError, match=message):
                check_usable(public / "a")
    RunFolder.open(public / "a").close()


def test_a_run_is_neither_made_nor_deleted_where_that_is_not_allowed(config: SLEGANConfig, public: Path) -> None:
    config = dataclasses.replace(config, output_folder=str(public))
    with as_another_user(public, {".": 0o555}), pytest.raises(UserError, match=r"run folder .* Permission denied"):
        RunFolder.create(config, override=False)
    RunFolder.create(config, override=False).close()
    for modes in ({".": 0o555}, {"a": 0o555}, {"a/samples": 0o555}):
        with as_another_user(public, modes), pytest.raises(UserError, match=r"--override deletes .* Permission denied"):
            check_new(config, override=True)
    assert is_run(config.run_folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "n" * 300}, "a name may have 255 bytes"),
        ({"name": "ü" * 200}, "a name may have 255 bytes"),
        ({"name": "\udcff"}, "no UTF-8 text"),
        ({"output_folder": "file/runs"}, "file is a file, expected a folder"),
        ({"output_folder": "nowhere"}, "nowhere is a link to nothing"),
    ],
)
def test_places_where_no_run_can_be(
    config: SLEGANConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    Path("nowhere").symlink_to("gone")
    with pytest.raises(UserError, match=message):
        check_new(dataclasses.replace(config, **change), override=False)


def test_a_run_behind_a_link_is_one(config: SLEGANConfig, tmp_path: Path) -> None:
    with RunFolder.create(config, override=False) as folder:
        (folder.checkpoints / "step_00000003.npz").touch()
    (tmp_path / "link").symlink_to("a")
    assert resumed_config({"name": "link", "output_folder": str(tmp_path)}).run_folder == tmp_path / "link"
    assert read_run(tmp_path / "link")[1].name == "step_00000003.npz"
    with RunFolder.open(tmp_path / "link"), pytest.raises(UserError, match="another process"):
        RunFolder.open(tmp_path / "a")


def test_folders_that_are_gone_are_made_again(config: SLEGANConfig) -> None:
    with RunFolder.create(config, override=False) as folder:
        folder.samples.rmdir()
    with RunFolder.open(config.run_folder) as folder:
        assert folder.samples.is_dir()


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ('{"learning_rate": 0.1}', r"config\.json: unknown setting 'learning_rate' \(did you mean 'G_learning_rate'"),
        ('{"steps": 3,}', r"config\.json is not JSON .*line 1"),
        ('{"steps": "3"}', r"config\.json: steps is '3'; expected an integer"),
        ('{"resolution": 300}', r"config\.json: --resolution is 300; expected a power of two"),
        ('{"model": [1]}', r"config\.json: model is \[1\]; expected one of"),
        (None, r"it has no config\.json"),
    ],
)
def test_what_is_wrong_with_a_run_is_named(
    config: SLEGANConfig, tmp_path: Path, content: str | None, cause: str
) -> None:
    RunFolder.create(config, override=False).close()
    file = config.run_folder / "config.json"
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    for read in (
        lambda: resumed_config({"name": "a", "output_folder": str(tmp_path)}),
        lambda: RunFolder.open(tmp_path / "a"),
        lambda: read_run(tmp_path / "a"),
        lambda: check_new(config, override=True),
    ):
        with pytest.raises(UserError, match=cause) as caught:
            read()
        assert "--config" not in str(caught.value)
    assert config.run_folder.is_dir() and not is_run(config.run_folder)


def test_the_home_folder_in_the_settings_of_a_run(
    config: SLEGANConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    RunFolder.create(dataclasses.replace(config, output_folder="~/runs"), override=False).close()
    assert is_run(tmp_path / "runs" / "a")
    assert resumed_config({"name": "a", "output_folder": "~/runs"}).run_folder == tmp_path / "runs" / "a"


def test_what_a_resumed_run_may_change(config: SLEGANConfig, tmp_path: Path) -> None:
    RunFolder.create(config, override=False).close()
    place = {"name": "a", "output_folder": str(tmp_path)}
    assert resumed_config(place) == config
    assert resumed_config({**place, "steps": 99}).steps == 99
    by_epochs = resumed_config({**place, "epochs": 3})
    assert (by_epochs.epochs, by_epochs.steps) == (3, None)
    assert resumed_config({**place, "resolution": 64}) == config
    with pytest.raises(UserError, match=r"--resolution is 128, but .* was trained with 64"):
        resumed_config({**place, "resolution": 128})
    with pytest.raises(UserError, match="no training run"):
        resumed_config({**place, "name": "c"})
    (tmp_path / "a").rename(tmp_path / "moved")
    assert resumed_config({**place, "name": "moved"}).run_folder == tmp_path / "moved"
