"""Transfer learning: a run that starts from another model's weights, with layers that stay as they are.

Whatever layers have the same path and shapes are loaded, so that a model also starts another one of another
resolution. A generator's first layer is cut or continued where only the aspect differs (`Generator.adapted`).
Freezing the discriminator's layers nearest to the image is FreezeD (arXiv 2002.10964).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from sle_gan import weights
from sle_gan.config import CHANNELS, TrainConfig
from sle_gan.config.base import NETWORKS
from sle_gan.errors import UserError, counted
from sle_gan.gans import GANS, find_network
from sle_gan.hub import open_model
from sle_gan.runs.networks import AVERAGED
from sle_gan.weights import Arrays

if TYPE_CHECKING:
    from sle_gan.gans.base import GAN
    from sle_gan.models.network import Network


class Part(NamedTuple):
    """One network of a source: where it is from, its class ("" where that is not known), its arrays by path."""

    name: str
    network: str
    arrays: Arrays


class Source(NamedTuple):
    """A model to start from.

    Attributes:
        name: as the user gave it.
        model: name of the GAN, where the source says it.
        settings: of the networks, as fields of that GAN's configuration.
        parts: its networks; a part's name is that of a network in `GAN.networks` or of an export.
    """

    name: str
    model: str | None
    settings: dict[str, Any]
    parts: list[Part]


class Loaded(NamedTuple):
    """What was loaded of one network: how many layers of how many, the others' names, and those of unused layers.

    adapted: names of loaded layers that were cut or continued to another shape.
    """

    network: str
    loaded: int
    total: int
    new: list[str]
    unused: list[str]
    adapted: Sequence[str] = ()

    def __str__(self) -> str:
        if self.total and not self.loaded:
            return f"{self.network}: none of {counted(self.total, 'layer')}, it starts anew"
        text = f"{self.network}: {self.loaded} of {counted(self.total, 'layer')}"
        text += f"; cut or continued to this shape: {', '.join(self.adapted)}" if self.adapted else ""
        text += f"; new: {', '.join(self.new)}" if self.new else ""
        return text + (f"; without a place here: {', '.join(self.unused)}" if self.unused else "")


def source_settings(init_from: str, model: str | None) -> tuple[str | None, dict[str, Any]]:
    """The GAN and the settings of its networks that a source brings along; starts no backend.

    Raises:
        UserError: if there is no such source, or it is of another GAN than `model`.
    """
    source = read_source(init_from, settings_only=True)
    if model and source.model and model != source.model:
        raise UserError(
            f"--init-from {init_from} is a model of {source.model}, but --model is {model}; "
            f"leave --model out, or give a source that was trained with --model {model}"
        )
    return source.model, source.settings


def read_source(init_from: str, settings_only: bool = False) -> Source:
    """Reads a model; see `sle_gan.hub.open_model`.

    Args:
        settings_only: leave out the arrays, which are most of the work.

    Raises:
        UserError: if it is none.
    """
    model = open_model(init_from, "--init-from")
    stored = model.networks
    if model.run:
        gan, settings = model.run[0].model, _of_networks(model.run[0])
    else:
        gan, settings = model.torch.model if model.torch else None, {}
        for network in stored.values():
            settings |= _settings(network.architecture)
            owner = find_network(network.network)
            gan = owner if owner and GANS[owner].owns_weights else gan
    parts = [Part(key, each.network, {} if settings_only else each.read()) for key, each in stored.items()]
    return Source(init_from, gan, settings, parts)


def _of_networks(config: TrainConfig) -> dict[str, Any]:
    """The settings that the networks follow from; weights to start from are none."""
    return {
        field.name: getattr(config, field.name)
        for field in dataclasses.fields(config)
        if field.metadata.get("group") == NETWORKS
        and field.metadata.get("fixed")
        and field.name != "init_from"
        and not field.name.endswith("_weights")
    }


_OF_THE_PICTURES = ("classes", "class_pictures", "class_count")  # a run has those of its own --labels


def _settings(architecture: Mapping[str, Any]) -> dict[str, Any]:
    """A network's constructor arguments under the names that settings have."""
    names = {"output_resolution": "resolution", "input_resolution": "resolution"}
    settings = {names.get(name, name): value for name, value in architecture.items() if name not in _OF_THE_PICTURES}
    settings = {
        name: ",".join(map(str, value)) if isinstance(value, list) else value for name, value in settings.items()
    }
    channels: dict[Any, str] = {count: name for name, count in CHANNELS.items()}
    if settings.get("channels") in channels:
        settings["channels"] = channels[settings["channels"]]
    return settings


