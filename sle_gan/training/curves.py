"""curves.png: losses and speed of a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sle_gan.gans.base import LogNames
from sle_gan.runs.log import read_log
from sle_gan.storage.atomic import atomic_path

ADVERSARIAL = "adversarial losses"


def draw_curves(log: Path, target: Path, panels: LogNames) -> None:
    """Draws every loss of a log.jsonl and the images per second over the steps; thin raw, thick smoothed.

    Args:
        panels: see `GAN.panels`.
    """
    from matplotlib.figure import Figure  # no pyplot: it would choose a window system

    lines = [line for line in read_log(log) if "images_per_second" in line]
    if not lines:
        return
    steps = np.array([line["step"] for line in lines])
    drawn = arrange((name for name in lines[-1] if name not in ("step", "time", "images_per_second")), panels)
    drawn["images per second"] = ["images_per_second"]
    figure = Figure(figsize=(5 * len(drawn), 4), layout="constrained")
    for axes, (title, keys) in zip(figure.subplots(1, len(drawn), squeeze=False)[0], drawn.items()):
        for key in keys:
            values = np.array([line.get(key, np.nan) for line in lines], float)
            (line,) = axes.plot(steps, values, alpha=0.25, linewidth=0.8)
            smooth = _smooth(values)
            axes.plot(steps, smooth, color=line.get_color(), label=key.replace("_", " "))
        axes.set(title=title, xlabel="step")
        axes.grid(alpha=0.3)
        axes.legend()
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format="png", dpi=100)


def arrange(names: Iterable[str], panels: LogNames) -> dict[str, list[str]]:
    """Which logs are drawn together: the panels' titles, each with the names of its curves.

    A log that belongs to no panel is an adversarial loss.
    """
    drawn: dict[str, list[str]] = {ADVERSARIAL: [], **{title: [] for title in panels}}
    for name in names:
        drawn[next((title for title, starts in panels.items() if name.startswith(starts)), ADVERSARIAL)].append(name)
    return {title: names for title, names in drawn.items() if names}


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of about a fiftieth of the run, narrower at its ends."""
    half = max(1, len(values) // 100)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
