"""The SLE-GAN generator: skip-layer excitation between maps of far resolutions (paper, section 3.1).

Reference: arXiv 2101.04775 and the layout of the authors' released code.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan.gans.slegan.kernels import COMPOSED
from sle_gan.gans.slegan.kernels import GENERATOR_EXCITATIONS as EXCITATIONS
from sle_gan.gans.slegan.kernels import GENERATOR_WIDTHS as WIDTHS
from sle_gan.models.classes import ClassEmbedding
from sle_gan.models.folded import Classes, Folded, Stage, Weights
from sle_gan.models.gating import gated_linear_unit
from sle_gan.models.layers import (
    BatchNorm,
    NoiseInjection,
    Shape,
    SkipLayerExcitation,
    SpectralConv2D,
    SpectralProjection,
    SpectralUpConv2D,
)
from sle_gan.models.network import Network, check_channels_and_resolution
from sle_gan.shapes import SQUARE, Size, Start, aspect_of, map_shape, map_size, sides, start_map
from sle_gan.weights import variables_by_path


class UpBlock(keras.layers.Layer):
    """(B, H, W, C) -> (B, 2H, 2W, filters): upsample, conv3x3, batch norm, GLU.

    When `composed`: upsample, conv3x3, noise, batch norm, GLU, conv3x3, noise, batch norm, GLU. `excitation` are the
    logits (B, 1, 1, filters) of a factor for each channel of the result.
    """

    def __init__(self, filters: int, composed: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self.filters, self.composed = filters, composed
        self.up = SpectralUpConv2D(2 * filters, name="up")
        self.norm = BatchNorm(name="norm")
        if composed:
            self.noise = NoiseInjection(name="noise")
            self.conv_2 = SpectralConv2D(2 * filters, 3, name="conv_2")
            self.noise_2 = NoiseInjection(name="noise_2")
            self.norm_2 = BatchNorm(name="norm_2")

    def build(self, input_shape: Shape) -> None:
        doubled = (*input_shape[:-1], 2 * self.filters)
        self.up.build(input_shape)
        self.norm.build(doubled)
        if self.composed:
            self.noise.build(doubled)
            self.conv_2.build((*input_shape[:-1], self.filters))
            self.noise_2.build(doubled)
            self.norm_2.build(doubled)

    def call(self, x: Any, noises: tuple[Any, ...] = (), excitation: Any = None, training: bool | None = None) -> Any:
        doubled = self.up(x, training=training, halves=True)  # (B, 2H, 2W, 2 filters), or both halves of it
        if self.composed:
            doubled = self.noise(doubled, noises[0])
        doubled = self.norm(doubled, training=training)
        if not self.composed:
            return gated_linear_unit(doubled, excitation)  # (B, 2H, 2W, filters)
        x = gated_linear_unit(doubled)
        doubled = self.noise_2(self.conv_2(x, training=training, halves=True), noises[1])
        return gated_linear_unit(self.norm_2(doubled, training=training), excitation)


class Generator(Network):
    """Latents -> images at full resolution and at a small one.

    Args:
        output_resolution: shorter side of the images, 64, 128, 256, 512 or 1024 pixels.
        width: ngf, the number of channels that `WIDTHS` multiplies.
        latent: length of a latent vector.
        channels: 3 for RGB, 1 for grey, 4 for RGBA.
        tanh: outputs pass a tanh. The released PyTorch code has none at 256 and 512 pixels; its
            checkpoints need False there.
        aspect: W:H of the images, of which the nearest is made that there is; see `sle_gan.shapes`.
        classes: names of the classes of a generator that was taught some.
        class_pictures: how many training pictures each class had. Without labels, classes are drawn in these shares.

    Call: latents (B, latent) or (B, 1, 1, latent) float -> images (B, H, W, channels) float in (-1, 1). A
    training step calls with `both_scales=True` and gets `(images, small_images)`; the shorter side of the small ones
    has 128 pixels, or half of the resolution where that is less.

    `noise` is a list of maps (B, H, W, 1) from N(0, 1), one for each shape in `noise_sizes`. Without
    it the same fixed noise is injected into every image, which makes the images a function of the latents.

    With classes, `labels` says of which class each image is: their numbers, int (B,), or weights of all classes, float
    (B, classes), of which mixtures come between classes. The class's vector adds to the first maps, behind their norm.

    Raises:
        ValueError: for a resolution, width, number of channels or aspect that does not exist.

    Example:
        >>> import sle_gan
        >>> generator = sle_gan.Generator(output_resolution=64, width=8, latent=16)
        >>> tuple(generator(sle_gan.create_input_noise(2, latent=16)).shape)
        (2, 64, 64, 3)
    """

    def __init__(
        self,
        output_resolution: int = 512,
        width: int = 64,
        latent: int = 256,
        channels: int = 3,
        tanh: bool = True,
        aspect: str = SQUARE,
        classes: Sequence[str] = (),
        class_pictures: Sequence[int] = (),
        name: str = "generator",
        **kwargs: Any,
    ):
        super().__init__(name=name, **kwargs)
        check_channels_and_resolution(channels, output_resolution)
        if width < 8 or width % 8 or latent < 1:
            raise ValueError(
                f"the width must be a multiple of 8 and the latent at least 1; received {width} and {latent}"
            )
        self.output_resolution, self.width, self.latent = output_resolution, width, latent
        self.channels, self.tanh = channels, tanh
        self.start = start_map(aspect)
        self.classes, self.class_pictures = checked_classes(classes, class_pictures)
        self.small_resolution = min(128, output_resolution // 2)
        self.sizes = [size for size in WIDTHS if 4 < size <= output_resolution]
        self.noise_sizes = [map_size(size, self.start) for size in self.sizes if size in COMPOSED for _ in range(2)]

        filters = {size: int(multiple * width) for size, multiple in WIDTHS.items()}
        self.project = SpectralProjection(2 * filters[4], self.start, name="project")
        if self.classes:
            self.class_embedding = ClassEmbedding(len(self.classes), latent, name="class_embedding")
            self.project_class = SpectralProjection(2 * filters[4], self.start, name="project_class")
        self.norm = BatchNorm(name="norm")
        self.up_blocks = {str(size): UpBlock(filters[size], size in COMPOSED, name=f"up_{size}") for size in self.sizes}
        self.excitations = {
            str(size): SkipLayerExcitation(filters[size], name=f"excite_{size}")
            for size in EXCITATIONS
            if size <= output_resolution
        }
        self.to_image = SpectralConv2D(channels, 3, name="to_image")
        self.to_small_image = SpectralConv2D(channels, 1, name="to_small_image")
        self._fixed_noise: list[np.ndarray] | None = None
        self.build((None, latent))

    def build(self, input_shape: Shape) -> None:
        if self.built:
            return
        filters = {size: int(multiple * self.width) for size, multiple in WIDTHS.items()}
        self.project.build((None, self.latent))
        if self.classes:
            self.class_embedding.build()
            self.project_class.build((None, self.latent))
        self.norm.build((None, *self.start, 2 * filters[4]))
        for size in self.sizes:
            self.up_blocks[str(size)].build((None, *map_shape(size // 2, self.start), filters[size // 2]))
            if str(size) in self.excitations:
                low = EXCITATIONS[size]
                self.excitations[str(size)].build((None, *map_shape(low, self.start), filters[low]))
        for layer, size in (
            (self.to_image, self.output_resolution),
            (self.to_small_image, self.small_resolution),
        ):
            layer.build((None, *map_shape(size, self.start), filters[size]))
        self.built = True

    def call(
        self,
        latents: Any,
        noise: list[Any] | None = None,
        both_scales: bool = False,
        labels: Any = None,
        training: bool | None = None,
    ) -> Any:
        noises = iter(self.fixed_noise() if noise is None else noise)
        latents = ops.reshape(latents, (-1, self.latent))
        x = self.norm(self.project(latents, training=training), training=training)  # (B, *start, 32 width)
        if self.classes:
            if labels is None:
                raise ValueError(f"this generator makes {len(self.classes)} classes; give labels")
            # Behind the norm: before it, the classes' share grows at the cost of the latents', and all pictures of a
            # class become one.
            x = x + self.project_class(self.class_embedding(labels), training=training)
        maps = {4: gated_linear_unit(x)}  # (B, *start, 16 width)
        for size in self.sizes:
            pair = (next(noises), next(noises)) if size in COMPOSED else ()
            logits = None
            if size in EXCITATIONS:
                logits = self.excitations[str(size)].logits(maps[EXCITATIONS[size]], training)
            maps[size] = self.up_blocks[str(size)](maps[size // 2], pair, logits, training=training)  # (B, *map, c)
        images = self._activate(self.to_image(maps[self.output_resolution], training=training))
        if not both_scales:
            return images
        small = self.to_small_image(maps[self.small_resolution], training=training)
        return images, self._activate(small)

    def _activate(self, images: Any) -> Any:
        images = ops.cast(images, keras.config.floatx())
        return ops.tanh(images) if self.tanh else images

    def fold(self) -> Folded:
        """The generator as it is now, for generating at full resolution only; see `fold_arrays`."""
        return self.fold_arrays(Weights(variables_by_path(self)), self.architecture)

    @staticmethod
    def fold_arrays(read: Weights, architecture: Mapping[str, Any]) -> Folded:
        """The folded form (`sle_gan.models.folded`) of weights, of a network or a file, without making a network.

        Args:
            read: all of the weights.
            architecture: the constructor's arguments.

        Raises:
            UserError: if the weights are not those of this architecture.
            ValueError, TypeError, KeyError: for an architecture that does not exist.
        """
        resolution, channels = architecture["output_resolution"], architecture["channels"]
        check_channels_and_resolution(channels, resolution)
        filters = {size: int(multiple * architecture["width"]) for size, multiple in WIDTHS.items()}
        start = start_map(architecture.get("aspect", SQUARE))
        first = read.folded("project", (architecture["latent"], *start, 2 * filters[4]), "norm")
        classes = _fold_classes(read, first, architecture, (*start, 2 * filters[4]))
        stages: list[tuple[Stage, dict[str, np.ndarray]]] = [(Stage("project", 4, "glu"), first)]
        for size in WIDTHS:
            if 4 < size <= resolution:
                stages += _fold_block(read, size, filters)
        for target, source in EXCITATIONS.items():
            if target <= resolution:
                # The last stage that makes maps of the source's size.
                i = max(i for i, (stage, _) in enumerate(stages) if stage.size == source)
                shape, name = (filters[source], filters[target]), f"excite_{target}"
                squeeze = read.spectral(f"{name}/squeeze", 4, 4, *shape)
                excite = read.spectral(f"{name}/excite", 1, 1, shape[1], shape[1])
                stage, arrays = stages[i]
                stages[i] = dataclasses.replace(stage, excites=target), {**arrays, "squeeze": squeeze, "excite": excite}
        read.spectral("to_small_image", 1, 1, filters[min(128, resolution // 2)], channels)  # checked, not used
        kernel = read.spectral("to_image", 3, 3, filters[resolution], channels)
        end = Stage("conv", resolution, "tanh" if architecture["tanh"] else "none")
        stages.append((end, {"kernel": kernel, "bias": np.zeros(channels, np.float32)}))
        read.expect_no_more()
        placed = tuple(dataclasses.replace(stage, start=start) for stage, _ in stages)
        return Folded(placed, [arrays for _, arrays in stages], classes)

    def sample_noise(self, batch_size: int, seed: Any) -> list[Any]:
        """Fresh noise for `batch_size` images, drawn with `keras.random` from `seed`."""
        return [keras.random.normal((batch_size, *sides(size), 1), seed=seed) for size in self.noise_sizes]

    def fixed_noise(self) -> list[np.ndarray]:
        """The noise of a call without noise: maps (1, H, W, 1), the same for every generator."""
        if self._fixed_noise is None:
            self._fixed_noise = fixed_noise(self.noise_sizes)
        return self._fixed_noise

    def adapted(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """With the kernel for another aspect's first map cut or continued to this one's.

        The maps' middle stays where it is. What is continued repeats the outer pixels, so that all later layers see
        what they know.
        """
        arrays = dict(arrays)
        kernel, v = arrays.get("project/kernel"), arrays.get("project/v")
        if kernel is None or v is None or np.ndim(kernel) != 4 or np.size(v) != kernel.size // kernel.shape[-1]:
            return arrays
        rows, columns = (_centred(old, new) for old, new in zip(kernel.shape[1:3], self.start))
        arrays["project/kernel"] = kernel[:, rows][:, :, columns]
        resized = v.reshape(kernel.shape[:3])[:, rows][:, :, columns].ravel()
        arrays["project/v"] = v if resized.shape == v.shape else resized / max(np.linalg.norm(resized), 1e-12)
        return arrays

    def get_config(self) -> dict[str, Any]:
        return {
            "output_resolution": self.output_resolution,
            "width": self.width,
            "latent": self.latent,
            "channels": self.channels,
            "tanh": self.tanh,
            **aspect_argument(self.start),
            **({"classes": list(self.classes), "class_pictures": list(self.class_pictures)} if self.classes else {}),
            "name": self.name,
        }


def aspect_argument(start: Start) -> dict[str, str]:
    """A network's argument `aspect`, left out of squares: their files are what they were before there was another."""
    aspect = aspect_of(*start)
    return {} if aspect == SQUARE else {"aspect": aspect}


