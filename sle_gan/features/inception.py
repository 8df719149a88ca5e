"""The Inception of FID: TensorFlow's graph of 2015-12-05 as a Keras model, up to its 2048 pooled features.

Not `keras.applications.InceptionV3`, which has other weights and other poolings. Structure after the frozen
graph (inception-2015-12-05.tgz), checked against pytorch-fid's port of it (github.com/mseitzer/pytorch-fid,
Apache-2.0); layers carry the names of that port. What sets it apart from the later Inception v3:
average pools leave the padding out of the mean; the last block pools its maximum instead; BatchNorm has
epsilon 1e-3. BatchNorm is folded into the convolutions (`inception_weights.fold`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import keras
import numpy as np
from keras import layers

from sle_gan.features.base import FeatureExtractor, compiled, plain_keras
from sle_gan.features.inception_weights import fold, load_tensors, tensors_digest


class InceptionExtractor(FeatureExtractor):
    """pool3 features, 2048 per image; with these the Fréchet distance is the published FID.

    weights: the frozen graph, the PyTorch port or our own h5 (`inception_weights.load_tensors`); None for
        the cache or a download.
    """

    name = "inception"
    dimension = 2048
    side = 299

    def __init__(self, weights: Path | None = None) -> None:
        with plain_keras():
            network = build_network()
            convolutions = [layer for layer in network.layers if isinstance(layer, layers.Conv2D)]
            shapes = {layer.name: layer.get_weights()[0].shape for layer in convolutions}
            tensors = load_tensors(weights, shapes)
            for name, (kernel, bias) in fold(tensors).items():
                network.get_layer(name).set_weights([kernel, bias])
            self._network = compiled(network)
        self.version = f"inception-2015-12-05/pool3/bilinear-299/{tensors_digest(tensors)}"

    def _forward(self, images: np.ndarray) -> np.ndarray:
        return self._network.predict_on_batch(images)


def build_network() -> keras.Model:
    """(B, 299, 299, 3) in -1..1 to (B, 2048)."""
    image = keras.Input((299, 299, 3))
    x = _conv(image, "Conv2d_1a_3x3", 32, 3, strides=2, padding="valid")  # 149
    x = _conv(x, "Conv2d_2a_3x3", 32, 3, padding="valid")  # 147
    x = _conv(x, "Conv2d_2b_3x3", 64, 3)
    x = layers.MaxPooling2D(3, 2)(x)  # 73
    x = _conv(x, "Conv2d_3b_1x1", 80, 1)
    x = _conv(x, "Conv2d_4a_3x3", 192, 3, padding="valid")  # 71
    x = layers.MaxPooling2D(3, 2)(x)  # 35
    for block, pooled in (("Mixed_5b", 32), ("Mixed_5c", 64), ("Mixed_5d", 64)):
        x = _block_a(x, block, pooled)
    x = _block_b(x, "Mixed_6a")  # 17
    for block, narrow in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
        x = _block_c(x, block, narrow)
    x = _block_d(x, "Mixed_7a")  # 8
    x = _block_e(x, "Mixed_7b", _average_pool)
    x = _block_e(x, "Mixed_7c", layers.MaxPooling2D(3, 1, "same"))
    return keras.Model(image, layers.GlobalAveragePooling2D()(x), name="inception_2015_12_05")


def _conv(x, name: str, filters: int, size: int | tuple[int, int], strides: int = 1, padding: str = "same"):
    # Zeros, for every kernel is about to be replaced: drawing 22 million numbers takes longer than loading.
    return layers.Conv2D(filters, size, strides, padding, activation="relu", kernel_initializer="zeros", name=name)(x)


def _average_pool(x):
    return layers.AveragePooling2D(3, 1, "same")(x)  # in Keras, too, the padding does not count


def _block_a(x, block: str, pooled: int):
    conv = partial(_block_conv, block)
    one = conv(x, "branch1x1", 64, 1)
    five = conv(conv(x, "branch5x5_1", 48, 1), "branch5x5_2", 64, 5)
    three = conv(conv(x, "branch3x3dbl_1", 64, 1), "branch3x3dbl_2", 96, 3)
    three = conv(three, "branch3x3dbl_3", 96, 3)
    return layers.Concatenate()([one, five, three, conv(_average_pool(x), "branch_pool", pooled, 1)])


def _block_b(x, block: str):
    conv = partial(_block_conv, block)
    one = conv(x, "branch3x3", 384, 3, strides=2, padding="valid")
    two = conv(conv(x, "branch3x3dbl_1", 64, 1), "branch3x3dbl_2", 96, 3)
    two = conv(two, "branch3x3dbl_3", 96, 3, strides=2, padding="valid")
    return layers.Concatenate()([one, two, layers.MaxPooling2D(3, 2)(x)])


def _block_c(x, block: str, narrow: int):
    conv = partial(_block_conv, block)
    one = conv(x, "branch1x1", 192, 1)
    two = conv(conv(x, "branch7x7_1", narrow, 1), "branch7x7_2", narrow, (1, 7))
    two = conv(two, "branch7x7_3", 192, (7, 1))
    three = conv(conv(x, "branch7x7dbl_1", narrow, 1), "branch7x7dbl_2", narrow, (7, 1))
    three = conv(conv(three, "branch7x7dbl_3", narrow, (1, 7)), "branch7x7dbl_4", narrow, (7, 1))
    three = conv(three, "branch7x7dbl_5", 192, (1, 7))
    return layers.Concatenate()([one, two, three, conv(_average_pool(x), "branch_pool", 192, 1)])


def _block_d(x, block: str):
    conv = partial(_block_conv, block)
    one = conv(conv(x, "branch3x3_1", 192, 1), "branch3x3_2", 320, 3, strides=2, padding="valid")
    two = conv(conv(x, "branch7x7x3_1", 192, 1), "branch7x7x3_2", 192, (1, 7))
    two = conv(two, "branch7x7x3_3", 192, (7, 1))
    two = conv(two, "branch7x7x3_4", 192, 3, strides=2, padding="valid")
    return layers.Concatenate()([one, two, layers.MaxPooling2D(3, 2)(x)])


def _block_e(x, block: str, pool):
    conv = partial(_block_conv, block)
    one = conv(x, "branch1x1", 320, 1)
    two = conv(x, "branch3x3_1", 384, 1)
    two = [conv(two, "branch3x3_2a", 384, (1, 3)), conv(two, "branch3x3_2b", 384, (3, 1))]
    three = conv(conv(x, "branch3x3dbl_1", 448, 1), "branch3x3dbl_2", 384, 3)
    three = [conv(three, "branch3x3dbl_3a", 384, (1, 3)), conv(three, "branch3x3dbl_3b", 384, (3, 1))]
    return layers.Concatenate()([one, *two, *three, conv(pool(x), "branch_pool", 192, 1)])


def _block_conv(block: str, x, branch: str, filters: int, size: int | tuple[int, int], **options):
    return _conv(x, f"{block}.{branch}", filters, size, **options)


EXTRACTOR = InceptionExtractor
