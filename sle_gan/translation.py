"""Pictures of any size through a translator: whole where memory allows, else row by row with the same result.

Instance norm makes every pixel depend on the whole picture, so tiles that are translated one by one differ in
tone and show their seams. Here the layers are run one after another over the whole picture, each in strips of
rows together with the rows around them that its convolution sees, and each norm's moments are taken over all
strips before the next layer begins. That is the whole picture's translation up to rounding: no seam to blend.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from keras import ops
from tqdm import tqdm

from sle_gan.gans.cyclegan.networks import (
    INSTANCE_NORM_EPSILON,
    SIDE_MULTIPLE,
    DownConv2D,
    PreNormConv2D,
    ResNetGenerator,
    UpConv2D,
)
from sle_gan.pictures import pixels

# Images of one size that are translated together.
GROUP = 4
# Pixels that are translated in one piece, and about those of a strip of a larger picture.
WHOLE_PIXELS = 1024 * 1024


def translate(
    generator: ResNetGenerator, picture: np.ndarray, whole_pixels: int = WHOLE_PIXELS, progress: bool = False
) -> np.ndarray:
    """Translates one picture.

    Args:
        generator: built and loaded.
        picture: uint8 (H, W, C) with the generator's channels, sides of at least 8 pixels.
        whole_pixels: pictures with more are translated in strips.
        progress: show a bar for those.

    Returns:
        uint8 (H, W, C). Where a side is no multiple of 4 the networks see up to three rows or columns more, the
        mirror image of the last ones.
    """
    height, width = picture.shape[:2]
    beyond = [(0, -side % SIDE_MULTIPLE) for side in (height, width)]
    extended = np.pad(picture, (*beyond, (0, 0)), mode="symmetric")
    if height * width <= whole_pixels:
        # Not compiled: every new size would be, and that takes longer than running it.
        images = generator(pixels.to_model(extended[None]), training=False)
        result = ops.convert_to_numpy(pixels.to_uint8(images))[0]
    else:
        result = _translate_in_strips(generator, extended, whole_pixels, progress)
    return result[:height, :width]


def translate_batches(generator: ResNetGenerator, images: np.ndarray) -> Iterator[np.ndarray]:
    """Translates images of one size, (N, H, W, C) uint8 -> (n, H, W, C) uint8, n <= `GROUP`, in their order."""
    for start in range(0, len(images), GROUP):
        group = images[start : start + GROUP]
        full = np.concatenate([group, np.repeat(group[-1:], GROUP - len(group), axis=0)])  # one shape to compile for
        yield ops.convert_to_numpy(pixels.to_uint8(generator.inference(pixels.to_model(full))))[: len(group)]


class _Map(NamedTuple):
    """A feature map (1, H, W, C) that is computed as rows of it are asked for.

    shape: (H, W, C).
    rows: start, stop -> float32 (1, stop - start, W, C).
    """

    shape: tuple[int, int, int]
    rows: Callable[[int, int], np.ndarray]

    def strips(self, elements: int) -> Iterator[tuple[int, int]]:
        """Start and stop of strips that have about so many numbers each."""
        height, width, channels = self.shape
        step = max(4, elements // (width * channels))
        return ((start, min(start + step, height)) for start in range(0, height, step))

    def stored(self, elements: int) -> _Map:
        """The same map in memory."""
        array = np.empty((1, *self.shape), np.float32)
        for start, stop in self.strips(elements):
            array[:, start:stop] = self.rows(start, stop)
        return _Map(self.shape, lambda start, stop: array[:, start:stop])

    def between(self, start: int, stop: int, mode: Any) -> np.ndarray:
        """Rows from start to stop, those above and below the map made by np.pad's `mode`."""
        inside = self.rows(max(start, 0), min(stop, self.shape[0]))
        edges = (max(-start, 0), max(stop - self.shape[0], 0))
        return np.pad(inside, ((0, 0), edges, (0, 0), (0, 0)), mode) if any(edges) else inside


