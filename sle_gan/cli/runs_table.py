"""What sle-gan evaluate runs shows: a table with the best of each number marked, and a plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sle_gan.cli.sets import Reading
    from sle_gan.metrics import Scores
    from sle_gan.metrics.repeated import Spread
    from sle_gan.weights import StoredNetwork

_HIGHER_IS_BETTER = ("precision", "recall")


class Candidate(NamedTuple):
    """A generator that is scored.

    step: of its checkpoint, where it is one of a run. reading: how real pictures are to be read beside its own.
    """

    name: str
    stored: StoredNetwork
    step: int | None
    reading: Reading
    trained_on: str | None


class Scored(NamedTuple):
    """A candidate's numbers over the sets of seeds, and the scores of each set."""

    candidate: Candidate
    spreads: dict[str, Spread]
    sets: list[Scores]


def best_of(rows: Sequence[Scored], name: str) -> Scored:
    """The row with the best mean of a number."""
    return (max if name in _HIGHER_IS_BETTER else min)(rows, key=lambda row: row.spreads[name].mean)


def format_table(rows: Sequence[Scored], names: Sequence[str]) -> str:
    """A line for each row; the best mean of each number has a star."""
    best = {name: best_of(rows, name) for name in names}
    lines = [["run", "step", *(_title(name) for name in names)]]
    for row in rows:
        step = "" if row.candidate.step is None else f"{row.candidate.step:,}"
        cells = [_cell(row.spreads[name], name) + (" *" if row is best[name] else "  ") for name in names]
        lines.append([row.candidate.name, step, *cells])
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join(
            [line[0].ljust(widths[0]), *(text.rjust(width) for text, width in zip(line[1:], widths[1:]))]
        ).rstrip()
        for line in lines
    )


def _title(name: str) -> str:
    return "KID x 1000  " if name == "kid" else f"{name.upper() if name == 'fid' else name}  "


def _cell(spread: Spread, name: str) -> str:
    scale = 1000 if name == "kid" else 1
    mean = f"{scale * spread.mean:.4f}"
    return mean if spread.std is None else f"{mean} +- {scale * spread.std:.2g}"


def draw(rows: Sequence[Scored], names: Sequence[str], path: Path) -> None:
    """A panel for each number: over the steps where all rows are steps of one run, else a point for each row."""
    from matplotlib.figure import Figure  # no pyplot: it would choose a window system

    from sle_gan.storage.atomic import atomic_path

    steps = [row.candidate.step for row in rows]
    folders = {Path(str(row.candidate.stored.source)).parent for row in rows}
    along = len(folders) == 1 and None not in steps and len({*steps}) == len(steps) > 1
    order = sorted(range(len(rows)), key=lambda i: steps[i] or 0) if along else range(len(rows))
    figure = Figure(figsize=(max(5.0, 0.5 * len(rows)) * len(names), 4.5), layout="constrained")
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names):
        spreads = [rows[i].spreads[name] for i in order]
        places = [steps[i] if along else i for i in order]
        deviations = [spread.std or 0.0 for spread in spreads]
        axis.errorbar(
            places, [spread.mean for spread in spreads], deviations, marker="o", capsize=4, ls="-" if along else "none"
        )
        if along:
            axis.set_xlabel("step")
        else:
            axis.set_xticks(range(len(rows)), [row.candidate.name for row in rows], rotation=30, ha="right")
        highest = max(spread.mean + deviation for spread, deviation in zip(spreads, deviations))
        lowest = min(spread.mean - deviation for spread, deviation in zip(spreads, deviations))
        axis.set(title=name, ylim=(min(0.0, 1.08 * lowest), max(1.08 * highest, 1e-6)))
        axis.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
