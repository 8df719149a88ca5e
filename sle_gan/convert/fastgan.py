"""FastGAN checkpoints (PyTorch, layout of the authors' released code) -> our networks' variables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sle_gan.convert.torch_reader import load_torch_file
from sle_gan.errors import UserError

Arrays = dict[str, np.ndarray]

# Generator and decoders: positions of the modules within an up block, long and short form.
_COMPOSED_UP = {"up": 1, "noise": 2, "norm": 3, "conv_2": 5, "noise_2": 6, "norm_2": 7}
_PLAIN_UP = {"up": 1, "norm": 2}
_COMPOSED_SIZES = (8, 32, 128, 512)
_GENERATOR_EXCITATIONS = (64, 128, 256, 512)
# Discriminator: their names count how often the map was halved, ours say how large it is.
_DOWN = {128: "down_4", 64: "down_8", 32: "down_16", 16: "down_32", 8: "down_64"}
_DISCRIMINATOR_EXCITATIONS = {32: "se_2_16", 16: "se_4_32", 8: "se_8_64"}
_SMALL = {32: 2, 16: 3, 8: 4}
_DECODERS = {"full": "decoder_big", "small": "decoder_small", "part": "decoder_part"}


class Converted(NamedTuple):
    """One network read from a checkpoint: its class name, constructor arguments, arrays by path."""

    network: str
    architecture: dict[str, Any]
    arrays: Arrays


def is_torch_file(path: str | Path) -> bool:
    """Whether the file's name says that PyTorch wrote it."""
    return Path(path).suffix in (".pth", ".pt", ".bin", ".ckpt")


def convert_fastgan(path: str | Path) -> dict[str, Converted]:
    """Reads a checkpoint `{'g': state_dict, 'd': state_dict}`, with or without `module.` prefixes.

    Width, latent size and resolution follow from the shapes.

    Returns:
        "generator" and, where the file holds one, "discriminator".

    Raises:
        UserError: if the file is not such a checkpoint.
    """
    checkpoint = load_torch_file(path)
    if not isinstance(checkpoint, Mapping) or not isinstance(checkpoint.get("g"), Mapping):
        found = sorted(map(str, checkpoint))[:5] if isinstance(checkpoint, Mapping) else type(checkpoint).__name__
        raise UserError(f"{path} is not a FastGAN checkpoint: expected the keys 'g' and 'd', found {found}")
    converted = {}
    try:
        converted["generator"] = _generator(_to_numpy(checkpoint["g"]))
        if isinstance(checkpoint.get("d"), Mapping):
            converted["discriminator"] = _discriminator(_to_numpy(checkpoint["d"]))
    except KeyError as error:
        raise UserError(f"{path} is not a FastGAN checkpoint: it has no tensor {error.args[0]!r}") from error
    return converted


def _to_numpy(state: Mapping[str, Any]) -> Arrays:
    return {key.removeprefix("module."): tensor.float().numpy() for key, tensor in state.items()}


def _generator(state: Arrays) -> Converted:
    resolution = max(size for size in (256, 512, 1024) if size == 256 or f"feat_{size}.1.weight_orig" in state)
    latent, doubled = state["init.init.0.weight_orig"].shape[:2]
    architecture = {
        "output_resolution": resolution,
        "width": doubled // 32,
        "latent": latent,
        "channels": state["to_big.weight_orig"].shape[0],
        "tanh": resolution == 1024,  # the released code has no tanh at 256 and 512
    }
    arrays: Arrays = {}
    for ours, theirs in _generator_names(resolution):
        arrays.update(_module(state, ours, theirs))
    return Converted("Generator", architecture, arrays)


def _generator_names(resolution: int) -> Iterator[tuple[str, str]]:
    yield "project", "init.init.0"
    yield "norm", "init.init.1"
    for size in (8, 16, 32, 64, 128, 256, 512, 1024):
        if size <= resolution:
            modules = _COMPOSED_UP if size in _COMPOSED_SIZES else _PLAIN_UP
            yield from ((f"up_{size}/{ours}", f"feat_{size}.{index}") for ours, index in modules.items())
    for size in _GENERATOR_EXCITATIONS:
        if size <= resolution:
            yield from _excitation(size, f"se_{size}")
    yield "to_image", "to_big"
    yield "to_small_image", "to_128"


def _discriminator(state: Arrays) -> Converted:
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
    arrays: Arrays = {}
    for ours, theirs in _discriminator_names(resolution):
        arrays.update(_module(state, ours, theirs))
    return Converted("Discriminator", architecture, arrays)


def _discriminator_names(resolution: int) -> Iterator[tuple[str, str]]:
    yield "stem_1/conv", "down_from_big.0"
    if resolution == 1024:
        yield from (("stem_2/conv", "down_from_big.2"), ("stem_2/norm", "down_from_big.3"))
    for size, name in _DOWN.items():
        for block, (conv, norm) in {
            "down": ("main.0", "main.1"),
            "conv": ("main.3", "main.4"),
            "direct": ("direct.1", "direct.2"),
        }.items():
            yield f"down_{size}/{block}/conv", f"{name}.{conv}"
            yield f"down_{size}/{block}/norm", f"{name}.{norm}"
    for size, name in _DISCRIMINATOR_EXCITATIONS.items():
        yield from _excitation(size, name)
    yield from (("head/conv", "rf_big.0"), ("head/norm", "rf_big.1"), ("to_logits", "rf_big.3"))
    yield "small_64/conv", "down_from_small.0"
    for size, index in _SMALL.items():
        yield f"small_{size}/conv", f"down_from_small.{index}.main.0"
        yield f"small_{size}/norm", f"down_from_small.{index}.main.1"
    yield "to_small_logits", "rf_small"
    for ours, theirs in _DECODERS.items():
        for index, size in enumerate((16, 32, 64, 128), start=1):
            for module, position in _PLAIN_UP.items():
                yield f"decode_{ours}/up_{size}/{module}", f"{theirs}.main.{index}.{position}"
        yield f"decode_{ours}/to_image", f"{theirs}.main.5"


def _excitation(size: int, theirs: str) -> Iterator[tuple[str, str]]:
    yield f"excite_{size}/squeeze", f"{theirs}.main.1"
    yield f"excite_{size}/excite", f"{theirs}.main.3"


def _module(state: Arrays, ours: str, theirs: str) -> Arrays:
    """The variables of one PyTorch module under our names, in our layout."""
    if f"{theirs}.running_mean" in state:
        names = {
            "gamma": "weight",
            "beta": "bias",
            "moving_mean": "running_mean",
            "moving_variance": "running_var",
        }
        return {f"{ours}/{key}": state[f"{theirs}.{name}"] for key, name in names.items()}
    if f"{theirs}.weight" in state:  # noise injection: one scalar
        return {f"{ours}/weight": state[f"{theirs}.weight"].reshape(())}
    kernel, u, v = (state[f"{theirs}.weight_{name}"] for name in ("orig", "u", "v"))
    if ours == "project":  # transposed convolution (in, out, h, w) -> (in, h, w, out); v is (in, h, w) already
        return {f"{ours}/kernel": kernel.transpose(0, 2, 3, 1), f"{ours}/u": u, f"{ours}/v": v}
    # Convolution (out, in, h, w) -> (h, w, in, out), and v (in, h, w) -> (h, w, in).
    v = v.reshape(kernel.shape[1:]).transpose(1, 2, 0).reshape(-1)
    return {f"{ours}/kernel": kernel.transpose(2, 3, 1, 0), f"{ours}/u": u, f"{ours}/v": v}
