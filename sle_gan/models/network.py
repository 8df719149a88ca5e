"""What all our networks share: built in the constructor, and weights files that cannot load wrongly."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras

from sle_gan import engine, weights


class Network(keras.Model):
    """A `keras.Model` whose variables exist after construction and whose weights files are checked.

    Keras's own `load_weights` succeeds and loads nothing when the model is not built yet or when the
    file is of another kind; a file of another resolution may load in part. Here a file is compared with
    the network first, name by name and shape by shape, and nothing is assigned unless all of it fits.
    """

    def load_weights(self, filepath: str | Path, **kwargs: Any) -> None:  # type: ignore[override]
        """Loads a file written by `save_weights`, by a training run or by convert.

        Args:
            filepath: an .h5 file.

        Raises:
            UserError: if the file is missing, no weights file of ours, or of another architecture;
                the message names both.
        """
        if kwargs:
            raise TypeError(f"load_weights takes a file and nothing else; received {sorted(kwargs)}")
        name, architecture, arrays = weights.read(filepath)
        mine = weights.describe(type(self).__name__, self.architecture)
        theirs = weights.describe(name, architecture)
        complaint = f"{filepath} holds {theirs}, which does not fit {mine}"
        weights.assign(weights.variables_by_path(self), arrays, complaint)

    def save_weights(self, filepath: str | Path, **kwargs: Any) -> None:  # type: ignore[override]
        """Writes all variables and the architecture to an .h5 file, through a temporary name."""
        if kwargs.pop("overwrite", True) is False and Path(filepath).exists():
            raise FileExistsError(f"{filepath} exists; pass overwrite=True to replace it")
        if kwargs:
            raise TypeError(f"save_weights takes a file and overwrite; received {sorted(kwargs)}")
        weights.save(filepath, type(self).__name__, self.architecture, weights.arrays_by_path(self))

    @functools.cached_property
    def inference(self) -> Callable[..., Any]:
        """The forward pass with `training=False`, compiled once for every shape of inputs."""
        return engine.compile_inference(self)

    @property
    def layer_groups(self) -> list[list[keras.layers.Layer]]:
        """The layers in the order in which an image passes them, in groups; what freezing counts.

        Here each layer that has weights is a group of its own, in the order in which they were made.
        """
        return [[layer] for layer in self.layers if layer.weights]

    def adapted(self, arrays: Mapping[str, Any]) -> dict[str, Any]:
        """Arrays of another network of this kind, by path, as they can start this one; here they stay as they are."""
        return dict(arrays)

    @property
    def architecture(self) -> dict[str, Any]:
        """The arguments that make this network again, without Keras's own (name, dtype, trainable)."""
        config = self.get_config()
        return {key: value for key, value in config.items() if key not in ("name", "trainable", "dtype")}


def check_channels_and_resolution(channels: int, resolution: int) -> None:
    if resolution not in (64, 128, 256, 512, 1024):
        raise ValueError(f"the resolution must be 64, 128, 256, 512 or 1024; received {resolution!r}")
    if channels not in (1, 3, 4):
        raise ValueError(f"channels must be 1 (grey), 3 (RGB) or 4 (RGBA); received {channels!r}")
