"""`sle-gan search` as people run it: trials in their own processes, killed, resumed, shown; and its mistakes."""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

from fake_search import make_search, run_fake
from helpers import run, start

from sle_gan import DCGANConfig
from sle_gan.cli import search as command
from sle_gan.cli import search_show
from sle_gan.errors import UserError
from sle_gan.search import process as process_module
from sle_gan.search.clock import Clock
from sle_gan.search.process import ProcessRunner
from sle_gan.search.report import ranking
from sle_gan.search.search import Search
from sle_gan.search.store import Store
from sle_gan.search.tasks import Objective, Result, Score, Task, read_result, read_task, write_result, write_task


@pytest.fixture
def base(pictures: Path, tmp_path: Path) -> Path:
    config = DCGANConfig(data_folder=str(pictures), resolution=32, width=2, latent=4, batch_size=8, steps=8)
    values = json.loads(config.to_json())
    (tmp_path / "base.json").write_text(json.dumps({**values, "checkpoint_every": 2, "sample_every": 100}))
    return tmp_path / "base.json"


@pytest.fixture
def task(tmp_path: Path) -> Task:
    config = DCGANConfig(data_folder="x", output_folder=str(tmp_path), name="trial_0003", resolution=32)
    (tmp_path / "notes").mkdir()
    return Task(3, config, tmp_path / "notes", 1, 0.5, None, Objective("kid", "mobilenet", None, 10, 2))


def search(*arguments: object) -> None:
    command.main(list(map(str, arguments)))


def test_tasks_and_results_go_through_files(task: Task) -> None:
    file = write_task(task, engine="jax", parent=5)
    assert read_task(file) == (task, {"engine": "jax", "parent": 5})
    assert read_result(task) is None
    for result in (Result("scored", Score(1.5, None, 7, 2.0)), Result("diverged", reason="nan")):
        write_result(task, result)
        assert read_result(task) == result


def test_the_clock_goes_on_where_it_was_and_asks_for_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(seconds: float) -> None:
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    told: list[int] = []
    monkeypatch.setattr("sle_gan.search.clock.os.kill", lambda pid, number: told.append(number))
    with Clock(tmp_path / "clock.json", limit_s=10.0) as clock:
        work(0.3)
    assert 0.3 <= clock.cpu_s < 5 and not clock.over and not told
    before = clock.cpu_s
    with Clock(tmp_path / "clock.json", limit_s=before + 0.1) as clock:
        while not told:
            work(0.05)
    assert clock.over and clock.cpu_s >= before + 0.1 and len(told) == 1
    assert Clock(tmp_path / "clock.json", limit_s=before).over
    (tmp_path / "clock.json").write_text("{")
    assert Clock(tmp_path / "clock.json").cpu_s == 0.0


@pytest.mark.parametrize(
    ("code", "ended", "words"),
    [
        ("print('sle-gan search: error: --batch-size is 9'); raise SystemExit(2)", "refused", "--batch-size is 9"),
        ("print('out of memory'); raise SystemExit(1)", "failed", "exit code 1"),
        ("import os; print('loss', flush=True); os.kill(os.getpid(), 9)", "failed", "killed by SIGKILL"),
        ("print('nothing written')", "failed", "exit code 0"),
    ],
)
def test_what_a_process_without_a_result_means(
    code: str, ended: str, words: str, task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "__main__.py").write_text(code)
    monkeypatch.setattr(process_module, "_PACKAGE", tmp_path)
    result = ProcessRunner("tensorflow")(task)
    assert result.ended == ended and words in result.reason and "\n" not in result.reason
    write_result(task, Result("scored", Score(1.0, None, 1, 1.0)))
    assert ProcessRunner("tensorflow")(task).ended == "scored"  # what is known is not trained again


