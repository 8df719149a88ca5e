"""Pictures from the browser, read by the reader of training pictures, within limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from sle_gan.config import CHANNELS
from sle_gan.data import decode_failure, decode_image, decode_whole, quiet_pillow, stated_size
from sle_gan.errors import UserError, shown
from sle_gan.pictures import to_pillow
from sle_gan.shapes import SQUARE

T = TypeVar("T")
MOST_BYTES = 32 * 1024 * 1024
MOST_PIXELS = 64_000_000  # a phone's largest; decoded it takes 0.2 GB, and some times that on the way
TRANSLATED_SIDE = 1024  # larger ones would take minutes; sle-gan translate takes any size


def read_cut_upload(path: str | None, resolution: int, channels: int, aspect: str = SQUARE) -> np.ndarray:
    """The largest centred part of that shape of an upload as uint8 (H, W, channels), the shorter side `resolution`.

    Raises:
        UserError: if there is none, it is no picture, or it is larger than the limits.
    """
    file = _checked(path)
    return _decoded(file, lambda: decode_image(file, resolution, _name(channels), aspect=aspect))


def read_whole_upload(path: str | None, channels: int) -> np.ndarray:
    """An upload as uint8 (H, W, channels), its longer side reduced to `TRANSLATED_SIDE`; raises as the other."""
    file = _checked(path)

    def read() -> np.ndarray:
        image = to_pillow(decode_whole(file, _name(channels)))
        image.thumbnail((TRANSLATED_SIDE, TRANSLATED_SIDE))
        return np.asarray(image).reshape(image.height, image.width, channels)

    return _decoded(file, read)


def _name(channels: int) -> str:
    return next(name for name, count in CHANNELS.items() if count == channels)


def _checked(path: str | None) -> Path:
    if not path:
        raise UserError("there is no photo yet: choose one first")
    file = Path(path)
    if not file.is_file():
        raise UserError("the photo is no longer here; choose it again")
    if file.stat().st_size > MOST_BYTES:
        raise UserError(f"{shown(file.name)} has {file.stat().st_size / 2**20:.0f} MB; at most 32 MB are taken")
    width, height = _decoded(file, lambda: stated_size(file))
    if width * height > MOST_PIXELS:
        raise UserError(
            f"{shown(file.name)} has {width:,} x {height:,} pixels, {width * height / 1e6:.0f} million; at most "
            f"{MOST_PIXELS / 1e6:.0f} million are taken: make it smaller first"
        )
    return file


def _decoded(file: Path, read: Callable[[], T]) -> T:
    try:
        with quiet_pillow():
            return read()
    except Exception as error:  # Pillow has no closed list of what a hostile file makes it raise
        raise UserError(f"{shown(file.name)} cannot be read: {decode_failure(error)}") from error
