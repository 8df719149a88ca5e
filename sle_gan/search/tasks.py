"""Tasks and results, also as files: how a search and a trial's process speak, and what stays when one is killed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, NamedTuple

from sle_gan.config import TrainConfig, config_from_dict
from sle_gan.storage.atomic import atomic_path
from sle_gan.storage.json_objects import read_object


@dataclasses.dataclass(frozen=True)
class Objective:
    """What trials are compared by.

    metric: fid, kid, mifid, precision or recall. features: the network's name; features_weights: its file.
    count: generated pictures of a set. sets: how many sets, of seeds that follow each other; their mean counts.
    """

    metric: str = "fid"
    features: str = "inception"
    features_weights: str | None = None
    count: int = 1000
    sets: int = 3

    @property
    def maximize(self) -> bool:
        return self.metric in ("precision", "recall")


class Score(NamedTuple):
    """What a trial was worth at one rung.

    value: the metric, a mean over sets of pictures. spread: their standard deviation; None for a single set.
    step: how far the run was. cpu_s: its processor time until then.
    """

    value: float
    spread: float | None
    step: int
    cpu_s: float


class Task(NamedTuple):
    """One rung of one trial: what a `Runner` is to train and score.

    config: of the trial's run, for its whole length. notes: a folder for what is not of the run.
    share: of the run's steps (or `minutes`, where they are given) at which to stop. rung: its number.
    """

    number: int
    config: TrainConfig
    notes: Path
    rung: int
    share: float
    minutes: float | None
    objective: Objective


class Result(NamedTuple):
    """How a task ended: with a score, or without one and the reason.

    ended: "scored", "diverged" (a loss was NaN or Inf), "refused" (the settings or what they name are wrong), "failed",
        or "stopped" (asked to, and saved; the same task goes on).
    """

    ended: str
    score: Score | None = None
    reason: str = ""


def write_task(task: Task, **more: Any) -> Path:
    """Writes task.json into the trial's notes; returns its path.

    Args:
        more: JSON values that go with it.
    """
    values = {
        **task._asdict(),
        "config": {"model": task.config.model, **dataclasses.asdict(task.config)},
        "notes": str(task.notes),
        "objective": dataclasses.asdict(task.objective),
        **more,
    }
    return _write(task.notes / "task.json", values)


def read_task(file: Path) -> tuple[Task, dict[str, Any]]:
    """What `write_task` wrote, and what went with it.

    Raises:
        OSError, ValueError: if the file is none of these.
    """
    values = read_object(file)
    config = config_from_dict(values["config"], str(file))
    task = {name: values.pop(name) for name in Task._fields}
    objective, notes = Objective(**task["objective"]), Path(task["notes"])
    return Task(**{**task, "config": config, "objective": objective, "notes": notes}), values


def write_result(task: Task, result: Result) -> None:
    """Writes the result of a rung; the same rung is not trained again."""
    score = result.score._asdict() if result.score else None
    _write(_result_file(task), {"ended": result.ended, "score": score, "reason": result.reason})


def read_result(task: Task) -> Result | None:
    """What `write_result` wrote; None where there is nothing yet."""
    try:
        values = read_object(_result_file(task))
    except FileNotFoundError:
        return None
    score = Score(**values["score"]) if values["score"] else None
    return Result(values["ended"], score, values["reason"])


def clock_file(task: Task) -> Path:
    return task.notes / "clock.json"


def output_file(task: Task) -> Path:
    """All that the processes of a trial print."""
    return task.notes / "output.txt"


def _result_file(task: Task) -> Path:
    return task.notes / f"rung_{task.rung}.json"


def _write(file: Path, values: dict[str, Any]) -> Path:
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    return file
