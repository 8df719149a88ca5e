"""VGG16 features for the perceptual reconstruction loss (arXiv 1409.1556, 1801.03924)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from sle_gan.errors import UserError

# The last convolution of each of VGG16's five blocks, as LPIPS takes them.
LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")
# keras.applications' "caffe" preprocessing: BGR, less the ImageNet means.
MEANS_BGR = (103.939, 116.779, 123.68)


def vgg16_features(weights_file: str | Path | None = None) -> Callable[[Any], Sequence[Any]]:
    """Makes the function images (B, H, W, 3) in (-1, 1) -> five feature maps.

    Args:
        weights_file: VGG16 weights without the top, as keras.applications saves them; downloaded (59 MB)
            to the Keras cache when None.

    Raises:
        UserError: if the file does not hold VGG16's weights, or the download fails.
    """
    if weights_file is None:
        vgg = _downloaded()
    else:
        vgg = keras.applications.VGG16(include_top=False, weights=None)
        _load(vgg, Path(weights_file))
    vgg.trainable = False
    network = keras.Model(vgg.inputs, [vgg.get_layer(name).output for name in LAYERS])

    def features(images: Any) -> Sequence[Any]:
        bgr = ops.flip((images + 1.0) * 127.5, axis=-1)
        return network(bgr - ops.convert_to_tensor(MEANS_BGR, bgr.dtype), training=False)

    return features


def _downloaded() -> keras.Model:
    try:
        return keras.applications.VGG16(include_top=False, weights="imagenet")
    except Exception as error:  # Keras raises bare Exceptions for failed downloads
        raise UserError(
            f"VGG16's weights cannot be downloaded ({str(error).splitlines()[0]}); give "
            "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5 of keras.applications with --perceptual-weights, "
            "or use --reconstruction-loss l1"
        ) from error


def _load(vgg: keras.Model, path: Path) -> None:
    if not path.is_file():
        raise UserError(f"--perceptual-weights {path}: there is no such file")
    kernels = [weight for weight in vgg.weights if weight.name == "kernel"]
    before = [ops.convert_to_numpy(kernel.value) for kernel in kernels]
    try:
        vgg.load_weights(str(path))
    except Exception as error:  # whatever h5py and Keras raise for a file of another kind
        raise UserError(f"--perceptual-weights {path} does not hold VGG16's weights: {error}") from error
    # Keras may also succeed and load nothing. Random initial values that are still there give that away.
    if any(np.array_equal(old, ops.convert_to_numpy(kernel.value)) for old, kernel in zip(before, kernels)):
        raise UserError(f"--perceptual-weights {path} does not hold all of VGG16's weights")
