"""What a search found: a ranking, which settings mattered, a plot, and the best trial's settings for --config."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from sle_gan.errors import counted
from sle_gan.search.store import Store, scores_of
from sle_gan.storage.atomic import atomic_path

_ENOUGH_FOR_IMPORTANCES = 8


class Row(NamedTuple):
    """A trial in the ranking.

    rung: the last one that it was scored at, -1 for none; value, spread, step, cpu_s: there. ended: complete, pruned,
    diverged, failed, or running. note: of a trial without a score.
    """

    number: int
    ended: str
    rung: int
    value: float | None
    spread: float | None
    step: int
    cpu_s: float
    params: dict[str, Any]
    note: str = ""


def ranking(store: Store) -> list[Row]:
    """All trials: those that were trained to the end by their score, then pruned ones, then those without a score."""
    sign = -1 if store.maximizes else 1
    order = ("complete", "pruned", "running", "diverged", "failed")

    def key(row: Row) -> tuple[float, ...]:
        value = sign * row.value if row.value is not None else math.inf
        return order.index(row.ended), -row.rung, value, row.number

    return sorted((row_of(trial) for trial in store.trials()), key=key)


def row_of(trial: FrozenTrial) -> Row:
    scores = scores_of(trial)
    rung = max(scores, default=-1)
    score = scores.get(rung)
    note = trial.user_attrs.get("diverged") or trial.user_attrs.get("failed") or ""
    ended = trial.state.name.lower()
    if "diverged" in trial.user_attrs and trial.state is TrialState.COMPLETE:
        ended = "diverged"
    return Row(
        trial.number,
        {"fail": "failed", "waiting": "running"}.get(ended, ended),
        rung,
        score.value if score else None,
        score.spread if score else None,
        score.step if score else 0,
        score.cpu_s if score else 0.0,
        trial.params,
        note,
    )


def best(store: Store) -> Row | None:
    """The best of the trials that were trained to their end; None where there is none yet."""
    return next((row for row in ranking(store) if row.ended == "complete"), None)


def importances(store: Store) -> dict[str, float] | None:
    """How much each setting decides whether a trial is among the best, in shares of 1; None for too few trials.

    PED-ANOVA (arXiv 2304.10255) of the best quarter against all trials that have a score at their end.
    """
    finite = [row for row in ranking(store) if row.ended == "complete"]
    if len(finite) < _ENOUGH_FOR_IMPORTANCES:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=0.25)
        return optuna.importance.get_param_importances(store.study, evaluator=evaluator)


def table(store: Store, top: int | None = None) -> str:
    """The ranking as text: `top` rows, or all."""
    rows, metric = ranking(store), store.identity["objective"]["metric"]
    names = list(store.identity["space"])
    lines = [["", "trial", metric, "+-", "step", "CPU min", *names, ""]]
    for place, row in enumerate(rows[:top], start=1):
        spread = "" if row.spread is None else f"{row.spread:.3g}"
        value = "" if row.value is None else f"{row.value:.5g}"
        note = row.ended if row.ended != "complete" else ""
        settings = [_number(row.params.get(name)) for name in names]
        place_of = str(place) if row.ended == "complete" else ""
        minutes = f"{row.cpu_s / 60:.1f}"
        lines.append([place_of, str(row.number), value, spread, f"{row.step:,}", minutes, *settings, note])
    widths = [max(map(len, column)) for column in zip(*lines)]
    shown = ["  ".join(text.rjust(width) for text, width in zip(line[:-1], widths)) + f"  {line[-1]}" for line in lines]
    if top is not None and len(rows) > top:
        shown.append(f"and {counted(len(rows) - top, 'more trial')}")
    return "\n".join(line.rstrip() for line in shown)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def best_settings(store: Store, row: Row, data: dict[str, Any]) -> dict[str, Any]:
    """The settings of a training with what a trial tried, at the length that the base has.

    Args:
        data: settings of this machine that the storage does not hold, such as data_folder.
    """
    return {**store.identity["base"], **data, **row.params}


def write_best(store: Store, row: Row, data: dict[str, Any], path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(best_settings(store, row, data), indent=2) + "\n", encoding="utf-8")


def draw(store: Store, path: Path) -> None:
    """Left the scores in the order of the trials, then a panel for each setting: where the good values lie."""
    from matplotlib.figure import Figure  # no pyplot: it would choose a window system

    rows = [row for row in sorted(ranking(store)) if row.value is not None]
    done = [row for row in rows if row.ended == "complete"]
    space, metric = store.identity["space"], store.identity["objective"]["metric"]
    columns = min(3, len(space) + 1)
    lines = math.ceil((len(space) + 1) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False).flatten()
    _draw_history(axes[0], rows, done, metric, store.maximizes)
    for axis, (name, dimension) in zip(axes[1:], space.items()):
        _draw_setting(axis, name, dimension, done, metric)
    for axis in axes[len(space) + 1 :]:
        axis.set_axis_off()
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def _draw_history(axis: Any, rows: list[Row], done: list[Row], metric: str, maximizes: bool) -> None:
    for ended, marker in (("pruned", "x"), ("running", "."), ("diverged", "v")):
        some = [row for row in rows if row.ended == ended]
        if some:
            axis.plot([row.number for row in some], [row.value for row in some], marker, color="0.6", label=ended)
    if done:
        axis.errorbar(
            [row.number for row in done],
            [row.value for row in done],
            [row.spread or 0.0 for row in done],
            fmt="o",
            label="complete",
        )
        so_far = [
            (max if maximizes else min)(each.value for each in done[: end + 1] if each.value is not None)
            for end in range(len(done))
        ]
        axis.step([row.number for row in done], so_far, where="post", color="C1", label="best so far")
    axis.set(xlabel="trial", ylabel=metric)
    axis.grid(alpha=0.3)
    if rows:
        axis.legend(fontsize=8)


def _draw_setting(axis: Any, name: str, dimension: Any, done: list[Row], metric: str) -> None:
    categories = isinstance(dimension, list)
    values = [row.params[name] for row in done]
    places = [dimension.index(value) for value in values] if categories else values
    # Colour is the order in time: late trials lie where the search looked last.
    axis.scatter(places, [row.value for row in done], c=[row.number for row in done], cmap="viridis")
    if categories:
        axis.set_xticks(range(len(dimension)), [str(value) for value in dimension])
    elif dimension.get("log"):
        axis.set_xscale("log")
    axis.set(xlabel=name, ylabel=metric)
    axis.grid(alpha=0.3)
