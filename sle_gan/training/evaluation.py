"""FID while training: the averaged generator against all training images, and which step was the best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from sle_gan.config import TrainConfig
from sle_gan.data import Dataset, default_cache_folder
from sle_gan.features import load_extractor
from sle_gan.files import atomic_path
from sle_gan.gans import GAN
from sle_gan.metrics import Scorer, Scores
from sle_gan.training.listeners import read_log


class Best(NamedTuple):
    """The best score of a run so far."""

    step: int
    fid: float


class Evaluation:
    """Scores the exported generator on fixed seeds: those that `evaluate.py score --seed 0` uses.

    Args:
        config: with the `fid_*` settings.
        dataset: what the generated images are compared with; its statistics are computed at once, or read from
            the cache.
        metrics: what is measured, the FID among it.

    Raises:
        UserError: if the extractor's weights cannot be had; the message names the ways to provide them.
    """

    def __init__(self, config: TrainConfig, dataset: Dataset, metrics: Sequence[str] = ("fid",)):
        self._count = config.fid_number_of_images
        extractor = load_extractor(config.fid_features, config.fid_features_weights)
        self.scorer = Scorer(extractor, dataset.images, dataset.digest, default_cache_folder(), metrics)

    def score(self, gan: GAN, domains: Sequence[np.ndarray], step: int) -> Scores:
        """Generates the images and scores them; nothing is written and nothing is compressed on the way."""
        with tqdm(total=self._count, desc="FID", unit="img", delay=2, leave=False) as bar:

            def batches():
                for batch in gan.scored_images(self._count, domains):
                    bar.update(len(batch))
                    yield batch

            return self.scorer.score(batches(), step=step, images=f"the first {self._count}")


def scored_steps(log: Path) -> list[dict[str, Any]]:
    """The lines of a log.jsonl that hold a FID."""
    return [line for line in read_log(log) if "fid" in line] if log.exists() else []


def draw_fid(log: Path, target: Path) -> None:
    """fid.png: the FID over the steps, its best step marked; nothing where none was measured."""
    from matplotlib.figure import Figure  # no pyplot: it would choose a window system

    lines = scored_steps(log)
    if not lines:
        return
    best = min(lines, key=lambda line: line["fid"])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([line["step"] for line in lines], [line["fid"] for line in lines], marker="o")
    axes.plot(best["step"], best["fid"], "*", markersize=16, label=f"best: {best['fid']:.2f} at step {best['step']:,}")
    name = "FID" if best["extractor"] == "inception" else f"Fréchet distance, {best['extractor']} features"
    axes.set(xlabel="step", ylabel=name, title=f"{best['count']} generated images", ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
