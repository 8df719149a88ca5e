"""The grids of a run, drawn from the same few real images all along."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sle_gan.gans import GAN


class Previews:
    """Draws a GAN's grids; the seeds and the real images are the same in every one of a run.

    Args:
        domains: all training images (N, R, R, C) uint8 of each domain.
    """

    real_count = 6

    def __init__(self, gan: GAN, domains: Sequence[np.ndarray]):
        self._gan = gan
        self._real = [
            np.ascontiguousarray(images[np.linspace(0, len(images) - 1, self.real_count).astype(int)])
            for images in domains
        ]

    def draw(self) -> dict[str, np.ndarray]:
        """Grids (H, W, C) uint8 by name."""
        return self._gan.previews(self._real)
