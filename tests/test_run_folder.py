"""Run folders: who may make, delete and write them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from sle_gan.config import SLEGANConfig
from sle_gan.errors import UserError
from sle_gan.training.resume import resumed_config
from sle_gan.training.run_folder import RunFolder, is_run


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
