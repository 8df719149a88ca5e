"""Convolutions with a fraction of the multiplications: Winograd's minimal filtering (arXiv 1509.09308).

Along one axis, four outputs of a filter g of r taps over r + 3 inputs d are

    y = A^T [(G g) * (B^T d)],    * elementwise

with r + 3 multiplications where the sum as it is written takes 4 r. In two axes, a 3x3 kernel takes 36 for 144 of them.
Tiles of pixels, which overlap by r - 1, become (r + 3)^2 numbers; each of these is a matrix product over channels by
itself. The transforms are sums of few tiles with constant weights, which a compiler joins to one pass over the maps for
each axis.

A convolution of stride 2 with a 4x4 kernel is one of 2x2 taps over half as many rows and columns, of pixels that have
the channels of 2x2 neighbours: 25 multiplications for 64. The transposed one is the same, read from back to front.

The same function up to rounding: of float32 maps with 256 channels the error is about 1.4e-6 of the result's deviation
for 3x3 kernels, five times that of the sum as it is written, and 4x4 ones are alike.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan import engine

TILE = 4  # outputs along an axis

# With fewer channels in or out the transforms cost what the products save; with fewer tiles in a batch reading the
# larger matrices does.
FEWEST_CHANNELS = 64
FEWEST_TILES = 32
# Bytes of a transformed map up to which images are transformed together: larger ones leave the processor's caches. If
# the matrices are larger than that half, they do so anyway, and are better read once.
TOGETHER = 12e6


class Form:
    """What makes matrix products of the maps and kernels of one kind of convolution.

    Two maps belong to it: the large one (B, H, W, C), from which the convolution makes the small one (B, 4h, 4w, F).
    For both there is what the products take, and what makes the map of products; these are each other's transposes:
    `tiles` and `large`, `spread` and `small`.

    Args:
        taps: of the kernel along an axis, once the pixels of a stride are channels.
        stride: the kernel has taps * stride rows and columns.
        points: taps + 2 numbers, between which the filter interpolates.
        smallest: multiplications and additions of a convolution as it is written below which the program takes longer
            to trace than users wait for what it gains.
    """

    def __init__(self, taps: int, stride: int, points: Sequence[float], smallest: float):
        self.taps, self.stride, self.smallest = taps, stride, smallest
        self.side = TILE + taps - 1  # of a tile with what its outputs see around it
        self.inputs, self.filters, self.outputs = transforms(points, taps)
        self._kernels = np.kron(self.filters, self.filters)  # (side^2, taps^2)
        # Each is one pass over maps; both axes in one would compute the sums of the first for each of the second again.
        # None joins axes: a compiled loop that does so takes three times as long.
        self._tile_rows = engine.fused(self._tile_rows_of)
        self._tile_columns = engine.fused(self._tile_columns_of)
        self._sum_rows = engine.fused(lambda x: _combine(self.outputs, ops.unstack(x), 3))
        self._sum_columns = engine.fused(lambda x: _combine(self.outputs, ops.unstack(x), 4))
        self._spread_rows = engine.fused(lambda y: _combine(self.outputs.T, _every(y, 1, TILE), 0))
        self._spread_columns = engine.fused(lambda y: _combine(self.outputs.T, _every(y, 3, TILE), 1))
        self._add_columns = engine.fused(self._add_columns_of)
        self._add_rows = engine.fused(self._add_rows_of)

    def matrices(self, kernel: Any) -> Any:
        """(k, k, C, F) -> (side^2, stride^2 C, F)."""
        taps, stride, (channels, filters) = self.taps, self.stride, kernel.shape[2:]
        if stride > 1:
            kernel = ops.reshape(kernel, (taps, stride, taps, stride, channels, filters))
            kernel = ops.transpose(kernel, (0, 2, 1, 3, 4, 5))
        flat = ops.matmul(_constant(self._kernels, kernel), ops.reshape(kernel, (taps**2, -1)))
        return ops.reshape(flat, (self.side**2, stride**2 * channels, filters))

    def kernel(self, matrices: Any) -> Any:
        """The transpose of `matrices`: (side^2, stride^2 C, F) -> (k, k, C, F)."""
        taps, stride, filters = self.taps, self.stride, matrices.shape[-1]
        flat = ops.matmul(_constant(self._kernels.T, matrices), ops.reshape(matrices, (self.side**2, -1)))
        if stride > 1:
            flat = ops.reshape(flat, (taps, taps, stride, stride, -1, filters))
            flat = ops.transpose(flat, (0, 2, 1, 3, 4, 5))
        return ops.reshape(flat, (taps * stride, taps * stride, -1, filters))

    def tile_counts(self, large: Sequence[int], edge: int) -> tuple[int, int]:
        """Along both axes, from the shape of the large map without the zeros around it."""
        height, width = (((side + 2 * edge) // self.stride - self.taps + 1) // TILE for side in large[1:3])
        return height, width

    def tiles(self, large: Any, edge: int) -> Any:
        """Large maps, `edge` zeros around them, -> (side^2, tiles, stride^2 C)."""
        tiles = self._tile_columns(self._tile_rows(large, edge))
        return ops.reshape(tiles, (self.side**2, -1, self.stride**2 * large.shape[-1]))

    def _tile_rows_of(self, x: Any, edge: int) -> Any:
        """(B, H, W, C) -> (side, B, h, stride, w, stride C)."""
        x = ops.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0))) if edge else x
        stride, (images, height, width, channels) = self.stride, x.shape
        x = ops.reshape(x, (images, height // stride, stride, width // stride, stride * channels))
        return _combine(self.inputs, _every(x, 1, self.side), 0)

    def _tile_columns_of(self, x: Any) -> Any:
        """(side, B, h, stride, w, stride C) -> (side, side, B, h, tiles, stride, stride C)."""
        return _combine(self.inputs, _every(ops.transpose(x, (0, 1, 2, 4, 3, 5)), 3, self.side), 1)

    def large(self, products: Any, counts: tuple[int, int], edge: int) -> Any:
        """The transpose of `tiles`: (side^2, tiles, stride^2 C) -> large maps."""
        stride, channels = self.stride, products.shape[-1] // self.stride**2
        height, width = (TILE * count + self.taps - 1 for count in counts)
        y = ops.reshape(products, (self.side, self.side, -1, *counts, stride, stride * channels))
        y = self._add_columns(y)
        y = ops.reshape(y, (self.side, -1, counts[0], stride, TILE * (counts[1] + 1), stride * channels))
        y = ops.reshape(self._add_rows(y), (-1, TILE * (counts[0] + 1) * stride, width * stride, channels))
        return y[:, edge : height * stride - edge, edge : width * stride - edge]

    def _add_columns_of(self, x: Any) -> Any:
        """(side, side, B, h, w, stride, stride C) -> (side, B, h, stride, w + 1, 4, stride C)."""
        return ops.transpose(self._add_overlapping(ops.unstack(x, axis=1), 3), (0, 1, 2, 5, 3, 4, 6))

    def _add_rows_of(self, x: Any) -> Any:
        """(side, B, h, stride, 4 w + 4, stride C) -> (B, h + 1, 4, stride, 4 w + taps - 1, stride C)."""
        width = x.shape[4] - TILE + self.taps - 1
        return self._add_overlapping(ops.unstack(x[:, :, :, :, :width]), 1)

    def small(self, products: Any, counts: tuple[int, int]) -> Any:
        """Products (side^2, tiles, F) -> small maps."""
        products = ops.reshape(products, (self.side, self.side, -1, *counts, products.shape[-1]))
        columns = self._sum_columns(self._sum_rows(products))  # (B, h, 4, w, 4, F)
        return ops.reshape(columns, (-1, *(TILE * count for count in counts), products.shape[-1]))

    def spread(self, small: Any) -> Any:
        """The transpose of `small`: small maps -> (side^2, tiles, F)."""
        return ops.reshape(self._spread_columns(self._spread_rows(small)), (self.side**2, -1, small.shape[-1]))

    def _add_overlapping(self, parts: Sequence[Any], axis: int) -> Any:
        """n tiles with `side` sums of the parts each -> n + 1 tiles with 4, of which the last holds taps - 1."""
        # What a tile has beyond its four pixels is added to the next one's first.
        beyond = np.pad(self.inputs[:, TILE:].T, ((0, 2 * TILE - self.side), (0, 0)))
        behind, before = ([(0, 0)] * (len(parts[0].shape) + 1) for _ in range(2))
        behind[axis], before[axis] = (0, 1), (1, 0)
        own = ops.pad(_combine(self.inputs[:, :TILE].T, parts, axis + 1), behind)
        return own + ops.pad(_combine(beyond, parts, axis + 1), before)


def transforms(points: Sequence[float], taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """B^T (n, n), G (n, taps) and A^T (4, n), by interpolation at n - 1 points and at infinity (Toom and Cook)."""
    side = TILE + taps - 1
    inputs, filters, outputs = np.zeros((side, side)), np.zeros((side, taps)), np.zeros((TILE, side))
    for i, point in enumerate(points):
        others = [other for other in points if other != point]
        inputs[i, : side - 1] = np.poly(others)[::-1]
        filters[i] = [point**k / np.prod([point - other for other in others]) for k in range(taps)]
        outputs[:, i] = [point**k for k in range(TILE)]
    inputs[-1] = np.poly(points)[::-1]
    filters[-1, -1] = outputs[-1, -1] = 1.0
    return inputs, filters, outputs


def _combine(weights: np.ndarray, parts: Sequence[Any], axis: int) -> Any:
    """Sums of the parts, weights (sums, parts), along a new axis."""
    shape = (1,) * axis + (-1,) + (1,) * (len(parts[0].shape) - axis)
    terms = [_constant(weights[:, i], part, shape) * ops.expand_dims(part, axis) for i, part in enumerate(parts)]
    return sum(terms[1:], terms[0])


def _every(x: Any, axis: int, count: int) -> list[Any]:
    """`count` pixels of every tile along an axis of size 4 n, or of 4 n + taps - 1: those that are i-th in it."""
    size = x.shape[axis] // TILE * TILE
    inside = (slice(None),) * axis
    return [x[(*inside, slice(i, i + size - TILE + 1, TILE))] for i in range(count)]


def _constant(weights: np.ndarray, like: Any, shape: Sequence[int] | None = None) -> Any:
    return ops.convert_to_tensor(weights if shape is None else weights.reshape(shape), like.dtype)


# Of the points tried, those with the least rounding: half of that with 0, 1, -1, 2 and -2.
PLAIN = Form(3, 1, (0.0, 0.75, -0.75, 1.5, -1.5), smallest=5e8)
STRIDED = Form(2, 2, (0.5, -0.5, 1.5, -1.5), smallest=1e9)
FORMS = {form.taps * form.stride: form for form in (PLAIN, STRIDED)}  # by the side of the kernel


def pays(x: Any, kernel: Any, strides: int, padding: str, transposed: bool = False) -> bool:
    """Whether there is a form, and it is faster; only where a program is compiled for one size of maps.

    Args:
        x: maps (B, H, W, C).
        kernel: (k, k, C, F), of a transposed convolution (k, k, F, C).
    """
    rows, columns, *channels = kernel.shape
    form = FORMS.get(rows)
    if form is None or (rows, strides) != (columns, form.stride) or None in x.shape:
        return False
    if transposed and (form, padding) != (STRIDED, "same"):
        return False
    if not (engine.on_tensorflow_cpu() and engine.tracing()):
        return False
    if keras.backend.standardize_dtype(x.dtype) not in ("float32", "float64"):  # 8 bits are too few for these sums
        return False
    edge, (images, *sides, _) = _edge(padding), x.shape
    large = (images, *(side * strides for side in sides)) if transposed else x.shape
    counts = form.tile_counts(large, edge)
    tiles = images * counts[0] * counts[1]
    return (
        all(side + 2 * edge == strides * (TILE * n + form.taps - 1) for side, n in zip(large[1:3], counts))
        and tiles >= FEWEST_TILES
        and min(channels) >= FEWEST_CHANNELS
        and tiles * TILE**2 * rows * columns * channels[0] * channels[1] >= form.smallest
    )


def _edge(padding: str) -> int:
    """Rows and columns of zeros on each side of the large map: of 3x3 and, with stride 2, of 4x4 kernels."""
    return 1 if padding == "same" else 0


def conv(x: Any, kernel: Any, strides: int, padding: str) -> Any:
    """A convolution with a 3x3 kernel, or with a 4x4 one and stride 2: (k, k, C, F) -> (B, 4h, 4w, F).

    Args:
        x: maps, for the padding "same", over zeros, of (B, 4h, 4w, C), with stride 2 (B, 8h, 8w, C); for "valid" of two
            more rows and columns.
        strides: as the kernel's side says.
    """
    del strides
    edge = _edge(padding)
    return _compute(x, kernel, FORMS[kernel.shape[0]].tile_counts(x.shape, edge), edge, transposed=False)


def conv_transpose(x: Any, kernel: Any) -> Any:
    """A transposed convolution of stride 2: (B, 4h, 4w, C) and kernel (4, 4, F, C) -> (B, 8h, 8w, F)."""
    height, width = (side // TILE for side in x.shape[1:3])
    return _compute(x, kernel, (height, width), 1, transposed=True)


def _compute(x: Any, kernel: Any, counts: tuple[int, int], edge: int, transposed: bool) -> Any:
    form = FORMS[kernel.shape[0]]
    # Of the large and of the small map: what the products take, and what makes the map.
    large = functools.partial(form.tiles, edge=edge), functools.partial(form.large, counts=counts, edge=edge)
    small = form.spread, functools.partial(form.small, counts=counts)
    ours, theirs = (small, large) if transposed else (large, small)
    number_of_parts = _number_of_parts(form, x.shape[0], counts, kernel.shape[2:])

    @engine.custom_gradient
    def compute(x: Any, kernel: Any) -> Any:
        # TensorFlow would compute what waits for nothing at once, the larger kernels of all layers.
        (matrices,) = map(form.matrices, engine.after([kernel], [x]))
        forth, back = matrices, _transpose(matrices)
        if transposed:
            forth, back = back, forth
        parts = [theirs[1](ops.matmul(ours[0](part), forth)) for part in _split(x, number_of_parts)]

        def grad(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            d_matrices, d_parts = [], []
            for part, d_part in zip(_split(x, number_of_parts), _split(upstream, number_of_parts)):
                factors = ours[0](part), theirs[0](d_part)
                left, right = reversed(factors) if transposed else factors
                d_matrices.append(ops.matmul(_transpose(left), right))
                d_parts.append(ours[1](ops.matmul(factors[1], back)))
            return _join(d_parts), form.kernel(sum(d_matrices[1:], d_matrices[0]))

        return _join(parts), grad

    return compute(x, kernel)


def _number_of_parts(form: Form, images: int, counts: tuple[int, int], channels: tuple[int, int]) -> int:
    """In how many parts the images are transformed: as many as the parts of one size must be to be small."""
    row = form.side**2 * form.stride**2 * channels[0] * 4  # bytes of a tile, and of the matrices for one filter
    most = max(TOGETHER, 2 * row * channels[1])
    image = counts[0] * counts[1] * row
    return next((n for n in range(1, images) if images % n == 0 and images // n * image <= most), images)


def _split(x: Any, parts: int) -> list[Any]:
    return ops.split(x, parts) if parts > 1 else [x]


def _join(parts: list[Any]) -> Any:
    return ops.concatenate(parts) if len(parts) > 1 else parts[0]


def _transpose(matrices: Any) -> Any:
    return ops.transpose(matrices, (0, 2, 1))
