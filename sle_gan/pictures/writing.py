"""Grids of pictures, and PNG, JPEG and GIF files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan.errors import UserError, printable
from sle_gan.storage.atomic import atomic_path

_JPEG_SIDE = 65_500


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


def labelled_rows(images: np.ndarray, names: Sequence[str], columns: int, gap: int = 2) -> np.ndarray:
    """Images (N, H, W, C) uint8 as `make_grid` tiles them, with a name before each row: (h, w, 1 | 3 | 4)."""
    from PIL import Image, ImageDraw, ImageFont

    grid = make_grid(images, columns, gap)
    height, pitch = images.shape[1], images.shape[1] + gap
    size = min(16, max(9, height // 4))
    font = ImageFont.load_default(size)
    longest = 12 * size
    words = [_shortened(printable(name), font, longest) for name in names]
    width = int(max(map(font.getlength, words))) + 2 * gap + 6
    margin = Image.new("L", (width, grid.shape[0]), 255)
    draw = ImageDraw.Draw(margin)
    for row, word in enumerate(words):
        draw.text((width - gap - 4, gap + row * pitch + height // 2), word, 0, font, anchor="rm")
    left = np.repeat(np.asarray(margin)[:, :, None], grid.shape[-1], 2)
    if grid.shape[-1] == 4:
        left[:, :, 3] = 255
    return np.concatenate([left, grid], axis=1)


def _shortened(text: str, font: Any, most: float) -> str:
    """The text, of a long one the beginning."""
    if font.getlength(text) <= most:
        return text
    while text and font.getlength(f"{text}...") > most:
        text = text[:-1]
    return f"{text}..."


def to_pillow(image: np.ndarray) -> Any:
    """uint8 (H, W, 1 | 3 | 4) -> a Pillow image of mode L, RGB or RGBA."""
    from PIL import Image

    return Image.fromarray(image[:, :, 0] if image.shape[-1] == 1 else image)


SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}


def check_suffix(flag: str, file: str | Path) -> None:
    """Raises a UserError unless the name says a format that `save_picture` writes."""
    if Path(file).suffix.lower() not in SUFFIXES:
        raise UserError(f"{flag} {file}: expected a name that ends in {', '.join(SUFFIXES)}, such as grid.png")


def save_picture(image: np.ndarray, path: str | Path) -> None:
    """Writes uint8 (H, W, C) in the format of the name's suffix; a JPEG has no alpha: it lies over white there.

    Raises:
        UserError: for a suffix of no format that is written, and where the format cannot hold so large a picture.
    """
    check_suffix("the picture", path)
    format_ = SUFFIXES[Path(path).suffix.lower()]
    picture = to_pillow(image)
    if format_ == "JPEG" and max(picture.size) > _JPEG_SIDE:
        raise UserError(f"{path}: a JPEG has at most {_JPEG_SIDE:,} pixels a side, not {max(picture.size):,}; use .png")
    if format_ == "JPEG" and picture.mode == "RGBA":
        from PIL import Image

        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture).convert("RGB")
    with atomic_path(path) as temporary:
        picture.save(temporary, format=format_, **({"quality": 95} if format_ == "JPEG" else {}))


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
    # Whole hundredths of a second, of which the sum is right.
    ends = [10 * round(100 * (i + 1) / frames_per_second) for i in range(len(pictures))]
    durations = [end - start for start, end in zip([0, *ends], ends)]
    with atomic_path(path) as temporary:
        pictures[0].save(
            temporary,
            format="GIF",
            save_all=True,
            append_images=pictures[1:],
            duration=durations,
            loop=0,
        )
    return len(pictures)
