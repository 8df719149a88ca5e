"""Pictures with words: rows of labelled pictures under a heading, and the sheet of nearest training pictures."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sle_gan.pictures.writing import to_pillow

CELL = 128  # pixels; larger pictures are reduced, smaller ones enlarged by whole numbers, so that pixels stay squares
_GAP, _MARGIN, _LINE, _HEADING = 4, 12, 16, 20
_BLACK, _GREY, _RED = (0, 0, 0), (110, 110, 110), (190, 0, 0)


class Cell(NamedTuple):
    """A picture uint8 (H, W, C), and what stands under it: a label and a name, of a long one the end.

    marked: with a red frame and label.
    """

    image: np.ndarray
    label: str
    name: str = ""
    marked: bool = False


def fitted(image: np.ndarray, side: int = CELL) -> np.ndarray:
    """uint8 (H, W, C) within side x side, its sides in proportion."""
    from PIL import Image

    largest = max(image.shape[:2])
    if largest <= side:
        times = side // largest
        return image.repeat(times, axis=0).repeat(times, axis=1)
    height, width = (max(1, round(length * side / largest)) for length in image.shape[:2])
    reduced = np.asarray(to_pillow(image).resize((width, height), Image.Resampling.LANCZOS))
    return reduced.reshape(height, width, image.shape[-1])


def labelled_sheet(heading: str, rows: Sequence[Sequence[Cell]], blocks: int = 1) -> np.ndarray:
    """uint8 (H, W, 3): rows of cells under a heading, in `blocks` columns of rows that are read one after another.

    The first cell of each row stands apart from the others.
    """
    from PIL import Image, ImageDraw, ImageFont

    small, large = (ImageFont.load_default(size) for size in (11, 14))
    longest, per_block = max(map(len, rows)), -(-len(rows) // blocks)
    row_width = longest * (CELL + _GAP) + _MARGIN
    width = blocks * (row_width + 2 * _MARGIN)
    lines = textwrap.wrap(heading, max(20, int(width / large.getlength("n"))))
    top = 2 * _MARGIN + len(lines) * _HEADING
    sheet = Image.new("RGB", (width, top + per_block * (CELL + _LINE + 2 * _GAP)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, line in enumerate(lines):
        draw.text((_MARGIN, _MARGIN + i * _HEADING), line, _BLACK, large)
    for i, row in enumerate(rows):
        left, y = _MARGIN + i // per_block * (row_width + 2 * _MARGIN), top + i % per_block * (CELL + _LINE + 2 * _GAP)
        for j, cell in enumerate(row):
            _draw_cell(sheet, draw, small, cell, left + j * (CELL + _GAP) + (_MARGIN if j else 0), y)
    return np.asarray(sheet)


def _draw_cell(sheet: Any, draw: Any, font: Any, cell: Cell, x: int, y: int) -> None:
    picture = to_pillow(fitted(cell.image))
    place = (x + (CELL - picture.width) // 2, y + (CELL - picture.height) // 2)
    sheet.paste(picture, place, picture if picture.mode == "RGBA" else None)
    if cell.marked:
        right, bottom = place[0] + picture.width, place[1] + picture.height
        draw.rectangle((place[0] - 2, place[1] - 2, right + 1, bottom + 1), outline=_RED, width=2)
    draw.text((x + 2, y + CELL + 2), cell.label, _RED if cell.marked else _BLACK, font)
    left, name = x + 2 + font.getlength(f"{cell.label}  "), cell.name
    while left + font.getlength(name) > x + CELL and name.strip("."):
        name = "..." + name.removeprefix("...")[1:]
    draw.text((left, y + CELL + 2), name, _GREY, font)


def neighbour_sheet(
    neighbours: Any,
    rows: int,
    generated: Callable[[int], Cell],
    real: Callable[[int], np.ndarray | None],
    names: Sequence[str],
) -> np.ndarray:
    """uint8 (H, W, 3): generated pictures beside their nearest training pictures, those nearest to one first.

    Args:
        neighbours: see `sle_gan.metrics.neighbours.Neighbours`.
        rows: at most so many generated pictures.
        generated: picture and label of a generated picture's number.
        real: the picture of a training picture's number, or None where it cannot be read again.
        names: of the training pictures, in their order.
    """
    shown = []
    for number in neighbours.nearest_first[:rows]:
        cells = [generated(int(number))]
        for index, distance in zip(neighbours.indices[number], neighbours.distances[number]):
            picture = real(int(index))
            picture = np.full((CELL, CELL, 3), 230, np.uint8) if picture is None else picture
            cells.append(Cell(picture, f"{distance:.4g}", names[int(index)], bool(distance <= neighbours.usual)))
        shown.append(cells)
    heading = (
        f"{neighbours}. Below: the {len(shown)} generated pictures that are nearest to a training picture, each left "
        "of its nearest ones, with their distances; those within that distance in red."
    )
    return labelled_sheet(heading, shown, blocks=2 if len(shown) > 6 else 1)
