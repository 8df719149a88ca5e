"""The classes of a run: of its pictures' labels, or clusters that are found when it begins."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sle_gan.config import TrainConfig
from sle_gan.data import Dataset, cache_place
from sle_gan.data.dataset import labelled
from sle_gan.data.labels import AUTO, FEW, Labels, asks_for_clusters, cluster_count, read_written_labels, write_labels
from sle_gan.errors import UserError, counted, printable, shown
from sle_gan.features import FeatureExtractor, load_extractor
from sle_gan.features.clusters import clusters, default_clusters
from sle_gan.metrics import Scorer
from sle_gan.pictures import labelled_rows, save_png
from sle_gan.runs.folder import RunFolder

CLUSTER_FEATURES = "mobilenet"  # of a GAN without a feature network of its own
SHEET_COLUMNS = 12
_CELL = 64


def with_classes(
    config: TrainConfig, datasets: Sequence[Dataset], started: bool
) -> tuple[TrainConfig, Sequence[Dataset]]:
    """The settings with the classes of the pictures, and the pictures, which `--labels clusters` groups here.

    Args:
        started: the run has a checkpoint; its networks, and the order of their classes, follow from its own classes.

    Raises:
        UserError: if a run that has started learned others, or the features' weights cannot be had.
    """
    first, *others = datasets
    if asks_for_clusters(config.labels):
        first = _clustered(config, first, started)
    names = first.classes or None
    if started and config.class_names != names:
        raise UserError(
            f"{config.run_folder} was trained {_listed(config.class_names)}, and the pictures are now "
            f"{_listed(names)}; give the same labels to go on, or start a new run"
        )
    pictures = None if first.labels is None else tuple(np.bincount(first.labels, minlength=len(names or ())).tolist())
    return dataclasses.replace(config, class_names=names, class_pictures=pictures), [first, *others]


def write_clusters(config: TrainConfig, dataset: Dataset, folder: RunFolder) -> None:
    """Writes which picture is in which cluster, and a sheet with some of each. Raises OSError where that fails.

    The table is what a resumed run reads: features that another machine computes may differ in a bit.
    """
    if not asks_for_clusters(config.labels) or dataset.labels is None or folder.labels.exists():
        return
    write_labels(folder.labels, Labels(dataset.classes, dict(zip(dataset.files, dataset.labels.tolist()))))
    save_png(_sheet(dataset), folder.clusters)


def _clustered(config: TrainConfig, dataset: Dataset, started: bool) -> Dataset:
    """The pictures with their clusters: those of the run, else by the features that its projected judge sees."""
    if started:
        if config.class_names is None:
            return dataset
        written = RunFolder(config.run_folder).labels
        if written.exists():
            return labelled(dataset, _read(written, dataset))
    count = cluster_count(config.labels) or default_clusters(len(dataset))
    what = f"--labels {printable(config.labels)}"
    if config.labels == AUTO and len(dataset) < FEW * count:
        print(f"no clusters: {counted(len(dataset), 'picture')} are too few; --labels clusters takes them all the same")
        return dataset
    if why := _no_clusters(config, len(dataset), count):
        if config.labels != AUTO:
            raise UserError(f"{what}: {why}, or --labels none")
        print(f"no clusters: {why}")
        return dataset
    extractor = _extractor(config, what)
    place = cache_place(config.cache_folder)
    features = Scorer(extractor, dataset.images, dataset.digest, place).real.features
    assert features is not None  # the statistics of training pictures keep them
    of = clusters(features, count)
    sizes = np.bincount(of)
    sizes = sizes[sizes > 0]  # where pictures are alike there may be fewer
    if len(sizes) < 2:
        if config.labels != AUTO:
            raise UserError(f"{what}: the pictures are all alike, one cluster; give --labels none")
        print("no clusters: the pictures are all alike")
        return dataset
    print(f"{len(sizes)} clusters by the features of {extractor.name}, of {', '.join(map(str, sizes))} pictures")
    digits = len(str(len(sizes) - 1))
    names = tuple(f"cluster {i:0{digits}}" for i in range(len(sizes)))
    return labelled(dataset, Labels(names, dict(zip(dataset.files, of.tolist()))))


def _extractor(config: TrainConfig, what: str) -> FeatureExtractor:
    """The network that sees which pictures are alike. Raises a UserError where its weights cannot be had."""
    own = getattr(config, "feature_network", None)
    try:
        return load_extractor(own or CLUSTER_FEATURES, getattr(config, "feature_weights", None))
    except UserError as error:
        if own:
            raise UserError(
                f"--feature-network {own} cannot be loaded; give its file with --feature-weights. {error}"
            ) from error
        raise UserError(
            f"{what} looks through {CLUSTER_FEATURES}; give its file as SLE_GAN_FEATURES_WEIGHTS, or --labels none. "
            f"{error}"
        ) from error


def _no_clusters(config: TrainConfig, pictures: int, count: int) -> str | None:
    """Why so many pictures cannot be grouped into `count` clusters in this run, and what to do; None where they can."""
    if config.distributed:
        return (
            "the processes of a distributed run must agree on them; train one step without --distributed, and give the "
            "labels.csv of that run"
        )
    if config.further_sources:
        return "the pictures of --mix-in would have no class; leave it out"
    if not 2 <= count <= pictures // 2:
        return (
            f"{counted(pictures, 'picture')} make no {counted(count, 'cluster')}; give clusters:N with N from 2 to "
            f"{max(2, pictures // 2)}"
        )
    return None


def _read(written: Path, dataset: Dataset) -> Labels:
    """The clusters that the run wrote."""
    try:
        found = read_written_labels(written)
    except OSError as error:
        raise UserError(f"{written} cannot be read ({error.strerror or error}); the run needs it") from error
    if set(found.of) != set(dataset.files):
        raise UserError(
            f"{written} is of other pictures than {dataset.source} holds now; give the run's own to go on, or "
            "start a new run"
        )
    return found


def _sheet(dataset: Dataset) -> np.ndarray:
    """Rows of pictures, one for each class with its name: (h, w, C) uint8."""
    assert dataset.labels is not None
    step = max(1, dataset.images.shape[1] // _CELL)
    rows = []
    for label in range(len(dataset.classes)):
        members = np.flatnonzero(dataset.labels == label)
        chosen = members[np.linspace(0, len(members) - 1, min(SHEET_COLUMNS, len(members))).astype(int)]
        row = np.full((SHEET_COLUMNS, *dataset.images[:1, ::step, ::step].shape[1:]), 255, np.uint8)
        row[: len(chosen)] = dataset.images[chosen][:, ::step, ::step]
        rows.append(row)
    return labelled_rows(np.concatenate(rows), dataset.classes, SHEET_COLUMNS)


def _listed(classes: Sequence[str] | None) -> str:
    if not classes:
        return "without classes"
    more = ", ..." if len(classes) > 5 else ""
    return f"with {len(classes)} classes ({', '.join(shown(name, 30) for name in classes[:5])}{more})"
