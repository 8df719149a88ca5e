"""The weights files of a run, which follow its checkpoints: a run may be killed between the two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from sle_gan import weights
from sle_gan.errors import UserError
from sle_gan.gans.base import GAN
from sle_gan.models.network import Network
from sle_gan.runs import checkpoints
from sle_gan.runs.checkpoints import CheckpointFolder
from sle_gan.runs.folder import RunFolder


def write_exports(gan: GAN, folder: RunFolder) -> None:
    """Writes every exported network. Raises OSError where that fails."""
    for name, network in gan.exports.items():
        network.save_weights(folder.path / name)


def renew_exports(gan: GAN, folder: RunFolder, saved: CheckpointFolder) -> list[Path]:
    """Writes those exports again that are missing, damaged or of another step than the checkpoint.

    Args:
        gan: in the state of the newest checkpoint.

    Returns:
        What was written.

    Raises:
        OSError: where that fails.
    """
    renewed = []
    for name, network in gan.exports.items():
        path = folder.path / name
        if not weights.holds(path, *_identity(network), weights.arrays_by_path(network)):
            network.save_weights(path)
            renewed.append(path)
    best = _best_arrays(gan, saved)
    identity = _identity(gan.generator_export)
    if best and not weights.holds(folder.best_generator, *identity, best):
        weights.save(folder.best_generator, *identity, best)
        renewed.append(folder.best_generator)
    return renewed


def _identity(network: Network) -> tuple[str, dict[str, Any]]:
    """What a weights file says of the network that it holds."""
    return type(network).__name__, network.architecture


def _best_arrays(gan: GAN, saved: CheckpointFolder) -> dict[str, np.ndarray] | None:
    """The exported generator's arrays in the checkpoint of the best step, if that is there and whole."""
    network = gan.generator_export
    prefix = next(key for key, each in gan.networks.items() if each is network) + "/"
    try:
        arrays = checkpoints.read(saved.best, prefix)[1]
    except UserError:
        return None
    found = {name.removeprefix(prefix): array for name, array in arrays.items()}
    shapes = {path: tuple(variable.shape) for path, variable in weights.variables_by_path(network).items()}
    return found if {path: array.shape for path, array in found.items()} == shapes else None
