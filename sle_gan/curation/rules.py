"""The rules by which pictures are dropped, each with its number."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sle_gan.errors import UserError


def _rule(default: float | None, title: str, help: str, low: float, high: float = math.inf) -> Any:
    return dataclasses.field(default=default, metadata={"title": title, "help": help, "range": (low, high)})


@dataclass(frozen=True)
class Rules:
    """Numbers from which on a picture is dropped; None turns a rule off. In the order in which they are applied."""

    min_side: float | None = _rule(64, "too small", "the shorter side must have so many pixels", 1)
    max_aspect: float | None = _rule(3, "extreme shape", "the longer side may be so many times the shorter one", 1)
    min_contrast: float | None = _rule(
        24, "nearly empty", "between a picture's dark and bright parts, of 255: blank ones have none", 0, 255
    )
    min_structure: float | None = _rule(
        0.25, "noise", "how alike neighbouring spots must be: noise has 0, photos 0.5 to 1", -1, 1
    )
    min_sharpness: float | None = _rule(0.6, "blurred", "fine detail in relation to all: sharp photos have 0.8 to 2", 0)
    near: float | None = _rule(
        0.8, "near copy", "nearness of two pictures from which one of them goes: 1 is the same picture", 0, 1
    )
    max_unlike: float | None = _rule(
        3.5, "unlike all others", "distance to other pictures, in spreads above the set's median", 0
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value, (low, high) = getattr(self, field.name), field.metadata["range"]
            if value is not None and not low <= value <= high:
                upper = f" to {high:g}" if math.isfinite(high) else ""
                flag = "--" + field.name.replace("_", "-")
                raise UserError(f"{flag} {value:g}: expected {low:g}{upper or ' or more'}, or off")


@dataclass(frozen=True)
class Ranking:
    """An order of all pictures, of which the first are kept.

    scores: float (N,), higher is better. what: in words, what they are an order of.
    top: how many are kept. min_score: which ones are kept. Either or none.
    """

    scores: np.ndarray
    what: str
    top: int | None = None
    min_score: float | None = None
