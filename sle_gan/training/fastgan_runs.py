"""FastGAN's checkpoints -> runs that are resumed here, and runs -> what a FastGAN checkpoint is written from."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from sle_gan.config import CHANNELS
from sle_gan.convert.checkpoint import AdamState, Converted
from sle_gan.errors import UserError, shown
from sle_gan.gans.slegan.config import SLEGANConfig
from sle_gan.gans.slegan.from_fastgan import FastGANCheckpoint
from sle_gan.gans.slegan.to_fastgan import trained_paths
from sle_gan.hub import Model, open_model
from sle_gan.runs import checkpoints
from sle_gan.runs.folder import RunFolder, check_new

# What the released training script uses and does not save. Its reconstruction loss is LPIPS, which we have not.
_AS_RELEASED: dict[str, Any] = {
    "batch_size": 8,
    "ema_decay": 0.999,
    "diff_augment": True,
    "augment_policy": "color,translation",
    "crop": "random",
}


class Exported(NamedTuple):
    """Contents of a FastGAN checkpoint; without optimizers where the source is no run."""

    networks: dict[str, Converted]
    optimizers: dict[str, AdamState]


def import_run(checkpoint: FastGANCheckpoint, folder: Path, source: str) -> tuple[SLEGANConfig, int]:
    """Makes a run folder that `--resume` goes on with: networks, average, both Adam states and the step.

    Without `g_ema` the average starts as the generator; without `opt_g` or `opt_d` that Adam starts anew.

    Args:
        checkpoint: of `read_fastgan`.
        folder: of the run, which must not exist.
        source: what the checkpoint is called in messages.

    Returns:
        The run's settings, and how many steps are done.

    Raises:
        UserError: if a network is missing, the two do not go together, or the folder cannot be made.
    """
    config = _config(checkpoint, folder, source)
    check_new(config, override=False)
    from sle_gan.models.building import build_network  # starts a backend; `read_exported` needs none

    exports = {
        "generator_weights.h5": build_network(checkpoint.averaged.stored(source)),
        "discriminator_weights.h5": build_network(checkpoint.networks["discriminator"].stored(source)),
    }
    step = max((adam.step for adam in checkpoint.optimizers.values()), default=0)
    with RunFolder.create(config, override=False) as run:
        try:
            for name in list(exports):
                exports.pop(name).save_weights(run.path / name)
            target = checkpoints.path_of(run.checkpoints, step)
            bar = tqdm(_state(checkpoint), desc="checkpoint", unit=" arrays", delay=2, leave=False)
            checkpoints.write(target, bar, {"step": step, "data": None, "best": None})
        except (FloatingPointError, OSError) as error:
            shutil.rmtree(run.path)
            raise UserError(f"{source} could not be made the run {folder}: {error}") from error
    return config, step


def _config(checkpoint: FastGANCheckpoint, folder: Path, source: str) -> SLEGANConfig:
    networks = checkpoint.networks
    if not {"generator", "discriminator"} <= networks.keys():
        raise UserError(f"{source} holds the {' and '.join(networks)} alone; a run needs both networks")
    generator, discriminator = (networks[key].architecture for key in ("generator", "discriminator"))
    channels = {count: name for name, count in CHANNELS.items()}
    pairs = {
        "resolution": (generator["output_resolution"], discriminator["input_resolution"]),
        "width": (generator["width"], discriminator["width"]),
        "channels": (generator["channels"], discriminator["channels"]),
    }
    for name, (one, other) in pairs.items():
        if one != other:
            raise UserError(
                f"the networks of {source} have the {name} {one} and {other}, and a run has one for both; "
                "convert them to weights files with --output-folder"
            )
    rates = {
        f"{key[0].upper()}_learning_rate": checkpoint.optimizers[key].learning_rate for key in checkpoint.optimizers
    }
    return SLEGANConfig(
        name=folder.name,
        output_folder=str(folder.parent),
        resolution=generator["output_resolution"],
        channels=channels[generator["channels"]],  # type: ignore[arg-type]
        width=generator["width"],
        latent=generator["latent"],
        tanh=generator["tanh"],
        **rates,
        **_AS_RELEASED,
    ).validated()


def _state(checkpoint: FastGANCheckpoint) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of the run's checkpoint by the names that `GAN.state` gives them."""
    networks = {**checkpoint.networks, "generator_ema": checkpoint.averaged}
    for key, network in networks.items():
        yield from ((f"{key}/{path}", array) for path, array in network.arrays.items())
    for key in ("generator", "discriminator"):
        adam = checkpoint.optimizers.get(key)
        yield f"optimizer/{key}/iteration", np.array(adam.step if adam else 0, np.int64)
        for path in trained_paths(networks[key]):
            zero = np.zeros_like(networks[key].arrays[path])
            slot = f"optimizer/{key}/{_slot(key, path)}"
            yield f"{slot}_momentum", adam.first[path] if adam else zero
            yield f"{slot}_velocity", adam.second[path] if adam else zero


def _slot(key: str, path: str) -> str:
    """The name that Keras gives the moments of a variable in Adam, without the moment's own name."""
    return f"{key}_{path.replace('/', '_')}"


def read_exported(reference: str | Path) -> Exported:
    """Reads what `save_fastgan` writes.

    Args:
        reference: a run or one of its checkpoints (networks, average, optimizers); or another model, see
            `sle_gan.hub.open_model` (networks; the optimizers of a FastGAN checkpoint too).

    Raises:
        UserError: if it is none, or of another GAN.
    """
    model = open_model(reference, "--input")
    if model.run and not isinstance(model.run[0], SLEGANConfig):
        raise UserError(
            f"{model.name} was trained with --model {model.run[0].model}; FastGAN's networks are those of slegan"
        )
    networks = {}
    for key, stored in model.networks.items():
        if stored.network not in ("Generator", "Discriminator"):
            raise UserError(f"{stored.source} holds {stored}, which FastGAN has not; expected weights of SLE-GAN")
        name = key if model.run or model.torch else stored.network.lower()
        networks[name] = Converted(stored.network, stored.architecture, dict(stored.read()))
    return Exported(networks, _optimizers(model, networks))


def _optimizers(model: Model, networks: dict[str, Converted]) -> dict[str, AdamState]:
    if model.torch:
        return model.torch.optimizers
    if not model.run:
        return {}
    config, file = model.run
    _, arrays = checkpoints.read(file, "optimizer/")
    rates = {"generator": config.G_learning_rate, "discriminator": config.D_learning_rate}  # type: ignore[attr-defined]
    try:
        return {key: _adam(arrays, key, networks[key], rate) for key, rate in rates.items()}
    except (KeyError, TypeError) as error:
        raise UserError(f"the checkpoint of {model.name} has no whole state of Adam: {shown(error)}") from error


def _adam(arrays: dict[str, np.ndarray], key: str, network: Converted, rate: float) -> AdamState:
    # With a loss scale Keras puts one optimizer into another: the last part of a name tells what it is.
    slots = {name.rpartition("/")[2]: array for name, array in _below(arrays, f"optimizer/{key}/").items()}
    paths = trained_paths(network)
    first, second = ({p: slots[f"{_slot(key, p)}_{m}"] for p in paths} for m in ("momentum", "velocity"))
    return AdamState(int(slots["iteration"]), rate, first, second)


def _below(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
