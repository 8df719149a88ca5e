"""FastGAN checkpoints (PyTorch, layout of the authors' released code) -> our networks' variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan.convert.checkpoint import AdamState, Converted, TorchCheckpoint
from sle_gan.convert.state_dicts import named, plain_name, to_numpy, unwrapped
from sle_gan.convert.torch_reader import load_torch_file
from sle_gan.errors import UserError, shown
from sle_gan.gans.slegan import fastgan_names as names
from sle_gan.gans.slegan.fastgan_names import Module
from sle_gan.weights import Arrays

BETAS = (0.5, 0.999)  # of Adam, there and here
OURS = "sle_gan"  # the key under which our .pth files hold what FastGAN's have no place for
# The tensor that identifies a bare state dict of either network.
_MARKS = {"init.init.0.weight_orig": "g", "down_from_big.0.weight_orig": "d"}
_BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "weight_u", "weight_v")


class FastGANCheckpoint(TorchCheckpoint):
    """A checkpoint of FastGAN's released training script; see `read_fastgan`."""

    model = "slegan"
    average_key = "g_ema"
    keeps_raw_generator = "the raw generator 'g'; --run-folder keeps it"

    @property
    def description(self) -> str:
        sizes = self.sizes
        resolution = sizes.get("output_resolution", sizes.get("input_resolution"))
        latent = f", latent {sizes['latent']}" if "latent" in sizes else ""
        return f"FastGAN at {resolution} px, width {sizes['width']}{latent}"


def convert_fastgan(path: str | Path) -> dict[str, Converted]:
    """Reads the networks of a FastGAN checkpoint that are ready for use.

    Args:
        path: a .pth of FastGAN's training script, or a state dict of its generator.

    Returns:
        "generator", the averaged one where the file holds it, and "discriminator" if there is one. Each is a named
        tuple of `network`, the name of its class here; `architecture`, the arguments of that; and `arrays`, float32
        by the paths of its variables.

    Raises:
        UserError: if PyTorch is not installed (the extra `torch`), or the file is not such a checkpoint.

    Example:
        >>> import sle_gan
        >>> generator = sle_gan.convert_fastgan("fastgan_256.pth")["generator"]
        >>> generator.network, generator.architecture["output_resolution"]
        ('Generator', 256)
    """
    checkpoint = read_fastgan(path)
    if "generator" not in checkpoint.networks:
        raise UserError(f"{path} holds a discriminator and no generator")
    networks = {"generator": checkpoint.averaged}
    if "discriminator" in checkpoint.networks:
        networks["discriminator"] = checkpoint.networks["discriminator"]
    return networks


def read_fastgan(path: str | Path) -> FastGANCheckpoint:
    """Reads everything of a checkpoint.

    The released training script writes two: `N.pth` with `{'g', 'd'}`, g being the averaged generator, and
    `all_N.pth` with `g_ema` (a list of the averaged parameters), `opt_g` and `opt_d` (Adam) beside the raw g and
    d. A bare state dict of either network is taken too, and whatever is wrapped as `sle_gan.convert.state_dicts`
    knows it: in `{"state_dict": ...}`, with `module.` or `_orig_mod.` in its names, with the newer spectral norm.
    Width, latent size, resolution and channels follow from the shapes.

    Raises:
        UserError: if the file is not such a checkpoint, or holds NaN or Inf.
    """
    content, ignored = _with_networks(load_torch_file(path), path)
    networks, optimizers = {}, {}
    ignored += [f"'{shown(key)}'" for key in content if key not in ("g", "d", "g_ema", "opt_g", "opt_d", OURS)]
    try:
        for key, network, read_network in (("g", "generator", _generator), ("d", "discriminator", _discriminator)):
            if content.get(key) is None:
                continue
            state = _to_numpy(content[key])
            networks[network], modules = read_network(state)
            ignored += _unknown(key, state, modules)
            optimizer = content.get(f"opt_{key}")
            if optimizer is not None:
                adam, notes = _adam(optimizer, f"opt_{key}", state, modules)
                ignored += notes
                optimizers |= {network: adam} if adam else {}
            if key == "g" and content.get("g_ema") is not None:
                networks["generator_ema"] = _averaged(content, state, networks["generator"], modules)
    except KeyError as error:
        raise UserError(f"{path} is not a FastGAN checkpoint: it has no tensor {error.args[0]!r}") from error
    except (TypeError, ValueError, ArithmeticError, IndexError, AttributeError) as error:
        raise UserError(f"{path} is not a FastGAN checkpoint: {error}") from error
    for converted in networks.values():
        if converted.network == "Generator":
            converted.architecture["tanh"] = bool(_ours(content).get("tanh", converted.architecture["tanh"]))
        converted.check(path)
    return FastGANCheckpoint(networks, ignored, optimizers)


def _with_networks(content: Any, path: str | Path) -> tuple[Mapping[str, Any], list[str]]:
    """The content as a dict with `g` or `d`, a bare state dict under its key; and what was around it."""
    content, around = unwrapped(content, lambda names: not {"g", "d", *_MARKS}.isdisjoint(names))
    if isinstance(content, Mapping):
        if isinstance(content.get("g"), Mapping) or isinstance(content.get("d"), Mapping):
            return content, around
        plain = set(map(plain_name, map(str, content)))
        for tensor, key in _MARKS.items():
            if tensor in plain:
                return {key: content}, around
    found = [shown(key) for key in islice(content, 5)] if isinstance(content, Mapping) else [type(content).__name__]
    raise UserError(
        f"{path} is not a FastGAN checkpoint: expected the keys 'g' and 'd', found {', '.join(found) or 'nothing'}"
    )


