"""Differentiable augmentation for data-efficient GAN training (arXiv 2006.10738, DiffAugment).

Every transformation is drawn for each image on its own, and applied to all scales of the image alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

Images = Any
Transform = Callable[[Images], Images]


def brightness(batch_size: int, seed: Any) -> Transform:
    """Adds a value from U(-0.5, 0.5)."""
    shift = keras.random.uniform((batch_size, 1, 1, 1), -0.5, 0.5, seed=seed)
    return lambda images: images + shift


def saturation(batch_size: int, seed: Any) -> Transform:
    """Scales the distance from each pixel's grey value by a factor from U(0, 2)."""
    factor = keras.random.uniform((batch_size, 1, 1, 1), 0.0, 2.0, seed=seed)

    def apply(images: Images) -> Images:
        grey = ops.mean(images, axis=-1, keepdims=True)
        return (images - grey) * factor + grey

    return apply


def contrast(batch_size: int, seed: Any) -> Transform:
    """Scales the distance from the image's mean by a factor from U(0.5, 1.5)."""
    factor = keras.random.uniform((batch_size, 1, 1, 1), 0.5, 1.5, seed=seed)

    def apply(images: Images) -> Images:
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        return (images - mean) * factor + mean

    return apply


def translation(batch_size: int, seed: Any) -> Transform:
    """Moves the image by up to 1/8 of its side along each axis; what enters is grey (0)."""
    shifts = keras.random.uniform((2, batch_size), -0.125, 0.125, seed=seed)

    def apply(images: Images) -> Images:
        for axis, shift in zip((1, 2), (shifts[0], shifts[1])):
            images = _shift(images, axis, ops.cast(ops.round(shift * images.shape[axis]), "int32"))
        return images

    return apply


def _shift(images: Images, axis: int, shifts: Any) -> Images:
    """Moves image b along the axis by shifts[b] pixels, with zeros entering."""
    size = images.shape[axis]
    source = ops.expand_dims(ops.arange(size), 0) - ops.expand_dims(shifts, 1)  # (B, size)
    # A product with 0/1 matrices instead of a gather: its gradient is a product too, not a scatter.
    selection = ops.cast(
        ops.equal(ops.expand_dims(source, 2), ops.arange(size)), images.dtype
    )  # (B, to, from); rows from outside of the image are all zero
    equation = "bij,bjwc->biwc" if axis == 1 else "bij,bhjc->bhic"
    return ops.einsum(equation, selection, images)


def cutout(batch_size: int, seed: Any) -> Transform:
    """Sets a square of half the image's side, centred anywhere in the image, to grey (0)."""
    centres = keras.random.uniform((2, batch_size), 0.0, 1.0, seed=seed)

    def apply(images: Images) -> Images:
        inside = []
        for axis in (1, 2):
            size = images.shape[axis]
            start = ops.floor(centres[axis - 1] * (size + 1)) - size // 4  # (B,)
            distance = ops.expand_dims(ops.arange(size, dtype="float32"), 0) - ops.expand_dims(start, 1)
            inside.append(ops.logical_and(distance >= 0, distance < size // 2))  # (B, size)
        square = ops.logical_and(ops.expand_dims(inside[0], 2), ops.expand_dims(inside[1], 1))  # (B, H, W)
        return images * ops.cast(ops.expand_dims(ops.logical_not(square), -1), images.dtype)

    return apply


POLICIES: dict[str, tuple[Callable[[int, Any], Transform], ...]] = {
    "color": (brightness, saturation, contrast),
    "translation": (translation,),
    "cutout": (cutout,),
}


def diff_augment(images: Sequence[Images], policy: Sequence[str], seed: Any) -> list[Images]:
    """Augments a batch, given at one or more scales.

    Args:
        images: the scales of one batch, each (B, H, W, C) float in (-1, 1) with grey at 0.
        policy: names from `POLICIES`, applied in their order; none leaves the images as they are.
        seed: of `keras.random`; same seed, same augmentation.

    Returns:
        The augmented scales, same shapes. Colours may leave (-1, 1), as in the reference.

    Raises:
        ValueError: for a name that is no policy.
    """
    unknown = [name for name in policy if name not in POLICIES]
    if unknown:
        raise ValueError(f"unknown augmentation {unknown[0]!r}; expected some of {', '.join(POLICIES)}")
    scales = list(images)
    batch_size = scales[0].shape[0]
    for name in policy:
        for make in POLICIES[name]:
            transform = make(batch_size, seed)
            scales = [transform(scale) for scale in scales]
    return scales


def random_flip(images: Images, seed: Any) -> Images:
    """Mirrors each image of (B, H, W, C) from left to right with probability one half."""
    flip = keras.random.uniform((images.shape[0], 1, 1, 1), seed=seed) < 0.5
    return ops.where(flip, ops.flip(images, axis=2), images)
