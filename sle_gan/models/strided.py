"""Convolutions of stride 2 with 3x3 kernels, down and up, whose kernel's gradient is a matrix product for each tap.

Tap t of the kernel meets the pixels of the larger map that are 2m + t in each axis. Their rows, taken out by one pass
over the map, times the smaller map are its gradient: the same sums as the convolution's own, which on TensorFlow's CPU
takes two to four times as long for large maps (1x257x257x64, 128 filters: 66 for 21 ms of processor time).
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sle_gan import engine

TAPS = range(3)
# Rows and columns of the smaller map below which the convolution's own gradient is faster, and images above which it is
# hardly slower.
LARGE = 64
FEW = 4


def conv(x: Any, kernel: Any) -> Any:
    """Without padding: maps (B, 2H + 1, 2W + 1, C) and kernel (3, 3, C, F) -> (B, H, W, F)."""
    small = [side // 2 for side in x.shape[1:3] if side]
    return _compute(x, kernel, small, engine.conv, engine.conv_transpose, _kernel_gradient)


def conv_transpose(x: Any, kernel: Any) -> Any:
    """The other way: maps (B, H, W, C) and kernel (3, 3, F, C) -> (B, 2H + 1, 2W + 1, F)."""
    small = [side for side in x.shape[1:3] if side]
    return _compute(x, kernel, small, engine.conv_transpose, engine.conv, lambda x, dy: _kernel_gradient(dy, x))


def _compute(x: Any, kernel: Any, small: list[int], forward: Any, backward: Any, kernel_gradient: Any) -> Any:
    """`forward`, with the own gradient where it is faster; `small` are the known sides of the smaller map."""

    @engine.custom_gradient
    def compute(x: Any, kernel: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            return backward(upstream, kernel, 2, "valid"), kernel_gradient(x, upstream)

        return forward(x, kernel, 2, "valid"), grad

    pays = None not in x.shape and min(small) >= LARGE and x.shape[0] <= FEW
    precise = keras.backend.standardize_dtype(x.dtype) in ("float32", "float64")
    if pays and precise and engine.on_tensorflow_cpu() and engine.tracing():
        return compute(x, kernel)
    return forward(x, kernel, 2, "valid")


def _kernel_gradient(large: Any, small: Any) -> Any:
    """Maps (B, 2H + 1, 2W + 1, C) and (B, H, W, F) -> (3, 3, C, F). Image by image, as what one needs fits a cache."""
    images, channels, filters = large.shape[0], large.shape[-1], small.shape[-1]
    sums = []
    for image, rows in zip(ops.split(large, images), ops.split(small, images)):
        rows = ops.reshape(rows, (-1, filters))
        products = [ops.matmul(ops.transpose(pixels), rows) for pixels in _pixels_of_taps(image)]
        sums.append(ops.stack(products))
    return ops.reshape(sum(sums[1:], sums[0]), (len(TAPS), len(TAPS), channels, filters))


@engine.fused
def _pixels_of_taps(x: Any) -> list[Any]:
    """(1, 2H + 1, 2W + 1, C) -> for each of the nine taps the pixels (H W, C) that it meets."""
    height, width = x.shape[1] - 1, x.shape[2] - 1
    parts = [x[:, i : i + height : 2, j : j + width : 2] for i in TAPS for j in TAPS]
    return [ops.reshape(part, (-1, x.shape[-1])) for part in parts]
