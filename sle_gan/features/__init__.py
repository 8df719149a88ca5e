"""Frozen pretrained networks: the only place that metrics, losses and discriminators take features from.

| name | vector | maps | weights |
|---|---|---|---|
| `inception` | 2048, as published FID | | download or path |
| `mobilenet` | 1024 | strides 4 to 32 | download or path |
| `efficientnet_lite0` | 320 | strides 4 to 32 | a package of the extra `features`, or path |
| `efficientnet_lite1` | 320 | | a package of the extra `features`, or path |
| `dinov2_s`, `dinov2_b`, `dinov2_l` | 384, 768, 1024 | | hub or path |
| `vgg16` | | strides 1 to 16 | download or path |

`load_extractor` gives a `FeatureExtractor`: uint8 images to vectors, in numpy, for metrics and neighbours.
`load_maps` gives a `FeatureMaps`: tensors to maps, differentiable with respect to the images, for losses and
discriminators. Both know the version of their network, which holds a digest of the weights.

To add a network, write one file that defines `EXTRACTOR` or `MAPS` or both, and name it below.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

from sle_gan.errors import UserError
from sle_gan.features.base import FeatureExtractor, FeatureMaps
from sle_gan.storage.paths import expanded

WEIGHTS_VARIABLE = "SLE_GAN_FEATURES_WEIGHTS"
EXTRACTORS = ("inception", "mobilenet", "efficientnet_lite0", "efficientnet_lite1", "dinov2_s", "dinov2_b", "dinov2_l")
MAPS = ("efficientnet_lite0", "mobilenet", "vgg16")
# Names that share a file, with what its classes are told.
_VARIANTS = {
    **{
        f"efficientnet_lite{number}": ("efficientnet_lite", {"name": f"efficientnet_lite{number}"}) for number in (0, 1)
    },
    **{f"dinov2_{size}": ("dinov2", {"size": size}) for size in "sbl"},
}

__all__ = ["EXTRACTORS", "MAPS", "WEIGHTS_VARIABLE", "FeatureExtractor", "FeatureMaps", "load_extractor", "load_maps"]


def load_extractor(name: str, weights: str | os.PathLike[str] | None = None, batch_size: int = 32) -> FeatureExtractor:
    """The extractor of that name, ready to use.

    Args:
        weights: a file; by default $SLE_GAN_FEATURES_WEIGHTS, else what the network's own module finds: a package,
            the Keras cache, a download.
        batch_size: images in one pass through the network. A matter of speed and memory, not of results.

    Raises:
        UserError: for an unknown name, a file that does not fit, or when no weights can be had; the message
            says which ways there are to provide them.
    """
    if batch_size < 1:
        raise UserError(f"batch size {batch_size}: expected a positive number")
    module, options = _module(name, EXTRACTORS)
    if weights is None:
        weights = os.environ.get(WEIGHTS_VARIABLE) or None
    extractor: FeatureExtractor = module.EXTRACTOR(_checked(weights), **options)
    extractor.batch_size = batch_size
    return extractor


def load_maps(name: str, weights: str | os.PathLike[str] | None = None, **options: Any) -> FeatureMaps:
    """The network of that name up to its maps, which computes in Keras's present precision.

    Args:
        weights: a file; by default what the network's own module finds.
        options: of the network, such as `taps`.

    Raises:
        UserError: as `load_extractor`.
    """
    module, variant = _module(name, MAPS)
    maps: FeatureMaps = module.MAPS(_checked(weights), **variant, **options)
    return maps


def _module(name: str, names: tuple[str, ...]) -> tuple[Any, dict[str, Any]]:
    if name not in names:
        raise UserError(f"features {name!r}: expected one of {', '.join(names)}")
    file, options = _VARIANTS.get(name, (name, {}))
    return importlib.import_module(f"sle_gan.features.{file}"), options


def _checked(weights: str | os.PathLike[str] | None) -> Path | None:
    path = None if weights is None else Path(expanded(os.fspath(weights)))
    if path is not None and not path.is_file():
        raise UserError(f"there is no file with features weights at {path}")
    return path