def _translate_in_strips(
    generator: ResNetGenerator, picture: np.ndarray, strip_pixels: int, progress: bool
) -> np.ndarray:
    """(H, W, C) uint8 -> the same shape.

    The maps at a quarter of the side are kept, three of them at once: 3 bytes for each pixel and channel of
    those 4 * width channels. The larger and cheaper ones around them are computed again whenever rows are needed.
    """
    elements = strip_pixels * generator.width
    result = np.empty_like(picture)
    total = len(generator.encoder) + len(generator.blocks) + len(generator.decoder)
    with tqdm(total=total, desc="layers", delay=2, disable=not progress, leave=False) as bar:
        x = _Map(picture.shape, lambda start, stop: _numpy(pixels.to_model(picture[None, start:stop])))
        for stage in generator.encoder:
            x = _convolved(stage, x, elements)
            bar.update()
        x = _rectified(_normalized(x, elements)).stored(elements)
        for block in generator.blocks:
            inner = _convolved(block.conv_1, x, elements).stored(elements)
            outer = _convolved(block.conv_2, inner, elements).stored(elements)
            del inner
            x = _sum(x, _normalized(outer, elements)).stored(elements)
            bar.update()
        for stage in generator.decoder:
            x = _convolved(stage, x, elements)
            bar.update()
        for start, stop in x.strips(strip_pixels * generator.channels):
            result[start:stop] = _numpy(pixels.to_uint8(ops.tanh(x.rows(start, stop))))[0]
    return result


def _convolved(stage: PreNormConv2D, below: _Map, elements: int) -> _Map:
    """What a stage of the generator makes of a map."""
    height, width, _ = below.shape
    if stage.normalize:
        below = _normalized(below, elements)

    def convolve(start: int, stop: int, padding: Any) -> np.ndarray:
        x = ops.convert_to_tensor(below.between(start, stop, padding))
        y = _numpy(stage.convolve(x, ops.convert_to_tensor(stage.kernel), rows_given=True))
        return y if stage.bias is None else y + _numpy(stage.bias.value)

    def reflected(start: int, stop: int) -> np.ndarray:
        return convolve(start - stage.size // 2, stop + stage.size // 2, "reflect")

    def down(start: int, stop: int) -> np.ndarray:
        return convolve(2 * start - 1, 2 * stop, "constant")

    def up(start: int, stop: int) -> np.ndarray:
        first, last = start // 2, -(-stop // 2)
        return convolve(first - 1, last + 1, "constant")[:, start - 2 * first : stop - 2 * first]

    if isinstance(stage, DownConv2D):
        return _Map((height // 2, width // 2, stage.filters), down)
    if isinstance(stage, UpConv2D):
        return _Map((height * 2, width * 2, stage.filters), up)
    return _Map((height, width, stage.filters), reflected)


def _normalized(x: _Map, elements: int) -> _Map:
    """Instance norm; the moments of all strips are joined in float64 (Chan, Golub and LeVeque 1983)."""
    count, mean, squares = 0, np.zeros(x.shape[2]), np.zeros(x.shape[2])
    for start, stop in x.strips(elements):
        strip = x.rows(start, stop).reshape(-1, x.shape[2])
        strip_mean = strip.mean(axis=0, dtype=np.float64)
        distance = strip_mean - mean
        more = count + len(strip)
        squares += np.square(strip - strip_mean.astype(np.float32)).sum(axis=0, dtype=np.float64)
        squares += np.square(distance) * (count * len(strip) / more)
        mean += distance * (len(strip) / more)
        count = more
    scale = 1.0 / np.sqrt(squares / count + INSTANCE_NORM_EPSILON)
    shift, scale = mean.astype(np.float32), scale.astype(np.float32)
    return _Map(x.shape, lambda start, stop: (x.rows(start, stop) - shift) * scale)


def _rectified(x: _Map) -> _Map:
    return _Map(x.shape, lambda start, stop: np.maximum(x.rows(start, stop), 0.0))


def _sum(a: _Map, b: _Map) -> _Map:
    return _Map(a.shape, lambda start, stop: a.rows(start, stop) + b.rows(start, stop))


def _numpy(x: Any) -> np.ndarray:
    return ops.convert_to_numpy(x)
