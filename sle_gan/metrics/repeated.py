"""One generator scored several times, on pictures of other seeds: what a score is worth beside its spread."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from sle_gan.features import FeatureExtractor
from sle_gan.metrics.scoring import Scores, as_rgb, compute_scores, features_needed
from sle_gan.metrics.statistics import FeatureStatistics, collect_statistics


class Spread(NamedTuple):
    """A metric over sets of pictures.

    std: the sample standard deviation; None for one set. values: of each set.
    """

    mean: float
    std: float | None
    values: tuple[float, ...]


def seed_sets(first: int, count: int, sets: int) -> list[range]:
    """The seeds of each set: `count` that follow each other, and no seed in two sets."""
    return [range(first + count * i, first + count * (i + 1)) for i in range(sets)]


def score_sets(
    real: FeatureStatistics,
    extractor: FeatureExtractor,
    make: Callable[[range], Iterable[np.ndarray]],
    sets: Sequence[range],
    metrics: Sequence[str],
    seed: int = 0,
    progress: str | None = None,
) -> list[Scores]:
    """The scores of each set of generated pictures against the real ones.

    Args:
        make: seeds -> batches of images, uint8 (b, R, R, C).
        seed: of KID's subsets, the same for every set.
        progress: what a bar is called, where it takes over two seconds.
    """
    found = []
    for number, seeds in enumerate(sets, start=1):
        images = (as_rgb(image) for batch in make(seeds) for image in batch)
        noted = {
            "source": "generator",
            "seeds": f"{seeds[0]} to {seeds[-1]}",
            "preparation": real.protocol.get("preparation"),
        }
        title = f"{progress}, set {number} of {len(sets)}" if progress and len(sets) > 1 else progress
        fake = collect_statistics(
            extractor,
            images,
            keep_features=features_needed(metrics),
            protocol=noted,
            progress=title,
            total=len(seeds),
        )
        found.append(compute_scores(real, fake, metrics, seed=seed))
    return found


def spreads(scores: Sequence[Mapping[str, float]]) -> dict[str, Spread]:
    """Mean and standard deviation over the sets, of every number that all of them have."""
    names = [name for name in scores[0] if all(name in each for each in scores)]
    columns = {name: tuple(each[name] for each in scores) for name in names}
    return {
        name: Spread(statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None, values)
        for name, values in columns.items()
    }
