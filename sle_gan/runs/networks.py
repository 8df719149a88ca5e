"""The networks in a run's checkpoint: what they are follows from the run's settings, and is checked first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sle_gan import weights
from sle_gan.config import CHANNELS, TrainConfig
from sle_gan.gans import GANS
from sle_gan.kernels import arguments
from sle_gan.runs import checkpoints
from sle_gan.shapes import SQUARE, made_aspect
from sle_gan.weights import StoredNetwork

AVERAGED = "_ema"  # ends the name of a network that is the average of another


def open_networks(config: TrainConfig, file: Path) -> dict[str, StoredNetwork]:
    """The networks of a checkpoint by their names in `GAN.networks`, in the file's order; no array is read yet.

    Args:
        config: of the run.
        file: the checkpoint.

    Raises:
        UserError: if the file is damaged, or its kernels are not those of the run's networks. Settings that are not
            those of the weights would make networks of any size.
    """
    shapes: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in checkpoints.read_shapes(file).items():
        key, _, path = name.partition("/")
        if key not in ("optimizer", "buffer"):
            shapes.setdefault(key, {})[path] = shape
    known = GANS[config.model].checkpoint
    averages = {key: known[key.removesuffix(AVERAGED)] for key in shapes if key.removesuffix(AVERAGED) in known}
    for key, network in {**known, **averages}.items():
        weights.check_kernels(network, _architecture(network, config), shapes.get(key, {}), file)
    return {key: _stored(file, key, {**known, **averages}.get(key, ""), config) for key in shapes}


def _stored(file: Path, key: str, network: str, config: TrainConfig) -> StoredNetwork:
    prefix = f"{key}/"

    def read() -> dict[str, Any]:
        return {name.removeprefix(prefix): array for name, array in checkpoints.read(file, prefix)[1].items()}

    return StoredNetwork(file, network, _architecture(network, config) if network else {}, read)


def _architecture(network: str, config: TrainConfig) -> dict[str, Any]:
    """A network's constructor arguments as the settings of its run have them."""
    values: dict[str, Any] = {
        "output_resolution": config.resolution,
        "input_resolution": config.resolution,
        "channels": CHANNELS[config.channels],
        "attn_res_layers": list(getattr(config, "attention_sides", ())),
    }
    classes: dict[str, Any] = {
        "classes": list(config.class_names or ()),
        "class_pictures": list(config.class_pictures or ()),
        "class_count": config.class_count,
    }
    values |= classes
    found = {name: values[name] if name in values else getattr(config, name) for name in arguments(network)}
    if "aspect" in found:
        found |= {"aspect": made_aspect(found["aspect"])}
    # As the networks themselves state it: squares and no classes not at all.
    absent = {"aspect": SQUARE, **dict.fromkeys(classes)}
    return {name: value for name, value in found.items() if name not in absent or (value and value != absent[name])}
