"""The procedural demo set: pictures of single flowers, for a first run without any data."""

import os
from functools import partial
from pathlib import Path

from sle_gan.data.numbered import write_numbered
from sle_gan.demo.flowers import draw_flower
from sle_gan.errors import UserError
from sle_gan.storage.paths import expanded


def draw_demo_set(
    folder: str | os.PathLike[str],
    count: int = 400,
    resolution: int = 128,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Draws `count` flowers as flower_0000.png ... into `folder` (made when missing) and returns its path.

    Each is RGB, `resolution` pixels square, a function of (seed, its number) alone. Raises `UserError`
    when the folder holds anything but pictures that this call would draw or cannot be written, and for
    arguments out of range.
    """
    for name, value, low in (("count", count, 1), ("resolution", resolution, 16), ("seed", seed, 0)):
        if value < low:
            raise UserError(f"{name} {value!r}: expected at least {low}")
    write_numbered(folder, "flower", count, partial(draw_flower, resolution, seed), "the demo pictures", progress)
    return Path(expanded(os.fspath(folder)))
