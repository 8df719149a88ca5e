"""The grids of a run; all of them are of the same seeds and real images."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from sle_gan import engine
from sle_gan.gans.base import GAN
from sle_gan.pictures import make_grid, pixels


def spread(images: np.ndarray, count: int) -> np.ndarray:
    """`count` of the images (N, ...), at equal distances from the first to the last."""
    return np.ascontiguousarray(images[np.linspace(0, len(images) - 1, count).astype(int)])


class Previews:
    """Draws a GAN's grids; the seeds and the real images are the same in every one of a run.

    Args:
        domains: all training images (N, H, W, C) uint8 of each domain.
    """

    real_count = 6

    def __init__(self, gan: GAN, domains: Sequence[np.ndarray]):
        self._gan = gan
        self._real = [spread(images, self.real_count) for images in domains]

    def draw(self) -> dict[str, np.ndarray]:
        """Grids (H, W, C) uint8 by name."""
        return self._gan.previews(self._real)


def draw_augmentation(gan: GAN, images: np.ndarray, rows: int = 8, columns: int = 8) -> np.ndarray:
    """A grid (H, W, C) uint8: in each row one of the training images (N, H, W, C), then augmented versions of it."""
    chosen = spread(images, rows)
    cells = [chosen]
    for k in range(columns - 1):
        real = gan.prepare_real(chosen, engine.RandomStream(gan.config.seed, k, step=k))
        cells.append(keras.ops.convert_to_numpy(pixels.to_uint8(real)))
    return make_grid(np.stack(cells, axis=1).reshape(-1, *chosen.shape[1:]), columns=columns)
