"""CycleGAN networks as huggan saves them (PyTorch, community-events/huggan/pytorch/cyclegan) -> ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan.convert.checkpoint import Converted
from sle_gan.convert.state_dicts import named, plain_name, to_numpy, unwrapped
from sle_gan.convert.torch_reader import load_torch_file
from sle_gan.errors import UserError, shown
from sle_gan.weights import Arrays

# What a hub folder holds; a repository's own name for it is tried in this order.
HUB_FILES = ("pytorch_model.bin", "model.pt")


def convert_cyclegan(path: str | Path) -> Converted:
    """Reads a generator or a discriminator: a state dict file, or a hub folder with one.

    Blocks, width and channels follow from the shapes. The biases of convolutions that instance norm follows
    are left out: it subtracts them again. The layout pads 7x7 convolutions by the number of channels, which
    keeps the images' size for three channels alone; ours pads by 3 always.

    Raises:
        UserError: if the file is no such network.
    """
    file = _weights_file(Path(path))
    state, _ = unwrapped(load_torch_file(file), _fits)
    if not isinstance(state, Mapping):
        raise UserError(f"{file} is no state dict of tensors; expected a CycleGAN network as huggan saves it")
    try:
        arrays = {name: to_numpy(name, tensor) for name, tensor in named(state).items()}
    except ValueError as error:
        raise UserError(f"{file} is no CycleGAN network as huggan saves it: {error}") from error
    if "model.1.weight" in arrays:
        name, architecture, modules = _generator(arrays, file)
    elif "model.0.weight" in arrays:
        name, architecture, modules = _discriminator(arrays, file)
    else:
        raise UserError(
            f"{file} is no CycleGAN network of huggan's layout: expected model.1.weight (generator) or "
            f"model.0.weight (discriminator), found {', '.join(map(shown, sorted(arrays)[:3])) or 'nothing'}"
        )
    converted: Arrays = {}
    for ours, theirs, bias in modules:
        converted[f"{ours}/kernel"] = np.ascontiguousarray(
            _take(arrays, f"{theirs}.weight", 4, file).transpose(2, 3, 1, 0)
        )
        if bias:
            converted[f"{ours}/bias"] = _take(arrays, f"{theirs}.bias", 1, file)
        arrays.pop(f"{theirs}.weight")
        arrays.pop(f"{theirs}.bias", None)
    if arrays:
        raise UserError(f"{file} has the tensor {shown(min(arrays))}, which no CycleGAN network of huggan's layout has")
    network = Converted(name, architecture, converted)
    network.check(file)
    return network


def is_cyclegan_file(path: str | Path) -> bool:
    """Whether a PyTorch file holds one network of a CycleGAN. Raises a UserError as `load_torch_file`."""
    content, _ = unwrapped(load_torch_file(path), _fits)
    return isinstance(content, Mapping) and _fits(map(plain_name, map(str, content)))


def _fits(names: Iterable[str]) -> bool:
    """Whether plain names are those of a CycleGAN network's tensors."""
    return not {"model.0.weight", "model.1.weight"}.isdisjoint(names)


def _weights_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = next((path / name for name in HUB_FILES if (path / name).is_file()), None)
    if found is None:
        raise UserError(f"{path} holds no {' and no '.join(HUB_FILES)}; expected a downloaded CycleGAN repository")
    return found


Modules = Iterator[tuple[str, str, bool]]


def _generator(arrays: Arrays, file: Path) -> tuple[str, dict[str, Any], Modules]:
    width, channels = _take(arrays, "model.1.weight", 4, file).shape[:2]
    numbers = {int(match[1]) for key in arrays if (match := re.match(r"model\.(\d+)\.block\.", key))}
    blocks = len(numbers)

    def modules() -> Modules:
        yield "from_image", "model.1", False
        yield from (("down_1", "model.4", False), ("down_2", "model.7", False))
        for block in range(blocks):
            yield f"block_{block + 1}/conv_1", f"model.{10 + block}.block.1", False
            yield f"block_{block + 1}/conv_2", f"model.{10 + block}.block.5", False
        # Upsampling has a module of its own before each of these.
        yield "up_1", f"model.{11 + blocks}", False
        yield "up_0", f"model.{15 + blocks}", False
        yield "to_image", f"model.{19 + blocks}", True

    return "ResNetGenerator", {"blocks": blocks, "width": width, "channels": channels}, modules()


def _discriminator(arrays: Arrays, file: Path) -> tuple[str, dict[str, Any], Modules]:
    width, channels = _take(arrays, "model.0.weight", 4, file).shape[:2]

    def modules() -> Modules:
        yield "from_image", "model.0", True
        yield from ((f"down_{i}", f"model.{3 * i - 1}", False) for i in (1, 2, 3))
        yield "to_logits", "model.12", True

    return "PatchDiscriminator", {"width": width, "channels": channels}, modules()


def _take(arrays: Arrays, key: str, axes: int, file: Path) -> np.ndarray:
    array = arrays.get(key)
    if array is None or array.ndim != axes:
        found = "missing" if array is None else f"of shape {array.shape}"
        raise UserError(f"{file} is no CycleGAN network of huggan's layout: {key} is {found}, expected {axes} axes")
    return array
