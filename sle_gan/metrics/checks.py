"""What every metric demands of its input, so that bad input is an error and never a number."""

from __future__ import annotations

from typing import Any

import numpy as np

from sle_gan.errors import UserError, counted


def checked_features(name: str, features: Any, at_least: int = 2) -> np.ndarray:
    """`features` as a floating (N, D) array, N >= `at_least`, all finite.

    float32 stays float32: the metrics convert block by block, so that 50,000 images of 2048 features do
    not need a second copy of twice the size.

    Raises:
        UserError: otherwise, naming the set.
    """
    array = np.asarray(features)
    if array.ndim != 2 or array.shape[1] == 0 or array.dtype.kind not in "fiu":
        raise UserError(
            f"the {name} features have shape {array.shape} and type {array.dtype}; expected numbers (images, features)"
        )
    if len(array) < at_least:
        raise UserError(f"the {name} set has {counted(len(array), 'image')}; this metric needs at least {at_least}")
    if array.dtype.kind != "f" or array.dtype.itemsize < 4:
        array = array.astype(np.float64)
    # One sum instead of a mask of N*D booleans: a NaN or an infinity anywhere makes it non-finite.
    with np.errstate(over="ignore", invalid="ignore"):
        finite = bool(np.isfinite(array.sum(dtype=np.float64)))
    if not finite:
        raise UserError(
            f"the {name} features hold NaN or infinity; a network that diverged makes them, as do damaged weights"
        )
    return array


def checked_pair(
    name_a: str, features_a: Any, name_b: str, features_b: Any, at_least: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Two checked sets with the same number of features per image."""
    a = checked_features(name_a, features_a, at_least)
    b = checked_features(name_b, features_b, at_least)
    if a.shape[1] != b.shape[1]:
        raise UserError(
            f"the {name_a} images have {a.shape[1]} features each and the {name_b} images {b.shape[1]}; "
            "both sets must come from the same extractor"
        )
    return a, b


def blocks(count: int, size: int) -> list[slice]:
    """Consecutive slices of at most `size` that cover 0..count."""
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]