def _ours(content: Mapping[str, Any]) -> Mapping[str, Any]:
    own = content.get(OURS)
    return own if isinstance(own, Mapping) else {}


def _to_numpy(state: Mapping[str, Any]) -> Arrays:
    state, _ = unwrapped(state, lambda names: not _MARKS.keys().isdisjoint(names))
    arrays = {name: to_numpy(name, tensor) for name, tensor in named(state).items()}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{shown(name)} holds NaN or Inf")
    return arrays


def _generator(state: Arrays) -> tuple[Converted, list[Module]]:
    resolution = max(size for size in names.RESOLUTIONS if size == 256 or f"feat_{size}.1.weight_orig" in state)
    latent, doubled = state["init.init.0.weight_orig"].shape[:2]
    architecture = {
        "output_resolution": resolution,
        "width": doubled // 32,
        "latent": latent,
        "channels": state["to_big.weight_orig"].shape[0],
        "tanh": resolution == 1024,  # the released code has no tanh at 256 and 512
    }
    _check(architecture)
    modules = names.modules_of("Generator", resolution)
    return Converted("Generator", architecture, names.to_ours(modules, state)), modules


def _discriminator(state: Arrays) -> tuple[Converted, list[Module]]:
    # The number of convolutions before down_4 and their stride's kernel tell 256, 512 and 1024 apart.
    if "down_from_big.2.weight_orig" in state:
        resolution = 1024
    else:
        resolution = {3: 256, 4: 512}[state["down_from_big.0.weight_orig"].shape[-1]]
    architecture = {
        "input_resolution": resolution,
        "width": state["rf_big.0.weight_orig"].shape[0] // 16,
        "channels": state["down_from_big.0.weight_orig"].shape[1],
    }
    _check(architecture)
    modules = names.modules_of("Discriminator", resolution)
    return Converted("Discriminator", architecture, names.to_ours(modules, state)), modules


def _check(architecture: Mapping[str, Any]) -> None:
    width, channels = architecture["width"], architecture["channels"]
    if width % 8 or not width or channels not in (1, 3, 4):
        raise ValueError(f"width {width} and {channels} channels; ours have a multiple of 8, and 1, 3 or 4")


def _unknown(key: str, state: Arrays, modules: list[Module]) -> list[str]:
    """Tensors that no layer of ours has; counters of batches are no weights and go without saying."""
    known = {f"{module.theirs}.{tensor.theirs}" for module in modules for tensor in module.tensors}
    unknown = [name for name in state if name not in known and not name.endswith("num_batches_tracked")]
    return [f"{len(unknown)} more tensors of {key!r}: {', '.join(map(shown, unknown[:3]))}"] if unknown else []


def _parameters(state: Arrays) -> list[str]:
    """The names of a network's parameters in PyTorch's order: the state dict's, less the buffers."""
    return [name for name in state if name.rpartition(".")[2] not in _BUFFERS]


def _listed(what: str, tensors: Sequence[Any], state: Arrays) -> dict[str, Any]:
    """A list of tensors, one for each parameter, under the parameters' names; only their shapes are looked at."""
    parameters = _parameters(state)
    if len(tensors) != len(parameters):
        raise ValueError(f"{what} holds {len(tensors)} tensors for {len(parameters)} parameters")
    for name, tensor in zip(parameters, tensors):
        if tuple(tensor.shape) != state[name].shape:
            raise ValueError(f"{what} holds {tuple(tensor.shape)} for {name}, whose shape is {state[name].shape}")
    return dict(zip(parameters, tensors))


def _averaged(content: Mapping[str, Any], state: Arrays, generator: Converted, modules: list[Module]) -> Converted:
    """The averaged parameters, with the raw generator's statistics: FastGAN averages no buffers."""
    ema = content["g_ema"]
    if isinstance(ema, Mapping):  # some descendants save a state dict
        return Converted(generator.network, dict(generator.architecture), names.to_ours(modules, _to_numpy(ema)))
    averaged = state | _to_numpy({**_listed("g_ema", ema, state), **_ours(content).get("g_ema_buffers", {})})
    return Converted(generator.network, dict(generator.architecture), names.to_ours(modules, averaged))


def _adam(
    saved: Mapping[str, Any], key: str, state: Arrays, modules: list[Module]
) -> tuple[AdamState | None, list[str]]:
    """The state dict of a torch.optim.Adam over a network's parameters, and what is not kept of it."""
    groups = saved["param_groups"]
    order = [index for group in groups for index in group["params"]]
    slots = [saved["state"].get(index, {}) for index in order]
    missing = sum("exp_avg" not in slot or "exp_avg_sq" not in slot for slot in slots)
    if missing:  # a moment of zero at a late step would make steps of many times the learning rate
        return None, [f"{key!r}: it has no moments for {missing} of {len(slots)} parameters; Adam starts anew"]
    moments = []
    for moment in ("exp_avg", "exp_avg_sq"):
        listed = _listed(f"{key} {moment}", [slot[moment] for slot in slots], state)
        # Not searched for NaN: they are the larger part of the file, and are only read where a run is made.
        arrays = {name: to_numpy(name, tensor) for name, tensor in listed.items()}
        moments.append(names.to_ours(modules, arrays, trained_only=True))
    notes = []
    betas = tuple(groups[0]["betas"])
    if betas != BETAS:
        notes.append(f"betas {betas} of {key!r}: ours are {BETAS}")
    return AdamState(max(int(slot["step"]) for slot in slots), float(groups[0]["lr"]), *moments), notes
