"""Statistics of two sets of images -> the numbers, with the protocol they were taken under."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import trange

from sle_gan.data.cache import make_room, mark_used, size_limit
from sle_gan.errors import UserError, counted
from sle_gan.features import FeatureExtractor
from sle_gan.metrics.frechet import frechet_distance, frechet_distance_from_moments
from sle_gan.metrics.kernel import kernel_distance
from sle_gan.metrics.memorization import memorization_distance, memorization_informed_distance
from sle_gan.metrics.precision_recall import precision_recall
from sle_gan.metrics.statistics import FeatureStatistics, collect_statistics

METRICS = ("fid", "kid", "mifid", "pr")
_ENOUGH_FOR_NEIGHBOURS = 100


@dataclass(frozen=True)
class Scores:
    """What was measured, under which protocol, and what it does not support.

    metrics: fid, fid_bootstrap_mean, fid_bootstrap_std, kid, kid_std, mifid, memorization_distance, precision
        and recall, as far as they were asked for (mifid brings fid).
    protocol: what is needed to repeat them (JSON types).
    warnings: sentences for people.
    """

    metrics: dict[str, float]
    protocol: dict[str, Any]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The same as JSON types."""
        return {**asdict(self), "warnings": list(self.warnings)}


def checked_metrics(names: Iterable[str]) -> tuple[str, ...]:
    """The names in the order of METRICS. Raises UserError for an unknown one, or for none."""
    received = [name.strip() for name in names]
    unknown = [name for name in received if name not in METRICS]
    if unknown or not received:
        raise UserError(f"metrics {', '.join(received)!r}: expected some of {', '.join(METRICS)}")
    return tuple(name for name in METRICS if name in received)


def compute_scores(
    real: FeatureStatistics,
    fake: FeatureStatistics,
    metrics: Sequence[str] = ("fid",),
    *,
    seed: int = 0,
    bootstrap: int = 0,
    progress: bool = False,
) -> Scores:
    """All `metrics` (of METRICS) between two sets of one extractor.

    seed: of the KID subsets and the bootstrap.
    bootstrap: how often FID is taken again over images drawn with replacement, for its spread.

    Raises:
        UserError: if the extractors differ, or a metric needs features where only moments were kept.
    """
    metrics = checked_metrics(metrics)
    check_bootstrap(bootstrap, metrics)
    fake.require(real.version, "the fake set")
    numbers: dict[str, float] = {}
    if "fid" in metrics or "mifid" in metrics:
        numbers["fid"] = _frechet(real, fake)
    if bootstrap and "fid" in metrics:
        numbers |= _bootstrap(*_features(real, fake, "bootstrap"), bootstrap, seed, progress)
    if "kid" in metrics:
        kid = kernel_distance(*_features(real, fake, "kid"), seed=seed)
        numbers |= {"kid": kid.mean, "kid_std": kid.std}
    if "mifid" in metrics:
        distance = memorization_distance(*_features(real, fake, "mifid"))
        numbers["mifid"] = memorization_informed_distance(numbers["fid"], distance)
        numbers["memorization_distance"] = distance
    if "pr" in metrics:
        numbers |= precision_recall(*_features(real, fake, "pr"))._asdict()
    return Scores(numbers, _protocol(real, fake, seed, bootstrap), _warnings(real, fake, metrics))


def check_bootstrap(bootstrap: int, metrics: Sequence[str]) -> None:
    """Raises UserError unless it is a number of draws that these metrics have a use for."""
    if bootstrap < 0 or bootstrap == 1:
        raise UserError(f"bootstrap {bootstrap}: expected 0 (none) or at least 2 draws")
    if bootstrap and "fid" not in metrics:
        raise UserError(
            f"bootstrap {bootstrap}: it is the spread of fid, which is not among the metrics {', '.join(metrics)}"
        )


def images_needed(metrics: Sequence[str]) -> int:
    """The least number of images in each set that the metrics can be taken of."""
    return 4 if {"kid", "pr"} & set(metrics) else 2


def check_saved(statistics: FeatureStatistics, source: str | Path, metrics: Sequence[str], bootstrap: int = 0) -> None:
    """Raises UserError where saved statistics lack what the metrics need."""
    if features_needed(metrics, bootstrap) and statistics.features is None:
        what = "bootstrap" if bootstrap else ",".join(name for name in metrics if name != "fid")
        raise UserError(
            f"{source} holds only moments, and {what} needs the features of every image; "
            "make it anew without --moments-only"
        )
    if statistics.count < images_needed(metrics):
        raise UserError(
            f"{source} is of {counted(statistics.count, 'image')}; {','.join(metrics)} needs at least "
            f"{images_needed(metrics)}"
        )


def features_needed(metrics: Sequence[str], bootstrap: int = 0) -> bool | None:
    """`keep_features` of `collect_statistics` for these metrics: FID alone can do with the moments."""
    return True if bootstrap or tuple(metrics) != ("fid",) else None


