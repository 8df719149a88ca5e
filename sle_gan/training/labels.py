"""The classes of a run, which follow from its pictures' labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sle_gan.config import TrainConfig
from sle_gan.data import Dataset
from sle_gan.errors import UserError, shown


def with_classes(config: TrainConfig, datasets: Sequence[Dataset], started: bool) -> TrainConfig:
    """The settings with the classes of the pictures.

    Args:
        started: the run has a checkpoint; its networks, and the order of their classes, follow from its own classes.

    Raises:
        UserError: if a run that has started learned others.
    """
    first = datasets[0]
    names = first.classes or None
    if started and config.class_names != names:
        raise UserError(
            f"{config.run_folder} was trained {_listed(config.class_names)}, and the pictures are now "
            f"{_listed(names)}; give the same labels to go on, or start a new run"
        )
    pictures = None if first.labels is None else tuple(np.bincount(first.labels, minlength=len(names or ())).tolist())
    return dataclasses.replace(config, class_names=names, class_pictures=pictures)


def _listed(classes: Sequence[str] | None) -> str:
    if not classes:
        return "without classes"
    more = ", ..." if len(classes) > 5 else ""
    return f"with {len(classes)} classes ({', '.join(shown(name, 30) for name in classes[:5])}{more})"
