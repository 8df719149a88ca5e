"""From images to feature vectors: one interface, two networks.

`load_extractor("inception")` gives the numbers that papers publish; `load_extractor("mobilenet")` is small
and fast, and its distances compare only with each other.
"""

from __future__ import annotations

import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from sle_gan.data.parallel import ordered_map, worker_count
from sle_gan.errors import UserError
from sle_gan.metrics.resize import resize_bilinear

if TYPE_CHECKING:
    import keras

WEIGHTS_VARIABLE = "SLE_GAN_FEATURES_WEIGHTS"
EXTRACTORS = ("inception", "mobilenet")
Item = TypeVar("Item")


class FeatureExtractor(ABC):
    """uint8 images in, float32 features out.

    The network always sees batches of exactly `batch_size` images, the last one padded: an image's features
    do not depend on how many others came with it, and a compiled network is compiled once.

    name: "inception" or "mobilenet".
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
            return None if image is None else resize_bilinear(checked_image(image), self.side)

        prepared = (image for image in ordered_map(prepare, items, workers) if image is not None)
        while batch := list(itertools.islice(prepared, self.batch_size)):
            padded = np.zeros((self.batch_size, self.side, self.side, 3), np.float32)
            padded[: len(batch)] = batch
            padded *= 2 / 255
            padded -= 1
            yield np.asarray(self._forward(padded), np.float32)[: len(batch)]

    @abstractmethod
    def _forward(self, images: np.ndarray) -> np.ndarray:
        """(batch_size, side, side, 3) in -1..1 to (batch_size, D)."""


def load_extractor(name: str, weights: str | os.PathLike[str] | None = None, batch_size: int = 32) -> FeatureExtractor:
    """The extractor of that name, ready to use.

    weights: a file; by default $SLE_GAN_FEATURES_WEIGHTS, else the Keras cache, else a download.
    batch_size: images in one pass through the network. A matter of speed and memory, not of results.

    Raises:
        UserError: for an unknown name, a file that does not fit, or when no weights can be had; the message
            says which ways there are to provide them.
    """
    if name not in EXTRACTORS:
        raise UserError(f"features {name!r}: expected one of {', '.join(EXTRACTORS)}")
    if batch_size < 1:
        raise UserError(f"batch size {batch_size}: expected a positive number")
    if weights is None:
        weights = os.environ.get(WEIGHTS_VARIABLE) or None
    path = None if weights is None else Path(weights).expanduser()
    if path is not None and not path.is_file():
        raise UserError(f"there is no file with features weights at {path}")
    extractor = _import_class(name)(path)
    extractor.batch_size = batch_size
    return extractor


def _import_class(name: str) -> Callable[[Path | None], FeatureExtractor]:
    if name == "inception":
        from sle_gan.metrics.inception import InceptionExtractor

        return InceptionExtractor
    from sle_gan.metrics.mobilenet import MobileNetExtractor

    return MobileNetExtractor


def checked_image(image: Any) -> np.ndarray:
    """The image, if it is uint8 (H, W, 3). Floats would need a range, which nobody can guess."""
    array = np.asarray(image)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise UserError(f"an image has shape {array.shape} and type {array.dtype}; expected uint8 (H, W, 3)")
    return array


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
