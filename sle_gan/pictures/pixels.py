"""Between uint8 pictures and the networks' numbers."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops


def to_model(images: Any) -> Any:
    """uint8 0..255 -> float in [-1, 1]."""
    return ops.cast(images, keras.config.floatx()) / 127.5 - 1.0


def to_uint8(images: Any) -> Any:
    """Float in (-1, 1) -> uint8 0..255: rounded to nearest and clipped, never wrapped."""
    scaled = ops.round((ops.cast(images, keras.config.floatx()) + 1.0) * 127.5)
    return ops.cast(ops.clip(scaled, 0.0, 255.0), "uint8")


def to_rgb(images: Any) -> Any:
    """Images (B, H, W, 1, 3 or 4) in (-1, 1) as a frozen network sees them, RGB: grey thrice, alpha over white."""
    channels = images.shape[-1]
    if channels == 1:
        return ops.repeat(images, 3, axis=-1)
    if channels == 4:
        alpha = (images[..., 3:] + 1.0) / 2.0
        return images[..., :3] * alpha + (1.0 - alpha)
    return images
