"""The grids of a run: samples of fixed seeds, and what the discriminator decodes."""

from __future__ import annotations

import keras
import numpy as np

from sle_gan import pixels
from sle_gan.data import Dataset
from sle_gan.gans import GAN
from sle_gan.pictures import make_grid


class Previews:
    """Draws the grids; the seeds and the real images are the same in every one of a run."""

    sample_count = 16
    real_count = 6

    def __init__(self, gan: GAN, dataset: Dataset):
        self._gan = gan
        chosen = np.linspace(0, len(dataset.images) - 1, self.real_count).astype(int)
        self._real = np.ascontiguousarray(dataset.images[chosen])

    def draw(self) -> dict[str, np.ndarray]:
        """Grids (H, W, C) uint8 by name."""
        seeds = range(self.sample_count)
        grids = {"samples": make_grid(np.concatenate(list(self._gan.generate(seeds))))}
        rows = self._gan.reconstruct(self._real)
        if rows:
            images = np.concatenate([keras.ops.convert_to_numpy(pixels.to_uint8(row)) for row in rows.values()])
            grids["reconstructions"] = make_grid(images, columns=len(self._real))
        return grids
