"""FID while training: the averaged generator against all training images, and which step was the best."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from sle_gan.config import TrainConfig
from sle_gan.data import Dataset, cache_place
from sle_gan.errors import counted
from sle_gan.features import load_extractor
from sle_gan.gans.base import GAN
from sle_gan.metrics import Scorer, Scores
from sle_gan.runs.log import of_one_protocol, scored_steps
from sle_gan.storage.atomic import atomic_path

_NAMES = {
    "version": "other features",
    "extractor": "other features",
    "count": "another number of generated images",
    "data": "other pictures",
    "real_count": "another number of pictures",
}


class Best(NamedTuple):
    """The best score of a run so far, and how it was measured; None where an older version did not save that."""

    step: int
    fid: float
    protocol: dict[str, Any] | None = None


class Evaluation:
    """Scores the exported generator on fixed seeds: those that `sle-gan evaluate score --seed 0` uses.

    protocol: what scores have to share to be compared, as JSON: the extractor's version, the number of images, the
        digests of the pictures.

    Args:
        config: with the `fid_*` settings.
        datasets: of all domains. The generated images are compared with the GAN's reference domain, whose statistics
            are computed at once, or read from the cache.
        gan: says which domain that is, and what is measured, the FID among it.

    Raises:
        UserError: if the extractor's weights cannot be had; the message names the ways to provide them.
    """

    def __init__(self, config: TrainConfig, datasets: Sequence[Dataset], gan: GAN):
        self._count = config.fid_number_of_images
        extractor = load_extractor(config.fid_features, config.fid_features_weights)
        real = datasets[gan.reference_domain]
        self.scorer = Scorer(extractor, real.images, real.digest, cache_place(config.cache_folder), gan.metrics)
        digests = [dataset.digest for dataset in datasets]
        self.protocol: dict[str, Any] = {"version": extractor.version, "count": self._count, "data": digests}
        translated = min(self._count, len(datasets[0])) if len(datasets) > 1 else self._count
        self._logged = {"extractor": extractor.name, "count": translated, "real_count": len(real)}

    def take_over(self, best: Best | None, log: Path) -> Best | None:
        """The best score of the run that is resumed, or None, with a line that says why, if it was measured otherwise.

        The protocol of a score that was saved without one is taken from the log, as far as it is there.
        """
        if best is None:
            return None
        if best.protocol is not None:
            changed = [_NAMES[key] for key, value in self.protocol.items() if best.protocol.get(key) != value]
        else:
            line = next((line for line in scored_steps(log) if line["step"] == best.step), {})
            changed = [_NAMES[key] for key, value in self._logged.items() if line.get(key) != value]
        if not changed:
            return best
        print(
            f"note: the best score so far, {best.fid:.3f} at step {best.step:,}, was measured with "
            f"{' and '.join(dict.fromkeys(changed))}: it does not compare, and the best starts anew"
        )
        return None

    def score(self, gan: GAN, domains: Sequence[np.ndarray], step: int) -> Scores:
        """Generates the images and scores them in memory: they are neither written nor compressed."""
        with tqdm(total=self._count, desc="FID", unit="img", delay=2, leave=False) as bar:

            def batches():
                for batch in gan.scored_images(self._count, domains):
                    bar.update(len(batch))
                    yield batch

            return self.scorer.score(batches(), step=step, images=f"the first {self._count}")


def draw_fid(log: Path, target: Path) -> None:
    """fid.png: the FID over the steps, its best step marked; nothing where none was measured.

    Scores of another protocol than the last one's are left out, and counted in the title.
    """
    from matplotlib.figure import Figure  # no pyplot: it would choose a window system

    every = scored_steps(log)
    if not every:
        return
    lines = of_one_protocol(every)
    best = min(lines, key=lambda line: line["fid"])
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot([line["step"] for line in lines], [line["fid"] for line in lines], marker="o")
    axes.plot(best["step"], best["fid"], "*", markersize=16, label=f"best: {best['fid']:.2f} at step {best['step']:,}")
    name = "FID" if best["extractor"] == "inception" else f"Fréchet distance, {best['extractor']} features"
    title = counted(best["count"], "generated image")
    if others := len(every) - len(lines):
        title += f"; without {counted(others, 'score')} that {'were' if others > 1 else 'was'} measured otherwise"
    axes.set(xlabel="step", ylabel=name, title=title, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
