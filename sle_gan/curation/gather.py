"""Every picture of a source read once: what is measured of it, and its features."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from sle_gan.curation.measures import SIDE, Measures, measure
from sle_gan.data import PictureSource, SkippedFile, decode_failure, quiet_pillow, read_reduced
from sle_gan.errors import UserError, counted
from sle_gan.features import FeatureExtractor


@dataclass(frozen=True)
class Gathered:
    """A set looked through.

    names: of the N pictures that could be read, in the source's order.
    measures: of each of them.
    features: float32 (N, D). extractor: the version of the network that they are from.
    unreadable: the other files, with reasons.
    """

    source: PictureSource
    names: list[str]
    measures: list[Measures]
    features: np.ndarray
    extractor: str
    unreadable: list[SkippedFile]

    def column(self, name: str) -> np.ndarray:
        """One number of each picture, float64 (N,), by its name in `Measures`."""
        return np.array([getattr(each, name) for each in self.measures], np.float64)

    @property
    def hashes(self) -> np.ndarray:
        """uint64 (N, 2)."""
        return np.array([each.hashes for each in self.measures], np.uint64).reshape(-1, 2)


def gather(
    source: PictureSource, extractor: FeatureExtractor, title: str = "Looking", names: Sequence[str] | None = None
) -> Gathered:
    """Reads, measures and takes features of all pictures, in memory for their numbers alone (2 kB each).

    Raises:
        UserError: where none can be read.
    """
    names = source.names if names is None else names
    measured: dict[str, Measures] = {}
    unreadable: list[SkippedFile] = []

    def load(name: str) -> np.ndarray | None:
        try:
            data = source.read(name)
            pixels, shape = read_reduced(io.BytesIO(data), SIDE)
        except Exception as error:  # Pillow has no closed list of what a hostile file makes it raise
            unreadable.append(SkippedFile(name, decode_failure(error)))
            return None
        measured[name] = measure(pixels, shape, len(data), hashlib.blake2b(data, digest_size=16).hexdigest())
        return pixels

    features = []
    with quiet_pillow(), tqdm(total=len(names), desc=title, unit="picture", delay=1, leave=False) as bar:
        for batch in extractor.stream(names, load):
            features.append(batch)
            bar.update(len(batch))
    if not features:
        raise UserError(
            f"{source.where}: none of {counted(len(names), 'picture')} can be read "
            f"({'; '.join(map(str, sorted(unreadable)[:3]))})"
        )
    good = [name for name in names if name in measured]
    measures = [measured[name] for name in good]
    return Gathered(source, good, measures, np.concatenate(features), extractor.version, sorted(unreadable))
