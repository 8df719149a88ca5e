"""3x3 convolutions with a quarter of the multiplications: Winograd's minimal filtering F(4x4, 3x3) (arXiv 1509.09308).

Along one axis, four outputs of a filter g of three taps over six inputs d are

    y = A^T [(G g) * (B^T d)],    * elementwise

with six multiplications where the sum as it is written takes twelve; in two axes 36 for 144. Tiles of 6x6 pixels, which
overlap by two, become 36 numbers; each of the 36 is a matrix product over channels by itself. The transforms are sums
of few tiles with constant weights, which a compiler joins to one pass over the maps for each axis.

The same function up to rounding: of float32 maps with 256 channels the error is about 1.4e-6 of the result's deviation,
five times that of the sum as it is written.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan import engine

TILE, TAPS = 4, 3
SIDE = TILE + TAPS - 1  # of a tile with what its outputs see around it

# With fewer channels in or out, or a smaller kernel, the transforms cost what the products save; with fewer tiles in a
# batch reading 36 matrices in place of 9 does. A form for every small layer would take longer to trace than it gains.
FEWEST_CHANNELS = 64
SMALLEST_KERNEL = 64 * 128  # channels in times channels out
FEWEST_TILES = 64
# Bytes of a transformed map up to which images are transformed together: larger ones leave the processor's caches.
TOGETHER = 12e6


def _transforms(points: Sequence[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B^T (6, 6), G (6, 3) and A^T (4, 6), by interpolation at the points and at infinity (Toom and Cook)."""
    inputs, taps, outputs = np.zeros((SIDE, SIDE)), np.zeros((SIDE, TAPS)), np.zeros((TILE, SIDE))
    for i, point in enumerate(points):
        others = [other for other in points if other != point]
        inputs[i, : SIDE - 1] = np.poly(others)[::-1]
        taps[i] = [point**k / np.prod([point - other for other in others]) for k in range(TAPS)]
        outputs[:, i] = [point**k for k in range(TILE)]
    inputs[-1] = np.poly(points)[::-1]
    taps[-1, -1] = outputs[-1, -1] = 1.0
    return inputs, taps, outputs


# Of the points tried, those with the least rounding: half of that with 0, 1, -1, 2 and -2.
INPUTS, KERNEL, OUTPUTS = _transforms((0.0, 0.75, -0.75, 1.5, -1.5))
_KERNELS = np.kron(KERNEL, KERNEL)  # (36, 9)
_EDGE = np.pad(INPUTS[:, TILE:].T, ((0, 2 * TILE - SIDE), (0, 0)))  # what a tile has beyond its four pixels


def conv(x: Any, kernel: Any, strides: int = 1, padding: str = "same") -> Any:
    """As `engine.conv`, in the faster form: maps (B, H, W, C) and kernel (k, k, C, F) -> (B, H', W', F)."""
    if tuple(kernel.shape[:2]) == (TAPS, TAPS) and strides == 1 and _pays(x, kernel.shape[-1], padding):
        return convolve(x, kernel, padding)
    return engine.conv(x, kernel, strides, padding)


def _pays(x: Any, filters: int, padding: str) -> bool:
    """Whether `convolve` can be taken and is faster; only where a program is compiled for one size of maps."""
    if None in x.shape or not (engine.on_tensorflow_cpu() and engine.tracing()):
        return False
    if keras.backend.standardize_dtype(x.dtype) not in ("float32", "float64"):  # 8 bits are too few for these sums
        return False
    batch, height, width, channels = x.shape
    rows, columns = (side + 2 * _edge(padding) - TAPS + 1 for side in (height, width))
    return (
        rows % TILE == 0 == columns % TILE
        and batch * rows * columns >= FEWEST_TILES * TILE**2
        and min(channels, filters) >= FEWEST_CHANNELS
        and channels * filters >= SMALLEST_KERNEL
    )


