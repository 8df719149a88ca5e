"""The CycleGAN networks: a ResNet that translates images, and a discriminator of 70x70 patches. Maps are NHWC.

Reference: arXiv 1703.10593 (section 7.1) and the layout of huggan's PyTorch networks (community-events,
huggan/pytorch/cyclegan), whose upsampling is nearest x2 and a 3x3 convolution instead of a transposed one.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sle_gan import engine
from sle_gan.models import convolution, strided
from sle_gan.models.layers import Shape
from sle_gan.models.network import Network
from sle_gan.models.upsampling import upsample_conv

# The generator halves its maps twice and doubles them twice: sides must be divisible by this.
SIDE_MULTIPLE = 4
INSTANCE_NORM_EPSILON = 1e-5
_HALVINGS = 2


def instance_norm(x: Any) -> Any:
    """Each image's channels to mean 0 and variance 1 over the map; nothing learned."""
    return engine.instance_norm(x, INSTANCE_NORM_EPSILON)


def _reflect(x: Any, rows: tuple[int, int], columns: tuple[int, int]) -> Any:
    """(B, H, W, C) with rows and columns of its mirror image around it, as `ops.pad` of mode "reflect" makes them.

    In a program of TensorFlow's CPU joined from its parts, in less than half of the time; the gradient is `ops.pad`'s.
    """

    def pad(x: Any) -> Any:
        return ops.pad(x, ((0, 0), rows, columns, (0, 0)), mode="reflect")

    if not (engine.on_tensorflow_cpu() and engine.tracing()):
        return pad(x)

    @engine.custom_gradient
    def join(x: Any) -> Any:
        def grad(*args: Any, upstream: Any = None) -> Any:
            return engine.vjp(pad, (), [x])[1](args[0] if upstream is None else upstream)[1][0]

        return _mirrored(_mirrored(x, 1, *rows), 2, *columns), grad

    return join(x)


def _mirrored(x: Any, axis: int, before: int, behind: int) -> Any:
    """The map with so many pixels more along an axis."""
    inside, last = (slice(None),) * axis, x.shape[axis] - 1
    pixels = [*range(before, 0, -1)], [*range(last - 1, last - 1 - behind, -1)]
    first, final = ([x[(*inside, slice(i, i + 1))] for i in places] for places in pixels)
    return ops.concatenate([*first, x, *final], axis) if first or final else x


