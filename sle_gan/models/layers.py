"""The layers that the SLE-GAN networks are made of. Maps are NHWC; every convolution has no bias.

Reference: arXiv 2101.04775 and the authors' released code (layout, initialisation); spectral
normalisation as in arXiv 1802.05957 and torch.nn.utils.spectral_norm.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

from sle_gan import engine
from sle_gan.weights import variables_by_path

Shape = tuple[int | None, ...]

# From this input size on, one strided transposed convolution beats upsampling and then convolving; below
# it the larger kernel is the work (benchmarks/upsampling.py).
FUSE_UPSAMPLING_FROM = 8


def _normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(0.0, 0.02)


class SpectralLayer(keras.layers.Layer):
    """A layer whose kernel is divided by an estimate of its largest singular value.

    The kernel, seen as a matrix M of shape (rows, filters), comes with its singular vectors v (rows,) and
    u (filters,). Each training call makes one power iteration, as in PyTorch; sigma = v^T M u is differentiated
    with u and v held constant, so the gradient flows through sigma. In inference u and v stay as they are, and
    so they do within `shared_kernels`.

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

    def normalized_kernel(self, training: bool | None) -> Any:
        """kernel / sigma, in the layer's compute dtype; makes one power iteration when training."""
        shared = _SHARED_KERNELS.get()
        if shared is not None and id(self) in shared:
            return shared[id(self)]
        if training and shared is None and self.trainable:
            _iterate(self.kernel, self.u, self.v)
        matrix = ops.reshape(self.kernel, (-1, self.kernel.shape[-1]))
        matrix = _divide_by_sigma(matrix, ops.stop_gradient(self.u), ops.stop_gradient(self.v))
        normalized = ops.cast(ops.reshape(matrix, self.kernel.shape), self.compute_dtype)
        if shared is not None:
            shared[id(self)] = normalized
        return normalized


@ops.custom_gradient
def _divide_by_sigma(matrix: Any, u: Any, v: Any) -> Any:
    """N = M / sigma, where sigma = v^T M u and u and v are constants.

    A cotangent D of N becomes (D - <D, N> v u^T) / sigma. The chain rule, step by step, makes many arrays of the
    kernel's size of it and holds them at once: with it a step at 256 px takes 0.3 GB more.
    """
    inverse = 1.0 / ops.sum(ops.matmul(ops.reshape(v, (1, -1)), matrix) * u)
    normalized = matrix * inverse

    def grad(*args: Any, upstream: Any = None) -> Any:
        upstream = args[0] if upstream is None else upstream
        product = ops.matmul(ops.reshape(upstream, (1, -1)), ops.reshape(normalized, (-1, 1)))  # (1, 1)
        outer = ops.matmul(ops.reshape(v, (-1, 1)) * (product * inverse), ops.reshape(u, (1, -1)))
        return upstream * inverse - outer, ops.zeros_like(u), ops.zeros_like(v)

    return normalized, grad


# A context variable, because the replicas of a step are traced in turns, each in a thread of its own.
_SHARED_KERNELS: ContextVar[dict[int, Any] | None] = ContextVar("shared kernels", default=None)


@contextmanager
def shared_kernels() -> Iterator[None]:
    """Within it, calls of a spectral layer share one normalised kernel, and none makes a power iteration.

    For functions that pass several batches through the same weights; `iterate_singular_vectors` makes the power
    iterations of a step. The kernels are tensors of the function that is being traced: enter it inside of that.
    """
    token = _SHARED_KERNELS.set({})
    try:
        yield
    finally:
        _SHARED_KERNELS.reset(token)


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

    def call(self, x: Any, training: bool | None = None) -> Any:
        return ops.conv(x, self.normalized_kernel(training), self.strides, self.padding)


class SpectralUpConv2D(SpectralLayer):
    """Nearest upsampling by 2, then a 3x3 convolution: (B, H, W, C) -> (B, 2H, 2W, filters).

    The pair equals one transposed convolution of stride 2 with a 4x4 kernel, with 16 instead of 36
    multiply-adds for each input pixel, channel and filter, and without the upsampled tensor.

    Args:
        fused: use the transposed form; by default where the map is large enough for it to win.
    """

    def __init__(self, filters: int, fused: bool | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.fused = filters, fused

    def build(self, input_shape: Shape) -> None:
        self.add_spectral_kernel((3, 3, _channels(input_shape), self.filters))

    def call(self, x: Any, training: bool | None = None) -> Any:
        kernel = self.normalized_kernel(training)
        fused = x.shape[1] >= FUSE_UPSAMPLING_FROM if self.fused is None else self.fused
        if not fused:
            return ops.conv(upsample_nearest(x, 2), kernel, 1, "same")
        return ops.conv_transpose(x, fuse_upsampling(kernel), 2, "same")


class SpectralProjection(SpectralLayer):
    """Transposed 4x4 convolution of one pixel: latents (B, L) -> (B, 4, 4, filters).

    The matrix whose sigma is taken has one column per filter, as in torch.nn.ConvTranspose2d.
    """

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape: Shape) -> None:
        self.add_spectral_kernel((_channels(input_shape), 4, 4, self.filters))

    def call(self, latents: Any, training: bool | None = None) -> Any:
        kernel = self.normalized_kernel(training)
        flat = ops.matmul(latents, ops.reshape(kernel, (kernel.shape[0], -1)))
        return ops.reshape(flat, (-1, 4, 4, self.filters))


