"""The layers that the lightweight GAN is made of. Maps are NHWC; convolutions have biases and no spectral norm.

Facts and initialisation are those of huggan's lightweight_gan.py (community-events), itself after lucidrains'
lightweight-gan. Linear attention: arXiv 1812.01243; global context: 2012.13375; frequency channels: 2012.11879.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan import engine
from sle_gan.gans.lightweight.kernels import ATTENTION_WIDTH
from sle_gan.models.gating import gated_linear_unit
from sle_gan.models.layers import BatchNorm, Conv2D, Shape
from sle_gan.models.upsampling import upsample_conv, upsample_nearest

HEADS = 8  # of every attention
HEAD_WIDTH = ATTENTION_WIDTH // HEADS
FREQUENCIES = 8


def to_unit(images: Any) -> Any:
    """The project's images in (-1, 1) -> the 0..1 that this GAN was published for."""
    return (images + 1.0) / 2.0


def from_unit(images: Any) -> Any:
    """0..1 -> (-1, 1)."""
    return 2.0 * images - 1.0


def leaky_relu(x: Any) -> Any:
    """LeakyReLU of slope 0.1."""
    return engine.leaky_relu(x, 0.1)


def blur(x: Any) -> Any:
    """[1, 2, 1] / 4 along both axes, over reflections of the map's edges: (B, H, W, C) -> the same shape."""
    x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="reflect")
    x = (x[:, :-2] + 2.0 * x[:, 1:-1] + x[:, 2:]) / 4.0
    return (x[:, :, :-2] + 2.0 * x[:, :, 1:-1] + x[:, :, 2:]) / 4.0


def _he_normal() -> keras.initializers.Initializer:
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def _uniform(fan_in: float) -> keras.initializers.Initializer:
    """What PyTorch gives biases, and the kernels of transposed convolutions."""
    bound = fan_in**-0.5
    return keras.initializers.RandomUniform(-bound, bound)


class HeConv2D(Conv2D):
    """Convolution: kernel from N(0, 2 / fan_in), bias from U(-1, 1) / sqrt(fan_in)."""

    def __init__(
        self, filters: int, size: int, strides: int = 1, padding: str = "same", use_bias: bool = True, **kwargs: Any
    ):
        super().__init__(filters, size, strides, padding, use_bias=use_bias, kernel_initializer=_he_normal(), **kwargs)

    def build(self, input_shape: Shape) -> None:
        self.bias_initializer = _uniform(input_shape[-1] * self.kernel_size[0] ** 2)  # type: ignore[operator]
        super().build(input_shape)


class HeUpConv2D(keras.layers.Layer):
    """Nearest upsampling by 2, a blur where asked for, a 3x3 convolution: (B, H, W, C) -> (B, 2H, 2W, filters)."""

    def __init__(self, filters: int, antialias: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.antialias = filters, antialias

    def build(self, input_shape: Shape) -> None:
        shape = (3, 3, input_shape[-1], self.filters)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=_he_normal())
        bias = _uniform(9 * input_shape[-1])  # type: ignore[operator]
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer=bias)

    def call(self, x: Any) -> Any:
        kernel = ops.convert_to_tensor(self.kernel)
        if self.antialias:
            y = engine.conv(blur(upsample_nearest(x, 2)), kernel, 1, "same")
        else:
            y = upsample_conv(x, kernel)
        return y + self.bias


class Projection(keras.layers.Layer):
    """Transposed 4x4 convolution of one pixel: latents (B, L) -> (B, 4, 4, filters)."""

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape: Shape) -> None:
        # PyTorch's fan of a transposed convolution is that of its outputs.
        shape, fan = (input_shape[-1], 4, 4, self.filters), 16 * self.filters
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=_uniform(fan))
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer=_uniform(fan))

    def call(self, latents: Any) -> Any:
        kernel = ops.convert_to_tensor(self.kernel)
        flat = ops.matmul(latents, ops.reshape(kernel, (kernel.shape[0], -1)))
        return ops.reshape(flat, (-1, 4, 4, self.filters)) + self.bias


class UnitBatchNorm(BatchNorm):
    """Batch normalisation whose gamma starts at 1."""

    gamma_deviation = 0.0


