"""Which shapes there are: parsed aspects, the nearest start maps, the sides that follow."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sle_gan import shapes
from sle_gan.errors import UserError

SIDES = st.integers(1, 99)
ASPECTS = st.tuples(SIDES, SIDES).filter(lambda sides: max(sides) <= 4 * min(sides))


@pytest.mark.parametrize(
    ("aspect", "start", "made", "pixels"),
    [
        ("1:1", (4, 4), "1:1", (256, 256)),
        ("3:2", (4, 6), "3:2", (256, 384)),
        ("2:3", (6, 4), "2:3", (384, 256)),
        ("1:2", (8, 4), "1:2", (512, 256)),
        ("4:3", (4, 5), "5:4", (256, 320)),
        ("16:9", (4, 7), "7:4", (256, 448)),
        ("9:16", (7, 4), "4:7", (448, 256)),
        ("1.5:1", (4, 6), "3:2", (256, 384)),
        ("4:1", (4, 16), "4:1", (256, 1024)),
    ],
)
def test_aspects(aspect: str, start: tuple[int, int], made: str, pixels: tuple[int, int]) -> None:
    assert shapes.start_map(aspect) == start
    assert shapes.made_aspect(aspect) == made
    assert shapes.picture_shape(256, aspect) == pixels
    assert shapes.is_same_aspect(aspect, made) == (aspect not in ("4:3", "16:9", "9:16"))


@given(ASPECTS)
def test_the_nearest_start_loses_least_of_a_picture(sides: tuple[int, int]) -> None:
    width, height = sides
    rows, columns = shapes.start_map(f"{width}:{height}")
    assert min(rows, columns) == 4 and (columns >= rows) == (width >= height or rows == columns)

    def kept(columns: int, rows: int) -> float:
        return min(width * rows, height * columns) / max(width * rows, height * columns)

    others = [(longer, 4) if width >= height else (4, longer) for longer in range(4, 17)]
    assert kept(columns, rows) >= max(kept(*other) for other in others) - 1e-12
    assert kept(columns, rows) > 0.88  # of 1.118, between 4 and 5 quarters
    made = shapes.made_aspect(f"{width}:{height}")
    assert shapes.start_map(made) == (rows, columns) and shapes.start_map(f"{height}:{width}") == (columns, rows)


@given(ASPECTS, st.sampled_from((8, 16, 64, 128, 512)))
def test_maps_are_in_proportion(sides: tuple[int, int], size: int) -> None:
    start = shapes.start_map("{}:{}".format(*sides))
    height, width = shapes.map_shape(size, start)
    assert (height * 4, width * 4) == (start[0] * size, start[1] * size) and min(height, width) == size
    assert shapes.sides(shapes.map_size(size, start)) == (height, width)


@pytest.mark.parametrize(
    "aspect", ["", "3", "3:", ":2", "3/2", "3:2:1", "1:0", "0:0", "40:1", "1:4.1", "-3:2", "nan:1", "1e3:1e3", "text"]
)
def test_what_is_no_aspect_is_refused_in_one_line(aspect: str) -> None:
    with pytest.raises(UserError, match=r"^--aspect is .*; expected W:H, width to height, from 1:4 to 4:1, such as"):
        shapes.checked_aspect(aspect)


@given(st.text())
def test_any_text_is_an_aspect_or_refused(text: str) -> None:
    try:
        start = shapes.start_map(text)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert 4 <= max(start) <= 16
