"""Draws the table of training speeds in benchmarks/README.md: ours beside each peer's fastest setting.

python benchmarks/plot.py docs/images/speed.png
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

README = Path(__file__).with_name("README.md")
HEADING = "### Training\n"
COLUMNS = ["GAN", "PyTorch's setting", "rounds x steps", "ours images/s", "theirs", "ratio"]


class Speeds(NamedTuple):
    """Images per second."""

    name: str
    ours: float
    theirs: float


def fastest(text: str) -> list[Speeds]:
    """Of the first table under the heading, for each GAN the row of the peer's most images per second.

    Raises:
        ValueError: if there is no such table.
    """
    lines = text[text.index(HEADING) :].splitlines()
    tables = [[cell.strip(" `") for cell in line[1:-1].split("|")] for line in lines if line.startswith("|")]
    if tables[0][: len(COLUMNS)] != COLUMNS:
        raise ValueError(f"the first table has the columns {tables[0]}; expected {COLUMNS}")
    best: dict[str, Speeds] = {}
    name = ""
    for cells in tables[2:]:
        if cells == tables[0]:  # the same columns again: an older table
            break
        name = cells[0].replace("`", "") or name
        row = Speeds(name, float(cells[3]), float(cells[4]))
        if name not in best or row.theirs > best[name].theirs:
            best[name] = row
    return list(best.values())


def draw(rows: list[Speeds], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.8 + 0.62 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for shift, key, color, label in (
        (-0.2, "ours", "tab:blue", "here"),
        (0.2, "theirs", "0.65", "PyTorch, its fastest setting"),
    ):
        places = [i + shift for i in range(len(rows))]
        bars = axes.barh(places, [getattr(row, key) for row in rows], height=0.38, color=color, label=label)
        times = [
            f"{row.ours:.3g}   ({row.ours / row.theirs:.1f} x)" if key == "ours" else f"{row.theirs:.3g}"
            for row in rows
        ]
        axes.bar_label(bars, times, padding=3)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(right=12 * max(row.ours for row in rows))  # room for the numbers
    axes.set_xlabel("training, images/s (logarithmic), 2 CPU cores")
    figure.legend(loc="outside upper right", ncols=2, frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path, help="a PNG")
    draw(fastest(README.read_text(encoding="utf-8")), parser.parse_args().output)


if __name__ == "__main__":
    main()
