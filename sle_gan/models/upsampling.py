"""Nearest upsampling by 2 followed by a 3x3 convolution over zeros, in four forms of the same maps.

Along one axis, with x the map and w the kernel, output i is y[i] = sum_t w[t] up[i + t - 1] with up[j] = x[j // 2]. So

    y[2m] = w[0] x[m - 1] + (w[1] + w[2]) x[m],    y[2m + 1] = (w[0] + w[1]) x[m] + w[2] x[m + 1]

| form | how | multiply-adds for each input pixel, channel and filter |
|---|---|---|
| `plain` | as it is written: upsample, convolve | 36 |
| `transposed` | one transposed convolution of stride 2, kernel 4x4 with K[t] = w[2 - t] + w[3 - t] | 16 |
| `box` | a transposed convolution with w itself, then the sum of every 2x2 neighbours | 9 |
| `taps` | a matrix product for each of the 9 entries of the kernel, then the sum of what overlaps | 9 |

`box`: upsampling is a box filter of the map with zeros between its pixels, and two linear filters may change places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from sle_gan import engine
from sle_gan.models import strided

Form = Callable[[Any, Any], Any]

# Which form is fastest depends on the map's size and on who computes (benchmarks/upsampling.py).
TAPS_UP_TO = 16  # on a CPU
BOX_UP_TO = 16  # on PyTorch's CPU
TRANSPOSED_FROM = 8  # on a GPU


def upsample_conv(x: Any, kernel: Any, form: str | None = None) -> Any:
    """(B, H, W, C) and kernel (3, 3, C, F) -> (B, 2H, 2W, F).

    Args:
        form: a key of `FORMS`; by default the fastest.
    """
    return FORMS[form or fastest_form(min(x.shape[1], x.shape[2]))](x, kernel)


def fastest_form(size: int) -> str:
    """The form for maps of this size on the engine that runs."""
    if not engine.on_cpu():
        return "plain" if size < TRANSPOSED_FROM else "transposed"
    if engine.name == "torch":  # oneDNN's transposed convolutions without an operation for each tap
        return "box" if size <= BOX_UP_TO else "transposed"
    if size <= TAPS_UP_TO:
        return "taps"
    # XLA's transposed convolutions take ten times as long on a CPU as its others.
    return "box" if engine.on_tensorflow_cpu() else "plain"


def upsample_nearest(x: Any, factor: int) -> Any:
    """Nearest upsampling: (B, H, W, C) -> (B, factor H, factor W, C)."""
    return ops.repeat(ops.repeat(x, factor, axis=1), factor, axis=2)


def fuse_upsampling(kernel: Any) -> Any:
    """The kernel of the form `transposed`: (3, 3, C, F) -> (4, 4, F, C), the layout that `ops.conv_transpose` takes."""
    for axis in (0, 1):
        flipped = ops.flip(kernel, axis)
        shape = list(flipped.shape)
        shape[axis] = 1
        zero = ops.zeros(shape, flipped.dtype)
        kernel = ops.concatenate([flipped, zero], axis) + ops.concatenate([zero, flipped], axis)
    return ops.transpose(kernel, (0, 1, 3, 2))


def _plain(x: Any, kernel: Any) -> Any:
    return engine.conv(upsample_nearest(x, 2), kernel, 1, "same")


def _transposed(x: Any, kernel: Any) -> Any:
    return engine.conv_transpose(x, fuse_upsampling(kernel), 2, "same")


def _box(x: Any, kernel: Any) -> Any:
    return _box_mean(unsummed_box(x, kernel * 4.0))


def unsummed_box(x: Any, kernel: Any) -> Any:
    """The form `box` without its last step, `sum_box`: (B, H, W, C) -> (B, 2H + 1, 2W + 1, F)."""
    flipped = ops.flip(ops.flip(kernel, 0), 1)  # one axis at a time: Keras before 3.14 takes no more
    return strided.conv_transpose(x, ops.transpose(flipped, (0, 1, 3, 2)))


def sum_box(x: Any) -> Any:
    """Sum of every 2x2 neighbours, (B, H + 1, W + 1, C) -> (B, H, W, C), as operations that a compiler joins."""
    x = x[:, 1:] + x[:, :-1]
    return x[:, :, 1:] + x[:, :, :-1]


@engine.custom_gradient
def _box_mean(x: Any) -> Any:
    """Mean of every 2x2 neighbours: (B, H + 1, W + 1, C) -> (B, H, W, C).

    Its gradient is the same of the padded cotangent: faster than the gradient of a pooling of any window and stride.
    """

    def grad(*args: Any, upstream: Any = None) -> Any:
        upstream = args[0] if upstream is None else upstream
        return _box_mean(ops.pad(upstream, ((0, 0), (1, 1), (1, 1), (0, 0))))

    return engine.average_pool(x, 2, 1), grad


def _taps(x: Any, kernel: Any) -> Any:
    return _add_taps(x, ops.reshape(kernel, (9, *kernel.shape[2:])))


@engine.custom_gradient
def _add_taps(x: Any, matrices: Any) -> Any:
    (height, width, channels), filters = x.shape[1:], matrices.shape[-1]
    pixels = ops.reshape(x, (1, -1, channels))
    products = ops.reshape(ops.matmul(pixels, matrices), (3, 3, -1, height, width, filters))
    rows = _overlap(*ops.unstack(products), axis=2)  # (3, B, H, 2, W, F), by the tap along the width
    y = ops.reshape(_overlap(*ops.unstack(rows), axis=3), (-1, 2 * height, 2 * width, filters))

    def grad(*args: Any, upstream: Any = None) -> Any:
        upstream = args[0] if upstream is None else upstream
        # Tap t of pixel m took part in y[2m + 1 - t] and y[2m + 2 - t]: their sums, by the parity of their place.
        sums = 4.0 * _box_mean(ops.pad(upstream, ((0, 0), (1, 2), (1, 2), (0, 0))))
        sums = ops.reshape(sums, (-1, height + 1, 2, width + 1, 2, filters))
        places = ((1, 0), (0, 1), (0, 0))  # of the taps: first pixel, parity
        d_products = ops.stack(
            [sums[:, i : i + height, p, j : j + width, q] for i, p in places for j, q in places]
        )  # (9, B, H, W, F)
        d_products = ops.reshape(d_products, (9, -1, filters))
        d_matrices = ops.matmul(ops.transpose(pixels, (0, 2, 1)), d_products)
        d_x = ops.sum(ops.matmul(d_products, ops.transpose(matrices, (0, 2, 1))), 0)
        return ops.reshape(d_x, ops.shape(x)), d_matrices

    return y, grad


def _overlap(first: Any, second: Any, third: Any, axis: int) -> Any:
    """The taps' shares along an axis of size n -> sums for output 2m and 2m + 1 side by side: size n, then 2."""
    size, padding = first.shape[axis], [(0, 0)] * len(first.shape)
    inside = (slice(None),) * axis
    before, behind = padding[:], padding[:]
    before[axis], behind[axis] = (1, 0), (0, 1)
    even = ops.pad(first, before)[(*inside, slice(0, size))] + second + third
    odd = first + second + ops.pad(third, behind)[(*inside, slice(1, None))]
    return ops.stack([even, odd], axis + 1)


FORMS: dict[str, Form] = {"plain": _plain, "transposed": _transposed, "box": _box, "taps": _taps}
