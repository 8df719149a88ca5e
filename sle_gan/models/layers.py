"""The layers that the SLE-GAN networks are made of. Maps are NHWC; every convolution has no bias.

Reference: arXiv 2101.04775 and the authors' released code (layout, initialisation); spectral
normalisation as in arXiv 1802.05957 and torch.nn.utils.spectral_norm.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan import engine
from sle_gan.models import convolution
from sle_gan.models.upsampling import upsample_conv
from sle_gan.weights import variables_by_path

Shape = tuple[int | None, ...]

# Filters of which each half is computed by itself: twice as many, for 128x128 pixels, take 0.9 of the time together.
HALVED_UP_TO = 64


def _normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(0.0, 0.02)


class SpectralLayer(keras.layers.Layer):
    """A layer whose kernel is divided by an estimate of its largest singular value.

    The kernel, seen as a matrix M of shape (rows, filters), comes with its singular vectors v (rows,) and
    u (filters,). Each training call makes one power iteration, as in PyTorch; sigma = v^T M u is differentiated
    with u and v held constant, so the gradient flows through sigma. In inference u and v stay as they are, and
    so they do within `constant_singular_vectors`.

    `keras.layers.SpectralNormalization` assigns the normalised kernel inside `call` instead: its
    gradient passes sigma by, and it differs between backends.
    """

    def add_spectral_kernel(self, shape: tuple[int, ...]) -> None:
        # autocast=False: sigma is computed in float32 whatever the layer computes in.
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=_normal(), autocast=False)
        vectors: dict[str, Any] = {
            "trainable": False,
            "autocast": False,
            "initializer": "random_normal",
            "aggregation": "only_first_replica",  # every replica computes the same
        }
        self.u = self.add_weight(name="u", shape=(shape[-1],), **vectors)
        rows = 1
        for size in shape[:-1]:
            rows *= size
        self.v = self.add_weight(name="v", shape=(rows,), **vectors)
        _iterate(self.kernel, self.u, self.v)

    def divide_by_sigma(self, x: Any, training: bool | None) -> tuple[Any, Any]:
        """The input and the kernel in the layer's compute dtype, one of them divided by sigma.

        What the layer computes is linear in both, so the smaller is divided: half of all kernels have more numbers
        than the maps they are for, and to scale and keep copies of those took 2 % of a step and 0.1 GB (256 px, CPU).
        """
        if training and self.trainable and not _CONSTANT.get():
            _iterate(self.kernel, self.u, self.v)
        kernel = ops.convert_to_tensor(self.kernel)
        u, v = ops.stop_gradient(self.u), ops.stop_gradient(self.v)
        matrix = ops.reshape(kernel, (-1, kernel.shape[-1]))
        inverse = 1.0 / ops.sum(ops.matmul(ops.reshape(v, (1, -1)), matrix) * u)
        if _is_smaller(x, kernel):
            x = ops.cast(x, inverse.dtype) * inverse
        else:
            kernel = kernel * inverse
        return ops.cast(x, self.compute_dtype), ops.cast(kernel, self.compute_dtype)

    def convolve(self, x: Any, kernel: Any) -> Any:
        """What the layer computes, linear in the input and in the kernel."""
        raise NotImplementedError

    def call(self, x: Any, training: bool | None = None, halves: bool = False) -> Any:
        """The maps; with `halves`, where that is faster, a list of the first and the second half of their channels.

        On TensorFlow's CPU each half of few filters is a convolution of its own: for 64 of 256x256 pixels 0.6 of the
        time, forward and backward, and there is nothing to take apart or to join again.
        """
        x, kernel = self.divide_by_sigma(x, training)
        few = kernel.shape[-1] <= HALVED_UP_TO and not _is_smaller(x, kernel)
        if halves and few and engine.on_tensorflow_cpu():
            return [self.convolve(x, half) for half in ops.split(kernel, 2, -1)]
        return self.convolve(x, kernel)


def _is_smaller(x: Any, kernel: Any) -> bool:
    """Whether an input has fewer numbers than the kernel; False if its size is not known."""
    return None not in x.shape and math.prod(x.shape) < math.prod(kernel.shape)


# A context variable, because the replicas of a step are traced in turns, each in a thread of its own.
_CONSTANT: ContextVar[bool] = ContextVar("constant singular vectors", default=False)


@contextmanager
def constant_singular_vectors() -> Iterator[None]:
    """Within it, no spectral layer makes a power iteration: `iterate_singular_vectors` makes those of a step."""
    token = _CONSTANT.set(True)
    try:
        yield
    finally:
        _CONSTANT.reset(token)


def iterate_singular_vectors(network: keras.Model) -> None:
    """One power iteration for every spectral kernel of a network that is trained."""
    variables = variables_by_path(network)
    for path, u in variables.items():
        if path.endswith("/u"):
            layer = path.removesuffix("/u")
            kernel = variables[f"{layer}/kernel"]
            if kernel.trainable:
                _iterate(kernel, u, variables[f"{layer}/v"])


def _iterate(kernel: keras.Variable, u: keras.Variable, v: keras.Variable) -> None:
    """v <- M u, u <- M^T v, both as unit vectors."""
    matrix = ops.stop_gradient(ops.reshape(kernel, (-1, kernel.shape[-1])))
    new_v = _unit(ops.matmul(matrix, ops.reshape(u, (-1, 1))))  # (rows, 1)
    new_u = _unit(ops.matmul(ops.reshape(new_v, (1, -1)), matrix))  # (1, filters)
    u.assign(ops.reshape(new_u, (-1,)))
    v.assign(ops.reshape(new_v, (-1,)))


def _unit(vector: Any) -> Any:
    return vector / ops.maximum(ops.sqrt(ops.sum(vector * vector)), 1e-12)


class SpectralConv2D(SpectralLayer):
    """Convolution, (B, H, W, C) -> (B, H/strides, W/strides, filters) with "same" padding."""

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, padding: str = "same", **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.strides, self.padding = filters, kernel_size, strides, padding

    def build(self, input_shape: Shape) -> None:
        self.add_spectral_kernel((self.kernel_size, self.kernel_size, _channels(input_shape), self.filters))

    def convolve(self, x: Any, kernel: Any) -> Any:
        return convolution.conv(x, kernel, self.strides, self.padding)


class SpectralUpConv2D(SpectralLayer):
    """Nearest upsampling by 2, then a 3x3 convolution: (B, H, W, C) -> (B, 2H, 2W, filters)."""

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape: Shape) -> None:
        self.add_spectral_kernel((3, 3, _channels(input_shape), self.filters))

    def convolve(self, x: Any, kernel: Any) -> Any:
        return upsample_conv(x, kernel)


class SpectralProjection(SpectralLayer):
    """Transposed convolution of one pixel: latents (B, L) -> (B, rows, columns, filters), by default 4x4.

    The matrix whose sigma is taken has one column per filter, as in torch.nn.ConvTranspose2d.
    """

    def __init__(self, filters: int, start: tuple[int, int] = (4, 4), **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.start = filters, start

    def build(self, input_shape: Shape) -> None:
        self.add_spectral_kernel((_channels(input_shape), *self.start, self.filters))

    def convolve(self, x: Any, kernel: Any) -> Any:
        flat = ops.matmul(x, ops.reshape(kernel, (kernel.shape[0], -1)))
        return ops.reshape(flat, (-1, *self.start, self.filters))


class Conv2D(keras.layers.Conv2D):
    """Keras's, of square kernels and strides, computed by the engine's convolution."""

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        return convolution.conv(inputs, ops.convert_to_tensor(kernel), self.strides[0], self.padding)


class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """Likewise; no bias and no activation."""

    def call(self, inputs: Any) -> Any:
        return convolution.conv_transpose(inputs, ops.convert_to_tensor(self.kernel), self.strides[0], self.padding)


class BatchNorm(keras.layers.Layer):
    """Batch normalisation: epsilon 1e-5, moving averages of momentum 0.9, gamma from N(1, 0.02).

    Call: maps (B, H, W, C), or a list of maps that share the channels out among them; the same comes back.

    Moments are taken over all replicas. Computes in float32 under mixed precision, moving averages included. A
    frozen layer (`trainable=False`) normalises by its moving averages in training too, as Keras's own does.
    """

    epsilon = 1e-5
    momentum = 0.9
    gamma_deviation = 0.02

    def build(self, input_shape: Shape) -> None:
        shape = (_channels(input_shape),)
        # Moments are those of the whole batch already: every replica assigns the same value.
        moving: dict[str, Any] = {"trainable": False, "autocast": False, "aggregation": "only_first_replica"}
        gamma = keras.initializers.RandomNormal(1.0, self.gamma_deviation)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer=gamma, autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", autocast=False)
        self.moving_mean = self.add_weight(name="moving_mean", shape=shape, initializer="zeros", **moving)
        self.moving_variance = self.add_weight(name="moving_variance", shape=shape, initializer="ones", **moving)

    def call(self, x: Any, training: bool | None = None) -> Any:
        parts = x if isinstance(x, list) else [x]
        gamma, beta = ops.convert_to_tensor(self.gamma), ops.convert_to_tensor(self.beta)
        if not training or not self.trainable:
            scale = gamma * ops.rsqrt(self.moving_variance + self.epsilon)
            factors, shifts = (ops.split(y, len(parts)) for y in (scale, beta - self.moving_mean * scale))
            normed = [y * ops.cast(a, y.dtype) + ops.cast(b, y.dtype) for y, a, b in zip(parts, factors, shifts)]
        else:
            factors, shifts = ops.split(gamma, len(parts)), ops.split(beta, len(parts))
            results = [engine.batch_norm(y, a, b, self.epsilon) for y, a, b in zip(parts, factors, shifts)]
            normed, *moments = zip(*results)
            for moving, values in zip((self.moving_mean, self.moving_variance), moments):
                value = ops.stop_gradient(ops.concatenate(values))
                moving.assign(self.momentum * moving + (1.0 - self.momentum) * value)
        return list(normed) if isinstance(x, list) else normed[0]


class NoiseInjection(keras.layers.Layer):
    """x + weight * noise: maps (B, H, W, C) or a list of such, noise (B, H, W, 1), one weight that starts at 0."""

    def build(self, input_shape: Shape) -> None:
        del input_shape
        self.weight = self.add_weight(name="weight", shape=(), initializer="zeros")

    def call(self, x: Any, noise: Any) -> Any:
        if isinstance(x, list):
            return [self.call(part, noise) for part in x]
        return x + self.weight * ops.cast(noise, x.dtype)


class SkipLayerExcitation(keras.layers.Layer):
    """Multiplies a high-resolution map with a channel gate computed from a low-resolution one.

    low (B, h, w, c), high (B, H, W, C) -> (B, H, W, C). Paper, section 3.1: pool to 4x4, conv 4x4, swish,
    conv 1x1, sigmoid. A low map that is no square is pooled to 4x4 too.
    """

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.squeeze = SpectralConv2D(filters, 4, padding="valid", name="squeeze")
        self.excite = SpectralConv2D(filters, 1, name="excite")

    def build(self, input_shape: Shape) -> None:
        self.squeeze.build(input_shape)
        self.excite.build((*input_shape[:-1], self.squeeze.filters))

    def call(self, low: Any, high: Any, training: bool | None = None) -> Any:
        return high * ops.sigmoid(self.logits(low, training))

    def logits(self, low: Any, training: bool | None = None) -> Any:
        """What the gate is the sigmoid of: (B, 1, 1, C)."""
        squeezed = ops.silu(self.squeeze(pool_to(low, 4), training=training))
        return self.excite(squeezed, training=training)


def leaky_relu(x: Any) -> Any:
    """LeakyReLU of slope 0.2."""
    return engine.leaky_relu(x, 0.2)


def pool_to(x: Any, size: int) -> Any:
    """Adaptive average pooling, (B, H, W, C) -> (B, size, size, C), as torch.nn.AdaptiveAvgPool2d."""
    height, width = x.shape[1:3]
    if height % size == 0 == width % size:
        window = (height // size, width // size)
        return x if window == (1, 1) else engine.average_pool(x, window, window)
    rows, columns = (ops.convert_to_tensor(pooling(side, size), x.dtype) for side in (height, width))
    return ops.einsum("ih,jw,bhwc->bijc", rows, columns, x)


@lru_cache(maxsize=64)
def pooling(side: int, size: int) -> np.ndarray:
    """Weights (size, side): row i is the mean over the pixels that the i-th part of the side touches."""
    place = np.arange(side)
    parts = np.arange(size)[:, None]
    touched = ((place + 1) * size > parts * side) & (place * size < (parts + 1) * side)
    return touched / touched.sum(1, keepdims=True)


def downsample_nearest(x: Any, size: int) -> Any:
    """Nearest downsampling to a shorter side of `size`: the top left pixel of every block, as PyTorch takes it."""
    stride = min(x.shape[1:3]) // size
    return x[:, ::stride, ::stride]


def _channels(shape: Shape) -> int:
    channels = shape[-1]
    if channels is None:
        raise ValueError(f"the last axis must be known when a layer is built; received shape {shape}")
    return channels