class PreNormConv2D(keras.layers.Layer):
    """Instance norm and activation of what comes in, as far as asked for, then padding and a convolution.

    The convolution's own output is all that backpropagation keeps: norm and activation are computed again there,
    for a few percent of the convolution's time and less than half of the memory.

    Args:
        filters: of the convolution, whose kernel (size, size, C, filters) starts from N(0, 0.02).
        normalize: take the instance norm of what comes in.
        slope: of a leaky ReLU after that; 0 for a ReLU, None for neither.
        bias: add one. Where a norm follows there is none: the norm would subtract it again.
    """

    size: int

    def __init__(
        self, filters: int, normalize: bool = False, slope: float | None = None, bias: bool = False, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.filters, self.normalize, self.slope, self.has_bias = filters, normalize, slope, bias

    def build(self, input_shape: Shape) -> None:
        shape = (self.size, self.size, int(input_shape[-1] or 0), self.filters)
        normal = keras.initializers.RandomNormal(0.0, 0.02)
        self.kernel = self.add_weight(name="kernel", shape=shape, initializer=normal)
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros") if self.has_bias else None

    def call(self, x: Any) -> Any:
        def compute(x: Any, kernel: Any) -> Any:
            return self.convolve(instance_norm(x) if self.normalize else x, kernel)

        y = engine.recomputed(compute, x, ops.cast(self.kernel, self.compute_dtype))
        return y if self.bias is None else y + ops.cast(self.bias, y.dtype)

    def convolve(self, x: Any, kernel: Any, rows_given: bool = False) -> Any:
        """What follows the norm, without the bias.

        Args:
            rows_given: x comes with the rows around it that `rows_around` names; else they are made here.
        """
        raise NotImplementedError

    def _activate(self, x: Any) -> Any:
        if self.slope is None:
            return x
        return engine.leaky_relu(x, self.slope) if self.slope else ops.relu(x)


class ReflectConv2D(PreNormConv2D):
    """A convolution over reflections: (B, H, W, C) -> (B, H, W, filters)."""

    def __init__(self, filters: int, size: int, **kwargs: Any):
        super().__init__(filters, **kwargs)
        self.size = size

    def convolve(self, x: Any, kernel: Any, rows_given: bool = False) -> Any:
        """With `rows_given` x has size // 2 rows more above and below."""
        edges = (self.size // 2, self.size // 2)
        x = _reflect(self._activate(x), (0, 0) if rows_given else edges, edges)
        return convolution.conv(x, kernel, 1, "valid")


class DownConv2D(PreNormConv2D):
    """3x3 convolution of stride 2 over a row and a column of zeros in front: (B, 2H, 2W, C) -> (B, H, W, filters).

    This is PyTorch's padding of 1 on even sides; "same" would put the zeros behind.
    """

    size = 3

    def convolve(self, x: Any, kernel: Any, rows_given: bool = False) -> Any:
        """With `rows_given` x has one row more above."""
        x = ops.pad(x, ((0, 0), (0 if rows_given else 1, 0), (1, 0), (0, 0)))
        return strided.conv(self._activate(x), kernel)


class UpConv2D(PreNormConv2D):
    """Nearest upsampling by 2, then a 3x3 convolution over zeros: (B, H, W, C) -> (B, 2H, 2W, filters)."""

    size = 3

    def convolve(self, x: Any, kernel: Any, rows_given: bool = False) -> Any:
        """With `rows_given` x has one row more above and below."""
        y = upsample_conv(self._activate(x), kernel)
        return y[:, 2:-2] if rows_given else y


class ResidualBlock(keras.layers.Layer):
    """x + norm(conv(relu(norm(conv(x))))), 3x3 over reflections: (B, H, W, C) -> (B, H, W, C)."""

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.conv_1 = ReflectConv2D(filters, 3, name="conv_1")
        self.conv_2 = ReflectConv2D(filters, 3, normalize=True, slope=0.0, name="conv_2")

    def build(self, input_shape: Shape) -> None:
        self.conv_1.build(input_shape)
        self.conv_2.build(input_shape)

    def call(self, x: Any) -> Any:
        return x + instance_norm(self.conv_2(self.conv_1(x)))


class ResNetGenerator(Network):
    """Images of one domain -> images of the other.

    Args:
        blocks: residual blocks in the middle; the paper takes 6 at 128 px and 9 from 256 px on.
        width: channels at full resolution; doubled by each of the two halvings.
        channels: of the images, in and out: 3 for RGB, 1 for grey, 4 for RGBA.

    Call: images (B, H, W, channels) float in (-1, 1), H and W any multiple of 4 from 8 on -> the same shape,
    float32 in (-1, 1). Every image is on its own: a batch of two gives what two batches of one give.

    Raises:
        ValueError: for a number of blocks, width or channels that does not exist.
    """

    def __init__(self, blocks: int = 9, width: int = 64, channels: int = 3, name: str = "translator", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        if blocks < 1:
            raise ValueError(f"expected at least one block; received blocks={blocks}")
        _check_size(width, channels)
        self.block_count, self.width, self.channels = blocks, width, channels
        hidden: dict[str, Any] = {"normalize": True, "slope": 0.0}
        self.encoder: list[PreNormConv2D] = [
            ReflectConv2D(width, 7, name="from_image"),
            *(DownConv2D(width * 2**i, name=f"down_{i}", **hidden) for i in range(1, _HALVINGS + 1)),
        ]
        self.blocks = [ResidualBlock(width * 2**_HALVINGS, name=f"block_{i}") for i in range(1, blocks + 1)]
        self.decoder: list[PreNormConv2D] = [
            UpConv2D(width * 2, name="up_1"),
            UpConv2D(width, name="up_0", **hidden),
            ReflectConv2D(channels, 7, bias=True, name="to_image", **hidden),
        ]
        self.build((None, None, None, channels))

    def build(self, input_shape: Shape) -> None:
        if self.built:
            return
        _build((*self.encoder, *self.blocks, *self.decoder), self.channels)
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        del training  # instance norm has one mode
        x = images
        for conv in self.encoder:
            x = conv(x)  # (B, H, W, w), (B, H/2, W/2, 2w), (B, H/4, W/4, 4w)
        x = ops.relu(instance_norm(x))
        for block in self.blocks:
            x = block(x)
        for conv in self.decoder:
            x = conv(x)  # (B, H/2, W/2, 2w), (B, H, W, w), (B, H, W, channels)
        return ops.tanh(ops.cast(x, keras.config.floatx()))

    def get_config(self) -> dict[str, Any]:
        return {"blocks": self.block_count, "width": self.width, "channels": self.channels, "name": self.name}


class PatchDiscriminator(Network):
    """Images -> a map of logits, each for a patch of 70x70 pixels.

    Args:
        width: channels after the first convolution; doubled three times.
        channels: of the images.

    Call: images (B, H, W, channels) float in (-1, 1), sides divisible by 16 -> logits (B, H/16, W/16, 1) float32.
    """

    def __init__(self, width: int = 64, channels: int = 3, name: str = "discriminator", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        _check_size(width, channels)
        self.width, self.channels = width, channels
        hidden: dict[str, Any] = {"normalize": True, "slope": 0.2}
        self.convolutions: list[PreNormConv2D] = [
            _HalvingConv2D(width, bias=True, name="from_image"),
            _HalvingConv2D(width * 2, slope=0.2, name="down_1"),
            _HalvingConv2D(width * 4, name="down_2", **hidden),
            _HalvingConv2D(width * 8, name="down_3", **hidden),
            _LogitConv2D(1, bias=True, name="to_logits", **hidden),
        ]
        self.build((None, None, None, channels))

    def build(self, input_shape: Shape) -> None:
        if self.built:
            return
        _build(self.convolutions, self.channels)
        self.built = True

    def call(self, images: Any, training: bool | None = None) -> Any:
        del training
        x = images
        for conv in self.convolutions:
            x = conv(x)  # (B, H/2, W/2, w), ..., (B, H/16, W/16, 8w), (B, H/16, W/16, 1)
        return ops.cast(x, keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        return {"width": self.width, "channels": self.channels, "name": self.name}


class _HalvingConv2D(PreNormConv2D):
    """4x4 convolution of stride 2 over zeros: (B, 2H, 2W, C) -> (B, H, W, filters)."""

    size = 4

    def convolve(self, x: Any, kernel: Any, rows_given: bool = False) -> Any:
        return engine.conv(self._activate(x), kernel, 2, "same")


class _LogitConv2D(PreNormConv2D):
    """4x4 convolution over zeros, two rows and columns in front and one behind: (B, H, W, C) -> (B, H, W, filters)."""

    size = 4

    def convolve(self, x: Any, kernel: Any, rows_given: bool = False) -> Any:
        return engine.conv(self._activate(ops.pad(x, ((0, 0), (2, 1), (2, 1), (0, 0)))), kernel, 1, "valid")


def _build(layers: Any, channels: int) -> None:
    for layer in layers:
        layer.build((None, None, None, channels))
        channels = getattr(layer, "filters", channels)


def _check_size(width: int, channels: int) -> None:
    if width < 1 or channels not in (1, 3, 4):
        raise ValueError(
            f"expected a width of at least 1 and 1, 3 or 4 channels; received width={width}, channels={channels}"
        )
