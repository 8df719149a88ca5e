"""The kernels of every network: their paths and shapes from the network's arguments. Arithmetic, no backend.

A weights file says which network it holds, and may be a stranger's. Its kernels are compared with these before
anything is made: what is then built takes about as much memory as the file has bytes. All that is not a kernel is small
beside the kernel that it goes with, and is compared once the network is there.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sle_gan.gans import GANS, find_network
from sle_gan.gans.description import Kernel
from sle_gan.lightweight_widths import FULL_WIDTH, discriminator_widths, generator_widths

# The lightweight GAN. Side of a low map: side of the high one whose channels it scales.
GATES = {16: 128, 32: 256, 64: 512, 128: 1024}
ATTENTION_WIDTH = 512  # of all heads together, whatever the map's width

# Projected GAN: a head halves its map until what was 128, 64, 32 or 16 pixels wide for images of 256 pixels is 8 wide.
PROJECTED_DOWNS = (4, 3, 2, 1)

_LARGEST = 1 << 24  # of any argument; nothing that fits into a machine comes near it


def kernels(network: str, architecture: Any) -> Iterator[Kernel]:
    """Path and shape of all kernels of a network, as they are asked for.

    Args:
        network: the name of its class.
        architecture: its arguments, as `Network.architecture` gives them; out of a file, so of any type.

    Raises:
        ValueError: for a network that there is not, or arguments that it does not have.
    """
    make = _function(network)
    _check_arguments(make, architecture)
    for path, shape in make(**architecture):
        yield f"{path}/kernel", shape


def arguments(network: str) -> list[str]:
    """The names of a network's arguments."""
    return list(inspect.signature(_function(network)).parameters)


def _function(network: str) -> Callable[..., Iterator[Kernel]]:
    """What gives the kernels of a network, by the name of its class. Raises a ValueError where there is none."""
    gan = find_network(network)
    if gan is None:
        raise ValueError(f"the networks are {', '.join(name for each in GANS.values() for name in each.networks)}")
    return GANS[gan].networks[network].kernels


def _check_arguments(make: Callable[..., Any], architecture: Any) -> None:
    """Raises a ValueError unless these are the arguments of a network, of their types and not out of all bounds."""
    if not isinstance(architecture, Mapping):
        raise ValueError(f"expected its arguments by name, found a {type(architecture).__name__}")
    expected = inspect.signature(make).parameters
    for name in expected.keys() | architecture.keys():
        if name not in expected or name not in architecture:
            raise ValueError(f"its arguments are {', '.join(expected)}")
    for name, parameter in expected.items():
        value = architecture[name]
        fits = {
            "int": _is_count(value),
            "bool": type(value) is bool,
            "list[int]": isinstance(value, (list, tuple)) and all(map(_is_count, value)),
        }[str(parameter.annotation)]
        if not fits:
            raise ValueError(f"{name} must be of the type {parameter.annotation}, and in bounds")
    sides = [architecture.get(name, 64) for name in ("output_resolution", "input_resolution")]
    if any(side & (side - 1) or not 32 <= side <= 1024 for side in sides):
        raise ValueError("the resolution must be a power of two from 32 to 1024")
    if not 8 <= architecture.get("fmap_inverse_coef", 8) <= 20:
        raise ValueError("fmap_inverse_coef must be from 8 to 20")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value <= _LARGEST


def _lightweight_generator(
    output_resolution: int,
    latent: int,
    channels: int,
    fmap_max: int,
    fmap_inverse_coef: int,
    attn_res_layers: list[int],
    freq_chan_attn: bool,
    antialias: bool,
) -> Iterator[Kernel]:
    del antialias
    widths = {4: latent}
    for i, count in enumerate(generator_widths(output_resolution, fmap_max, fmap_inverse_coef)):
        widths[8 << i] = count
    yield "project", (latent, 4, 4, 2 * latent)
    for side, count in widths.items():
        if side > 4:
            yield f"up_{side}/conv", (3, 3, widths[side // 2], 2 * count)
        if side in attn_res_layers and side < output_resolution:
            yield from _attention(f"attend_{side}", count)
    for low, high in GATES.items():
        if high <= output_resolution:
            squeezed = max(3, widths[high] // (4 if freq_chan_attn else 2))
            if not freq_chan_attn:
                yield f"excite_{high}/to_k", (1, 1, widths[low], 1)
            yield f"excite_{high}/gate/squeeze", (1, 1, widths[low], squeezed)
            yield f"excite_{high}/gate/excite", (1, 1, squeezed, widths[high])
    yield "to_image", (3, 3, widths[output_resolution], channels)


def _lightweight_discriminator(
    input_resolution: int,
    channels: int,
    fmap_max: int,
    fmap_inverse_coef: int,
    attn_res_layers: list[int],
    disc_output_size: int,
    antialias: bool,
) -> Iterator[Kernel]:
    del antialias
    first = min(FULL_WIDTH, input_resolution)
    counts = discriminator_widths(input_resolution, channels, fmap_max, fmap_inverse_coef)
    widths = {first >> i: count for i, count in enumerate(counts)}
    halvings = (input_resolution // first).bit_length() - 1
    for i in range(1, halvings + 1):
        yield f"stem_{i}", (4, 4, channels, widths[first] if i == halvings else channels)
    for side, count in widths.items():
        if side != first:
            yield from _halving(f"down_{side}", widths[2 * side], count)
        if side in attn_res_layers and side > 8:
            yield from _attention(f"attend_{side}", count)
    last = widths[8]
    yield "head", (1, 1, last, last) if disc_output_size == 5 else (3, 3, last, last)
    yield "to_logits", (4, 4, last, 1)
    yield "small_stem", (3, 3, channels, 64)
    yield from _attention("small_attend_32", 64)
    yield from _halving("small_down", 64, 32)
    yield from _attention("small_attend_16", 32)
    yield "to_small_logits", (4, 4, 32, 1)
    for name, side in (("full", 8), ("part", 16)) if input_resolution >= 512 else (("full", 8),):
        before, count = widths[side], widths[side]
        for size in (16, 32, 64, 128):
            after = 2 * channels if size == 128 else count
            yield f"decode_{name}/up_{size}", (3, 3, before, after)
            before, count = after // 2, count // 2


def _attention(path: str, channels: int) -> Iterator[Kernel]:
    yield f"{path}/to_q", (1, 1, channels, ATTENTION_WIDTH)
    yield f"{path}/around", (3, 3, channels, 1)
    yield f"{path}/to_kv", (1, 1, channels, 2 * ATTENTION_WIDTH)
    yield f"{path}/to_out", (1, 1, ATTENTION_WIDTH, channels)


def _halving(path: str, before: int, after: int) -> Iterator[Kernel]:
    yield f"{path}/halve", (4, 4, before, after)
    yield f"{path}/refine", (3, 3, after, after)
    yield f"{path}/pooled", (1, 1, before, after)


def _projected_discriminator(resolution: int, map_channels: list[int], width: int) -> Iterator[Kernel]:
    del resolution
    for head, (before, downs) in enumerate(zip(map_channels, PROJECTED_DOWNS)):
        for i in range(downs):
            count = width * 2 ** (PROJECTED_DOWNS[0] - downs + i)
            yield f"head_{head}_down_{i}/conv", (4, 4, before, count)
            before = count
        yield f"head_{head}_to_logits", (4, 4, before, 1)
