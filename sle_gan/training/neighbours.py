"""Generated pictures beside their nearest training pictures, at the end of a run with --fid: do they copy?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sle_gan.data import Dataset
from sle_gan.gans.base import GAN
from sle_gan.metrics import Neighbours, Scorer, find_neighbours
from sle_gan.metrics.scoring import as_rgb
from sle_gan.pictures.sheets import Cell, fitted, neighbour_sheet

_COUNT = 256  # seconds, not minutes, of a feature network
_ROWS = 12


def draw_neighbours(
    gan: GAN, scorer: Scorer, datasets: Sequence[Dataset], count: int
) -> tuple[np.ndarray, Neighbours] | None:
    """The sheet (H, W, 3) uint8 and what it is of: the first `count` scored pictures, at most 256.

    None where features of fewer than two training pictures are there to compare with.
    """
    real = datasets[gan.reference_domain]
    if scorer.real.features is None or len(scorer.real.features) < 2:
        return None
    kept: list[np.ndarray] = []

    def images() -> Iterator[np.ndarray]:
        for batch in gan.scored_images(min(count, _COUNT), [dataset.images for dataset in datasets]):
            for image in as_rgb(batch):
                kept.append(fitted(image))
                yield image

    features = np.concatenate(list(scorer.extractor.stream(images())))
    neighbours = find_neighbours(scorer.real.features, features)
    sheet = neighbour_sheet(
        neighbours,
        _ROWS,
        generated=lambda number: Cell(kept[number], "", f"generated, {number}"),
        real=lambda index: as_rgb(np.asarray(real.images[index])),
        names=real.files,
    )
    return sheet, neighbours
