"""Our networks -> a checkpoint that the authors' released PyTorch code loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan.convert.checkpoint import AdamState, Converted
from sle_gan.errors import UserError, shown
from sle_gan.gans.slegan import fastgan_names as names
from sle_gan.gans.slegan.fastgan_names import Module
from sle_gan.gans.slegan.from_fastgan import BETAS, OURS
from sle_gan.shapes import SQUARE
from sle_gan.storage.atomic import atomic_path
from sle_gan.weights import Arrays


def save_fastgan(
    path: str | Path, networks: Mapping[str, Converted], optimizers: Mapping[str, AdamState] | None = None
) -> list[str]:
    """Writes a .pth: `{'g', 'd'}`, and `g_ema`, `opt_g`, `opt_d` where they are given, as `all_N.pth` has them.

    Under "sle_gan" the file also holds what that format has no place for and its code passes over: whether the
    generator ends in a tanh, and the buffers (batch-norm statistics, singular vectors) of the averaged generator.

    Args:
        path: of the file.
        networks: "generator" and "discriminator", either or both; with the first, "generator_ema".
        optimizers: states of Adam by network.

    Returns:
        The keys that were written, less our own.

    Raises:
        UserError: if PyTorch is not installed, the resolution is not one of FastGAN's, or the file cannot
            be written.
    """
    try:
        import torch
    except ImportError as error:
        raise UserError(f"writing {path} needs PyTorch: pip install 'sle-gan[torch]'") from error
    try:
        content, own = _content(networks, optimizers or {})
    except UserError:
        raise
    except (KeyError, ValueError) as error:
        raise UserError(f"{path} was not written: the weights are not whole ({shown(error, 200)})") from error
    try:
        with atomic_path(path) as temporary:
            torch.save({**content, OURS: own}, temporary)
    except (OSError, RuntimeError) as error:
        raise UserError(f"{path} cannot be written: {error}") from error
    return list(content)


def _content(
    networks: Mapping[str, Converted], optimizers: Mapping[str, AdamState]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What FastGAN's code reads, and what it passes over; KeyError or ValueError if the weights are not whole."""
    content: dict[str, Any] = {}
    for key, name in (("g", "generator"), ("d", "discriminator")):
        if name in networks:
            modules = _modules(networks[name])
            adam = optimizers.get(name)
            content[key] = _tensors(_state(modules, networks[name].arrays, adam.step if adam else 0))
            if adam:
                content[f"opt_{key}"] = _optimizer(modules, adam)
    own: dict[str, Any] = {}
    if "generator" in networks:
        own["tanh"] = bool(networks["generator"].architecture["tanh"])
    if "generator_ema" in networks:
        modules, arrays = _modules(networks["generator_ema"]), networks["generator_ema"].arrays
        trained = names.to_theirs(modules, arrays, trained_only=True)
        content["g_ema"] = list(_tensors(trained).values())
        own["g_ema_buffers"] = _tensors({k: v for k, v in names.to_theirs(modules, arrays).items() if k not in trained})
    return content, own


def trained_paths(converted: Converted) -> list[str]:
    """The paths of the variables that Adam keeps moments of, in PyTorch's order."""
    return [f"{module.ours}/{t.ours}" for module in _modules(converted) for t in module.tensors if t.trained]


def _modules(converted: Converted) -> list[Module]:
    generator = converted.network == "Generator"
    resolution = converted.architecture["output_resolution" if generator else "input_resolution"]
    if resolution not in names.RESOLUTIONS:
        raise UserError(
            f"FastGAN's networks are for {', '.join(map(str, names.RESOLUTIONS))} pixels; this one is for {resolution}"
        )
    aspect = converted.architecture.get("aspect", SQUARE)
    if aspect != SQUARE:
        raise UserError(f"FastGAN's networks are for squares; this one is of the aspect {aspect}")
    if converted.architecture.get("classes") or converted.architecture.get("class_count"):
        raise UserError("FastGAN's networks know no classes, and these were taught some; there is no such checkpoint")
    return names.modules_of(converted.network, resolution)


def _state(modules: list[Module], arrays: Arrays, step: int) -> Arrays:
    """A state dict. Batches are counted as FastGAN's steps count them; nothing is computed from the counts.

    A step runs the generator and the decoders once, the discriminator's branches three times: on real
    pictures, on fakes, and for the generator.
    """
    state: Arrays = {}
    for module in modules:
        state |= names.to_theirs([module], arrays)
        if f"{module.theirs}.running_var" in state:
            once = module.theirs.startswith(("init", "feat_", "decoder_"))
            state[f"{module.theirs}.num_batches_tracked"] = np.array(step if once else 3 * step, np.int64)
    return state


def _tensors(arrays: Arrays) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _optimizer(modules: list[Module], adam: AdamState) -> dict[str, Any]:
    """The state dict of a torch.optim.Adam over the network's parameters."""
    import torch

    first, second = (_tensors(names.to_theirs(modules, m, trained_only=True)) for m in (adam.first, adam.second))
    parameters = [torch.nn.Parameter(torch.empty_like(moment)) for moment in first.values()]
    optimizer = torch.optim.Adam(parameters, lr=adam.learning_rate, betas=BETAS)
    for parameter, *moments in zip(parameters, first.values(), second.values()):
        step = torch.tensor(float(adam.step))
        optimizer.state[parameter] = dict(zip(("step", "exp_avg", "exp_avg_sq"), (step, *moments)))
    return optimizer.state_dict()