def convolve(x: Any, kernel: Any, padding: str = "same") -> Any:
    """A convolution with a 3x3 kernel (3, 3, C, F) whose output (B, 4h, 4w, F) has sides divisible by 4.

    Args:
        x: maps, (B, 4h, 4w, C) for the padding "same", over zeros, and (B, 4h + 2, 4w + 2, C) for "valid".
    """
    edge = _edge(padding)

    @engine.custom_gradient
    def compute(x: Any, kernel: Any) -> Any:
        # TensorFlow would compute what waits for nothing at once, the four times larger kernels of all layers.
        (matrices,) = map(_kernel_to_products, engine.after([kernel], [x]))
        parts = [_maps(ops.matmul(_products(part, edge), matrices), part, edge) for part in _parts(x)]

        def grad(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            d_matrices, d_parts = [], []
            for part, d_part in zip(_parts(x), _parts(upstream, len(parts))):
                d_products = _spread(d_part)
                d_matrices.append(ops.matmul(ops.transpose(_products(part, edge), (0, 2, 1)), d_products))
                d_parts.append(_overlapped(ops.matmul(d_products, ops.transpose(matrices, (0, 2, 1))), part, edge))
            d_kernel = ops.matmul(_constant(_KERNELS.T, x), ops.reshape(sum(d_matrices), (SIDE**2, -1)))
            return _joined(d_parts), ops.reshape(d_kernel, kernel.shape)

        return _joined(parts), grad

    return compute(x, kernel)


def _edge(padding: str) -> int:
    """Rows and columns of zeros around the maps."""
    return TAPS // 2 if padding == "same" else 0


def _parts(x: Any, count: int | None = None) -> list[Any]:
    """The batch in parts whose transformed maps are small."""
    if count is None:
        images, height, width, channels = x.shape
        image = height * width * channels * (SIDE / TILE) ** 2 * 4  # bytes
        fitting = (n for n in range(1, images) if images % n == 0 and images // n * image <= TOGETHER)
        count = next(fitting, images)
    return [x] if count == 1 else ops.split(x, count)


def _joined(parts: list[Any]) -> Any:
    return ops.concatenate(parts) if len(parts) > 1 else parts[0]


def _kernel_to_products(kernel: Any) -> Any:
    """(3, 3, C, F) -> (36, C, F)."""
    flat = ops.matmul(_constant(_KERNELS, kernel), ops.reshape(kernel, (TAPS**2, -1)))
    return ops.reshape(flat, (SIDE**2, *kernel.shape[2:]))


def _products(x: Any, edge: int) -> Any:
    """(B, H, W, C) with so many zeros around it, 4h + 2 and 4w + 2 with them -> (36, tiles, C)."""
    if edge:
        x = ops.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    return ops.reshape(_tile_columns(_tile_rows(x)), (SIDE**2, -1, x.shape[-1]))


def _maps(products: Any, x: Any, edge: int) -> Any:
    """The products (36, tiles, F) of maps x -> (B, 4h, 4w, F)."""
    filters = products.shape[-1]
    rows = _sum_rows(ops.reshape(products, (SIDE, SIDE, x.shape[0], *_tiles(x, edge), filters)))
    columns = _sum_columns(rows)  # (B, h, 4, w, 4, F)
    return ops.reshape(columns, (-1, *(TILE * count for count in _tiles(x, edge)), filters))


def _spread(y: Any) -> Any:
    """The transpose of `_maps`: (B, 4h, 4w, F) -> (36, tiles, F)."""
    return ops.reshape(_spread_columns(_spread_rows(y)), (SIDE**2, -1, y.shape[-1]))


def _overlapped(products: Any, x: Any, edge: int) -> Any:
    """The transpose of `_products`: (36, tiles, C) -> the shape of x."""
    products = ops.reshape(products, (SIDE, SIDE, x.shape[0], *_tiles(x, edge), x.shape[-1]))
    y = _add_rows(_add_columns(products))
    return y[:, edge : y.shape[1] - edge, edge : y.shape[2] - edge] if edge else y


def _tiles(x: Any, edge: int) -> tuple[int, int]:
    height, width = ((side + 2 * edge) // TILE for side in x.shape[1:3])
    return height, width


def _combine(weights: np.ndarray, parts: Sequence[Any], axis: int) -> Any:
    """Sums of the parts, weights (sums, parts), along a new axis."""
    shape = (1,) * axis + (-1,) + (1,) * (len(parts[0].shape) - axis)
    terms = [_constant(weights[:, i], part, shape) * ops.expand_dims(part, axis) for i, part in enumerate(parts)]
    return sum(terms[1:], terms[0])


def _every(x: Any, axis: int, count: int) -> list[Any]:
    """`count` pixels of every tile along an axis of size 4n, or of 4n + 2 if that is six: those that are i-th in it."""
    size = x.shape[axis] // TILE * TILE
    inside = (slice(None),) * axis
    return [x[(*inside, slice(i, i + size - TILE + 1, TILE))] for i in range(count)]


def _add_overlapping(parts: Sequence[Any], axis: int) -> Any:
    """Tiles with six sums of the parts each -> size 4n + 2 along the axis of the tiles, whose ends overlap."""
    shape = list(parts[0].shape)
    size = shape[axis] = shape[axis] * TILE
    padding = [(0, 0)] * len(shape)
    own, edge = (ops.reshape(_combine(weights, parts, axis + 1), shape) for weights in (INPUTS[:, :TILE].T, _EDGE))
    behind, before = ([*padding[:axis], width, *padding[axis + 1 :]] for width in ((0, TILE), (TILE, 0)))
    y = ops.pad(own, behind) + ops.pad(edge, before)
    return y[(*(slice(None),) * axis, slice(0, size + TAPS - 1))]


def _fused(fn: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`engine.fused` of the function when it is first called: it asks for the devices."""
    compiled = functools.cache(lambda: engine.fused(fn))
    return lambda x: compiled()(x)


def _constant(weights: np.ndarray, like: Any, shape: Sequence[int] | None = None) -> Any:
    return ops.convert_to_tensor(weights if shape is None else weights.reshape(shape), like.dtype)


# Each is one pass over maps; both axes in one would compute the sums of the first for each of the second again.
_tile_rows = _fused(lambda x: _combine(INPUTS, _every(x, 1, SIDE), 0))
_tile_columns = _fused(lambda x: _combine(INPUTS, _every(x, 3, SIDE), 1))
_sum_rows = _fused(lambda x: _combine(OUTPUTS, ops.unstack(x), 3))
_sum_columns = _fused(lambda x: _combine(OUTPUTS, ops.unstack(x), 4))
_spread_rows = _fused(lambda y: _combine(OUTPUTS.T, _every(y, 1, TILE), 0))
_spread_columns = _fused(lambda y: _combine(OUTPUTS.T, _every(y, 3, TILE), 1))
_add_columns = _fused(lambda x: _add_overlapping(ops.unstack(x, axis=1), 3))
_add_rows = _fused(lambda x: _add_overlapping(ops.unstack(x), 1))
