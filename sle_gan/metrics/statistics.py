"""What is kept of a set of images: moments, features, and where they came from; in memory and as .npz."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sle_gan import npz
from sle_gan.atomic_files import atomic_path
from sle_gan.errors import UserError, shown
from sle_gan.features import FeatureExtractor
from sle_gan.json_objects import parse_object
from sle_gan.metrics.frechet import StreamingMoments

FORMAT = "sle_gan.statistics/1"
_KEPT_AT_MOST = 16_384
_MOMENTS_AT_ONCE = 1024  # rows: one update of the (D, D) scatter costs as much for 32 images as for hundreds


@dataclass(frozen=True)
class FeatureStatistics:
    """The features of one set of images, summed up.

    extractor, version: which network made them; statistics of different versions are never compared.
    count: images.
    mean, covariance: float64 (D,) and (D, D).
    features: float32 (count, D), or None where only the moments were kept.
    protocol: where the images came from and how they were prepared, in words and numbers (JSON).
    """

    extractor: str
    version: str
    count: int
    mean: np.ndarray
    covariance: np.ndarray
    features: np.ndarray | None = None
    protocol: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Writes an .npz (exactly at `path`, whatever its suffix), whole or not at all.

        Raises:
            UserError: where it cannot be written.
        """
        content: dict[str, Any] = {
            "format": FORMAT,
            "extractor": self.extractor,
            "version": self.version,
            "count": self.count,
            "mean": self.mean,
            "covariance": self.covariance,
            "protocol": json.dumps(self.protocol),
        }
        if self.features is not None:
            content["features"] = self.features.astype(np.float32)
        try:
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **content)
        except OSError as error:
            raise UserError(f"cannot write the statistics to {path}: {error.strerror or error}") from error

    @classmethod
    def load(cls, path: str | Path) -> FeatureStatistics:
        """Reads what `save` wrote; nothing in the file is executed.

        Raises:
            UserError: if it is missing, damaged or another kind of file.
        """
        if not Path(path).is_file():
            raise UserError(f"there is no statistics file at {path}")
        try:
            with npz.opened(Path(path)) as file:
                if "format" not in file.arrays or str(file.array("format")) != FORMAT:
                    raise UserError(f"{path} holds no statistics of this project; make it with sle-gan evaluate stats")
                return cls(
                    extractor=str(file.array("extractor")),
                    version=str(file.array("version")),
                    count=int(file.array("count")),
                    mean=file.array("mean"),
                    covariance=file.array("covariance"),
                    features=file.array("features") if "features" in file.arrays else None,
                    protocol=parse_object(str(file.array("protocol"))),
                )._checked()
        except UserError:
            raise
        except npz.ERRORS as error:
            raise UserError(f"{path} is damaged or no .npz file: {shown(error, 200)}") from error

    def _checked(self) -> FeatureStatistics:
        """Itself; raises a ValueError unless the arrays' shapes go together."""
        dimension = self.mean.size
        shapes = [self.mean.shape, self.covariance.shape]
        expected: list[tuple[int, ...]] = [(dimension,), (dimension, dimension)]
        if self.features is not None:
            shapes.append(self.features.shape)
            expected.append((self.count, dimension))
        if shapes != expected:
            raise ValueError(f"its arrays have the shapes {shapes}, expected {expected}")
        return self

    @staticmethod
    def is_in(path: str | os.PathLike[str]) -> bool:
        """Whether a file, whatever its name, seems to be one that `save` wrote."""
        try:
            with zipfile.ZipFile(path) as archive:
                return {"format.npy", "mean.npy", "covariance.npy"} <= set(archive.namelist())
        except (OSError, zipfile.BadZipFile):
            return False

    def require(self, version: str, path: str | os.PathLike[str]) -> FeatureStatistics:
        """Itself, if it is of that extractor version. Raises UserError naming both."""
        if self.version != version:
            raise UserError(
                f"{path} holds statistics of another extractor, {self.version}, than the one in use, "
                f"{version}; use the same --features and --features-weights for both, or make the statistics anew"
            )
        return self


def collect_statistics(
    extractor: FeatureExtractor,
    items: Iterable[Any],
    load: Callable[[Any], np.ndarray | None] | None = None,
    *,
    keep_features: bool | None = None,
    protocol: dict[str, Any] | None = None,
    progress: str | None = None,
    total: int | None = None,
) -> FeatureStatistics:
    """Runs the extractor over images of any number in bounded memory.

    items, load: as in `FeatureExtractor.stream`.
    keep_features: KID, MiFID and precision/recall need them, 8 kB an image. None: while there are no more
        than 16,384 images, with which FID is faster, but not beyond, so that memory stays bounded.
    progress: title of a bar that appears after two seconds; None for none. total: its end, where `items`
        has no length.

    Raises:
        UserError: with fewer than two images, or when the network gives NaN.
    """
    moments = StreamingMoments(extractor.dimension)
    kept: list[np.ndarray] = []
    waiting: list[np.ndarray] = []
    total = len(items) if isinstance(items, (Sequence, np.ndarray)) else total
    hidden = progress is None
    with tqdm(total=total, desc=progress, unit="image", delay=2, disable=hidden, leave=False) as bar:
        for features in extractor.stream(items, load):
            waiting.append(features)
            if sum(map(len, waiting)) >= _MOMENTS_AT_ONCE:
                moments.add(np.concatenate(waiting))
                waiting.clear()
            if keep_features is None and moments.count > _KEPT_AT_MOST:
                keep_features = False
                kept.clear()
            if keep_features is not False:
                kept.append(features)
            bar.update(len(features))
    if waiting:
        moments.add(np.concatenate(waiting))
    if moments.count < 2:
        raise UserError(f"statistics of a set need at least 2 images, received {moments.count}")
    covariance = moments.covariance
    return FeatureStatistics(
        extractor.name,
        extractor.version,
        moments.count,
        moments.mean,
        covariance,
        np.concatenate(kept) if kept else None,
        {"resize": extractor.describe, **(protocol or {})},
    )
