"""The SLE-GAN discriminator: two scales, and decoders that make it an encoder too (paper, section 3.2).

Reference: arXiv 2101.04775 and the layout of the authors' released code.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sle_gan import engine
from sle_gan.gans.slegan.generator import UpBlock, aspect_argument
from sle_gan.gans.slegan.kernels import DECODER_FILTERS, EMBEDDED, HEAD_WIDTH, PROJECTED, SMALL_WIDTHS
from sle_gan.gans.slegan.kernels import DISCRIMINATOR_EXCITATIONS as EXCITATIONS
from sle_gan.gans.slegan.kernels import DISCRIMINATOR_WIDTHS as WIDTHS
from sle_gan.models.classes import ClassProjection
from sle_gan.models.layers import (
    BatchNorm,
    Shape,
    SkipLayerExcitation,
    SpectralConv2D,
    downsample_nearest,
    leaky_relu,
)
from sle_gan.models.network import Network, check_channels_and_resolution
from sle_gan.shapes import SQUARE, map_shape, start_map


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
    """A map whose shorter side has 8 pixels -> an image (B, H, W, channels) in (-1, 1), `size` on that side."""

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
        for block in self.up_blocks:
            x = block(x, training=training)
        return ops.tanh(ops.cast(self.to_image(x, training=training), keras.config.floatx()))


class Discriminator(Network):
    """Images -> patch logits, and on request reconstructions of what it saw.

    Args:
        input_resolution: shorter side of the images, 64, 128, 256, 512 or 1024 pixels.
        width: ndf, the number of channels that `WIDTHS` multiplies.
        channels: 3 for RGB, 1 for grey, 4 for RGBA.
        aspect: W:H of the images, of which the nearest is taken that there is; see `sle_gan.shapes`.
        class_count: classes of the images; 0 for a discriminator that knows none.

    Call: images (B, H, W, channels) float in (-1, 1), and their small versions with the shorter side
    `small_resolution`, by default the nearest-downsampled images -> logits (B, `logit_count`): 5x5 patches of the
    full-size branch, row by row, then 5x5 of the small one; 5x9 each for 3:2, as the last maps have 8x12 pixels.

    With `reconstruct=True` -> a dict of `logits`; `full` and `small`, the image decoded from the last map
    of each branch; and `part`, the quarter of the image decoded from a crop of half the sides of the map of size 16.
    All three have the small images' shape. `part_offset` is the crop's (row, column) in that map, integers or
    scalar tensors in 0..8 for squares, by default the centre, `centre`; `crop_part` cuts the target alike.

    With classes, `labels` are those of the images, int (B,): each patch's logit is then the sum of one that knows no
    class and of one that says how well the patch fits the class (projection discriminator, arXiv 1802.05637). Without
    `labels` it is the first alone.

    Raises:
        ValueError: for a resolution, width, number of channels or aspect that does not exist.

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
        aspect: str = SQUARE,
        class_count: int = 0,
        name: str = "discriminator",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        check_channels_and_resolution(channels, input_resolution)
        if width < 8 or width % 8:
            raise ValueError(f"the width must be a multiple of 8; received {width}")
        self.input_resolution, self.width, self.channels = input_resolution, width, channels
        self.small_resolution = min(128, input_resolution // 2)
        self.start = start_map(aspect)
        last = map_shape(8, self.start)  # of both branches
        self.logit_count = 2 * (last[0] - 3) * (last[1] - 3)

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
        self.class_count = class_count
        if class_count:
            self.to_class = SpectralConv2D(PROJECTED, 4, padding="valid", name="to_class")
            self.classes = ClassProjection(class_count, EMBEDDED, PROJECTED, name="classes")
            self.to_small_class = SpectralConv2D(PROJECTED, 4, padding="valid", name="to_small_class")
            self.small_classes = ClassProjection(class_count, EMBEDDED, PROJECTED, name="small_classes")
        self.build((None, *map_shape(input_resolution, self.start), channels))

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
        last = map_shape(8, self.start)
        self.head.build((None, *last, filters))
        self.to_logits.build((None, *last, self.head.filters))
        small = self.channels
        for block in self.small_blocks:
            block.build((None, None, None, small))
            small = block.filters
        self.to_small_logits.build((None, *last, small))
        if self.class_count:
            self.to_class.build((None, *last, self.head.filters))
            self.to_small_class.build((None, *last, small))
            self.classes.build()
            self.small_classes.build()
        for key, channels in (("full", filters), ("small", small), ("part", widths[16])):
            self.decoders[key].build((None, *last, channels))
        self.built = True

    @property
    def centre(self) -> tuple[int, int]:
        """Offset of the part in the middle; the largest offset is twice as much."""
        return self.start

    def call(
        self,
        images: Any,
        small_images: Any = None,
        reconstruct: bool = False,
        part_offset: tuple[Any, Any] | None = None,
        labels: Any = None,
        training: bool | None = None,
    ) -> Any:
        if small_images is None:
            small_images = downsample_nearest(images, self.small_resolution)
        maps = self._maps(images, training)
        small = small_images
        for block in self.small_blocks:
            small = block(small, training=training)  # (B, 8, 8, 4 width) at the end, for squares
        head = self.head(maps[8], training=training)
        logits = self.to_logits(head, training=training)  # (B, 5, 5, 1)
        small_logits = self.to_small_logits(small, training=training)  # (B, 5, 5, 1)
        if self.class_count and labels is not None:
            logits, small_logits = (ops.cast(x, keras.config.floatx()) for x in (logits, small_logits))
            logits = logits + self.classes(self.to_class(head, training=training), labels)
            small_logits = small_logits + self.small_classes(self.to_small_class(small, training=training), labels)
        count = self.logit_count // 2
        logits = ops.concatenate([ops.reshape(logits, (-1, count)), ops.reshape(small_logits, (-1, count))], 1)
        logits = ops.cast(logits, keras.config.floatx())
        if not reconstruct:
            return logits
        offset = self.centre if part_offset is None else part_offset
        sources = {"full": maps[8], "small": small, "part": crop_part(maps[16], offset)}
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
            **aspect_argument(self.start),
            **({"class_count": self.class_count} if self.class_count else {}),
            "name": self.name,
        }


def crop_part(images: Any, offset: tuple[Any, Any]) -> Any:
    """The quarter of images or maps (B, H, W, C) -> (B, H / 2, W / 2, C) that starts at `offset` sixteenths.

    The sixteenths are those of the shorter side in both directions. An 8x8 crop of the 16x16 map covers half of the
    image's side at every resolution, so the same offset cuts the map (16k pixels, k = 1) and the image (k = R / 16).
    """
    height, width = images.shape[1:3]
    unit = min(height, width) // 16
    start = ops.stack([0, offset[0] * unit, offset[1] * unit, 0])
    return ops.slice(images, start, (ops.shape(images)[0], height // 2, width // 2, images.shape[3]))