class UpBlock(keras.layers.Layer):
    """`HeUpConv2D`, batch norm, gated linear unit: (B, H, W, C) -> (B, 2H, 2W, filters)."""

    def __init__(self, filters: int, antialias: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.conv = HeUpConv2D(2 * filters, antialias, name="conv")
        self.norm = UnitBatchNorm(name="norm")

    def build(self, input_shape: Shape) -> None:
        self.conv.build(input_shape)
        self.norm.build((None, None, None, self.conv.filters))

    def call(self, x: Any, training: bool | None = None) -> Any:
        return gated_linear_unit(self.norm(self.conv(x), training=training))


class DownBlock(keras.layers.Layer):
    """Sum of two ways to halve a map, (B, H, W, C) -> (B, H/2, W/2, filters).

    One is conv4 of stride 2, leaky ReLU, conv3, leaky ReLU, the other average pooling, conv1, leaky ReLU; before both
    stands a blur where asked for.
    """

    def __init__(self, filters: int, antialias: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.antialias = filters, antialias
        self.halve = HeConv2D(filters, 4, 2, name="halve")
        self.refine = HeConv2D(filters, 3, name="refine")
        self.pooled = HeConv2D(filters, 1, name="pooled")

    def build(self, input_shape: Shape) -> None:
        self.halve.build(input_shape)
        self.refine.build((*input_shape[:-1], self.filters))
        self.pooled.build(input_shape)

    def call(self, x: Any) -> Any:
        x = blur(x) if self.antialias else x
        main = leaky_relu(self.refine(leaky_relu(self.halve(x))))
        return main + leaky_relu(self.pooled(engine.average_pool(x, 2, 2)))


class ChannelNorm(keras.layers.Layer):
    """Normalises every pixel's channels by their own moments, in float32; scale and shift for each channel."""

    epsilon = 1e-5

    def build(self, input_shape: Shape) -> None:
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(name="gamma", shape=shape, initializer="ones", autocast=False)
        self.beta = self.add_weight(name="beta", shape=shape, initializer="zeros", autocast=False)

    def call(self, x: Any) -> Any:
        wide = ops.cast(x, keras.config.floatx())
        centred = wide - ops.mean(wide, -1, keepdims=True)
        variance = ops.mean(ops.square(centred), -1, keepdims=True)
        return ops.cast(centred * ops.rsqrt(variance + self.epsilon) * self.gamma + self.beta, x.dtype)


class LinearAttention(keras.layers.Layer):
    """x + attention(norm(x)), whose cost grows with the map's pixels, not with their square; same shape.

    Queries are normalised over a head's channels, keys over the pixels; keys and values come from a separable 3x3
    convolution. (B, H, W, C) -> (B, H, W, C).
    """

    def build(self, input_shape: Shape) -> None:
        channels, inner = input_shape[-1], HEADS * HEAD_WIDTH
        assert channels is not None
        self.norm = ChannelNorm(name="norm")
        self.to_q = HeConv2D(inner, 1, use_bias=False, name="to_q")
        # The fan of one channel's kernel: Keras would count all channels.
        nine = keras.initializers.RandomNormal(0.0, math.sqrt(2 / 9))
        self.around = keras.layers.DepthwiseConv2D(
            3, padding="same", use_bias=False, depthwise_initializer=nine, name="around"
        )
        self.to_kv = HeConv2D(2 * inner, 1, use_bias=False, name="to_kv")
        self.to_out = HeConv2D(channels, 1, name="to_out")
        for layer in (self.norm, self.to_q, self.around, self.to_kv):
            layer.build(input_shape)
        self.to_out.build((*input_shape[:-1], inner))

    def call(self, x: Any) -> Any:
        normed = self.norm(x)
        context = self._context(self.around(normed))  # (B, heads, head width, head width)
        q = _softmax(self._heads(self.to_q(normed)), -1)  # (B, heads, H W, head width)
        # gelu(y) = sqrt(1/2) u (1 + erf(u)) with u = sqrt(1/2) y: factors of maps are factors of small matrices here.
        u = ops.matmul(q, context * math.sqrt(0.5 / HEAD_WIDTH))
        attended = ops.transpose(u * (ops.erf(u) + 1.0), (0, 2, 1, 3))
        attended = ops.reshape(attended, (-1, *x.shape[1:3], HEADS * HEAD_WIDTH))
        out = engine.conv(attended, ops.convert_to_tensor(self.to_out.kernel) * math.sqrt(0.5), 1, "same")
        return x + (out + self.to_out.bias)

    def _context(self, around: Any) -> Any:
        """What queries meet: sum over the pixels of keys times values, (B, H, W, C) -> (B, heads, width, width).

        Values are linear in the map: the keys' sum of the map itself, times the values' kernel, is the same. So there
        are no values of pixels, which would be 512 channels, and the sum is one product for all heads.
        """
        pixels, channels = around.shape[1] * around.shape[2], around.shape[-1]
        kernel = ops.convert_to_tensor(self.to_kv.kernel)
        k_kernel, v_kernel = ops.split(kernel, 2, -1)
        k = ops.reshape(engine.conv(around, k_kernel, 1, "same"), (-1, pixels, HEADS * HEAD_WIDTH))
        k = ops.cast(k, keras.config.floatx())
        # Softmax over the pixels, but for its division, which is that of a small matrix. The largest share is not 1 but
        # a root of the pixels' number: neither a sum nor a small share leaves the range of float16.
        largest = ops.stop_gradient(ops.max(k, 1, keepdims=True)) + 0.5 * math.log(pixels)
        shares = ops.exp(k - largest)
        seen = ops.matmul(
            ops.transpose(ops.cast(shares, around.dtype), (0, 2, 1)), ops.reshape(around, (-1, pixels, channels))
        )  # (B, 512, C)
        seen = ops.cast(seen, keras.config.floatx()) / ops.expand_dims(ops.sum(shares, 1), -1)
        seen = ops.reshape(ops.cast(seen, around.dtype), (-1, HEADS, HEAD_WIDTH, channels))
        v_kernel = ops.transpose(ops.reshape(v_kernel, (channels, HEADS, HEAD_WIDTH)), (1, 0, 2))
        return ops.matmul(seen, v_kernel)

    @staticmethod
    def _heads(x: Any) -> Any:
        """(B, H, W, heads * width) -> (B, heads, H W, width)."""
        x = ops.reshape(x, (-1, x.shape[1] * x.shape[2], HEADS, HEAD_WIDTH))
        return ops.transpose(x, (0, 2, 1, 3))


def _softmax(x: Any, axis: int) -> Any:
    """In float32: a share of 65,536 pixels is as small as float16 has numbers."""
    return ops.cast(ops.softmax(ops.cast(x, keras.config.floatx()), axis), x.dtype)


class ChannelGate(keras.layers.Layer):
    """One vector of each map -> a factor in (0, 1) for each channel of another: (B, 1, 1, C) -> (B, 1, 1, filters)."""

    def __init__(self, filters: int, reduction: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.squeeze = HeConv2D(max(3, filters // reduction), 1, name="squeeze")
        self.excite = HeConv2D(filters, 1, name="excite")

    def build(self, input_shape: Shape) -> None:
        self.squeeze.build(input_shape)
        self.excite.build((*input_shape[:-1], self.squeeze.filters))

    def call(self, x: Any) -> Any:
        return ops.sigmoid(self.excite(leaky_relu(self.squeeze(x))))


class GlobalContext(keras.layers.Layer):
    """Factors for another map's channels from a weighted mean of pixels: (B, h, w, c) -> (B, 1, 1, filters)."""

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.to_k = HeConv2D(1, 1, name="to_k")
        self.gate = ChannelGate(filters, 2, name="gate")

    def build(self, input_shape: Shape) -> None:
        self.to_k.build(input_shape)
        self.gate.build((None, 1, 1, input_shape[-1]))

    def call(self, x: Any) -> Any:
        pixels = x.shape[1] * x.shape[2]
        shares = _softmax(ops.reshape(self.to_k(x), (-1, pixels, 1)), 1)
        context = ops.einsum("bnk,bnc->bkc", shares, ops.reshape(x, (-1, pixels, x.shape[-1])))  # (B, 1, c)
        return self.gate(ops.expand_dims(context, 1))


class FrequencyContext(keras.layers.Layer):
    """Factors from one cosine coefficient of each channel: (B, h, h, c) -> (B, 1, 1, filters).

    The cosines are a constant that is stored with the weights, as the published code stores it: files in float16
    hold rounded ones, with which they were published.
    """

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.gate = ChannelGate(filters, 4, name="gate")

    def build(self, input_shape: Shape) -> None:
        _, height, width, channels = input_shape
        assert height == width and height is not None and channels is not None
        cosines = cosine_weights(height, channels)
        self.cosines = self.add_weight(
            name="cosines",
            shape=cosines.shape,
            initializer=keras.initializers.Constant(cosines),
            trainable=False,
            autocast=False,
        )
        self.gate.build((None, 1, 1, channels))

    def call(self, x: Any) -> Any:
        coefficients = ops.sum(ops.cast(x, keras.config.floatx()) * self.cosines, (1, 2), keepdims=True)  # (B, 1, 1, c)
        return self.gate(ops.cast(coefficients, x.dtype))


def cosine_weights(side: int, channels: int) -> np.ndarray:
    """(side, side, channels): of each sixteenth of the channels another frequency, 8 horizontal and 8 vertical ones.

    Channels that are left over, and all where there are fewer than 16, get zeros.
    """
    places = (np.arange(side) + 0.5) / side
    waves = [np.cos(np.pi * f * places) * math.sqrt((2 if f else 1) / side) for f in range(FREQUENCIES)]
    weights = np.zeros((side, side, channels), np.float32)
    pairs = [(0, f) for f in range(FREQUENCIES)] + [(f, 0) for f in range(FREQUENCIES)]
    part = channels // len(pairs)
    for i, (vertical, horizontal) in enumerate(pairs):
        weights[:, :, i * part : (i + 1) * part] = np.outer(waves[vertical], waves[horizontal])[:, :, None]
    return weights


class Decoder(keras.layers.Layer):
    """Draws images of a map: (B, 8, 8, C) -> (B, 128, 128, channels), in 0..1 where it is trained to."""

    def __init__(self, filters: int, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        widths = [filters, filters // 2, filters // 4, 2 * channels]  # the gates halve them
        self.ups = [HeUpConv2D(width, name=f"up_{16 << i}") for i, width in enumerate(widths)]

    def build(self, input_shape: Shape) -> None:
        for up, filters in zip(self.ups, self._inputs(input_shape)):
            up.build((None, None, None, filters))

    def _inputs(self, input_shape: Shape) -> Iterator[int | None]:
        yield input_shape[-1]
        yield from (up.filters // 2 for up in self.ups)

    def call(self, x: Any) -> Any:
        for up in self.ups:
            x = gated_linear_unit(up(x))  # (B, 2H, 2W, half the channels)
        return x
