"""Small discriminators on random projections of a frozen network's maps (Projected GAN, arXiv 2111.01007).

Layout after the authors' released code (autonomousvision/projected-gan, MIT): cross-channel mixing is a random 1x1
convolution of each map; cross-scale mixing adds the maps top down, each sum upsampled and mixed by another random 1x1
convolution; four discriminators of strided convolutions judge the four results.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan.gans.projected.kernels import DOWNS
from sle_gan.gans.slegan.discriminator import ConvBlock
from sle_gan.gans.slegan.kernels import EMBEDDED, PROJECTED
from sle_gan.models.classes import ClassProjection
from sle_gan.models.layers import Shape, SpectralConv2D
from sle_gan.models.network import Network

# Widths of the mixed maps, from the largest map to the smallest, as multiples of the projections' channels.
MIXED = (1, 1, 2, 4)
# What a head's last convolution needs.
SMALLEST = 4


class Projection:
    """The constants between a frozen network and the heads: maps of four strides -> four mixed maps, linear.

    Everything behind the frozen network is linear, so the two matrices of a level are multiplied once. A 1x1
    convolution and upsampling commute, so maps are mixed before they are upsampled, for a quarter of the products.

    Args:
        mixes: for each level, from the largest map to the smallest, the matrix (channels, mixed) and the bias (mixed,)
            that the frozen network's map passes.
        passes: for each level but the smallest, the matrix that the sum of the smaller levels passes.
    """

    def __init__(self, mixes: Sequence[tuple[np.ndarray, np.ndarray]], passes: Sequence[np.ndarray]):
        self.mixes, self.passes = list(mixes), list(passes)

    @classmethod
    def draw(cls, channels: Sequence[int], width: int, seed: int) -> Projection:
        """Random matrices for maps of so many channels, as the released code draws them.

        Weights and biases of the two convolutions of each level come from U(-1/sqrt(n), 1/sqrt(n)), n inputs each.

        Args:
            channels: of the maps, from the largest map to the smallest.
            width: channels of the first mixed map; 64 in the released code.
        """
        random = np.random.default_rng(seed)

        def uniform(inputs: int, outputs: int) -> tuple[np.ndarray, np.ndarray]:
            bound = inputs**-0.5
            return random.uniform(-bound, bound, (inputs, outputs)), random.uniform(-bound, bound, outputs)

        wide = [width * 2**level for level in range(4)]
        first = [uniform(inputs, outputs) for inputs, outputs in zip(channels, wide)]
        second = [uniform(inputs, width * multiple) for inputs, multiple in zip(wide, MIXED)]
        return cls.fold(first, second)

    @classmethod
    def fold(
        cls, first: Sequence[tuple[np.ndarray, np.ndarray]], second: Sequence[tuple[np.ndarray, np.ndarray]]
    ) -> Projection:
        """Of the released code's eight convolutions, (matrix (inputs, outputs), bias) each, largest map first."""
        mixes = [(c @ w, bias_c @ w + bias_w) for (c, bias_c), (w, bias_w) in zip(first, second)]
        return cls(mixes, [w for w, _ in second[:-1]])

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of the mixed maps, largest map first."""
        return tuple(len(bias) for _, bias in self.mixes)

    def __call__(self, maps: Sequence[Any]) -> list[Any]:
        """Maps (B, h / 2**i, w / 2**i, channels), i = 0..3 -> mixed maps (B, 2 h / 2**i, 2 w / 2**i, widths)."""
        mixed: list[Any] = [None] * len(self.mixes)
        running = None
        for level in reversed(range(len(self.mixes))):
            matrix, bias = (ops.convert_to_tensor(array, maps[level].dtype) for array in self.mixes[level])
            x = ops.matmul(maps[level], matrix) + bias
            if running is not None:
                x = x + ops.matmul(running, ops.convert_to_tensor(self.passes[level], x.dtype))
            running = mixed[level] = resize(x, 2 * x.shape[1], 2 * x.shape[2], corners=True)
        return mixed


def resize(x: Any, height: int, width: int | None = None, corners: bool = False) -> Any:
    """Bilinear resizing of maps (B, h, w, C) -> (B, height, width, C), as products with two small matrices.

    Args:
        width: by default the height.
        corners: the outer pixels' centres stay where they are ("align corners"), not the outer edges.
    """
    _, rows, columns, channels = x.shape
    width = height if width is None else width
    if (rows, columns) == (height, width):
        return x
    vertical, horizontal = (
        ops.convert_to_tensor(_interpolation(size, target, corners), x.dtype)  # (target, size)
        for size, target in ((rows, height), (columns, width))
    )
    x = ops.matmul(vertical, ops.reshape(x, (-1, rows, columns * channels)))  # (B, height, w C)
    x = ops.matmul(horizontal, ops.reshape(x, (-1, columns, channels)))  # (B height, width, C)
    return ops.reshape(x, (-1, height, width, channels))


@lru_cache(maxsize=64)
def _interpolation(size: int, target: int, corners: bool) -> np.ndarray:
    """Weights (target, size); each row sums to 1. A smaller target averages over the pixels that it covers."""
    if corners:
        places = np.arange(target) * (size - 1) / (target - 1)
    else:
        places = (np.arange(target) + 0.5) * size / target - 0.5
    reach = 1.0 if corners else max(1.0, size / target)  # a triangle as wide as a pixel of the coarser grid
    weights = np.maximum(0.0, 1.0 - np.abs(np.clip(places, 0, size - 1)[:, None] - np.arange(size)) / reach)
    return weights / weights.sum(1, keepdims=True)


class ProjectedDiscriminator(Network):
    """Mixed maps of four sizes -> logits of four small discriminators.

    Args:
        resolution: shorter side of the images that the frozen network sees.
        map_channels: of the mixed maps, from the largest map to the smallest.
        width: channels of the first convolution on the largest map; 64 in the released code. They double with
            every halving of the map.
        class_count: classes of the images; 0 for a discriminator that knows none.

    Call: maps (B, resolution / 2, ..., c), (B, resolution / 4, ...), (B, resolution / 8, ...), (B, resolution / 16,
    ...) -> logits (B, 4 k k): the heads' k x k patches, largest map first, row by row; k is 5 for 256 pixels. Maps of
    images that are no squares have more of them along the longer side. With classes, `labels` are those of the images,
    int (B,), and a logit is the product of a patch's channels with a vector of the class, as the released code has it.

    Raises:
        ValueError: for a resolution of which the last maps would be too small.
    """

    def __init__(
        self,
        resolution: int = 256,
        map_channels: Sequence[int] = (64, 64, 128, 256),
        width: int = 64,
        class_count: int = 0,
        name: str = "projected_discriminator",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        if resolution % 32 or resolution // 2 ** (DOWNS[0] + 1) < SMALLEST:
            raise ValueError(
                f"the resolution must be a multiple of 32 from {SMALLEST * 2 ** (DOWNS[0] + 1)} up; "
                f"received {resolution}"
            )
        if width < 1 or len(map_channels) != len(DOWNS):
            raise ValueError(f"the width must be at least 1 and maps four; received {width} and {map_channels}")
        self.resolution, self.map_channels, self.width = resolution, tuple(map_channels), width
        self.heads = [
            [
                ConvBlock(width * 2 ** (DOWNS[0] - downs + i), 4, strides=2, name=f"head_{head}_down_{i}")
                for i in range(downs)
            ]
            for head, downs in enumerate(DOWNS)
        ]
        self.class_count = class_count
        filters = PROJECTED if class_count else 1
        self.to_logits = [
            SpectralConv2D(filters, 4, padding="valid", name=f"head_{head}_to_logits") for head in range(4)
        ]
        heads = range(4 if class_count else 0)
        self.classes = [
            ClassProjection(class_count, EMBEDDED, PROJECTED, name=f"head_{head}_classes") for head in heads
        ]
        self.build(None)

    def build(self, input_shape: Shape | None) -> None:
        del input_shape
        if self.built:
            return
        for blocks, last, channels in zip(self.heads, self.to_logits, self.map_channels):
            for block in blocks:
                block.build((None, None, None, channels))
                channels = block.filters
            last.build((None, None, None, channels))
        for projection in self.classes:
            projection.build()
        self.built = True

    def call(self, *maps: Any, labels: Any = None, training: bool | None = None) -> Any:
        if self.classes and labels is None:
            raise ValueError(f"this discriminator judges {self.class_count} classes; give labels")
        logits = []
        for head, (x, blocks, last) in enumerate(zip(maps, self.heads, self.to_logits, strict=True)):
            for block in blocks:
                x = block(x, training=training)
            x = last(x, training=training)  # (B, k, k, 1), or with classes more channels
            x = self.classes[head](x, labels) if self.classes else x
            logits.append(ops.reshape(x, (-1, x.shape[1] * x.shape[2])))
        return ops.cast(ops.concatenate(logits, 1), keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        return {
            "resolution": self.resolution,
            "map_channels": list(self.map_channels),
            "width": self.width,
            **({"class_count": self.class_count} if self.class_count else {}),
            "name": self.name,
        }
