"""Pictures for people: grids, PNG and GIF files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan.files import atomic_path


def make_grid(images: np.ndarray, columns: int | None = None, gap: int = 2) -> np.ndarray:
    """Tiles images (N, H, W, C) uint8 row by row, on white, into one picture (h, w, C).

    Without `columns` the grid is as square as it can be. Cells that are left over stay white.
    """
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    grid = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, channels), 255, np.uint8)
    for index, image in enumerate(images):
        top = gap + index // columns * (height + gap)
        left = gap + index % columns * (width + gap)
        grid[top : top + height, left : left + width] = image
    return grid


def to_pillow(image: np.ndarray) -> Any:
    """uint8 (H, W, 1 | 3 | 4) -> a Pillow image of mode L, RGB or RGBA."""
    from PIL import Image

    return Image.fromarray(image[:, :, 0] if image.shape[-1] == 1 else image)


def save_png(image: np.ndarray, path: str | Path) -> None:
    """Writes uint8 (H, W, C) as PNG."""
    with atomic_path(path) as temporary:
        to_pillow(image).save(temporary, format="PNG")


def save_gif(frames: Iterable[np.ndarray], path: str | Path, frames_per_second: int = 25) -> int:
    """Writes uint8 frames (H, W, C) as an animation that loops for ever; returns how many there were."""
    from PIL import Image

    # Octree quantisation is fifty times faster than Pillow's default and no worse to the eye here.
    pictures: Sequence[Any] = [
        to_pillow(frame).convert("RGB").quantize(256, Image.Quantize.FASTOCTREE) for frame in frames
    ]
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=round(1000 / frames_per_second),
            loop=0,
        )
    return len(pictures)
