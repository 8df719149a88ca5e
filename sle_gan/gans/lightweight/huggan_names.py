"""How the layers of huggan's lightweight GAN are called there and here, and the layout of their tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

Transform = Callable[[np.ndarray], np.ndarray]


class Tensor(NamedTuple):
    """One tensor's path here, its name there, and how to bring it into our layout."""

    ours: str
    theirs: str
    transform: Transform


def _same(x: np.ndarray) -> np.ndarray:
    return x


def _flat(x: np.ndarray) -> np.ndarray:
    return x.reshape(-1)


def _axes(*order: int) -> Transform:
    return lambda x: x.transpose(order)


_CONV = _axes(2, 3, 1, 0)  # (out, in, h, w) -> (h, w, in, out)
_DEPTHWISE = _axes(2, 3, 0, 1)  # (channels, 1, h, w) -> (h, w, channels, 1)
_TRANSPOSED = _axes(0, 2, 3, 1)  # (in, out, h, w) -> (in, h, w, out)


def _conv(ours: str, theirs: str, kernel: Transform = _CONV) -> Iterator[Tensor]:
    yield Tensor(f"{ours}/kernel", f"{theirs}.weight", kernel)
    yield Tensor(f"{ours}/bias", f"{theirs}.bias", _same)


def _batch_norm(ours: str, theirs: str) -> Iterator[Tensor]:
    names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
    yield from (Tensor(f"{ours}/{mine}", f"{theirs}.{name}", _same) for mine, name in names.items())


def _attention(ours: str, theirs: str) -> Iterator[Tensor]:
    yield Tensor(f"{ours}/norm/gamma", f"{theirs}.norm.g", _flat)
    yield Tensor(f"{ours}/norm/beta", f"{theirs}.norm.b", _flat)
    yield Tensor(f"{ours}/to_q/kernel", f"{theirs}.fn.to_q.weight", _CONV)
    yield Tensor(f"{ours}/around/kernel", f"{theirs}.fn.to_kv.net.0.weight", _DEPTHWISE)
    yield Tensor(f"{ours}/to_kv/kernel", f"{theirs}.fn.to_kv.net.1.weight", _CONV)
    yield from _conv(f"{ours}/to_out", f"{theirs}.fn.to_out")


def _gate(ours: str, theirs: str, frequencies: bool) -> Iterator[Tensor]:
    if frequencies:
        yield Tensor(f"{ours}/cosines", f"{theirs}.dct_weights", lambda x: x[0].transpose(1, 2, 0))
    else:
        yield from _conv(f"{ours}/to_k", f"{theirs}.to_k")
    yield from _conv(f"{ours}/gate/squeeze", f"{theirs}.net.0")
    yield from _conv(f"{ours}/gate/excite", f"{theirs}.net.2")


def _down(ours: str, theirs: str) -> Iterator[Tensor]:
    yield from _conv(f"{ours}/halve", f"{theirs}.branches.0.1")
    yield from _conv(f"{ours}/refine", f"{theirs}.branches.0.3")
    yield from _conv(f"{ours}/pooled", f"{theirs}.branches.1.2")


def generator_tensors(state: Mapping[str, Any]) -> Iterator[Tensor]:
    """The tensors that a generator with these names has; `state` need only hold the right names."""
    yield from _conv("project", "initial_conv.0", _TRANSPOSED)
    yield from _batch_norm("norm", "initial_conv.1")
    for i in range(count(state, "layers.{}.0.2.weight")):
        side = 8 << i
        yield from _conv(f"up_{side}/conv", f"layers.{i}.0.2")
        yield from _batch_norm(f"up_{side}/norm", f"layers.{i}.0.3")
        if f"layers.{i}.1.net.0.weight" in state:
            frequencies = f"layers.{i}.1.dct_weights" in state
            yield from _gate(f"excite_{8 * side}", f"layers.{i}.1", frequencies)  # the map 8 times as wide
        if f"layers.{i}.2.norm.g" in state:
            yield from _attention(f"attend_{side // 2}", f"layers.{i}.2")
    yield from _conv("to_image", "out_conv")


def discriminator_tensors(state: Mapping[str, Any]) -> Iterator[Tensor]:
    """The tensors that a discriminator with these names has."""
    for i in range(count(state, "non_residual_layers.{}.1.weight")):
        yield from _conv(f"stem_{i + 1}", f"non_residual_layers.{i}.1")
    blocks = count(state, "residual_layers.{}.0.branches.0.1.weight")
    for i in range(blocks):
        side = 8 << (blocks - 1 - i)
        yield from _down(f"down_{side}", f"residual_layers.{i}.0")
        if f"residual_layers.{i}.1.norm.g" in state:
            yield from _attention(f"attend_{2 * side}", f"residual_layers.{i}.1")
    first = 0 if "to_logits.0.weight" in state else 1  # a blur, or its place, comes before a single logit
    yield from _conv("head", f"to_logits.{first}")
    yield from _conv("to_logits", f"to_logits.{first + 2}")
    yield from _conv("small_stem", "to_shape_disc_out.0")
    yield from _attention("small_attend_32", "to_shape_disc_out.1.fn")
    yield from _down("small_down", "to_shape_disc_out.2")
    yield from _attention("small_attend_16", "to_shape_disc_out.3.fn")
    yield from _conv("to_small_logits", "to_shape_disc_out.5")
    for ours, theirs in (("full", "decoder1"), ("part", "decoder2")):
        for i in range(count(state, f"{theirs}.layers.{{}}.1.weight")):
            yield from _conv(f"decode_{ours}/up_{16 << i}", f"{theirs}.layers.{i}.1")


def count(state: Mapping[str, Any], name: str) -> int:
    """How many numbered modules there are: of name.format(0), name.format(1), ..."""
    number = 0
    while name.format(number) in state:
        number += 1
    return number
