"""Latent vectors and noise maps of seeds, and the way from one vector to another: with NumPy alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sle_gan.shapes import Size, sides


def seeded_latents(seed: int, latent: int, truncation: float | None = None) -> np.ndarray:
    """The latent vector (latent,) of an image's seed; with truncation, values beyond it are drawn again.

    Truncation as in BigGAN (arXiv 1809.11096, section 3.1): less variety, more typical images.
    """
    random = np.random.default_rng([seed, 0])
    values = random.standard_normal(latent, dtype=np.float32)
    while truncation is not None and (outside := np.abs(values) > truncation).any():
        values[outside] = random.standard_normal(int(outside.sum()), dtype=np.float32)
    return values


def seeded_noise(seed: int, sizes: Sequence[Size]) -> list[np.ndarray]:
    """The noise maps (H, W, 1) of an image's seed, independent of its latents."""
    random = np.random.default_rng([seed, 1])
    return [random.standard_normal((*sides(size), 1), dtype=np.float32) for size in sizes]


def seeded_class(seed: int, pictures: Sequence[int]) -> int:
    """The class of an image's seed where none is asked for, with the shares of the training pictures.

    By steps of the golden ratio: any row of seeds has all shares as exactly as its length allows.

    Args:
        pictures: how many training pictures each class had.
    """
    ends = np.cumsum(np.asarray(pictures, np.float64))
    place = (0.5 + seed * 0.6180339887498949) % 1.0
    return int(np.searchsorted(ends, place * ends[-1], side="right"))


def slerp(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    """Spherical interpolation between two vectors, t in 0..1; their lengths are interpolated linearly.

    A straight line between two Gaussian vectors passes shorter ones than a Gaussian ever gives.
    """
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    cosine = np.clip(np.dot(start / lengths[0], end / lengths[1]), -1.0, 1.0)
    angle = np.arccos(cosine)
    if np.sin(angle) < 1e-6:
        return (start + t * (end - start)).astype(np.float32)
    weights_ = np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    direction = weights_[0] * start / lengths[0] + weights_[1] * end / lengths[1]
    return (direction * (lengths[0] + t * (lengths[1] - lengths[0]))).astype(np.float32)
