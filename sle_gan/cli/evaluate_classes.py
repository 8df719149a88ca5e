"""The FID of each class: real pictures by their labels, generated ones by what the generator was asked for."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from sle_gan.cli.classes import classes_of
from sle_gan.data.labels import NONE, Labels, check_labels, read_labels
from sle_gan.errors import UserError, printable, shown

if TYPE_CHECKING:
    from sle_gan.metrics import FeatureStatistics
    from sle_gan.weights import StoredNetwork


class ClassScore(NamedTuple):
    """One class: its FID, None where a side has fewer than two pictures, and how many pictures each side has."""

    name: str
    fid: float | None
    real: int
    fake: int


def read(
    options: argparse.Namespace, metrics: Sequence[str], saved: Sequence[str], generator: StoredNetwork | None
) -> Labels | None:
    """The real pictures' classes, or None without --labels.

    Raises:
        UserError: where the sides have no classes, or others.
    """
    if options.labels in (None, NONE):
        return None
    what = f"--labels {printable(options.labels)}"
    check_labels(options.labels)
    if generator is None or not classes_of(generator):
        raise UserError(f"{what}: --fake {options.fake} is no generator that was taught classes; leave it out")
    if options.real in saved:
        raise UserError(f"{what}: {options.real} holds statistics, which know no classes; give the pictures")
    if "fid" not in metrics:
        raise UserError(f"{what} gives the fid of each class, which is not among the metrics {','.join(metrics)}")
    from sle_gan.data import open_source

    labels = read_labels(options.labels, open_source(options.real, options.image_column))
    if labels.classes != classes_of(generator):
        raise UserError(
            f"{what}: the classes are {_few(labels.classes)}, and those of {generator.source} "
            f"{_few(classes_of(generator))}; give the labels that it was trained with"
        )
    return labels


def _few(names: Sequence[str]) -> str:
    return f"{len(names)} ({', '.join(shown(name, 30) for name in names[:4])}{', ...' if len(names) > 4 else ''})"


def score(
    real: FeatureStatistics, fake: FeatureStatistics, labels: Labels, names: Sequence[str], asked: Sequence[int]
) -> list[ClassScore]:
    """The FID of each class.

    Args:
        real, fake: with the features of every picture.
        names: of the real pictures, in the order of their features.
        asked: the class of each generated picture.
    """
    import numpy as np

    from sle_gan.metrics.frechet import frechet_distance

    if real.features is None or fake.features is None:
        raise ValueError("the features of every picture are needed")
    of_real, of_fake = np.array([labels.of[name] for name in names]), np.array(asked)
    scores = []
    for label, name in enumerate(labels.classes):
        ours, theirs = real.features[of_real == label], fake.features[of_fake == label]
        enough = min(len(ours), len(theirs)) >= 2
        scores.append(ClassScore(name, frechet_distance(ours, theirs) if enough else None, len(ours), len(theirs)))
    return scores


def formatted(scores: Sequence[ClassScore]) -> str:
    """A line for each class."""
    width = max(5, *(len(shown(each.name, 40)) for each in scores))
    lines = [f"{'class':<{width}}  {'fid':>10}  {'real':>6}  {'generated':>9}"]
    for name, fid, real, fake in scores:
        number = "too few" if fid is None else f"{fid:.3f}"
        lines.append(f"{shown(name, 40):<{width}}  {number:>10}  {real:>6,}  {fake:>9,}")
    return "\n".join(lines)


def warning(scores: Sequence[ClassScore], dimension: int) -> str:
    """What numbers of so few pictures do not say."""
    fewest = min(min(each.real, each.fake) for each in scores)
    return (
        f"the classes' FID are of as few as {fewest} pictures and {dimension} features each: biased upwards; compare "
        "one class's with runs of the same counts, not with other classes' or with that of all"
    )


def to_json(scores: Sequence[ClassScore]) -> dict[str, Any]:
    """By name: fid, and the pictures of both sides."""
    return {each.name: {"fid": each.fid, "real": each.real, "fake": each.fake} for each in scores}
