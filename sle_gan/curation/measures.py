"""What is measured of one picture: pure functions of its pixels."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

SIDE = 256  # pictures are measured with their shorter side at most this long: sharpness depends on it
_COARSE = 64
_MIDDLE = 96
_TILE = 32
_HASH_SIDE = 32
_HASH_BITS = 8
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class Measures(NamedTuple):
    """Of one picture.

    width, height: its own, in pixels. size: of its file, in bytes. content: hash of the file.
    contrast: 0..255; between the darkest and the brightest 2 % of its surface, in the channel where this is most. A
        blank picture has 0.
    structure: -1..1; how much neighbouring spots of 1/96 of its side resemble each other. Noise has 0, photos 0.5 to 1.
    sharpness: the finest detail in relation to all detail, where there is most of it. 0.6 is a photo with a blur
        of 1 % of its side; sharp ones have 0.8 to 2.
    hashes: uint64 (2,); perceptual, of the picture and of its mirror image.
    """

    width: int
    height: int
    size: int
    content: str
    contrast: float
    structure: float
    sharpness: float
    hashes: np.ndarray


def measure(pixels: np.ndarray, shape: tuple[int, int], size: int, content: str) -> Measures:
    """pixels: uint8 (h, w, 3), as `sle_gan.data.read_reduced` gives at `SIDE`; the rest is of the file."""
    image = Image.fromarray(pixels)
    grey = pixels.astype(np.float32) @ _LUMA
    return Measures(
        *shape, size, content, contrast(image), structure(grey), sharpness(grey), perceptual_hashes(image.convert("L"))
    )


def contrast(image: Image.Image) -> float:
    spots = np.asarray(image.resize((_COARSE, _COARSE), Image.Resampling.BOX)).reshape(-1, 3)
    low, high = np.percentile(spots, (2, 98), axis=0)
    return float((high - low).max())


def structure(grey: np.ndarray) -> float:
    """Correlation between horizontal and vertical neighbours; 1 for a picture without any contrast."""
    image = Image.fromarray(grey)
    side = min(_MIDDLE, *image.size)
    if side < 2:
        return 1.0
    spots = np.asarray(image.resize((side, side), Image.Resampling.BOX), np.float64)
    across = _correlation(spots[:, 1:], spots[:, :-1])
    return min(across, _correlation(spots[1:], spots[:-1]))


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    spread = math.sqrt(float((one**2).sum() * (other**2).sum()))
    return float((one * other).sum() / spread) if spread > one.size * 0.25 else 1.0


def sharpness(grey: np.ndarray) -> float:
    """Second differences over first ones, in the fifth of all tiles that has most of these.

    The best tiles and not all: a flower before a soft background is sharp. A ratio, so that contrast has no part in it.
    """
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1]
    second = (4 * inner - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]) ** 2
    first = (grey[1:-1, 2:] - inner) ** 2 + (grey[2:, 1:-1] - inner) ** 2
    fine, all_ = _tiles(second), _tiles(first)
    best = np.argsort(all_)[-max(1, len(all_) // 5) :]
    return float(np.sqrt(fine[best].sum() / (all_[best].sum() + 1)))


def _tiles(values: np.ndarray) -> np.ndarray:
    """Means over square tiles, in one row."""
    tile = min(_TILE, *values.shape)
    rows, columns = values.shape[0] // tile, values.shape[1] // tile
    cut = values[: rows * tile, : columns * tile].reshape(rows, tile, columns, tile)
    return cut.mean((1, 3)).ravel()


def _cosines() -> np.ndarray:
    """The first rows of the discrete cosine transform (DCT-II), (bits, side)."""
    places = (np.arange(_HASH_SIDE) + 0.5) * np.pi / _HASH_SIDE
    return np.cos(np.arange(_HASH_BITS)[:, None] * places)


_COSINES = _cosines()
_MIRROR = (-1.0) ** np.arange(_HASH_BITS)  # what mirroring does to them, column by column


def perceptual_hashes(image: Image.Image) -> np.ndarray:
    """Which of the 64 lowest frequencies lie above their median, for a grey image and its mirror image; uint64 (2,)."""
    spots = np.asarray(image.resize((_HASH_SIDE, _HASH_SIDE), Image.Resampling.LANCZOS), np.float64)
    low = _COSINES @ spots @ _COSINES.T
    return np.array([_bits(low), _bits(low * _MIRROR)], np.uint64)


def _bits(frequencies: np.ndarray) -> int:
    flat = frequencies.ravel()
    above = flat > np.median(flat[1:])  # the first one is the mean brightness
    return int.from_bytes(np.packbits(above).tobytes(), "big")
