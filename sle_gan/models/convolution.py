"""The networks' convolutions, each in the fastest of its forms, which compute the same function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sle_gan import engine
from sle_gan.models import narrow, winograd

FORMS = (narrow, winograd)
# To generate, minimal filtering gains nothing: 21 images/s of 512 pixels with and without it.
GENERATING = (narrow,)


def conv(x: Any, kernel: Any, strides: int = 1, padding: str = "same", forms: Sequence[Any] | None = None) -> Any:
    """As `engine.conv`: maps (B, H, W, C) and kernel (k, k, C, F) -> (B, H', W', F).

    Args:
        forms: those to choose from beside the engine's own; by default `FORMS`.
    """
    for form in FORMS if forms is None else forms:
        if form.pays(x, kernel, strides, padding):
            return form.conv(x, kernel, strides, padding)
    return engine.conv(x, kernel, strides, padding)


def conv_transpose(x: Any, kernel: Any, strides: int, padding: str, forms: Sequence[Any] | None = None) -> Any:
    """As `engine.conv_transpose`: maps (B, h, w, C) and kernel (k, k, F, C) -> (B, h', w', F)."""
    for form in FORMS if forms is None else forms:
        if form.pays(x, kernel, strides, padding, transposed=True):
            return form.conv_transpose(x, kernel)
    return engine.conv_transpose(x, kernel, strides, padding)
