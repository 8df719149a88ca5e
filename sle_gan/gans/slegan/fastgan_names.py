"""FastGAN's tensors and ours: one table of names and layouts, read in either direction.

Names and order are those of the modules in the authors' released code (models.py). The order is the one in
which their constructors register the modules: the averaged generator and Adam's moments are saved as plain
lists in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np

from sle_gan.weights import Arrays

KernelSize = tuple[int, ...]
Change = Callable[[np.ndarray, KernelSize], np.ndarray]

RESOLUTIONS = (256, 512, 1024)

# Generator and decoders: positions of the modules within an up block, long and short form.
_COMPOSED_UP = {"up": 1, "noise": 2, "norm": 3, "conv_2": 5, "noise_2": 6, "norm_2": 7}
_PLAIN_UP = {"up": 1, "norm": 2}
_COMPOSED_SIZES = (8, 32, 128, 512)
# Discriminator: their names count how often the map was halved, ours say how large it is.
_DOWN = {128: "down_4", 64: "down_8", 32: "down_16", 16: "down_32", 8: "down_64"}
_DOWN_BLOCK = {"down": ("main.0", "main.1"), "conv": ("main.3", "main.4"), "direct": ("direct.1", "direct.2")}
_DISCRIMINATOR_EXCITATIONS = {32: "se_2_16", 16: "se_4_32", 8: "se_8_64"}
_SMALL = {32: 2, 16: 3, 8: 4}
_DECODERS = {"full": "decoder_big", "part": "decoder_part", "small": "decoder_small"}


class Tensor(NamedTuple):
    """One tensor of a module: its name on either side, whether it is trained, and the change of layout.

    The changes are given the kernel's height and width, which the singular vectors are laid out by.
    """

    ours: str
    theirs: str
    trained: bool
    to_ours: Change
    to_theirs: Change


class Module(NamedTuple):
    """A module of theirs and the layer of ours that holds the same tensors."""

    ours: str
    theirs: str

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        kind = self.ours.rpartition("/")[2].partition("_")[0]
        return {"norm": _NORM, "noise": _NOISE, "project": _PROJECTION}.get(kind, _CONVOLUTION)


def _same(x: np.ndarray, size: KernelSize) -> np.ndarray:
    del size
    return x


_NORM = (
    Tensor("gamma", "weight", True, _same, _same),
    Tensor("beta", "bias", True, _same, _same),
    Tensor("moving_mean", "running_mean", False, _same, _same),
    Tensor("moving_variance", "running_var", False, _same, _same),
)
_NOISE = (Tensor("weight", "weight", True, lambda x, _: x.reshape(()), lambda x, _: x.reshape(1)),)
_CONVOLUTION = (
    # (out, in, h, w) <-> (h, w, in, out)
    Tensor("kernel", "weight_orig", True, lambda x, _: x.transpose(2, 3, 1, 0), lambda x, _: x.transpose(3, 2, 0, 1)),
    Tensor("u", "weight_u", False, _same, _same),
    # (in, h, w) <-> (h, w, in), flat
    Tensor(
        "v",
        "weight_v",
        False,
        lambda x, size: x.reshape(-1, *size).transpose(1, 2, 0).reshape(-1),
        lambda x, size: x.reshape(*size, -1).transpose(2, 0, 1).reshape(-1),
    ),
)
_PROJECTION = (
    # Transposed convolution: (in, out, h, w) <-> (in, h, w, out); v is (in, h, w) on both sides.
    Tensor("kernel", "weight_orig", True, lambda x, _: x.transpose(0, 2, 3, 1), lambda x, _: x.transpose(0, 3, 1, 2)),
    Tensor("u", "weight_u", False, _same, _same),
    Tensor("v", "weight_v", False, _same, _same),
)


def to_ours(modules: list[Module], state: Mapping[str, np.ndarray], trained_only: bool = False) -> Arrays:
    """Arrays under our paths, in our layout; views where the layout allows it.

    Raises:
        KeyError: for a tensor that `state` lacks.
        ValueError: for one with another number of axes.
    """
    arrays: Arrays = {}
    for module in modules:
        size = state[f"{module.theirs}.weight_orig"].shape[2:] if module.tensors is _CONVOLUTION else ()
        for tensor in module.tensors:
            if tensor.trained or not trained_only:
                arrays[f"{module.ours}/{tensor.ours}"] = tensor.to_ours(state[f"{module.theirs}.{tensor.theirs}"], size)
    return arrays


def to_theirs(modules: list[Module], arrays: Mapping[str, np.ndarray], trained_only: bool = False) -> Arrays:
    """The inverse of `to_ours`, in the order of PyTorch's state dict; with `trained_only`, of its `parameters()`."""
    state: Arrays = {}
    for module in modules:
        mine = {t.ours: arrays[f"{module.ours}/{t.ours}"] for t in module.tensors if t.trained or not trained_only}
        size = mine["kernel"].shape[:2] if module.tensors is _CONVOLUTION else ()
        for tensor in module.tensors:
            if tensor.ours in mine:
                array = tensor.to_theirs(mine[tensor.ours], size)
                state[f"{module.theirs}.{tensor.theirs}"] = np.ascontiguousarray(array)
    return state


def modules_of(network: str, resolution: int) -> list[Module]:
    """All modules that have tensors of our "Generator" or "Discriminator"."""
    return [Module(*names) for names in {"Generator": _generator, "Discriminator": _discriminator}[network](resolution)]


def _generator(resolution: int) -> Iterator[tuple[str, str]]:
    yield from (("project", "init.init.0"), ("norm", "init.init.1"))
    for size in (8, 16, 32, 64, 128, 256):
        yield from _up(size)
    for size in (64, 128, 256):
        yield from _excitation(size, f"se_{size}")
    yield from (("to_small_image", "to_128"), ("to_image", "to_big"))
    if resolution > 256:
        yield from _up(512)
        yield from _excitation(512, "se_512")
    if resolution > 512:
        yield from _up(1024)


def _up(size: int) -> Iterator[tuple[str, str]]:
    modules = _COMPOSED_UP if size in _COMPOSED_SIZES else _PLAIN_UP
    yield from ((f"up_{size}/{ours}", f"feat_{size}.{index}") for ours, index in modules.items())


def _discriminator(resolution: int) -> Iterator[tuple[str, str]]:
    yield "stem_1/conv", "down_from_big.0"
    if resolution == 1024:
        yield from (("stem_2/conv", "down_from_big.2"), ("stem_2/norm", "down_from_big.3"))
    for size, name in _DOWN.items():
        for block, (conv, norm) in _DOWN_BLOCK.items():
            yield f"down_{size}/{block}/conv", f"{name}.{conv}"
            yield f"down_{size}/{block}/norm", f"{name}.{norm}"
    yield from (("head/conv", "rf_big.0"), ("head/norm", "rf_big.1"), ("to_logits", "rf_big.3"))
    for size, name in _DISCRIMINATOR_EXCITATIONS.items():
        yield from _excitation(size, name)
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
