"""DCGAN: a generator and a discriminator of strided 4x4 convolutions (arXiv 1511.06434).

Layout, initialisation and constants are those of PyTorch's DCGAN tutorial at 64 pixels: no bias, kernels
from N(0, 0.02), batch norm everywhere but at the image, ReLU in G, LeakyReLU 0.2 in D. The rule for the
channels, by which 32 and 128 pixels exist too: the map half as wide as the image has `width`, and each map
of half that size twice as many. Layers are named after the multiple of the width that they make: those next
to the image have the same name, shape and scale in pixels at every resolution, and move from one to another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan.models.folded import Folded, Stage, Weights
from sle_gan.models.layers import BatchNorm, Conv2D, Conv2DTranspose, Shape, leaky_relu
from sle_gan.models.network import Network
from sle_gan.weights import variables_by_path

RESOLUTIONS = (32, 64, 128)


class DCGANGenerator(Network):
    """Latents -> images.

    Args:
        output_resolution: side of the images, 32, 64 or 128 pixels.
        width: ngf, channels of the last map before the image.
        latent: length of a latent vector.
        channels: 3 for RGB, 1 for grey, 4 for RGBA.

    Call: latents (B, latent) or (B, 1, 1, latent) float -> images (B, R, R, channels) float32 in (-1, 1). No noise is
    injected: `noise`, which the call has because all generators have it, is an empty list, as `noise_sizes` is.

    Raises:
        ValueError: for a resolution, width, latent or number of channels that does not exist.
    """

    def __init__(
        self,
        output_resolution: int = 64,
        width: int = 64,
        latent: int = 100,
        channels: int = 3,
        name: str = "generator",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        _check(output_resolution, width, channels)
        if latent < 1:
            raise ValueError(f"the latent must be at least 1; received {latent!r}")
        self.output_resolution, self.width, self.latent, self.channels = output_resolution, width, latent, channels
        self.noise_sizes: list[int] = []
        self.multiples = _multiples(output_resolution)[::-1]  # from the 4x4 map to the image: 8, 4, 2, 1
        # A transposed 4x4 convolution of a single pixel is a matrix product.
        self.project = keras.layers.Dense(16 * self.multiples[0] * width, name="project", **_plain())
        self.ups = [_up(multiple * width, f"up_{multiple}") for multiple in self.multiples[1:]]
        self.norms = [BatchNorm(name=f"norm_{multiple}") for multiple in self.multiples]
        self.to_image = _up(channels, "to_image")
        self.build((None, latent))

    def build(self, input_shape: Shape) -> None:
        if self.built:
            return
        self.project.build((None, self.latent))
        maps = [(None, None, None, multiple * self.width) for multiple in self.multiples]
        for norm, shape in zip(self.norms, maps):
            norm.build(shape)
        for up, shape in zip([*self.ups, self.to_image], maps):
            up.build(shape)
        self.built = True

    def call(self, latents: Any, noise: Sequence[Any] = (), training: bool | None = None) -> Any:
        if noise:
            raise ValueError(f"a DCGAN's generator takes no noise maps; received {len(noise)}")
        x = self.project(ops.reshape(latents, (-1, self.latent)))
        x = ops.reshape(x, (-1, 4, 4, self.multiples[0] * self.width))
        x = ops.relu(self.norms[0](x, training=training))
        for up, norm in zip(self.ups, self.norms[1:]):
            x = ops.relu(norm(up(x), training=training))  # (B, 2H, 2W, half the channels)
        return ops.tanh(ops.cast(self.to_image(x), keras.config.floatx()))

    def fold(self) -> Folded:
        """The generator as it is now, for generating only; see `fold_arrays`."""
        return self.fold_arrays(Weights(variables_by_path(self)), self.architecture)

    @staticmethod
    def fold_arrays(read: Weights, architecture: Mapping[str, Any]) -> Folded:
        """The folded form (`sle_gan.models.folded`) of weights; see `Generator.fold_arrays`."""
        resolution, width, channels = (architecture[key] for key in ("output_resolution", "width", "channels"))
        _check(resolution, width, channels)
        multiples = _multiples(resolution)[::-1]
        kernel = read("project/kernel", architecture["latent"], 16 * multiples[0] * width).reshape(
            -1, 4, 4, multiples[0] * width
        )
        stages: list[Stage] = []
        arrays = []
        for multiple, following in zip(multiples, [*multiples[1:], None]):
            filters = multiple * width
            scale, shift = read.norm(f"norm_{multiple}", filters)
            # The filters are the last axis of the projection, the last but one of a transposed convolution.
            kernel = kernel * (scale[:, None] if stages else scale)
            stages.append(Stage("deconv" if stages else "project", 2 ** (2 + len(stages)), "relu"))
            arrays.append({"kernel": kernel, "bias": shift})
            name = "to_image" if following is None else f"up_{following}"
            kernel = read(f"{name}/kernel", 4, 4, channels if following is None else following * width, filters)
        stages.append(Stage("deconv", resolution, "tanh"))
        arrays.append({"kernel": kernel, "bias": np.zeros(channels, np.float32)})
        read.expect_no_more()
        return Folded(tuple(stages), arrays)

    def get_config(self) -> dict[str, Any]:
        return {
            "output_resolution": self.output_resolution,
            "width": self.width,
            "latent": self.latent,
            "channels": self.channels,
            "name": self.name,
        }


class DCGANDiscriminator(Network):
    """Images -> one logit each.

    Args:
        input_resolution: side of the images, 32, 64 or 128 pixels.
        width: ndf, channels of the first map.
        channels: 3 for RGB, 1 for grey, 4 for RGBA.

    Call: images (B, R, R, channels) float in (-1, 1) -> logits (B,) float32.

    Raises:
        ValueError: for a resolution, width or number of channels that does not exist.
    """

    def __init__(
        self,
        input_resolution: int = 64,
        width: int = 64,
        channels: int = 3,
        name: str = "discriminator",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        _check(input_resolution, width, channels)
        self.input_resolution, self.width, self.channels = input_resolution, width, channels
        self.multiples = _multiples(input_resolution)  # from the image to the 4x4 map: 1, 2, 4, 8
        self.downs = [
            Conv2D(multiple * width, 4, 2, "same", name=f"down_{multiple}", **_plain()) for multiple in self.multiples
        ]
        self.norms = [BatchNorm(name=f"norm_{multiple}") for multiple in self.multiples[1:]]
        # A 4x4 convolution of a 4x4 map is a matrix product.
        self.to_logit = keras.layers.Dense(1, name="to_logit", **_plain())
        self.build((None, input_resolution, input_resolution, channels))

    def build(self, input_shape: Shape) -> None:
        if self.built:
            return
        maps = [(None, None, None, multiple * self.width) for multiple in self.multiples]
        for down, shape in zip(self.downs, [(None, None, None, self.channels), *maps]):
            down.build(shape)
        for norm, shape in zip(self.norms, maps[1:]):
            norm.build(shape)
        self.to_logit.build((None, 16 * self.multiples[-1] * self.width))
        self.built = True

    @property
    def layer_groups(self) -> list[list[keras.layers.Layer]]:
        """The layers in the order in which an image passes them, a convolution with its norm; all but the last one."""
        return [[self.downs[0]], *([down, norm] for down, norm in zip(self.downs[1:], self.norms))]

    def call(self, images: Any, training: bool | None = None) -> Any:
        x = leaky_relu(self.downs[0](images))  # (B, R/2, R/2, width)
        for down, norm in zip(self.downs[1:], self.norms):
            x = leaky_relu(norm(down(x), training=training))  # (B, H/2, W/2, twice the channels)
        logits = self.to_logit(ops.reshape(x, (-1, 16 * x.shape[-1])))  # (B, 1)
        return ops.cast(logits[:, 0], keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        return {
            "input_resolution": self.input_resolution,
            "width": self.width,
            "channels": self.channels,
            "name": self.name,
        }


# An initializer's seed is drawn when it is made: one object for all layers would give equal kernels to equal shapes.
def _plain() -> dict[str, Any]:
    return {"use_bias": False, "kernel_initializer": keras.initializers.RandomNormal(0.0, 0.02)}


def _up(filters: int, name: str) -> keras.layers.Layer:
    return Conv2DTranspose(filters, 4, 2, "same", name=name, **_plain())


def _multiples(resolution: int) -> list[int]:
    """Channels of the maps as multiples of the width, from the one next to the image to that of 4x4 pixels."""
    return [2**i for i in range((resolution // 4).bit_length() - 1)]  # 64: 1, 2, 4, 8


def _check(resolution: int, width: int, channels: int) -> None:
    if resolution not in RESOLUTIONS:
        raise ValueError(f"a DCGAN's resolution is one of 32, 64 and 128; received {resolution!r}")
    if channels not in (1, 3, 4):
        raise ValueError(f"channels must be 1 (grey), 3 (RGB) or 4 (RGBA); received {channels!r}")
    if width < 1:
        raise ValueError(f"the width must be at least 1; received {width!r}")
