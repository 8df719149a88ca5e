"""Pictures of more than 8 bits a channel: which of their values are black and white, and what to say about it.

A format's range says little about its pictures: a 12-bit camera fills a sixteenth of 16 bits, and floats have
no range at all. What is taken is noted for each picture, so that a set can be described.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from sle_gan.errors import UserError, counted, printable

ValueRange = tuple[float, float]

# Below this share of the range, fewer than about 100 of 256 levels are left.
_NARROW = 0.4
_SAMPLED = 1 << 18
_CONVENTIONS = (1.0, 255.0, 65535.0)


class Levels(NamedTuple):
    """How one picture's values were read.

    low, high: nearly all finite values lie between: all but a thousandth at each end.
    black, white: the values that were taken as such.
    stretched: these are the picture's own least and greatest value, for no convention holds them.
    integers: it holds whole numbers.
    missing: values that are no finite number. NaN became black, infinity white or black.
    """

    low: float
    high: float
    black: float
    white: float
    stretched: bool
    integers: bool
    missing: int


def checked_range(value_range: ValueRange | None) -> ValueRange | None:
    """Itself as floats. Raises `UserError` unless it is two finite numbers, the lower one first."""
    if value_range is None:
        return None
    try:
        low, high = map(float, value_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise UserError(f"value range {value_range!r}: expected two numbers, black and white, such as (0, 4095)")
    return low, high


def to_8_bit(values: np.ndarray, bits: int, value_range: ValueRange | None = None) -> tuple[np.ndarray, Levels]:
    """(array of the same shape, uint8; how the values were read).

    values: of any shape; integers or floats.
    bits: 16: the whole range is 0 to 65,535. 32: 0 to 1 (floats alone), 255 or 65,535, whichever is the first to
        hold all values, else from the least to the greatest.
    value_range: what is black and white instead.

    Raises `ValueError` where no value is finite.
    """
    integers = values.dtype.kind in "iu"
    values = values.astype(np.float32 if bits == 16 else np.float64)  # the width of a range may exceed float32
    finite = values if integers else values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError("no finite pixel value")
    least, greatest = float(finite.min()), float(finite.max())
    stretched = False
    if value_range is not None:
        black, white = value_range
    elif bits == 16:
        black, white = 0.0, 65535.0
    else:
        fitting = (full for full in _CONVENTIONS if least >= 0 and greatest <= full and not (integers and full == 1))
        black, white = 0.0, next(fitting, 0.0)
        stretched = not white
        if stretched:
            black, white = least, max(greatest, least + 1e-30)
    with np.errstate(over="ignore", invalid="ignore"):  # infinity, and floats near it
        scaled = np.nan_to_num((values - black) / max(white - black, 1e-30), nan=0.0, posinf=1.0, neginf=0.0)
    low, high = _bulk(finite)
    levels = Levels(low, high, black, white, stretched, integers, values.size - finite.size)
    return np.rint(np.clip(scaled, 0, 1) * 255).astype(np.uint8), levels


def levels_of_bytes(pixels: np.ndarray) -> Levels:
    """Of 16-bit colours, of which Pillow gives the upper 8 bits."""
    low, high = _bulk(pixels.reshape(-1))
    return Levels(256 * low, 256 * high + 255, 0.0, 65535.0, stretched=False, integers=True, missing=0)


def _bulk(finite: np.ndarray) -> ValueRange:
    """Nearly the least and the greatest: a hot pixel is no sign that a range is used."""
    sample = finite.reshape(-1)[:: 1 + finite.size // _SAMPLED]
    low, high = np.percentile(sample, (0.1, 99.9))
    return float(low), float(high)


def describe(levels: Mapping[str, Levels], chosen: bool) -> list[str]:
    """Sentences about what is to be known of a set's pictures, by name.

    chosen: the range of values was given, and no other is to be proposed.
    """
    notes = []
    missing = {name: each.missing for name, each in levels.items() if each.missing}
    if missing:
        notes.append(
            f"{_named(missing)} {counted(sum(missing.values()), 'value')} without a finite number: NaN became "
            "black, infinity white, minus infinity black"
        )
    return notes if chosen else notes + (_scales(levels) or _narrow(levels))


def _narrow(levels: Mapping[str, Levels]) -> list[str]:
    """Where pictures use so little of their range that few of 256 levels are left."""
    notes = []
    groups: dict[ValueRange, dict[str, Levels]] = {}
    for name, each in levels.items():
        if not (each.integers and each.white <= 255):  # 8 bits in a wider type: nothing is lost
            groups.setdefault((each.black, each.white), {})[name] = each
    for (black, white), members in groups.items():
        low, high = _union(members)
        if high - low < _NARROW * (white - black):
            used = max(1, round(256 * (high - low) / (white - black)))
            notes.append(
                f"{_named(members)} nearly all values between {_number(low)} and {_number(high)}, of {_number(black)} "
                f"to {_number(white)}: about {used} of 256 levels; {_proposal(members)} spreads them over all levels"
            )
    return notes


def _scales(levels: Mapping[str, Levels]) -> list[str]:
    """Where pictures of one kind were read on different scales: their brightness cannot be compared."""
    own = {name: each for name, each in levels.items() if each.stretched}
    if own:
        return [
            f"{_named(own)} values beyond 0 to 65,535, stretched from the least to the greatest of each picture; "
            f"{_proposal(own)} gives all pictures one scale"
        ]
    for integers in (False, True):
        kind = {name: each for name, each in levels.items() if each.integers == integers}
        whites = sorted({each.white for each in kind.values()})
        if len(whites) > 1:
            first = [min(name for name, each in kind.items() if each.white == white) for white in whites]
            read = ", ".join(f"{printable(name)} as 0 to {_number(white)}" for name, white in zip(first, whites))
            way = f"where they share one, --value-range=0,{max(each.high for each in kind.values()):.6g} sets it"
            return [f"pictures are read on different scales, such as {read}; {way}"]
    return []


def _named(pictures: Mapping[str, object]) -> str:
    first = printable(min(pictures))
    return f"{first} has" if len(pictures) == 1 else f"{len(pictures):,} pictures, {first} among them, have"


def _union(levels: Mapping[str, Levels]) -> ValueRange:
    return min(each.low for each in levels.values()), max(each.high for each in levels.values())


def _proposal(levels: Mapping[str, Levels]) -> str:
    low, high = _union(levels)
    if all(each.integers for each in levels.values()):
        low, high = np.floor(low), np.ceil(high)
    if not low < high:  # one value in the whole set
        low, high = min(0.0, low), max(1.0, high)
    return f"--value-range={low:.6g},{high:.6g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"