def test_a_process_is_told_to_stop(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "__main__.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(process_module, "_PACKAGE", tmp_path)
    seen: list[int] = []
    (tmp_path / "trial_0003").mkdir()
    (tmp_path / "trial_0003" / "log.jsonl").write_text('{"step": 6}\n{"step": 7}\n{"st')
    runner = ProcessRunner("tensorflow", stop=lambda: len(seen) > 2, watch=lambda task, step: seen.append(step))
    started = time.monotonic()
    assert runner(task).ended == "stopped" and time.monotonic() - started < 30
    assert set(seen) == {7}


def test_show_prints_writes_and_says_what_is_missing(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = tmp_path / "a.db"
    own = make_search()
    store = own.open(storage, tmp_path / "a")
    show = ("show", "--storage", storage)
    with pytest.raises(UserError, match="no trial is done yet, of 0 trials begun"):
        search(*show)
    own.run(store, 10, run_fake)
    search(*show, "--plot", tmp_path / "search.png", "--best", tmp_path / "best.json")
    printed = capsys.readouterr().out
    assert "dcgan at 32 px: fid on inception features, 1,000 generated pictures; trials of 100 steps" in printed
    assert "importances: " in printed and "best.json, the settings of trial" in printed
    found = json.loads((tmp_path / "best.json").read_text())
    assert found["G_learning_rate"] == ranking(store)[0].params["G_learning_rate"]
    for arguments, words in (
        (("--plot", "a.pdf"), "is no .png"),
        (("--best", tmp_path / "no" / "b.json"), "the folder it should go to does not exist"),
    ):
        with pytest.raises(UserError, match=words):
            search(*show, *arguments)
    # What it writes is what train takes.
    best = ("train", "--config", tmp_path / "best.json", "--data-folder", pictures, "--output-folder", tmp_path / "r")
    from sle_gan.cli import train

    parsed = train.make_parser(DCGANConfig).parse_args([str(word) for word in best[1:]])
    assert parsed.config == str(tmp_path / "best.json")
    from sle_gan.config import read_config_file

    values = read_config_file(tmp_path / "best.json")
    assert DCGANConfig(**{name: value for name, value in values.items() if name != "model"}).validated()
    monkeypatch.setattr(search_show.importlib.util, "find_spec", lambda name: None)
    for arguments in (show, ("--config", "x.json", "--storage", storage)):
        with pytest.raises(UserError, match="needs optuna, which is not installed; pip install optuna"):
            search(*arguments)


def test_mistakes_are_one_line_before_any_trial(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(*_: Any) -> None:
        raise AssertionError("a search began")

    monkeypatch.setattr(Search, "run", started)
    good = ("--config", base, "--storage", tmp_path / "s.db")
    (tmp_path / "space.json").write_text('{"latnt": [1, 2]}')
    (tmp_path / "theirs.db").write_text("something else" * 100)
    for arguments, words in (
        ((*good, "--trials", 0), "--trials is 0; expected at least 1"),
        ((*good, "--rungs", 0), "--rungs is 0"),
        ((*good, "--reduction", 1), "--reduction is 1; expected at least 2"),
        ((*good, "--trial-minutes", 0), "--trial-minutes is 0.0; expected a number above 0"),
        ((*good, "--minutes", "nan"), "--minutes is nan"),
        ((*good, "--seed", -1), "--seed is -1"),
        ((*good, "--space", tmp_path / "space.json"), "unknown setting 'latnt' (did you mean 'latent'?)"),
        ((*good, "--space", tmp_path / "none.json"), "expected a JSON file"),
        ((*good, "--data-folder", tmp_path / "none"), "--data-folder"),
        (("--config", tmp_path / "none.json", "--storage", "s.db"), "expected a JSON file such as a run's config.json"),
        (("--config", base, "--storage", tmp_path / "no" / "s.db"), "the folder it should go to does not exist"),
        (("--config", base, "--storage", tmp_path / "theirs.db"), "is no search that can be read"),
    ):
        with pytest.raises(UserError) as caught:
            search(*arguments)
        assert words in str(caught.value) and "\n" not in str(caught.value)


def finished(storage: Path) -> list[tuple[Any, ...]]:
    store = Store.open_existing(storage, storage.with_suffix(""))
    return [(row.number, row.ended, row.rung, row.value, row.step, row.params) for row in ranking(store)]


@pytest.mark.slow
def test_a_real_search_killed_at_random_moments_ends_the_same(
    base: Path, tmp_path: Path, mobilenet_weights: Path
) -> None:
    """Trainings in processes of their own, killed with their search; what is left of them goes on to the bit."""
    (tmp_path / "space.json").write_text('{"G_learning_rate": {"low": 1e-4, "high": 1e-2, "log": true}}')
    settings = ("search", "--config", base, "--space", tmp_path / "space.json", "--trials", 3, "--rungs", 2)
    settings = (
        *settings,
        "--features",
        "mobilenet",
        "--features-weights",
        mobilenet_weights,
        "--count",
        16,
        "--sets",
        2,
    )
    whole = run(*settings, "--storage", tmp_path / "whole.db")
    assert whole.returncode == 0, whole.stderr
    assert "3 trials done" in whole.stdout and "best" in whole.stderr
    for _ in range(3):
        process = start(*settings, "--storage", tmp_path / "killed.db", env={**os.environ})
        folder = tmp_path / "killed"
        before = steps(folder)
        while process.poll() is None and steps(folder) <= before:
            time.sleep(0.05)
        time.sleep(3 * random.random())
        process.kill()
        process.communicate()
    killed = run(*settings, "--storage", tmp_path / "killed.db")
    assert killed.returncode == 0, killed.stderr
    assert finished(tmp_path / "killed.db") == finished(tmp_path / "whole.db")
    assert [row[1] for row in finished(tmp_path / "whole.db")].count("complete") >= 1
    one = tmp_path / "whole" / "trial_0000"
    assert {"generator_weights.h5", "log.jsonl", "config.json"} <= {path.name for path in one.iterdir()}
    shown = run("search", "show", "--storage", tmp_path / "whole.db", "--best", tmp_path / "best.json")
    assert shown.returncode == 0, shown.stderr
    trained = run(
        "train", "--config", tmp_path / "best.json", "--output-folder", tmp_path, "--name", "best", "--steps", 1
    )
    assert trained.returncode == 0, trained.stderr


def steps(folder: Path) -> int:
    return sum(len(log.read_text().splitlines()) for log in folder.glob("trial_*/log.jsonl"))


@pytest.mark.slow
def test_trials_of_processor_minutes_and_one_that_diverges(base: Path, tmp_path: Path, mobilenet_weights: Path) -> None:
    values = json.loads(base.read_text())
    base.write_text(json.dumps({**values, "steps": 100_000, "checkpoint_every": 5}))
    (tmp_path / "space.json").write_text('{"G_learning_rate": [2e-4, 1e30], "D_learning_rate": [2e-4, 1e30]}')
    settings = ("search", "--config", base, "--space", tmp_path / "space.json", "--trials", 4, "--rungs", 1)
    settings = (
        *settings,
        "--features",
        "mobilenet",
        "--features-weights",
        mobilenet_weights,
        "--count",
        16,
        "--sets",
        1,
    )
    result = run(*settings, "--storage", tmp_path / "m.db", "--trial-minutes", 0.3)
    assert result.returncode == 0, result.stderr
    rows = {row[0]: row for row in finished(tmp_path / "m.db")}
    assert rows[0][1] == "complete" and rows[0][4] > 1
    assert any(row[1] == "diverged" for row in rows.values())
    clock = json.loads((tmp_path / "m" / ".search" / "0000" / "clock.json").read_text())
    assert 18 <= clock["cpu_s"] < 40
