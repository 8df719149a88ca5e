"""Sheets that show what was done with points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sle_gan.latents.mixing import mixed_sizes
from sle_gan.latents.points import Point, images_of
from sle_gan.pictures.sheets import Cell, labelled_sheet


def mix_sheet(
    generator: Any, contents: Sequence[Point], styles: Sequence[Point], mixed: Sequence[np.ndarray], strength: float
) -> np.ndarray:
    """uint8 (H, W, 3): contents at the left, styles at the top, each content with each style between them.

    Args:
        generator: see `sle_gan.latents`.
        mixed: pictures of `sle_gan.latents.mixing.mixed_points`.
        strength: that they were mixed with, for the heading.
    """
    sizes = ", ".join(map(str, mixed_sizes(generator)))
    heading = f"Content from the left, style from the top: gates of the maps of {sizes} pixels, strength {strength:g}"
    corner = Cell(np.full_like(mixed[0], 255), "")
    top = [Cell(image, style.name, "style") for image, style in zip(images_of(generator, styles), styles)]
    rows = [[corner, *top]]
    for i, (image, content) in enumerate(zip(images_of(generator, contents), contents)):
        row = mixed[i * len(styles) : (i + 1) * len(styles)]
        cells = [Cell(picture, f"{content.name} x {style.name}") for picture, style in zip(row, styles)]
        rows.append([Cell(image, content.name, "content"), *cells])
    return labelled_sheet(heading, rows)
