"""VGG16 (arXiv 1409.1556) with Keras's ImageNet weights, for perceptual distances (arXiv 1801.03924)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan.errors import UserError
from sle_gan.features.base import FeatureMaps, digest

# The last convolution of each of VGG16's five blocks, as LPIPS takes them.
LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")
# keras.applications' "caffe" preprocessing: BGR, less the ImageNet means.
MEANS_BGR = (103.939, 116.779, 123.68)


class VGG16Maps(FeatureMaps):
    """The last map of each of the five blocks.

    weights: VGG16 weights without the top, as keras.applications saves them; None for a download (59 MB) to the
        Keras cache.
    """

    name = "vgg16"
    channels = (64, 128, 256, 512, 512)
    strides = (1, 2, 4, 8, 16)

    def __init__(self, weights: Path | None = None) -> None:
        if weights is None:
            vgg = _downloaded()
        else:
            vgg = keras.applications.VGG16(include_top=False, weights=None)
            _load(vgg, weights)
        vgg.trainable = False
        self._network = keras.Model(vgg.inputs, [vgg.get_layer(name).output for name in LAYERS])
        self.version = f"vgg16/{'+'.join(LAYERS)}/{digest(vgg.get_weights())}"

    def __call__(self, images: Any) -> Sequence[Any]:
        bgr = ops.flip((images + 1.0) * 127.5, axis=-1)
        return self._network(bgr - ops.convert_to_tensor(MEANS_BGR, bgr.dtype), training=False)


def _downloaded() -> keras.Model:
    try:
        return keras.applications.VGG16(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises bare Exceptions for failed downloads
        raise UserError(
            f"VGG16's weights cannot be downloaded ({str(error).splitlines()[0]}); give the file "
            "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 of keras.applications"
        ) from error


def _load(vgg: keras.Model, path: Path) -> None:
    kernels = [weight for weight in vgg.weights if weight.name == "kernel"]
    before = [ops.convert_to_numpy(kernel.value) for kernel in kernels]
    try:
        vgg.load_weights(str(path))
    except Exception as error:  # whatever h5py and Keras raise for a file of another kind
        raise UserError(f"{path} does not hold VGG16's weights: {error}") from error
    # Keras may also succeed and load nothing. Random initial values that are still there give that away.
    if any(np.array_equal(old, ops.convert_to_numpy(kernel.value)) for old, kernel in zip(before, kernels)):
        raise UserError(f"{path} does not hold all of VGG16's weights")


MAPS = VGG16Maps
