"""The two ways in which a frozen network is used, and what the networks share.

A `FeatureExtractor` makes one vector of each uint8 image, in numpy; a `FeatureMaps` is a part of a computation.
"""

from __future__ import annotations

import hashlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sle_gan.data.parallel import ordered_map, worker_count
from sle_gan.errors import UserError
from sle_gan.features.resize import resize_bilinear

if TYPE_CHECKING:
    import keras

Item = TypeVar("Item")


class FeatureExtractor(ABC):
    """uint8 images in, float32 features out.

    The network always sees batches of exactly `batch_size` images, the last one padded: an image's features
    do not depend on how many others came with it, and a compiled network is compiled once.

    name: among `sle_gan.features.EXTRACTORS`.
    version: network, layer, preprocessing and a digest of the weights. Two statistics compare if and only
        if their versions are equal.
    dimension: features per image.
    side: pixels; every image is resized to side x side.
    describe: the input contract in words, for the protocol of a result.
    """

    name: str
    version: str
    dimension: int
    side: int
    batch_size: int = 32

    @property
    def describe(self) -> str:
        return f"bilinear to {self.side}x{self.side} (half-pixel centres, no antialiasing), then scaled to -1..1"

    def __call__(self, images: Any) -> np.ndarray:
        """Features (N, D) float32 of uint8 images (N, H, W, 3), also of a sequence of images of many sizes.

        Raises:
            UserError: on an empty set or anything but uint8 (H, W, 3).
        """
        features = list(self.stream(images))
        if not features:
            raise UserError("no images to compute features of: received an empty set")
        return np.concatenate(features)

    def stream(
        self, items: Iterable[Item], load: Callable[[Item], np.ndarray | None] | None = None
    ) -> Iterator[np.ndarray]:
        """Yields features (n, D), n <= `batch_size`, in order, with bounded memory.

        items: uint8 images (H, W, 3), or anything that `load` (run on threads) turns into one. Items for
            which it returns None are left out.
        """
        workers = worker_count(None)

        def prepare(item: Any) -> np.ndarray | None:
            image = item if load is None else load(item)
            return None if image is None else self.prepare(checked_image(image))

        prepared = (image for image in ordered_map(prepare, items, workers) if image is not None)
        while batch := list(itertools.islice(prepared, self.batch_size)):
            padded = np.zeros((self.batch_size, self.side, self.side, 3), np.float32)
            padded[: len(batch)] = batch
            # Here, because importing the metrics loads no backend.
            from sle_gan import engine

            with engine.full_precision():  # TF32 would move a feature by 1e-3 of itself, from card to card
                features = np.asarray(self._forward(padded), np.float32)
            yield features[: len(batch)]

    def prepare(self, image: np.ndarray) -> np.ndarray:
        """uint8 (H, W, 3) to what the network takes, float32 (side, side, 3); what `describe` says in words."""
        resized = resize_bilinear(image, self.side)
        resized *= 2 / 255
        resized -= 1
        return resized

    @abstractmethod
    def _forward(self, images: np.ndarray) -> np.ndarray:
        """Prepared images (batch_size, side, side, 3) to (batch_size, D)."""


class FeatureMaps(ABC):
    """A frozen network up to some of its maps; differentiable with respect to the images.

    Its weights are constants: in no optimizer and in no checkpoint, which keeps `version` instead.

    name: of the module in `sle_gan.features`.
    version: network, taps and a digest of the weights.
    channels, strides: of each map; a stride divides the image's side.
    """

    name: str
    version: str
    channels: tuple[int, ...]
    strides: tuple[int, ...]

    @abstractmethod
    def __call__(self, images: Any) -> Sequence[Any]:
        """RGB images (B, H, W, 3) float with black at -1 and white at 1 -> maps (B, H / stride, W / stride, C)."""


def checked_image(image: Any) -> np.ndarray:
    """The image, if it is uint8 (H, W, 3). Floats would need a range, which nobody can guess."""
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise UserError(f"an image has shape {array.shape} and type {array.dtype}; expected uint8 (H, W, 3)")
    return array


def digest(arrays: Iterable[np.ndarray]) -> str:
    """12 hex digits that differ for different weights, whichever file they came from."""
    total = hashlib.sha256()
    for array in arrays:  # one by one: large networks would be in memory twice
        total.update(array.astype("<f4").tobytes())
    return total.hexdigest()[:12]


def fold_batch_norm(
    kernel: np.ndarray, norm: Sequence[np.ndarray], epsilon: float, depthwise: bool = False
) -> list[np.ndarray]:
    """Kernel and bias of a convolution with the batch norm behind it folded in, float64: rounded once, by the layer.

    Args:
        kernel: (height, width, in, out), or (height, width, channels, 1) where `depthwise`.
        norm: gamma, beta, mean and variance, one number for each channel that comes out.
    """
    gamma, beta, mean, variance = (array.astype(np.float64) for array in norm)
    scale = gamma / np.sqrt(variance + epsilon)
    scaled = kernel * (scale[:, None] if depthwise else scale)
    return [scaled, beta - mean * scale]


@contextmanager
def plain_keras() -> Iterator[None]:
    """float32 and channels last, whatever the training around it has set."""
    import keras

    policy, layout = keras.config.dtype_policy(), keras.config.image_data_format()
    keras.config.set_dtype_policy("float32")
    keras.config.set_image_data_format("channels_last")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        keras.config.set_image_data_format(layout)


def compiled(network: keras.Model) -> keras.Model:
    """The network ready for `predict_on_batch`: jit in JAX; in TensorFlow no XLA, half as fast on CPUs."""
    import keras

    network.trainable = False
    jit: Any = keras.backend.backend() == "jax"  # Any, for Keras declares the default's type: str
    network.compile(jit_compile=jit)
    return network