class BatchNorm(keras.layers.Layer):
    """Batch normalisation: epsilon 1e-5, moving averages of momentum 0.9, gamma from N(1, 0.02).

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
        gamma, beta = ops.convert_to_tensor(self.gamma), ops.convert_to_tensor(self.beta)
        if not training or not self.trainable:
            scale = gamma * ops.rsqrt(self.moving_variance + self.epsilon)
            shift = beta - self.moving_mean * scale
            return x * ops.cast(scale, x.dtype) + ops.cast(shift, x.dtype)
        y, mean, variance = engine.batch_norm(x, gamma, beta, self.epsilon)
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(self.momentum * moving + (1.0 - self.momentum) * ops.stop_gradient(value))
        return y


class NoiseInjection(keras.layers.Layer):
    """x + weight * noise: maps (B, H, W, C), noise (B, H, W, 1), one scalar weight that starts at 0."""

    def build(self, input_shape: Shape) -> None:
        del input_shape
        self.weight = self.add_weight(name="weight", shape=(), initializer="zeros")

    def call(self, x: Any, noise: Any) -> Any:
        return x + self.weight * ops.cast(noise, x.dtype)


class SkipLayerExcitation(keras.layers.Layer):
    """Multiplies a high-resolution map with a channel gate computed from a low-resolution one.

    low (B, h, w, c), high (B, H, W, C) -> (B, H, W, C). Paper, section 3.1: pool to 4x4, conv 4x4, swish,
    conv 1x1, sigmoid.
    """

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.squeeze = SpectralConv2D(filters, 4, padding="valid", name="squeeze")
        self.excite = SpectralConv2D(filters, 1, name="excite")

    def build(self, input_shape: Shape) -> None:
        self.squeeze.build(input_shape)
        self.excite.build((*input_shape[:-1], self.squeeze.filters))

    def call(self, low: Any, high: Any, training: bool | None = None) -> Any:
        gate = ops.silu(self.squeeze(pool_to(low, 4), training=training))  # (B, 1, 1, C)
        return high * ops.sigmoid(self.excite(gate, training=training))


@ops.custom_gradient
def gated_linear_unit(x: Any) -> Any:
    """First half of the channels times the sigmoid of the second: (..., 2C) -> (..., C).

    With y = a s and s = sigmoid(b), dy/da = s and dy/db = y (1 - s): only s is kept for the backward pass, as y is
    kept by the layer that follows.
    """
    values, gates = ops.split(x, 2, axis=-1)
    open_ = ops.sigmoid(gates)
    y = values * open_

    def grad(*args: Any, upstream: Any = None) -> Any:
        upstream = args[0] if upstream is None else upstream
        return ops.concatenate([upstream * open_, upstream * y * (1.0 - open_)], axis=-1)

    return y, grad


def leaky_relu(x: Any) -> Any:
    """LeakyReLU of slope 0.2."""
    return engine.leaky_relu(x, 0.2)


def pool_to(x: Any, size: int) -> Any:
    """Average pooling to size x size: adaptive pooling where the size divides the map's, as ours do."""
    window = x.shape[1] // size
    return x if window == 1 else ops.average_pool(x, window, window)


def upsample_nearest(x: Any, factor: int) -> Any:
    """Nearest upsampling: (B, H, W, C) -> (B, factor H, factor W, C)."""
    return ops.repeat(ops.repeat(x, factor, axis=1), factor, axis=2)


def downsample_nearest(x: Any, size: int) -> Any:
    """Nearest downsampling to size x size: the top left pixel of every block, as PyTorch takes it."""
    stride = x.shape[1] // size
    return x[:, ::stride, ::stride]


def fuse_upsampling(kernel: Any) -> Any:
    """Kernel of the transposed convolution that equals nearest upsampling by 2 and a 3x3 convolution.

    (3, 3, C, F) -> (4, 4, F, C), the layout that `ops.conv_transpose` takes. Along each axis
    K[t] = w[2 - t] + w[3 - t] with w = 0 outside of 0..2.
    """
    for axis in (0, 1):
        flipped = ops.flip(kernel, axis)
        shape = list(flipped.shape)
        shape[axis] = 1
        zero = ops.zeros(shape, flipped.dtype)
        kernel = ops.concatenate([flipped, zero], axis) + ops.concatenate([zero, flipped], axis)
    return ops.transpose(kernel, (0, 1, 3, 2))


def _channels(shape: Shape) -> int:
    channels = shape[-1]
    if channels is None:
        raise ValueError(f"the last axis must be known when a layer is built; received shape {shape}")
    return channels
