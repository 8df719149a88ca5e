"""The SLE-GAN discriminator: two scales, and decoders that make it an encoder too (paper, section 3.2).

Reference: arXiv 2101.04775 and the layout of the authors' released code.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sle_gan import engine
from sle_gan.gans.slegan.generator import UpBlock
from sle_gan.gans.slegan.kernels import DECODER_FILTERS, HEAD_WIDTH, SMALL_WIDTHS
from sle_gan.gans.slegan.kernels import DISCRIMINATOR_EXCITATIONS as EXCITATIONS
from sle_gan.gans.slegan.kernels import DISCRIMINATOR_WIDTHS as WIDTHS
from sle_gan.models.layers import (
    BatchNorm,
    Shape,
    SkipLayerExcitation,
    SpectralConv2D,
    downsample_nearest,
    leaky_relu,
    pool_to,
)
from sle_gan.models.network import Network, check_channels_and_resolution


class ConvBlock(keras.layers.Layer):
    """Convolution, batch norm (unless `norm` is False), LeakyReLU; "same" padding."""

    def __init__(self, filters: int, kernel_size: int, strides: int = 1, norm: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters
        self.conv = SpectralConv2D(filters, kernel_size, strides, name="conv")
        self.norm = BatchNorm(name="norm") if norm else None

    def build(self, input_shape: Shape) -> None:
        self.conv.build(input_shape)
        if self.norm:
            self.norm.build((*input_shape[:-1], self.filters))

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = self.conv(x, training=training)
        return leaky_relu(self.norm(x, training=training) if self.norm else x)


class DownBlock(keras.layers.Layer):
    """(B, H, W, C) -> (B, H/2, W/2, filters): mean of a convolutional and a pooling path."""

    def __init__(self, filters: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters = filters
        self.down = ConvBlock(filters, 4, strides=2, name="down")
        self.conv = ConvBlock(filters, 3, name="conv")
        self.direct = ConvBlock(filters, 1, name="direct")

    def build(self, input_shape: Shape) -> None:
        self.down.build(input_shape)
        self.conv.build((*input_shape[:-1], self.filters))
        self.direct.build(input_shape)

    def call(self, x: Any, training: bool | None = None) -> Any:
        main = self.conv(self.down(x, training=training), training=training)
        return (main + self.direct(engine.average_pool(x, 2, 2), training=training)) / 2


class Decoder(keras.layers.Layer):
    """A map pooled to 8x8 -> an image (B, size, size, channels) in (-1, 1)."""

    def __init__(self, size: int, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.up_blocks = [UpBlock(filters, name=f"up_{up}") for up, filters in DECODER_FILTERS.items() if up <= size]
        self.to_image = SpectralConv2D(channels, 3, name="to_image")

    def build(self, input_shape: Shape) -> None:
        filters = input_shape[-1]
        for block in self.up_blocks:
            block.build((None, None, None, filters))
            filters = block.filters
        self.to_image.build((None, None, None, filters))

    def call(self, x: Any, training: bool | None = None) -> Any:
        x = pool_to(x, 8)
        for block in self.up_blocks:
            x = block(x, training=training)
        return ops.tanh(ops.cast(self.to_image(x, training=training), keras.config.floatx()))


class Discriminator(Network):
    """Images -> patch logits, and on request reconstructions of what it saw.

    Args:
        input_resolution: side of the images, 64, 128, 256, 512 or 1024 pixels.
        width: ndf, the number of channels that `WIDTHS` multiplies.
        channels: 3 for RGB, 1 for grey, 4 for RGBA.

    Call: images (B, R, R, channels) float in (-1, 1), and their small versions (B, S, S, channels) with
    S = `small_resolution`, by default the nearest-downsampled images -> logits (B, 50): 5x5 patches of the
    full-size branch, row by row, then 5x5 of the small one.

    With `reconstruct=True` -> a dict of `logits`; `full` and `small`, the image decoded from the last map
    of each branch; and `part`, the quarter of the image decoded from an 8x8 crop of the 16x16 map. All
    three are (B, S, S, channels). `part_offset` is the crop's (row, column) in the 16x16 map, integers or
    scalar tensors in 0..8, by default the centre (4, 4); `crop_part` cuts the target alike.

    Raises:
        ValueError: for a resolution, width or number of channels that does not exist.

    Example:
        >>> import numpy as np
        >>> import sle_gan
        >>> discriminator = sle_gan.Discriminator(input_resolution=64, width=8)
        >>> tuple(discriminator(np.zeros((2, 64, 64, 3), "float32")).shape)
        (2, 50)
    """

    def __init__(
        self,
        input_resolution: int = 512,
        width: int = 64,
        channels: int = 3,
        name: str = "discriminator",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        check_channels_and_resolution(channels, input_resolution)
        if width < 8 or width % 8:
            raise ValueError(f"the width must be a multiple of 8; received {width}")
        self.input_resolution, self.width, self.channels = input_resolution, width, channels
        self.small_resolution = min(128, input_resolution // 2)

        first = min(256, input_resolution)  # size of the map that the stem makes
        self.sizes = [size for size in WIDTHS if size < first]
        filters = {size: int(multiple * width) for size, multiple in WIDTHS.items()}
        self.stem = self._make_stem(filters)
        self.down_blocks = {str(size): DownBlock(filters[size], name=f"down_{size}") for size in self.sizes}
        self.excitations = {
            str(size): SkipLayerExcitation(filters[size], name=f"excite_{size}")
            for size, source in EXCITATIONS.items()
            if source <= first
        }
        self.head = ConvBlock(HEAD_WIDTH * width, 1, name="head")
        self.to_logits = SpectralConv2D(1, 4, padding="valid", name="to_logits")

        small_sizes = [size for size in SMALL_WIDTHS if size < self.small_resolution]
        self.small_blocks = [
            ConvBlock(int(SMALL_WIDTHS[size] * width), 4, 2, norm=size != small_sizes[0], name=f"small_{size}")
            for size in small_sizes
        ]
        self.to_small_logits = SpectralConv2D(1, 4, padding="valid", name="to_small_logits")
        self.decoders = {
            key: Decoder(self.small_resolution, channels, name=f"decode_{key}") for key in ("full", "small", "part")
        }
        self.build((None, input_resolution, input_resolution, channels))

    def _make_stem(self, filters: dict[int, int]) -> list[ConvBlock]:
        """Image -> the first map: 256 pixels wide, or the image's size where that is less."""
        if self.input_resolution <= 256:
            return [ConvBlock(filters[self.input_resolution], 3, norm=False, name="stem_1")]
        blocks = [ConvBlock(filters[self.input_resolution // 2], 4, 2, norm=False, name="stem_1")]
        if self.input_resolution == 1024:
            blocks.append(ConvBlock(filters[256], 4, 2, name="stem_2"))
        return blocks

    def build(self, input_shape: Shape) -> None:
        if self.built:
            return
        filters = self.channels
        widths = {}
        for block in self.stem:
            block.build((None, None, None, filters))
            filters = block.filters
        widths[2 * self.sizes[0]] = filters
        for size in self.sizes:
            self.down_blocks[str(size)].build((None, None, None, filters))
            filters = widths[size] = self.down_blocks[str(size)].filters
        for size, excitation in self.excitations.items():
            excitation.build((None, None, None, widths[EXCITATIONS[int(size)]]))
        self.head.build((None, 8, 8, filters))
        self.to_logits.build((None, 8, 8, self.head.filters))
        small = self.channels
        for block in self.small_blocks:
            block.build((None, None, None, small))
            small = block.filters
        self.to_small_logits.build((None, 8, 8, small))
        for key, channels in (("full", filters), ("small", small), ("part", widths[16])):
            self.decoders[key].build((None, 8, 8, channels))
        self.built = True

    def call(
        self,
        images: Any,
        small_images: Any = None,
        reconstruct: bool = False,
        part_offset: tuple[Any, Any] = (4, 4),
        training: bool | None = None,
    ) -> Any:
        if small_images is None:
            small_images = downsample_nearest(images, self.small_resolution)
        maps = self._maps(images, training)
        small = small_images
        for block in self.small_blocks:
            small = block(small, training=training)  # (B, 8, 8, 4 width) at the end
        logits = self.to_logits(self.head(maps[8], training=training), training=training)  # (B, 5, 5, 1)
        small_logits = self.to_small_logits(small, training=training)  # (B, 5, 5, 1)
        logits = ops.concatenate([ops.reshape(logits, (-1, 25)), ops.reshape(small_logits, (-1, 25))], 1)
        logits = ops.cast(logits, keras.config.floatx())
        if not reconstruct:
            return logits
        sources = {"full": maps[8], "small": small, "part": crop_part(maps[16], part_offset)}
        decoded = {key: self.decoders[key](x, training=training) for key, x in sources.items()}
        return {"logits": logits, **decoded}

    def _maps(self, images: Any, training: bool | None) -> dict[int, Any]:
        """All maps of the full-size branch by their size, after excitation."""
        x = images
        for block in self.stem:
            x = block(x, training=training)
        maps = {2 * self.sizes[0]: x}
        for size in self.sizes:
            x = self.down_blocks[str(size)](x, training=training)
            if str(size) in self.excitations:
                x = self.excitations[str(size)](maps[EXCITATIONS[size]], x, training=training)
            maps[size] = x
        return maps

    @property
    def layer_groups(self) -> list[list[keras.layers.Layer]]:
        """From the images to the 8x8 maps, both branches side by side; an excitation goes with what it scales."""
        groups: list[list[keras.layers.Layer]] = [[block] for block in self.stem]
        for size in self.sizes:
            excitation = self.excitations.get(str(size))
            groups.append([self.down_blocks[str(size)], *([excitation] if excitation else [])])
        for group, block in zip(groups, self.small_blocks):
            group.append(block)
        return groups

    def get_config(self) -> dict[str, Any]:
        return {
            "input_resolution": self.input_resolution,
            "width": self.width,
            "channels": self.channels,
            "name": self.name,
        }


def crop_part(images: Any, offset: tuple[Any, Any]) -> Any:
    """The quarter of images or maps (B, 16k, 16k, C) -> (B, 8k, 8k, C) that starts at `offset` sixteenths.

    An 8x8 crop of the 16x16 map covers half of the image's side at every resolution, so the same offset
    cuts the map (k = 1) and the image (k = R / 16).
    """
    side = images.shape[1]
    unit = side // 16
    start = ops.stack([0, offset[0] * unit, offset[1] * unit, 0])
    return ops.slice(images, start, (ops.shape(images)[0], side // 2, side // 2, images.shape[3]))
