"""--patience: a run ends after so many measurements without a better FID, and resumes with its count."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from helpers import TINIEST

from sle_gan import SLEGANConfig
from sle_gan.cli import train
from sle_gan.metrics import Scores
from sle_gan.runs.checkpoints import CheckpointFolder, read_meta
from sle_gan.runs.log import read_log
from sle_gan.training import loop, run
from sle_gan.training.evaluation import Evaluation


@pytest.fixture()
def scores(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """FIDs by step, in place of measurements."""
    by_step: dict[int, float] = {}

    class Scripted(Evaluation):
        def __init__(self, *args: Any) -> None:
            self.protocol = {"count": 1}

        def score(self, gan: Any, domains: Any, step: int) -> Scores:
            del gan, domains
            return Scores({"fid": by_step[step]}, {"extractor": "none", "fake": {"count": 1}, "real": {"count": 1}})

    monkeypatch.setattr(run, "Evaluation", Scripted)
    monkeypatch.setattr(run, "_look_for_copies", lambda *_: None)
    # Nothing is learned, nor are there pictures to look at: what is tested is when a run ends.
    monkeypatch.setattr(loop, "compile_step", lambda *_: lambda batches, k: [{"real": float(k)} for _ in batches])
    monkeypatch.setattr(loop.Trainer, "_show", lambda *_: None)
    return by_step


@pytest.fixture()
def runs(pictures: Path, tmp_path: Path) -> Any:
    """`go(name, flags...)` trains in this process, measuring after every step."""
    often = ("--fid", "--fid-frequency", 1, "--checkpoint-every", 1, "--sample-every", 100, "--steps", 8)
    settings = ("--data-folder", pictures, *TINIEST, *often)

    def go(name: str, *flags: object, resume: bool = False) -> Path:
        words = ("--name", name, "--output-folder", tmp_path, *(("--resume",) if resume else settings), *flags)
        train.main([str(word) for word in words])
        return tmp_path / name

    return go


def steps_and_count(folder: Path) -> tuple[int, int]:
    """How far the run came, in its checkpoint; its log agrees."""
    newest = CheckpointFolder(folder / "checkpoints", keep=9).newest()
    assert newest
    assert [line["step"] for line in read_log(folder / "log.jsonl") if "fid" in line] == list(range(1, newest.step + 1))
    return newest.step, read_meta(newest.path)["worse"]


def test_it_stops_says_why_and_goes_on_when_told_to(runs: Any, scores: dict[int, float], capsys: Any) -> None:
    scores.update(zip(range(1, 9), (9.0, 5.0, 5.0, 6.0, 4.0, 4.5, 4.2, 7.0)))
    folder = runs("a", "--patience", 2)
    out = capsys.readouterr()
    assert steps_and_count(folder) == (4, 2)  # a FID that is equal is no better one
    told = out.out + out.err
    assert "no FID of the last 2 is better than 5.000 of step 2" in told and "--patience 2" in told
    assert "stopped for want of a better FID in 2 measurements at step 4 of 8" in told
    assert "--resume --patience 4" in told
    runs("a", resume=True)  # of the same mind: not a step
    assert steps_and_count(folder) == (4, 2)
    assert "stopped for want of a better FID" in capsys.readouterr().out
    runs("a", "--patience", 3, resume=True)  # one more measurement, were it not a better one
    assert steps_and_count(folder) == (8, 3)
    assert "finished at step 8" in capsys.readouterr().out  # the last step came first


def test_a_resumed_run_stops_where_an_uninterrupted_one_does(runs: Any, scores: dict[int, float]) -> None:
    scores.update(zip(range(1, 9), (9.0, 5.0, 6.0, 7.0, 8.0, 1.0, 1.0, 1.0)))
    whole = runs("whole", "--patience", 3)
    pieces = runs("pieces", "--patience", 3, "--steps", 3)
    assert steps_and_count(pieces) == (3, 1)
    runs("pieces", "--steps", 8, resume=True)
    assert steps_and_count(whole) == steps_and_count(pieces) == (5, 3)


def test_a_run_without_patience_goes_on(runs: Any, scores: dict[int, float]) -> None:
    scores.update({step: float(step) for step in range(1, 9)})
    folder = runs("a")
    assert steps_and_count(folder) == (8, 7)
    assert json.loads((folder / "config.json").read_text())["patience"] is None


def test_a_run_that_was_killed_after_its_best_step_counts_from_there(runs: Any, scores: dict[int, float]) -> None:
    """The best score's own file is newer than the checkpoint: its step is made and measured a second time."""
    scores.update(zip(range(1, 9), (9.0, 8.0, 8.5, 4.0, 5.0, 6.0, 1.0, 1.0)))
    folder = runs("a", "--patience", 2, "--steps", 4)
    (folder / "checkpoints" / "step_00000004.npz").unlink()
    runs("a", "--steps", 8, resume=True)
    assert steps_and_count(folder) == (6, 2)


def test_a_process_that_measures_nothing_ends_with_the_first_one() -> None:
    """Of several processes the first one measures; the others must not take its end for a signal."""
    trainer = loop.Trainer.__new__(loop.Trainer)
    trainer.config, trainer.worse = SLEGANConfig(fid=True, patience=2), 0
    for first_gives_up in (True, False):
        trainer.devices = SimpleNamespace(any=lambda mine: mine or first_gives_up)  # type: ignore[assignment]  # noqa: B023
        assert trainer._gives_up() == first_gives_up
