"""curves.png: losses and speed of a run."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sle_gan.runs.log import read_log
from sle_gan.storage.atomic import atomic_path


def draw_curves(log: Path, target: Path) -> None:
    """Draws every loss of a log.jsonl and the images per second over the steps; thin raw, thick smoothed."""
    from matplotlib.figure import Figure  # no pyplot: it would choose a window system

    lines = [line for line in read_log(log) if "images_per_second" in line]
    if not lines:
        return
    steps = np.array([line["step"] for line in lines])
    panels = arrange(name for name in lines[-1] if name not in ("step", "time", "images_per_second"))
    panels["images per second"] = ["images_per_second"]
    figure = Figure(figsize=(5 * len(panels), 4), layout="constrained")
    for axes, (title, keys) in zip(figure.subplots(1, len(panels)), panels.items()):
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


# By the first words of the logs' names; what is not named here is an adversarial loss.
_PANELS = {
    "gradient penalty": ("penalty",),  # of another order than the rest
    "LeCam regularisation": ("lecam",),
    "reconstruction losses": ("reconstruct", "cycle", "identity"),
    "overfitting: mean sign of D on real images": ("D_sign", "augment_probability"),
}


def arrange(names: Iterable[str]) -> dict[str, list[str]]:
    """Which of the logs are drawn together: the panels' titles, each with the names of its curves."""
    panels: dict[str, list[str]] = {"adversarial losses": [], **{title: [] for title in _PANELS}}
    for name in names:
        panels[next((t for t, words in _PANELS.items() if name.startswith(words)), "adversarial losses")].append(name)
    return {title: names for title, names in panels.items() if names}


def _smooth(values: np.ndarray) -> np.ndarray:
    """Mean over a centred window of about a fiftieth of the run, narrower at its ends."""
    half = max(1, len(values) // 100)
    sums = np.cumsum(np.concatenate([[0.0], values]))
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return (sums[high] - sums[low]) / (high - low)