class Scorer:
    """Scores generated images against one training set, whose statistics are computed once.

    They are cached in `cache_folder` under the content of the images and the version of the extractor, so
    that the next run starts at once; None for no cache. Images of one channel or four are scored as RGB, alpha
    over white.
    """

    def __init__(
        self,
        extractor: FeatureExtractor,
        images: np.ndarray,
        digest: str,
        cache_folder: str | Path | None,
        metrics: Sequence[str] = ("fid",),
        seed: int = 0,
    ) -> None:
        """images: uint8 (N, H, W, C), in memory or mapped; digest: of their content."""
        self.extractor = extractor
        self.metrics = checked_metrics(metrics)
        self.seed = seed
        self.real = self._real(images, digest, Path(cache_folder) if cache_folder else None)

    def score(self, batches: Iterable[np.ndarray], **protocol: Any) -> Scores:
        """Scores generated images, uint8 (b, H, W, C) each, taken one batch at a time.

        protocol: what to note about them, such as step=..., seeds=...

        Raises:
            UserError: with fewer than two images, or NaN features.
        """
        images = itertools.chain.from_iterable(as_rgb(batch) for batch in batches)
        noted = {"source": "generator", "preparation": self.real.protocol["preparation"], **protocol}
        fake = collect_statistics(self.extractor, images, keep_features=features_needed(self.metrics), protocol=noted)
        return compute_scores(self.real, fake, self.metrics, seed=self.seed)

    def _real(self, images: np.ndarray, digest: str, folder: Path | None) -> FeatureStatistics:
        if folder is None:
            return self._collect(images, digest)
        key = hashlib.sha256(f"{digest}\n{self.extractor.version}".encode()).hexdigest()[:24]
        path = folder / f"statistics-{key}.npz"
        try:
            statistics = FeatureStatistics.load(path).require(self.extractor.version, path)
        except UserError:  # not there yet, or damaged
            statistics = self._collect(images, digest)
            with contextlib.suppress(OSError, UserError):  # it costs only the time of computing again
                folder.mkdir(parents=True, exist_ok=True)
                arrays = (statistics.mean, statistics.covariance, statistics.features)
                make_room(folder, sum(array.nbytes for array in arrays if array is not None), size_limit())
                statistics.save(path)
        else:
            mark_used(path)
        return statistics

    def _collect(self, images: np.ndarray, digest: str) -> FeatureStatistics:
        return collect_statistics(
            self.extractor,
            _RgbView(images),
            keep_features=True,
            protocol={
                "source": "training images",
                "digest": digest,
                "preparation": f"{images.shape[1]}x{images.shape[2]} as trained on",
            },
            progress="Real statistics",
        )


def as_rgb(images: np.ndarray) -> np.ndarray:
    """uint8 (..., 1), (..., 3) or (..., 4) to (..., 3); alpha over white."""
    if images.dtype != np.uint8 or images.shape[-1:] not in ((1,), (3,), (4,)):
        raise UserError(
            f"images of shape {images.shape} and type {images.dtype}; expected uint8 with 1, 3 or 4 channels"
        )
    if images.shape[-1] == 3:
        return images
    if images.shape[-1] == 1:
        return np.repeat(images, 3, axis=-1)
    alpha = images[..., 3:].astype(np.float32) / 255
    return np.rint(images[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)


class _RgbView(Sequence):
    """The images of an array one by one as RGB, without a converted copy of all."""

    def __init__(self, images: np.ndarray) -> None:
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index):
        return as_rgb(np.asarray(self._images[index]))


def _frechet(real: FeatureStatistics, fake: FeatureStatistics) -> float:
    few = min(real.count, fake.count) <= len(real.mean)
    if few and real.features is not None and fake.features is not None:  # faster at low rank, and as exact
        return frechet_distance(real.features, fake.features)
    return frechet_distance_from_moments(real.mean, real.covariance, fake.mean, fake.covariance)


def _features(real: FeatureStatistics, fake: FeatureStatistics, metric: str) -> tuple[np.ndarray, np.ndarray]:
    if real.features is None or fake.features is None:
        raise UserError(
            f"{metric} needs the features of every image, but the statistics hold only moments; "
            "make them anew without --moments-only"
        )
    return real.features, fake.features


def _bootstrap(real: np.ndarray, fake: np.ndarray, draws: int, seed: int, progress: bool) -> dict[str, float]:
    """FID of images drawn again with replacement from both sets.

    The spread is what it is for. The mean lies above the FID, for a set with repeats has less variety, as
    FID with fewer images does.
    """
    rng = np.random.default_rng(seed)
    values = [
        frechet_distance(real[rng.integers(len(real), size=len(real))], fake[rng.integers(len(fake), size=len(fake))])
        for _ in trange(draws, desc="Bootstrap", delay=2, disable=not progress, leave=False)
    ]
    return {"fid_bootstrap_mean": float(np.mean(values)), "fid_bootstrap_std": float(np.std(values, ddof=1))}


def _protocol(real: FeatureStatistics, fake: FeatureStatistics, seed: int, bootstrap: int) -> dict[str, Any]:
    return {
        "extractor": real.extractor,
        "version": real.version,
        "seed": seed,
        "bootstrap": bootstrap,
        "real": {"count": real.count, **real.protocol},
        "fake": {"count": fake.count, **fake.protocol},
    }


def _warnings(real: FeatureStatistics, fake: FeatureStatistics, metrics: Sequence[str]) -> tuple[str, ...]:
    found = []
    dimension, fewest = len(real.mean), min(real.count, fake.count)
    if fewest < dimension and ("fid" in metrics or "mifid" in metrics):
        found.append(
            f"{fewest} images are fewer than the {dimension} features of each: FID is biased upwards "
            "by an unknown amount; compare it only with runs of the same counts, or use KID"
        )
    if fewest < _ENOUGH_FOR_NEIGHBOURS and ("kid" in metrics or "pr" in metrics):
        found.append(
            f"{counted(fewest, 'image')} are few: KID, precision and recall are noisy below {_ENOUGH_FOR_NEIGHBOURS}"
        )
    if real.extractor != "inception":
        found.append(f"{real.extractor} features: not comparable with published FID, only with the same features")
    prepared = real.protocol.get("preparation"), fake.protocol.get("preparation")
    if prepared[0] != prepared[1]:
        found.append(
            f"the sets were prepared differently (real: {prepared[0]}; fake: {prepared[1]}), which "
            "alone moves every number; use --resolution for both"
        )
    return tuple(found)