def start_from(gan: GAN, source: Source) -> list[Loaded]:
    """Loads all layers whose variables the source has, by path and shape; an average starts as its network does.

    Returns:
        What became of each network of the GAN, then of each part of the source that it has no network for.

    Raises:
        UserError: if nothing with a kernel fits, or a weights file could be of more than one network.
    """
    keys = [_key(gan, part, source.name) for part in source.parts]
    found = {key: part.arrays for key, part in zip(keys, source.parts) if key}
    loaded = []
    for key, network in gan.networks.items():
        twin = key.removesuffix(AVERAGED) if key.endswith(AVERAGED) else key + AVERAGED
        loaded.append(_load(key, network, found.get(key, found.get(twin, {}))))
    if not any(one.loaded for one in loaded):
        raise UserError(
            f"--init-from {source.name}: none of its layers fits this run; its networks have "
            f"{_listing(source.settings)}, those of the run {_listing(_of_networks(gan.config))}"
        )
    strange = [part for key, part in zip(keys, source.parts) if not key]
    return loaded + [Loaded(part.name, 0, 0, [], _blocks(_layers(part.arrays), [])) for part in strange]


def _listing(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "settings that it does not tell"


def _key(gan: GAN, part: Part, source: str) -> str | None:
    """Which of the GAN's networks a part is for."""
    if part.name in gan.networks:
        return part.name
    exported = gan.exports.get(part.name)
    if exported is not None:
        return next(key for key, network in gan.networks.items() if network is exported)
    same = [key for key, network in gan.trained.items() if type(network).__name__ == part.network]
    if len(same) > 1:
        names = ", ".join(gan.exports)
        raise UserError(f"--init-from {source}: {part.name} could be any of {', '.join(same)}; name it one of {names}")
    return same[0] if same else None


def _load(key: str, network: Network, arrays: Arrays) -> Loaded:
    stored, arrays = arrays, network.adapted(arrays)
    layers: dict[str, dict[str, Any]] = {}
    for path, variable in weights.variables_by_path(network).items():
        layers.setdefault(path.rpartition("/")[0], {})[path] = variable
    fitting = {
        layer: variables
        for layer, variables in layers.items()
        if all(path in arrays and arrays[path].shape == tuple(v.shape) for path, v in variables.items())
    }
    if not any(len(v.shape) > 1 for variables in fitting.values() for v in variables.values()):
        fitting = {}  # a few scalars and vectors of another architecture
    for variables in fitting.values():
        for path, variable in variables.items():
            variable.assign(arrays[path])
    adapted = sorted(_layers(path for path in stored if stored[path].shape != arrays[path].shape) & fitting.keys())
    new, unused = _blocks(layers, fitting), _blocks(_layers(arrays), fitting)
    return Loaded(key, len(fitting), len(layers), new, unused, adapted)


def _layers(paths: Iterable[str]) -> set[str]:
    return {path.rpartition("/")[0] for path in paths}


def _blocks(layers: Iterable[str], fitting: Iterable[str]) -> list[str]:
    """The layers that are not fitting; in place of those of a block without any fitting one, the block."""
    blocks = {prefix for layer in fitting for prefix in _prefixes(layer)}
    rest = set(layers) - set(fitting)
    return sorted({next(prefix for prefix in _prefixes(layer) if prefix not in blocks) for layer in rest})


def _prefixes(layer: str) -> list[str]:
    """ "a/b/c" -> "a", "a/b", "a/b/c"."""
    parts = layer.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def freeze_discriminators(gan: GAN, count: int, loaded: Sequence[Loaded] = ()) -> list[str]:
    """Makes the first `count` groups of `Network.layer_groups` of every discriminator constants; returns their names.

    Their weights, batch-norm statistics and singular vectors stay as they are, bit for bit. What the optimizer
    keeps of them stays zero, so that a checkpoint also fits when other layers are frozen, or none.

    Args:
        loaded: what `start_from` said, if the run starts now.

    Raises:
        UserError: if there are not that many, or one of them was not loaded.
    """
    new = {one.network: one.new for one in loaded}
    frozen = []
    for key, network in gan.trained.items():
        if not key.startswith("discriminator"):
            continue
        groups = network.layer_groups
        if count > len(groups):
            raise UserError(
                f"--freeze-discriminator-layers is {count}; expected at most {len(groups)} with this discriminator"
            )
        for layer in chain.from_iterable(groups[:count]):
            if any(name.partition("/")[0] == layer.name for name in new.get(key, ())):
                raise UserError(
                    f"--freeze-discriminator-layers {count} would freeze {layer.name}, which --init-from did not load"
                )
            layer.trainable = False
            frozen.append(layer.name)
    return frozen
