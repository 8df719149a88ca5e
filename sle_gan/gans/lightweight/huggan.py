"""Lightweight GANs as huggan saves them (PyTorch, community-events/huggan/pytorch/lightweight_gan) -> ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sle_gan.convert.checkpoint import Converted, TorchCheckpoint
from sle_gan.convert.state_dicts import named, plain_name, to_numpy, unwrapped
from sle_gan.convert.torch_reader import load_torch_file
from sle_gan.errors import UserError, shown
from sle_gan.gans.lightweight import huggan_names as names
from sle_gan.gans.lightweight.widths import discriminator_widths, generator_widths
from sle_gan.storage.json_objects import read_config
from sle_gan.weights import Arrays

_LAYOUT = "a lightweight GAN of huggan's layout"
# Prefix of a network's tensors: our name for it. "D_aug.D." is a second name for the same discriminator.
_PREFIXES = {"GE.": "generator_ema", "G.": "generator", "D_aug.D.": "discriminator", "D.": "discriminator"}
# What config.json calls the facts that the shapes tell too.
_STATED = {"image_size": "resolution", "latent_dim": "latent", "disc_output_size": "disc_output_size"}
_EXPONENTS = (12, *range(8, 21))  # values of fmap_inverse_coef, the published one first


class LightweightCheckpoint(TorchCheckpoint):
    """A model.pt of huggan's lightweight GAN; see `read_lightweight`. The published code saves no optimizers."""

    model = "lightweight"
    average_key = "GE"
    keeps_raw_generator = "the raw generator 'G'; sle-gan train --init-from takes it"

    @property
    def description(self) -> str:
        sizes = self.sizes
        resolution = sizes.get("output_resolution", sizes.get("input_resolution"))
        latent = f", latent {sizes['latent']}" if "latent" in sizes else ""
        return f"lightweight GAN at {resolution} px, fmap_max {sizes['fmap_max']}{latent}"


def is_lightweight(content: Any) -> bool:
    """Whether the content of a PyTorch file is that of a lightweight GAN."""
    content, _ = unwrapped(content, _fits)
    return isinstance(content, Mapping) and _fits(map(plain_name, map(str, content)))


def _fits(names: Iterable[str]) -> bool:
    """Whether plain names are those of a lightweight GAN's tensors."""
    return any(
        name.startswith(tuple(_PREFIXES)) and ("initial_conv." in name or ".branches." in name) for name in names
    )


def read_lightweight(path: str | Path) -> LightweightCheckpoint:
    """Reads a model.pt, `{"GAN": state dict}`, or the state dict itself; weights may be stored in float16.

    All facts about the networks follow from the shapes. A config.json beside the file is compared with them, and
    says what no shape does: how wide a map could have been that is narrower, gates of a generator without any.

    Raises:
        UserError: if the file is no such checkpoint, holds NaN or Inf, or config.json is of another one.
    """
    path = Path(path)
    content, ignored = unwrapped(load_torch_file(path), _fits)
    stated = read_config(path.parent)
    stated = stated if "image_size" in stated else {}
    try:
        state = named(content) if isinstance(content, Mapping) else {}
        parts = _parts(state, ignored)
        facts = {key: _facts(key, part) for key, part in parts.items()}
        _complete(facts, stated)
        networks = {key: _convert(facts[key], parts[key], f"{path}: {key}") for key in parts}
    except KeyError as error:
        raise UserError(f"{path} is not {_LAYOUT}: it has no tensor {error.args[0]!r}") from error
    except (ValueError, IndexError) as error:
        raise UserError(f"{path} is not {_LAYOUT}: {error}") from error
    if not networks:
        found = [shown(name) for name in sorted(state)[:3]]
        raise UserError(f"{path} is not {_LAYOUT}: expected tensors G.*, GE.* or D.*, found {found}")
    _compare(facts.values(), stated, path)
    for converted in networks.values():
        converted.check(path)
    return LightweightCheckpoint(networks, ignored)


def _parts(state: Mapping[str, Any], ignored: list[str]) -> dict[str, Arrays]:
    """The tensors of each network; adds the names of those that are of none to `ignored`."""
    parts: dict[str, Arrays] = {}
    for key, tensor in state.items():
        prefix = next((prefix for prefix in _PREFIXES if key.startswith(prefix)), None)
        if prefix is None or not hasattr(tensor, "numpy"):
            ignored.append(f"'{shown(key)}'")
        elif not key.endswith("num_batches_tracked"):
            parts.setdefault(_PREFIXES[prefix], {})[key.removeprefix(prefix)] = to_numpy(key, tensor)
    return parts


class _Facts(NamedTuple):
    """What the shapes say of one network: its class, its arguments but for the width rule, its maps' widths."""

    network: str
    arguments: dict[str, Any]
    widths: list[int]


def _facts(key: str, state: Arrays) -> _Facts:
    return _discriminator(state) if key == "discriminator" else _generator(state)


