"""Convolutions from and to few channels, such as the three of an image, in forms that are faster on TensorFlow's CPU.

Its kernels compute 16 filters at once, so that three cost what 16 do. So what makes an image computes blocks of 2x2
pixels, as one pixel with four times as many channels:

* a 3x3 convolution is one of 4x4 pixels with stride 2: 64 multiplications of 12 filters for 4 x 9 of three;
* a transposed 4x4 convolution of stride 2 is a convolution of 3x3 pixels: 9 of 12 filters for 16 of three.

The second serves for the gradient of an image too, that a 4x4 convolution of stride 2 took. All other gradients stay
as they are, but for the kernel of a 1x1 convolution, which is a matrix product.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from sle_gan import engine

FEW = 4  # channels
FEWEST_PIXELS = 64 * 64  # of the side with few channels; below, nothing is won

PLACES = ((0, 1), (1, 0))  # zeros before and behind a kernel along an axis, for the first and second pixel of a block

Function = Callable[[Any, Any], Any]


def pays(x: Any, kernel: Any, strides: int, padding: str, transposed: bool = False) -> bool:
    """Whether there is a form of this convolution, and it is faster; only where a program is being compiled.

    Args:
        x: maps (B, H, W, C).
        kernel: (k, k, C, F), of a transposed convolution (k, k, F, C).
    """
    side, columns, channels, filters = kernel.shape
    to_few = (4, 2) if transposed else (3, 1)
    known = (side, strides) == to_few and (channels if transposed else filters) <= FEW
    if not transposed:
        known |= ((side, strides) == (1, 1) and filters <= FEW) or ((side, strides) == (4, 2) and channels <= FEW)
    if not known or side != columns or padding != "same" or not (engine.on_tensorflow_cpu() and engine.tracing()):
        return False
    height, width = (size and size * strides if transposed else size for size in x.shape[1:3])
    return bool(height and width) and height % 2 == width % 2 == 0 and height * width >= FEWEST_PIXELS


def conv(x: Any, kernel: Any, strides: int, padding: str) -> Any:
    """Maps (B, H, W, C) and kernel (k, k, C, F), to few channels with k 1 or 3, from few with k 4 and strides 2."""

    def own(x: Any, kernel: Any) -> Any:
        return engine.conv(x, kernel, strides, padding)

    if kernel.shape[0] == 1:
        return _compute(x, kernel, own, own, d_kernel=_matrix_gradient)
    if kernel.shape[0] == 4:
        return _compute(x, kernel, own, own, d_x=conv_transpose)
    return _compute(x, kernel, _in_blocks, own)


def conv_transpose(x: Any, kernel: Any) -> Any:
    """A transposed convolution of stride 2: (B, h, w, C) and kernel (4, 4, F, C) -> (B, 2h, 2w, F)."""
    return _compute(x, kernel, _transposed_in_blocks, lambda x, kernel: engine.conv_transpose(x, kernel, 2, "same"))


def _in_blocks(x: Any, kernel: Any) -> Any:
    parts = [ops.pad(kernel, (rows, columns, (0, 0), (0, 0))) for rows in PLACES for columns in PLACES]
    return _to_pixels(engine.conv(x, ops.concatenate(parts, -1), 2, "same"))


def _transposed_in_blocks(x: Any, kernel: Any) -> Any:
    # The first pixel of a block sees the one before it by tap 3 and its own by tap 1, the second its own by tap 2 and
    # the next one by tap 0.
    flipped = ops.flip(ops.flip(kernel, 0), 1)  # one axis at a time: Keras before 3.14 takes no more
    parts = [ops.pad(flipped[i::2, j::2], (PLACES[i], PLACES[j], (0, 0), (0, 0))) for i in (0, 1) for j in (0, 1)]
    return _to_pixels(engine.conv(x, ops.transpose(ops.concatenate(parts, 2), (0, 1, 3, 2)), 1, "same"))


def _matrix_gradient(x: Any, upstream: Any) -> Any:
    """The gradient of a 1x1 kernel: (B, H, W, C) and (B, H, W, F) -> (1, 1, C, F)."""
    rows = ops.transpose(ops.reshape(upstream, (-1, upstream.shape[-1])))
    product = ops.matmul(rows, ops.reshape(x, (-1, x.shape[-1])))
    return ops.reshape(ops.transpose(product), (1, 1, x.shape[-1], upstream.shape[-1]))


def _compute(
    x: Any, kernel: Any, forward: Function, own: Function, d_x: Function | None = None, d_kernel: Function | None = None
) -> Any:
    """`forward(x, kernel)`, with the gradients of `own`, which is the same function.

    Args:
        d_x: (upstream, kernel) -> the gradient of `x`, in place of that.
        d_kernel: (x, upstream) -> the gradient of the kernel, in place of that.
    """

    @engine.custom_gradient
    def compute(x: Any, kernel: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            _, pullback = engine.vjp(own, [], [x, kernel])  # what nothing needs of it is not computed
            _, (for_x, for_kernel) = pullback(upstream)
            return (
                for_x if d_x is None else d_x(upstream, kernel),
                for_kernel if d_kernel is None else d_kernel(x, upstream),
            )

        return forward(x, kernel), grad

    return compute(x, kernel)


def _to_pixels(blocks: Any) -> Any:
    """(B, h, w, 4 F) -> (B, 2h, 2w, F)."""
    _, height, width, channels = blocks.shape
    y = ops.transpose(ops.reshape(blocks, (-1, height, width, 2, 2, channels // 4)), (0, 1, 3, 2, 4, 5))
    return ops.reshape(y, (-1, 2 * height, 2 * width, channels // 4))
