"""pictures.csv: what was decided on each file, for spreadsheets and programs."""

from __future__ import annotations

import csv
import math
from pathlib import Path

from sle_gan.curation.decide import Decision
from sle_gan.curation.gather import Gathered
from sle_gan.errors import printable
from sle_gan.storage.atomic import atomic_path

_FIRST = ("file", "kept", "reason", "group", "cluster", "width", "height")


def write_table(path: str | Path, gathered: Gathered, decision: Decision) -> None:
    """Columns file, kept (yes or no), reason, group, cluster (from 1), width, height and each score; unread files last.

    Scores of what was dropped before they were taken are empty. Names that are no text are escaped.
    """
    names = list(decision.scores)
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_FIRST, *names])
        for number, name in enumerate(gathered.names):
            measures = gathered.measures[number]
            writer.writerow(
                [
                    _text(name),
                    "no" if decision.rule[number] else "yes",
                    _text(decision.reason[number]),
                    decision.group[number] or "",
                    decision.cluster[number] + 1 or "",
                    measures.width,
                    measures.height,
                    *(_number(decision.scores[each][number]) for each in names),
                ]
            )
        for skipped in gathered.unreadable:
            row = [_text(skipped.path), "no", f"cannot be read: {skipped.reason}"]
            writer.writerow(row + [""] * (len(_FIRST) + len(names) - len(row)))


def _text(name: str) -> str:
    return name if name.isprintable() else printable(name)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6g}"
