"""The lightweight GAN's networks, as published in huggan's lightweight_gan.py (community-events, PyTorch).

A relative of SLE-GAN: its generator has attention and a gate from each low map to a high one, its discriminator a
second head for the image at 32 pixels. The widths of the maps are in `sle_gan.gans.lightweight.widths`. Both networks
of that code work in 0..1; ours take and give images in (-1, 1), as all of this project's do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from sle_gan import engine
from sle_gan.gans.lightweight.kernels import GATES
from sle_gan.gans.lightweight.layers import (
    Decoder,
    DownBlock,
    FrequencyContext,
    GlobalContext,
    HeConv2D,
    LinearAttention,
    Projection,
    UnitBatchNorm,
    UpBlock,
    blur,
    from_unit,
    leaky_relu,
    to_unit,
)
from sle_gan.gans.lightweight.widths import FULL_WIDTH, discriminator_widths, generator_widths
from sle_gan.gans.slegan.discriminator import crop_part
from sle_gan.models.gating import gated_linear_unit
from sle_gan.models.layers import BatchNorm, Shape, downsample_nearest, pool_to
from sle_gan.models.network import Network
from sle_gan.models.upsampling import upsample_nearest

RESOLUTIONS = (32, 64, 128, 256, 512, 1024)
SMALL = 32  # side of the image that the second head sees
DECODED = 128


class LightweightGenerator(Network):
    """Latents -> images.

    Args:
        output_resolution: side of the images, a power of two from 32 to 1024.
        latent: length of a latent vector; also the channels of the 4x4 map.
        channels: 3 for RGB, 1 for grey, 4 for RGBA.
        fmap_max: most channels of a map.
        fmap_inverse_coef: see `sle_gan.gans.lightweight.widths`.
        attn_res_layers: sides of the maps with attention; those that this network has not are left out.
        freq_chan_attn: gates from cosine coefficients instead of a global context.
        antialias: blur after upsampling.

    Call: latents (B, latent) or (B, 1, 1, latent) float -> images (B, R, R, channels) float32, trained to be in
    (-1, 1) but without a limit. No noise is injected: `noise` and `noise_sizes` are empty. `gates` replaces factors of
    the gates, (B, 1, 1, C) by the size of the maps that they are for; with `only_gates` the call returns all of them.

    Raises:
        ValueError: for an argument that no network has.
    """

    def __init__(
        self,
        output_resolution: int = 256,
        latent: int = 256,
        channels: int = 3,
        fmap_max: int = 512,
        fmap_inverse_coef: int = 12,
        attn_res_layers: Iterable[int] = (32,),
        freq_chan_attn: bool = False,
        antialias: bool = False,
        name: str = "generator",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.attn_res_layers = _sides(attn_res_layers)
        _check(output_resolution, channels, fmap_max, fmap_inverse_coef)
        if latent < 1:
            raise ValueError(f"the latent must be at least 1; received {latent!r}")
        self.output_resolution, self.latent, self.channels = output_resolution, latent, channels
        self.fmap_max, self.fmap_inverse_coef = fmap_max, fmap_inverse_coef
        self.freq_chan_attn, self.antialias = freq_chan_attn, antialias
        self.noise_sizes: list[int] = []

        self.sides = [8 << i for i in range((output_resolution // 4).bit_length() - 1)]  # of the maps made by `ups`
        widths = generator_widths(output_resolution, fmap_max, fmap_inverse_coef)
        self.widths = {4: latent, **dict(zip(self.sides, widths))}
        self.project = Projection(2 * latent, name="project")
        self.norm = UnitBatchNorm(name="norm")
        self.ups = {str(side): UpBlock(self.widths[side], antialias, name=f"up_{side}") for side in self.sides}
        self.attentions = {
            str(side): LinearAttention(name=f"attend_{side}")
            for side in self.widths
            if side in self.attn_res_layers and side < output_resolution
        }
        context = FrequencyContext if freq_chan_attn else GlobalContext
        self.gates = {
            str(low): context(self.widths[high], name=f"excite_{high}")
            for low, high in GATES.items()
            if high <= output_resolution
        }
        self.to_image = HeConv2D(channels, 3, name="to_image")
        self.build((None, latent))

    def build(self, input_shape: Shape) -> None:
        if self.built:
            return
        self.project.build((None, self.latent))
        self.norm.build((None, 4, 4, 2 * self.latent))
        for side in self.sides:
            before = (None, side // 2, side // 2, self.widths[side // 2])
            if str(side // 2) in self.attentions:
                self.attentions[str(side // 2)].build(before)
            self.ups[str(side)].build(before)
            if str(side) in self.gates:
                self.gates[str(side)].build((None, side, side, self.widths[side]))
        self.to_image.build((None, None, None, self.widths[self.output_resolution]))
        self.built = True

    @property
    def gate_widths(self) -> dict[int, int]:
        """Channels of the maps that are multiplied with gates, which smaller maps give, by the maps' sides."""
        return {GATES[int(low)]: self.widths[GATES[int(low)]] for low in self.gates}

    def first_layer(self) -> tuple[np.ndarray, np.ndarray, Literal["glu"], bool]:
        """See `sle_gan.latents.directions.FirstLayer`; batch norm is folded in."""
        numbers = [ops.convert_to_numpy(variable.value) for variable in (self.project.kernel, self.project.bias)]
        gamma, beta, mean, variance = (
            ops.convert_to_numpy(variable.value)
            for variable in (self.norm.gamma, self.norm.beta, self.norm.moving_mean, self.norm.moving_variance)
        )
        scale = gamma / np.sqrt(variance + np.float32(BatchNorm.epsilon))
        return numbers[0] * scale, (numbers[1] - mean) * scale + beta, "glu", True

    @functools.cached_property
    def gates_inference(self) -> Callable[..., Any]:
        """Latents, noise and given gates -> all gates (B, 1, 1, C) by size, compiled."""
        return engine.compile_inference(self, only_gates=True)

    def call(
        self,
        latents: Any,
        noise: Sequence[Any] = (),
        gates: Mapping[int, Any] | None = None,
        only_gates: bool = False,
        training: bool | None = None,
    ) -> Any:
        if noise:
            raise ValueError(f"a lightweight GAN's generator takes no noise maps; received {len(noise)}")
        x = self.project(ops.reshape(latents, (-1, self.latent)))  # (B, 4, 4, 2 latent)
        x = _unit_length(gated_linear_unit(self.norm(x, training=training)))
        factors: dict[int, Any] = {}
        for side in self.sides:
            if str(side // 2) in self.attentions:
                x = self.attentions[str(side // 2)](x)
            x = self.ups[str(side)](x, training=training)  # (B, side, side, widths[side])
            if str(side) in self.gates:
                target = GATES[side]
                factors[target] = gates[target] if gates and target in gates else self.gates[str(side)](x)
            if side in factors:
                x = x * factors[side]
        if only_gates:
            return factors
        return from_unit(ops.cast(self.to_image(x), keras.config.floatx()))

    def get_config(self) -> dict[str, Any]:
        return {
            "output_resolution": self.output_resolution,
            "latent": self.latent,
            "channels": self.channels,
            "fmap_max": self.fmap_max,
            "fmap_inverse_coef": self.fmap_inverse_coef,
            "attn_res_layers": list(self.attn_res_layers),
            "freq_chan_attn": self.freq_chan_attn,
            "antialias": self.antialias,
            "name": self.name,
        }


class LightweightDiscriminator(Network):
    """Images -> logits at two scales, and images decoded from its own maps.

    Args:
        input_resolution: side of the images, a power of two from 32 to 1024.
        channels, fmap_max, fmap_inverse_coef, attn_res_layers: see `LightweightGenerator`.
        disc_output_size: 5 for 25 logits of an image, each of a part of it, or 1 for one.
        antialias: blur before halving.

    Call: images (B, R, R, channels) float in (-1, 1) -> a dict of float32 tensors: `logits` (B, 25) or (B, 1), and
    `small_logits` (B, 1) of the image at 32 pixels. With `reconstruct=True` also `full`, the image decoded from the
    8x8 map, and from 512 pixels on `part`, the quarter of it decoded from that quarter of the 16x16 map; both are
    (B, 128, 128, channels). `part_offset` is the quarter's (row, column) in the 16x16 map, 0 or 8, integers or scalar
    tensors.

    Raises:
        ValueError: for an argument that no network has.
    """

    def __init__(
        self,
        input_resolution: int = 256,
        channels: int = 3,
        fmap_max: int = 512,
        fmap_inverse_coef: int = 12,
        attn_res_layers: Iterable[int] = (32,),
        disc_output_size: int = 1,
        antialias: bool = False,
        name: str = "discriminator",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        self.attn_res_layers = _sides(attn_res_layers)
        _check(input_resolution, channels, fmap_max, fmap_inverse_coef)
        if disc_output_size not in (1, 5):
            raise ValueError(f"disc_output_size must be 1 or 5; received {disc_output_size!r}")
        self.input_resolution, self.channels = input_resolution, channels
        self.fmap_max, self.fmap_inverse_coef = fmap_max, fmap_inverse_coef
        self.disc_output_size, self.antialias = disc_output_size, antialias

        widths = discriminator_widths(input_resolution, channels, fmap_max, fmap_inverse_coef)
        first = min(FULL_WIDTH, input_resolution)
        self.widths = {first >> i: width for i, width in enumerate(widths)}  # by side, down to 8
        self.stem = self._make_stem(self.widths[first])
        self.downs = {
            str(side): DownBlock(width, antialias, name=f"down_{side}")
            for side, width in self.widths.items()
            if side != first
        }
        self.attentions = {
            str(side): LinearAttention(name=f"attend_{side}")
            for side in self.widths
            if side in self.attn_res_layers and side > 8
        }
        # 5x5 logits are the 4x4 windows of an 8x8 map, a single one is that of its half.
        last = self.widths[8]
        self.head = (
            HeConv2D(last, 1, name="head") if disc_output_size == 5 else HeConv2D(last, 3, 2, "valid", name="head")
        )
        self.to_logits = HeConv2D(1, 4, padding="valid", name="to_logits")
        self.small: list[keras.layers.Layer] = [
            HeConv2D(64, 3, name="small_stem"),
            LinearAttention(name="small_attend_32"),
            DownBlock(32, antialias, name="small_down"),
            LinearAttention(name="small_attend_16"),
        ]
        self.to_small_logits = HeConv2D(1, 4, padding="valid", name="to_small_logits")
        sources = {"full": 8, "part": 16} if input_resolution >= 512 else {"full": 8}
        self.decoders = {
            key: Decoder(self.widths[side], channels, name=f"decode_{key}") for key, side in sources.items()
        }
        self.build((None, input_resolution, input_resolution, channels))

    def _make_stem(self, width: int) -> list[HeConv2D]:
        """Images of more than 256 pixels -> a map of 256; the images' channels grow with the last halving only."""
        halvings = (self.input_resolution // FULL_WIDTH).bit_length() - 1 if self.input_resolution > FULL_WIDTH else 0
        filters = [self.channels] * (halvings - 1) + [width] if halvings else []
        return [HeConv2D(count, 4, 2, name=f"stem_{i}") for i, count in enumerate(filters, 1)]

    def build(self, input_shape: Shape) -> None:
        if self.built:
            return
        image, filters = (None, None, None, self.channels), self.channels
        for conv in self.stem:
            conv.build((None, None, None, filters))
            filters = conv.filters
        for side, width in self.widths.items():
            shape = (None, side, side, width)
            if str(side) in self.attentions:
                self.attentions[str(side)].build(shape)
            if str(side // 2) in self.downs:
                self.downs[str(side // 2)].build(shape)
        last = (None, None, None, self.widths[8])
        self.head.build(last)
        self.to_logits.build(last)
        for layer, shape in zip(self.small, (image, *((None, None, None, count) for count in (64, 64, 32)))):
            layer.build(shape)
        self.to_small_logits.build((None, 4, 4, 32))
        for key, decoder in self.decoders.items():
            decoder.build((None, 8, 8, self.widths[8 if key == "full" else 16]))
        self.built = True

    def call(
        self,
        images: Any,
        reconstruct: bool = False,
        part_offset: tuple[Any, Any] = (0, 0),
        training: bool | None = None,
    ) -> dict[str, Any]:
        del training  # no layer behaves differently
        maps = self._maps(to_unit(images))
        last = maps[8]
        if self.disc_output_size == 1:  # both edges are padded, where "same" would pad one
            last = blur(last) if self.antialias else last
            last = ops.pad(last, ((0, 0), (1, 1), (1, 1), (0, 0)))
        logits = self.to_logits(leaky_relu(self.head(last)))  # (B, 5, 5, 1) or (B, 1, 1, 1)
        x = downsample_nearest(to_unit(images), SMALL)
        for layer in self.small:
            x = layer(x)  # (B, 16, 16, 32) at the end
        outputs = {
            "logits": ops.reshape(logits, (-1, self.disc_output_size**2)),
            "small_logits": ops.reshape(self.to_small_logits(pool_to(x, 4)), (-1, 1)),
        }
        if reconstruct:
            sources = {"full": maps[8], "part": crop_part(maps[16], part_offset)}
            outputs.update({key: from_unit(decoder(sources[key])) for key, decoder in self.decoders.items()})
        return {key: ops.cast(value, keras.config.floatx()) for key, value in outputs.items()}

    def _maps(self, x: Any) -> dict[int, Any]:
        """The maps of the full-size branch by their sides."""
        for conv in self.stem:
            x = leaky_relu(conv(blur(x) if self.antialias else x))
        maps = {}
        for side in self.widths:
            if str(side) in self.downs:
                x = self.downs[str(side)](x)  # (B, side, side, widths[side])
            maps[side] = x
            if str(side) in self.attentions:
                x = self.attentions[str(side)](x)
        return maps

    @property
    def layer_groups(self) -> list[list[keras.layers.Layer]]:
        """From the images to the 8x8 map, the branch of 32 pixels beside it; attention goes with what it precedes."""
        groups: list[list[keras.layers.Layer]] = [[conv] for conv in self.stem]
        for side, down in self.downs.items():
            attention = self.attentions.get(str(2 * int(side)))
            groups.append([*([attention] if attention else []), down])
        for group, layer in zip(groups, self.small):
            group.append(layer)
        return groups

    def get_config(self) -> dict[str, Any]:
        return {
            "input_resolution": self.input_resolution,
            "channels": self.channels,
            "fmap_max": self.fmap_max,
            "fmap_inverse_coef": self.fmap_inverse_coef,
            "attn_res_layers": list(self.attn_res_layers),
            "disc_output_size": self.disc_output_size,
            "antialias": self.antialias,
            "name": self.name,
        }


def decoder_target(images: Any, decoder: str, part_offset: tuple[Any, Any] = (0, 0)) -> Any:
    """What a decoder of this name is to draw of images (B, R, R, C): (B, 128, 128, C), by nearest neighbour."""
    target = crop_part(images, part_offset) if decoder == "part" else images
    side = target.shape[1]
    return downsample_nearest(target, DECODED) if side >= DECODED else upsample_nearest(target, DECODED // side)


def _unit_length(x: Any) -> Any:
    """Every pixel's channels as a vector of length 1, in float32."""
    wide = ops.cast(x, keras.config.floatx())
    length = ops.sqrt(ops.maximum(ops.sum(ops.square(wide), -1, keepdims=True), 1e-24))
    return ops.cast(wide / length, x.dtype)


def _sides(attn_res_layers: Iterable[int]) -> tuple[int, ...]:
    sides = tuple(sorted(set(attn_res_layers)))
    for side in sides:
        if side not in (4, 8, 16, *RESOLUTIONS):
            raise ValueError(f"attn_res_layers are sides of maps, powers of two from 4 to 1024; received {side!r}")
    return sides


def _check(resolution: int, channels: int, fmap_max: int, fmap_inverse_coef: int) -> None:
    if resolution not in RESOLUTIONS:
        raise ValueError(f"a lightweight GAN's resolution is a power of two from 32 to 1024; received {resolution!r}")
    if channels not in (1, 3, 4):
        raise ValueError(f"channels must be 1 (grey), 3 (RGB) or 4 (RGBA); received {channels!r}")
    if fmap_max < 8 or fmap_max % 8:
        raise ValueError(f"fmap_max must be a multiple of 8; received {fmap_max!r}")
    if not 8 <= fmap_inverse_coef <= 20:
        raise ValueError(f"fmap_inverse_coef must be from 8 to 20; received {fmap_inverse_coef!r}")
