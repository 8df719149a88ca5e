"""The search itself: what is tried, what goes on, what a kill -9 costs. Trials are free here, all else is real."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("optuna")

from fake_search import BASE, SPACE, fid, make_search, run_fake
from helpers import REPOSITORY, STARTED

from sle_gan.errors import UserError
from sle_gan.search.halving import goes_on, rung_shares
from sle_gan.search.report import best, best_settings, draw, importances, ranking, table
from sle_gan.search.search import Search, timer
from sle_gan.search.store import Store
from sle_gan.search.tasks import Result, Score, Task


@pytest.fixture
def tmp_path(tmp_path: Path) -> Iterator[Path]:
    """In memory, where there is such a place: each transaction waits for the disk, and here are hundreds."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def start(storage: Path, trials: int, seed: int = 0, seconds: float = 0.02) -> subprocess.Popen[str]:
    command = [sys.executable, str(Path(__file__).with_name("fake_search.py")), storage, trials, seed, seconds]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True, env=environment)
    STARTED.append(process)
    return process


def finish(process: subprocess.Popen[str]) -> None:
    error = process.communicate()[1]
    assert process.returncode == 0, error


def opened(place: Path, search: Search | None = None) -> Store:
    return (search or make_search()).open(place / "a.db", place / "a")


def found(store: Store) -> list[tuple[Any, ...]]:
    return [(row.number, row.ended, row.rung, row.value, row.params) for row in ranking(store)]


def calls(place: Path) -> Counter[tuple[int, int]]:
    lines = (place / "a" / ".search" / "calls.txt").read_text().splitlines()
    return Counter(tuple(json.loads(line)) for line in lines)


def test_shares_and_who_goes_on() -> None:
    assert rung_shares(3, 2) == (0.25, 0.5, 1.0) and rung_shares(1, 2) == (1.0,) and rung_shares(3, 3)[0] == 1 / 9
    assert goes_on(5.0, [], 2)  # the first one has nobody to be compared with
    assert not goes_on(5.0, [4.0], 2) and goes_on(3.0, [4.0], 2)
    assert goes_on(5.0, [4.0, 6.0, 7.0], 2) and not goes_on(5.0, [4.0, 4.5, 7.0], 2)
    assert goes_on(5.0, [4.0, 3.0, 2.0], 2, maximize=True) and not goes_on(1.0, [4.0], 2, maximize=True)
    assert goes_on(4.0, [4.0, 4.0], 3)  # equal ones go on together


def test_a_search_finds_better_settings_than_its_base(tmp_path: Path) -> None:
    search = make_search()
    store = opened(tmp_path, search)
    assert search.run(store, 14, run_fake)
    rows = ranking(store)
    assert len(rows) == 14 and {row.ended for row in rows} >= {"complete", "pruned"}
    first = next(row for row in rows if row.number == 0)
    assert first.params["G_learning_rate"] == BASE.G_learning_rate  # the base's own, as far as the space holds it
    assert first.params["batch_size"] in SPACE["batch_size"] and first.ended == "complete"
    winner = best(store)
    assert winner is not None and winner.number > 0 and winner.value < first.value and winner.value == rows[0].value
    settings = best_settings(store, winner, {"data_folder": "there"})
    assert settings["G_learning_rate"] == winner.params["G_learning_rate"] and settings["data_folder"] == "there"
    assert settings["steps"] == 100 and settings["model"] == "dcgan" and "name" not in settings
    text = table(store, top=3)
    assert text.splitlines()[1].split()[1] == str(winner.number) and text.endswith("and 11 more trials")
    draw(store, tmp_path / "search.png")
    assert (tmp_path / "search.png").stat().st_size > 10_000


def test_importances_name_the_setting_that_decides(tmp_path: Path) -> None:
    search = make_search(rungs=1)
    store = opened(tmp_path, search)
    search.run(store, 4, run_fake)
    assert importances(store) is None
    # Only the learning rate matters here.
    search.run(store, 24, lambda task: Result("scored", Score(abs(task.config.G_learning_rate - 4e-4), None, 1, 1.0)))
    shares = importances(store)
    assert shares is not None and max(shares, key=lambda name: shares[name]) == "G_learning_rate"
    assert sum(shares.values()) == pytest.approx(1)


def test_a_killed_search_loses_nothing_and_ends_the_same(tmp_path: Path) -> None:
    """Killed with -9 at random moments and started again: no finished trial is lost or repeated, all is the same."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for place in (whole, killed):
        place.mkdir()
    finish(start(whole / "a.db", 9))
    ended_before: dict[int, tuple[Any, ...]] = {}
    kills = 0
    for attempt in range(4):
        process = start(killed / "a.db", 9)
        begun = killed / "a" / ".search" / "calls.txt"
        before = begun.stat().st_size if begun.exists() else 0
        # First while it imports, or makes its storage; then within a trial, or while it writes or decides.
        while attempt and process.poll() is None and (begun.stat().st_size if begun.exists() else 0) == before:
            time.sleep(0.01)
        time.sleep(random.random() * (1 if attempt else 3))
        kills += process.poll() is None
        process.kill()
        process.communicate()
        done = {row[0]: row for row in found(opened(killed)) if row[1] != "running"}
        assert ended_before.items() <= done.items()
        ended_before = done
    finish(start(killed / "a.db", 9))
    assert found(opened(killed)) == found(opened(whole))
    assert set(calls(whole).values()) == {1}
    # A rung runs again only where the process was killed within it.
    assert (
        calls(killed).keys() == calls(whole).keys()
        and sum(calls(killed).values()) <= sum(calls(whole).values()) + kills
    )


def test_two_processes_share_the_trials(tmp_path: Path) -> None:
    both = [start(tmp_path / "a.db", 12, seconds=0.05) for _ in range(2)]
    for process in both:
        finish(process)
    rows = found(opened(tmp_path))
    assert sorted(row[0] for row in rows) == list(range(12)) and not any(row[1] == "running" for row in rows)
    assert set(calls(tmp_path).values()) == {1}


def test_a_trial_that_ends_while_it_is_looked_at_is_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process ends it between the reading of the list and the taking of its lock."""
    search = make_search()
    store, other, base = opened(tmp_path, search), opened(tmp_path, search), {**BASE.__dict__}
    take = store._take

    def take_late(number: int) -> Any:
        if number == 0:
            other.prune(store.trials()[0])
        return take(number)

    with store.claim(1, search.space, 0, base) as first:
        assert first.number == 0
    monkeypatch.setattr(store, "_take", take_late)
    with store.claim(1, search.space, 0, base) as again:
        assert again is None


