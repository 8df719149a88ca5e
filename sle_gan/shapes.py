"""The shapes of pictures that networks can make, and the sides of their maps. Arithmetic, no backend.

A network's first map has 4 pixels along the picture's shorter side, and every later map is twice as large as the one
before it. So the longer side is a whole number of quarters of the shorter one: 5:4 (5x4 pixels at the start), 3:2
(6x4), 7:4, 2:1 and so on up to 4:1. Another aspect stands for the nearest of these, the one to which a picture of that
aspect loses least when it is cut. 4:3 and 16:9 are no whole quarters: they become 5:4 and 7:4. (A start of 3 or of 8
pixels would come nearer, but would be another network, which starts from no square one's weights.)

Maps are called by their shorter side, here and in the networks: their "size".
"""

from __future__ import annotations

import math
import re

from sle_gan.errors import UserError, shown

SQUARE = "1:1"
QUARTERS = 4  # pixels of the first map's shorter side
LONGEST = 4  # times the shorter side

# Rows and columns of the first map.
Start = tuple[int, int]
# A map's sides: one number for a square, else (height, width).
Size = int | tuple[int, int]

_NUMBER = r"([0-9]{1,5}(?:\.[0-9]{1,5})?)"
_ASPECT = re.compile(f"{_NUMBER}:{_NUMBER}")
_EXPECTED = f"W:H, width to height, from 1:{LONGEST} to {LONGEST}:1, such as 3:2"


def start_map(aspect: str) -> Start:
    """Rows and columns of the first map of networks for pictures of an aspect; one of them is 4.

    Args:
        aspect: W:H, numbers with or without decimals.

    Raises:
        ValueError: if it is none, or one side is over 4 times the other; says what was expected.
    """
    width, height = _numbers(aspect)
    quarters = QUARTERS * max(width, height) / min(width, height)
    lower = math.floor(quarters)
    # What is kept of a picture is lower / quarters, or quarters / (lower + 1).
    longer = lower if lower * (lower + 1) >= quarters**2 else lower + 1
    return (QUARTERS, longer) if width >= height else (longer, QUARTERS)


def _numbers(aspect: str) -> tuple[float, float]:
    """Width and height, in any unit."""
    match = _ASPECT.fullmatch(aspect) if isinstance(aspect, str) else None
    width, height = map(float, match.groups()) if match else (0.0, 0.0)
    if not min(width, height) > 0 or max(width, height) > LONGEST * min(width, height):
        raise ValueError(f"{shown(aspect)}; expected {_EXPECTED}")
    return width, height


def checked_aspect(aspect: str, flag: str = "--aspect") -> str:
    """The aspect, if it is one. Raises a UserError that names the flag."""
    try:
        start_map(aspect)
    except ValueError as error:
        raise UserError(f"{flag} is {error}") from error
    return aspect


def aspect_of(height: int, width: int) -> str:
    """W:H in lowest terms."""
    divisor = math.gcd(height, width)
    return f"{width // divisor}:{height // divisor}"


def made_aspect(aspect: str) -> str:
    """The aspect that networks make for it: "6:4" -> "3:2", "16:9" -> "7:4". Raises as `start_map`."""
    return aspect_of(*start_map(aspect))


def is_same_aspect(one: str, other: str) -> bool:
    """Whether two aspects are equal as numbers, as 3:2 and 6:4 are. Raises as `start_map`."""
    (a, b), (c, d) = _numbers(one), _numbers(other)
    return math.isclose(a * d, b * c)


def map_shape(size: int, start: Start) -> tuple[int, int]:
    """Height and width of a map with the shorter side `size`, rounded where it is no multiple of 4."""
    rows, columns = (round(size * side / QUARTERS) for side in start)
    return rows, columns


def map_size(size: int, start: Start) -> Size:
    """`map_shape`, as one number where it is a square."""
    height, width = map_shape(size, start)
    return height if height == width else (height, width)


def picture_shape(resolution: int, aspect: str = SQUARE) -> tuple[int, int]:
    """Height and width in pixels of pictures whose shorter side is `resolution`. Raises as `start_map`."""
    return map_shape(resolution, start_map(aspect))


def sides(size: Size) -> tuple[int, int]:
    """Height and width of a `Size`."""
    return (size, size) if isinstance(size, int) else size


def as_text(height: int, width: int) -> str:
    """ "96x64": width first, as people say it."""
    return f"{width}x{height}"
