"""A frozen network of random convolutions in place of a pretrained one: fast, and no package to install."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from sle_gan.features import FeatureMaps


class TinyMaps(FeatureMaps):
    """Four maps of 2 to 5 channels; each is a strided random convolution of the map before it."""

    name = "tiny"
    channels = (2, 3, 4, 5)
    strides = (4, 8, 16, 32)

    def __init__(self, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.version = f"tiny/{seed}"
        inputs = (3, *self.channels)
        self.kernels = [random.standard_normal((4, 4, i, o)) / (4 * i**0.5) for i, o in zip(inputs, self.channels)]

    def __call__(self, images: Any) -> Sequence[Any]:
        maps, x = [], images
        for kernel, stride in zip(self.kernels, (4, 2, 2, 2)):
            x = ops.tanh(ops.conv(x, ops.convert_to_tensor(kernel, x.dtype), stride, "same"))
            maps.append(x)
        return maps