def test_a_trial_that_runs_elsewhere_is_left_alone(tmp_path: Path) -> None:
    search = make_search()
    store, base = opened(tmp_path, search), {**BASE.__dict__}
    with store.claim(2, search.space, 0, base) as first, store.claim(2, search.space, 0, base) as second:
        assert (first.number, second.number) == (0, 1)
        with store.claim(2, search.space, 0, base) as third:
            assert third is None
    with store.claim(2, search.space, 0, base) as again:
        assert again.number == 0 and again.params == first.params


def test_more_trials_later_are_those_of_a_longer_search(tmp_path: Path) -> None:
    for name in ("once", "twice"):
        (tmp_path / name).mkdir()
    search = make_search(3)
    search.run(opened(tmp_path / "once", search), 8, run_fake)
    for trials in (4, 8, 8):
        search.run(opened(tmp_path / "twice", search), trials, run_fake)
    assert found(opened(tmp_path / "once", search)) == found(opened(tmp_path / "twice", search))
    other = make_search(4)
    (tmp_path / "other").mkdir()
    other.run(opened(tmp_path / "other", other), 8, run_fake)
    assert found(opened(tmp_path / "other", other)) != found(opened(tmp_path / "once", search))


def test_a_trial_that_diverges_or_fails_is_a_result(tmp_path: Path) -> None:
    endings = {0: "diverged", 1: "failed", 2: "refused"}
    search = make_search(rungs=1)
    store = opened(tmp_path, search)

    def run(task: Task) -> Result:
        if task.number in endings:
            return Result(endings[task.number], reason=f"because of {task.number}")
        return Result("scored", Score(fid(task), None, 100, 1.0))

    assert search.run(store, 5, run)
    rows = {row.number: row for row in ranking(store)}
    assert [rows[number].ended for number in range(5)] == ["diverged", "failed", "failed", "complete", "complete"]
    assert rows[1].note == "because of 1" and rows[0].value is None
    assert best(store).number in (3, 4) and "diverged" in table(store)
    assert [row.number for row in ranking(store)][-3:] == [0, 1, 2]


def test_what_is_wrong_with_the_first_trial_ends_the_search(tmp_path: Path) -> None:
    search = make_search()
    store = opened(tmp_path, search)
    with pytest.raises(UserError, match="no weights"):
        search.run(store, 5, lambda task: Result("refused", reason="no weights"))
    assert [row.ended for row in ranking(store)] == ["running"]
    assert search.run(store, 5, run_fake)  # once it is mended
    assert len(ranking(store)) == 5


def test_a_search_is_stopped_between_rungs_and_goes_on(tmp_path: Path) -> None:
    search = make_search()
    store = opened(tmp_path, search)
    answers = iter([False, False, False, True])
    assert not search.run(store, 5, run_fake, until=lambda: next(answers, True))
    assert calls(tmp_path) == {(0, 0): 1, (0, 1): 1}
    assert not search.run(store, 5, lambda task: Result("stopped"))
    assert search.run(store, 5, run_fake)
    assert set(calls(tmp_path).values()) == {1}
    assert timer(None)() is False and timer(1e-9)() is True and timer(60)() is False


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"rungs": 2}, "length: rungs was 3 and is 2"),
        ({"minutes": 1.0}, "length: minutes was None and is 1.0"),
    ],
)
def test_a_storage_of_other_settings_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(UserError, match=words):
        opened(tmp_path, make_search(**change))


def test_a_storage_of_another_project_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    import optuna

    (tmp_path / "text").write_text("not a database, and long enough to be read as one" * 10)
    with sqlite3.connect(tmp_path / "own.db") as file:
        file.execute("CREATE TABLE songs (title TEXT)")
    optuna.create_study(storage=f"sqlite:///{tmp_path / 'optuna.db'}", study_name="theirs")
    for name, words in (
        ("text", "no search that can be read"),
        ("own.db", "a database of another project"),
        ("optuna.db", "holds theirs, none of sle-gan search"),
    ):
        before = (tmp_path / name).read_bytes()
        for open_it in (
            lambda path: make_search().open(path, tmp_path / "trials"),
            lambda path: Store.open_existing(path, tmp_path / "trials"),
        ):
            with pytest.raises(UserError, match=words):
                open_it(tmp_path / name)
        assert (tmp_path / name).read_bytes() == before
    with pytest.raises(UserError, match="there is no such file"):
        Store.open_existing(tmp_path / "none.db", tmp_path / "trials")
