"""Augmentation: of everything that the discriminator sees, or of the real images alone.

`diff_augment` is differentiable and for real and generated images alike (arXiv 2006.10738, DiffAugment).
`vary` makes more real images out of few, as is done for classifiers: what it does, the generator learns.

Every transformation is drawn for each image on its own, and applied to all scales of the image alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from sle_gan import engine

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
        pixels = [ops.cast(ops.round(shifts[i] * images.shape[1 + i]), "int32") for i in (0, 1)]  # (B,) each
        if engine.on_tensorflow_cpu():
            return _crop(images, pixels)
        for axis, shift in zip((1, 2), pixels):
            images = _shift(images, axis, shift)
        return images

    return apply


def _shift(images: Images, axis: int, shifts: Any) -> Images:
    """Moves image b along the axis by shifts[b] pixels, with zeros entering."""
    # A product with 0/1 matrices instead of a gather: its gradient is a product too, not a scatter.
    places = ops.arange(images.shape[axis], dtype="int32")
    source = ops.expand_dims(places, 0) - ops.expand_dims(shifts, 1)  # (B, size)
    selection = ops.equal(ops.expand_dims(source, 2), places)  # (B, to, from); from outside of the image none
    equation = "bij,bjwc->biwc" if axis == 1 else "bij,bhjc->bhic"  # selection (B, to, from)
    return ops.einsum(equation, ops.cast(selection, images.dtype), images)


def _crop(images: Images, shifts: Sequence[Any]) -> Images:
    """`_shift` along both axes, by up to 1/8: a window of each image, which on a CPU beats the two products."""
    _, height, width, channels = images.shape
    edges = [-(-size // 8) for size in (height, width)]
    padded = ops.pad(images, ((0, 0), *((edge, edge) for edge in edges), (0, 0)))
    starts = ops.stack([edge - shift for edge, shift in zip(edges, shifts)] + [ops.zeros_like(shifts[0])], 1)  # (B, 3)
    size = (height, width, channels)
    return ops.stack([ops.slice(x, start, size) for x, start in zip(ops.unstack(padded), ops.unstack(starts))])


def cutout(batch_size: int, seed: Any) -> Transform:
    """Sets a square of half the image's side, centred anywhere in the image, to grey (0)."""
    centres = keras.random.uniform((2, batch_size), 0.0, 1.0, seed=seed)

    def apply(images: Images) -> Images:
        inside = []
        for axis in (1, 2):
            size = images.shape[axis]
            start = ops.floor(centres[axis - 1] * (size + 1)) - size // 4  # (B,)
            distance = ops.expand_dims(ops.arange(size, dtype=keras.config.floatx()), 0) - ops.expand_dims(start, 1)
            inside.append(ops.logical_and(distance >= 0, distance < size // 2))  # (B, size)
        square = ops.logical_and(ops.expand_dims(inside[0], 2), ops.expand_dims(inside[1], 1))  # (B, H, W)
        return images * ops.cast(ops.expand_dims(ops.logical_not(square), -1), images.dtype)

    return apply


POLICIES: dict[str, tuple[Callable[[int, Any], Transform], ...]] = {
    "color": (brightness, saturation, contrast),
    "translation": (translation,),
    "cutout": (cutout,),
}


def diff_augment(images: Sequence[Images], policy: Sequence[str], seed: Any, probability: Any = None) -> list[Images]:
    """Augments a batch, given at one or more scales.

    Args:
        images: the scales of one batch, each (B, H, W, C) float in (-1, 1) with grey at 0.
        policy: names from `POLICIES`, applied in their order; none leaves the images as they are.
        seed: of `keras.random`; same seed, same augmentation.
        probability: with which each transformation is applied to an image, a number or a scalar tensor; None for
            always. A coin falls for each transformation and image, as in ADA (arXiv 2006.06676): brightness,
            saturation and contrast are three. What some images are spared of, the generator cannot learn as a part of
            the pictures. What the transformations draw does not depend on it: 1.0 gives the images of None.

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
    transforms = [make(batch_size, seed) for name in policy for make in POLICIES[name]]
    if probability is not None and transforms:
        # Drawn after what the transformations draw, which is then the same for any probability.
        coins = keras.random.uniform((len(transforms), batch_size, 1, 1, 1), seed=seed)
        transforms = [_where(coins[i] < probability, transform) for i, transform in enumerate(transforms)]
    for transform in transforms:
        scales = [transform(scale) for scale in scales]
    return scales


def _where(chosen: Any, transform: Transform) -> Transform:
    """The transformation of the chosen images (B, 1, 1, 1) alone."""
    return lambda images: ops.where(chosen, transform(images), images)


def random_flip(images: Images, seed: Any) -> Images:
    """Mirrors each image of (B, H, W, C) from left to right with probability one half."""
    flip = keras.random.uniform((images.shape[0], 1, 1, 1), seed=seed) < 0.5
    return ops.where(flip, ops.flip(images, axis=2), images)


def vary(
    images: Images,
    seed: Any,
    rotation: float = 0.0,
    shear: float = 0.0,
    zoom: float = 1.0,
    brightness: float = 0.0,
    contrast: float = 0.0,
) -> Images:
    """Variations of real images (B, H, H, C) float in [-1, 1], which are not left.

    Args:
        seed: of `keras.random`; same seed, same variations.
        rotation: turns by an angle from U(-rotation, rotation), in degrees.
        shear: tilts the vertical by an angle from U(-shear, shear), in degrees.
        zoom: cuts the centre with a share of the side from U(zoom, 1), and enlarges it to the whole.
        brightness: adds a value from U(-brightness, brightness) times the range from black to white.
        contrast: scales the distance from the image's mean by a factor from U(1 - contrast, 1 + contrast).

    What is turned in from outside of an image is its mirror image at the edge.
    """
    if rotation or shear or zoom != 1.0:
        images = transform_affine(images, _random_matrices(images.shape[0], seed, rotation, shear, zoom))
    shape = (images.shape[0], 1, 1, 1)
    if contrast:
        mean = ops.mean(images, axis=(1, 2, 3), keepdims=True)
        images = (images - mean) * (1.0 + contrast * _symmetric(shape, seed)) + mean
    if brightness:
        images = images + 2.0 * brightness * _symmetric(shape, seed)
    return ops.clip(images, -1.0, 1.0)


def _symmetric(shape: Sequence[int], seed: Any) -> Any:
    return keras.random.uniform(shape, -1.0, 1.0, seed=seed)


def _random_matrices(batch_size: int, seed: Any, rotation: float, shear: float, zoom: float) -> Any:
    """Matrices (B, 2, 2) from places in the result to places in the image, both from the centre: x right, y down."""
    turn = _symmetric((batch_size,), seed) * math.radians(rotation)
    tilt = ops.tan(_symmetric((batch_size,), seed) * math.radians(shear))
    scale = keras.random.uniform((batch_size,), zoom, 1.0, seed=seed)
    cos, sin = scale * ops.cos(turn), scale * ops.sin(turn)
    # scale * [[cos, -sin], [sin, cos]] @ [[1, tilt], [0, 1]]
    rows = [ops.stack([cos, cos * tilt - sin], 1), ops.stack([sin, sin * tilt + cos], 1)]
    return ops.stack(rows, 1)


def transform_affine(images: Images, matrices: Any) -> Images:
    """Linear maps about the centre, bilinear, mirrored at the edges (d c b a | a b c d | d c b a).

    Gathers by hand, because `keras.ops.image.affine_transform` has no XLA kernel on TensorFlow and is up to ten times
    slower on JAX. No gradient is needed here, and none should be taken: that of a gather is a slow scatter.

    Args:
        images: (B, H, H, C).
        matrices: (B, 2, 2), from (x, y) in the result to (x, y) in the image, from the centre in pixels.
    """
    batch_size, size, _, channels = images.shape
    centre = (size - 1) / 2
    places = ops.arange(size, dtype=keras.config.floatx()) - centre
    x, y = ops.reshape(places, (1, 1, size)), ops.reshape(places, (1, size, 1))
    entry = ops.reshape(matrices, (batch_size, 2, 2, 1, 1))
    source_x = entry[:, 0, 0] * x + entry[:, 0, 1] * y + centre  # (B, H, H)
    source_y = entry[:, 1, 0] * x + entry[:, 1, 1] * y + centre
    left, top = ops.floor(source_x), ops.floor(source_y)
    right_share, bottom_share = ops.expand_dims(source_x - left, -1), ops.expand_dims(source_y - top, -1)
    pixels = ops.reshape(images, (-1, channels))
    first = ops.reshape(ops.arange(batch_size, dtype="int32") * size * size, (-1, 1, 1))  # pixel of each image

    def row(y: Any) -> Any:
        start = first + _mirrored(y, size) * size
        values = [ops.take(pixels, start + _mirrored(left + step, size), axis=0) for step in (0, 1)]
        return values[0] + (values[1] - values[0]) * right_share

    upper, lower = row(top), row(top + 1)
    return upper + (lower - upper) * bottom_share


def _mirrored(places: Any, size: int) -> Any:
    """Whole numbers, as floats of any size -> indices 0..size-1."""
    index = ops.mod(ops.cast(places, "int32"), 2 * size)
    return ops.minimum(index, 2 * size - 1 - index)