def _centred(old: int, new: int) -> np.ndarray:
    """For each of `new` pixels the one of `old` pixels that lies there when the centres are the same."""
    shift = (old - new) // 2 if old > new else -((new - old) // 2)
    return np.clip(np.arange(new) + shift, 0, old - 1)


def fixed_noise(sizes: Iterable[Size]) -> list[np.ndarray]:
    """Noise maps (1, H, W, 1) float32 from N(0, 1), always the same."""
    random = np.random.default_rng(0)
    return [random.standard_normal((1, *sides(size), 1)).astype(np.float32) for size in sizes]


def checked_classes(names: Sequence[str], pictures: Sequence[int]) -> tuple[tuple[str, ...], tuple[int, ...]]:
    """Raises a ValueError unless there are no classes, or some with different names and as many counts."""
    if len(names) != len(pictures) or len(set(names)) != len(names):
        raise ValueError(f"expected different classes and the pictures of each; received {names} and {pictures}")
    return tuple(names), tuple(pictures)


def _fold_classes(
    read: Weights, first: dict[str, np.ndarray], architecture: Mapping[str, Any], maps: tuple[int, ...]
) -> Classes | None:
    """The classes, whose vectors follow the latents: `first`, the arrays of the first stage, gets their kernel too."""
    names, pictures = checked_classes(architecture.get("classes", ()), architecture.get("class_pictures", ()))
    if not names:
        return None
    latent = architecture["latent"]
    kernel = read.spectral("project_class", latent, *maps)
    first["kernel"] = np.concatenate([first["kernel"], kernel])
    return Classes(names, pictures, read("class_embedding/kernel", len(names), latent))


def _fold_block(read: Weights, size: int, filters: Mapping[int, int]) -> list[tuple[Stage, dict[str, np.ndarray]]]:
    """The stages of the block that makes maps of a size."""
    block, composed, gated = f"up_{size}", size in COMPOSED, size in EXCITATIONS
    shape = (3, 3, filters[size // 2], 2 * filters[size])
    arrays = read.folded(f"{block}/up", shape, f"{block}/norm", f"{block}/noise" if composed else "")
    if not composed:
        return [(Stage("up", size, "glu", gated=gated), arrays)]
    shape = (3, 3, filters[size], 2 * filters[size])
    second = read.folded(f"{block}/conv_2", shape, f"{block}/norm_2", f"{block}/noise_2")
    return [
        (Stage("up", size, "glu", noise=True), arrays),
        (Stage("conv", size, "glu", noise=True, gated=gated), second),
    ]