def _generator(state: Arrays) -> _Facts:
    layers = names.count(state, "layers.{}.0.2.weight")
    arguments = {
        "output_resolution": 4 << layers,
        "latent": state["initial_conv.0.weight"].shape[0],
        "channels": state["out_conv.weight"].shape[0],
        "attn_res_layers": [4 << i for i in range(layers) if f"layers.{i}.2.norm.g" in state],
        "freq_chan_attn": any(name.endswith(".dct_weights") for name in state),
        "antialias": "layers.0.0.1.f" in state,
    }
    return _Facts(
        "LightweightGenerator", arguments, [state[f"layers.{i}.0.2.weight"].shape[0] // 2 for i in range(layers)]
    )


def _discriminator(state: Arrays) -> _Facts:
    stem = names.count(state, "non_residual_layers.{}.1.weight")
    blocks = names.count(state, "residual_layers.{}.0.branches.0.1.weight")
    first = 8 << blocks
    inputs = [state[f"residual_layers.{i}.0.branches.0.1.weight"].shape[1] for i in range(blocks)]
    arguments = {
        "input_resolution": first << stem,
        "channels": state["to_shape_disc_out.0.weight"].shape[1],
        "attn_res_layers": [first >> i for i in range(blocks) if f"residual_layers.{i}.1.norm.g" in state],
        "disc_output_size": 5 if "to_logits.0.weight" in state else 1,
        "antialias": "residual_layers.0.0.branches.0.0.f" in state,
    }
    widths = [*inputs, state[f"residual_layers.{blocks - 1}.0.branches.0.3.weight"].shape[0]]
    return _Facts("LightweightDiscriminator", arguments, widths)


def _complete(facts: Mapping[str, _Facts], stated: Mapping[str, Any]) -> None:
    """Adds what the networks of a file have in common to the arguments of each."""
    sides = {side for fact in facts.values() for side in fact.arguments["attn_res_layers"]}
    generators = [fact.arguments for fact in facts.values() if "freq_chan_attn" in fact.arguments]
    for arguments in generators:
        if arguments["output_resolution"] < 128:  # it has no gates that could tell
            arguments["freq_chan_attn"] = bool(stated.get("freq_chan_attn", False))
    rule = _width_rule(list(facts.values()), stated)
    for fact in facts.values():
        fact.arguments.update(rule, attn_res_layers=sorted(sides))


def _width_rule(facts: list[_Facts], stated: Mapping[str, Any]) -> dict[str, int]:
    """The fmap_max and fmap_inverse_coef with which all maps have the widths that they have."""
    widest = max((width for fact in facts for width in _ruled(fact)), default=0)
    limits = [stated["fmap_max"]] if type(stated.get("fmap_max")) is int else []
    # Only exponents of this range are tried: config.json is not trusted, and 2 to a large one takes all memory.
    exponents = sorted(_EXPONENTS, key=lambda exponent: exponent != stated.get("fmap_inverse_coef"))
    for limit in (*limits, widest):
        for exponent in exponents:
            rule = {"fmap_max": limit, "fmap_inverse_coef": exponent}
            if all(_widths(fact, rule) == fact.widths for fact in facts):
                return rule
    raise ValueError(f"no fmap_max and fmap_inverse_coef give maps of {[fact.widths for fact in facts]} channels")


def _ruled(fact: _Facts) -> list[int]:
    """The widths that follow the rule, and not the images' channels."""
    if "output_resolution" in fact.arguments:
        return fact.widths[:6]
    return fact.widths if fact.arguments["input_resolution"] > 256 else fact.widths[1:]


def _widths(fact: _Facts, rule: Mapping[str, int]) -> list[int]:
    arguments = fact.arguments
    if "output_resolution" in arguments:
        return generator_widths(arguments["output_resolution"], **rule)
    return discriminator_widths(arguments["input_resolution"], arguments["channels"], **rule)


def _convert(fact: _Facts, state: Arrays, what: str) -> Converted:
    tensors = {
        "LightweightGenerator": names.generator_tensors,
        "LightweightDiscriminator": names.discriminator_tensors,
    }[fact.network](state)
    left = {name for name in state if not name.endswith(".f")}  # what blurs is a constant
    arrays = {}
    for ours, theirs, transform in tensors:
        array = state[theirs]
        if not np.isfinite(array).all():
            raise ValueError(f"{shown(theirs)} holds NaN or Inf")
        arrays[ours] = np.ascontiguousarray(transform(array))
        left.discard(theirs)
    if left:
        raise UserError(f"{what} has the tensor {shown(min(left))}, which {_LAYOUT} has not")
    return Converted(fact.network, fact.arguments, arrays)


def _compare(facts: Iterable[_Facts], stated: Mapping[str, Any], path: Path) -> None:
    """Raises a UserError where config.json is of another model than the weights beside it."""
    for fact in facts:
        found = {**fact.arguments}
        found["resolution"] = found.get("output_resolution", found.get("input_resolution"))
        for theirs, ours in _STATED.items():
            if theirs in stated and ours in found and stated[theirs] != found[ours]:
                raise UserError(
                    f"{path.parent / 'config.json'} says {theirs} {shown(stated[theirs])}, but the weights in "
                    f"{path.name} are of {found[ours]}; one of the two files is another model's"
                )
