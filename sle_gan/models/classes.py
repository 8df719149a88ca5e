"""Classes as networks take them: learned vectors, and the logits of a projection discriminator (arXiv 1802.05637).

A class comes as its index, int (B,), or as weights of all classes, float (B, classes): one of them 1, or a mixture.
"""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from sle_gan.models.layers import Shape, leaky_relu


def class_weights(labels: Any, count: int) -> Any:
    """Indices int (B,) or weights float (B, count) -> weights float32 (B, count)."""
    if len(labels.shape) == 2:
        return labels
    return ops.one_hot(labels, count, dtype=keras.config.floatx())


class ClassEmbedding(keras.layers.Layer):
    """One learned vector for each class, from N(0, 1) at first: labels (B,) or (B, classes) -> (B, size).

    A product with weights, and not a look-up: mixtures have vectors too, and its gradient is the same on every device.
    """

    def __init__(self, classes: int, size: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.classes, self.size = classes, size

    def build(self, input_shape: Shape | None = None) -> None:
        del input_shape
        normal = keras.initializers.RandomNormal(0.0, 1.0)
        # autocast=False: small, and what a generator is steered by keeps all its digits.
        self.kernel = self.add_weight(
            name="kernel", shape=(self.classes, self.size), initializer=normal, autocast=False
        )

    def call(self, labels: Any) -> Any:
        return ops.matmul(class_weights(labels, self.classes), ops.convert_to_tensor(self.kernel))


class ClassProjection(keras.layers.Layer):
    """How well maps (B, h, w, channels) fit a class, as logits (B, h, w, 1).

    The maps' product with a vector of the class, over the root of their channels. The vector is the class's embedding
    through a dense layer and LeakyReLU, as Projected GAN's released code has it.

    Args:
        classes: how many there are.
        size: numbers of a class's embedding.
        channels: of the maps.
    """

    def __init__(self, classes: int, size: int, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.size, self.channels = size, channels
        self.embedding = ClassEmbedding(classes, size, name="embedding")
        self.dense = keras.layers.Dense(channels, name="dense", dtype=keras.config.floatx())

    def build(self, input_shape: Shape | None = None) -> None:
        del input_shape
        self.embedding.build()
        self.dense.build((None, self.size))
        self.built = True

    def call(self, maps: Any, labels: Any) -> Any:
        vector = leaky_relu(self.dense(self.embedding(labels)))[:, None, None]  # (B, 1, 1, channels)
        maps = ops.cast(maps, vector.dtype)
        return ops.sum(maps * vector, -1, keepdims=True) / math.sqrt(self.channels)
