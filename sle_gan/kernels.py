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

# SLE-GAN's generator. Channels of the maps by their size, as multiples of the width.
GENERATOR_WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 1 / 2, 512: 1 / 4, 1024: 1 / 8}
# Maps made by the longer block, with noise and a second convolution.
COMPOSED = (8, 32, 128, 512)
# Skip-layer excitation: size of the map that is scaled -> size of the map that scales it.
GENERATOR_EXCITATIONS = {64: 4, 128: 8, 256: 16, 512: 32}

# SLE-GAN's discriminator: its full-size branch, its small branch, its decoders.
DISCRIMINATOR_WIDTHS = {512: 1 / 8, 256: 1 / 4, 128: 1 / 2, 64: 1, 32: 2, 16: 4, 8: 8}
SMALL_WIDTHS = {64: 1 / 2, 32: 1, 16: 2, 8: 4}
HEAD_WIDTH = 16
DECODER_FILTERS = {16: 128, 32: 64, 64: 64, 128: 32}
DISCRIMINATOR_EXCITATIONS = {32: 256, 16: 128, 8: 64}

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


def _scaled(widths: Mapping[int, float], width: int) -> dict[int, int]:
    return {size: int(multiple * width) for size, multiple in widths.items()}


def _generator(output_resolution: int, width: int, latent: int, channels: int, tanh: bool) -> Iterator[Kernel]:
    del tanh
    filters = _scaled(GENERATOR_WIDTHS, width)
    yield "project", (latent, 4, 4, 2 * filters[4])
    for size in filters:
        if 4 < size <= output_resolution:
            yield f"up_{size}/up", (3, 3, filters[size // 2], 2 * filters[size])
            if size in COMPOSED:
                yield f"up_{size}/conv_2", (3, 3, filters[size], 2 * filters[size])
    for size, source in GENERATOR_EXCITATIONS.items():
        if size <= output_resolution:
            yield from _excitation(size, filters[source], filters[size])
    yield "to_image", (3, 3, filters[output_resolution], channels)
    yield "to_small_image", (1, 1, filters[min(128, output_resolution // 2)], channels)


def _excitation(size: int, low: int, high: int) -> Iterator[Kernel]:
    yield f"excite_{size}/squeeze", (4, 4, low, high)
    yield f"excite_{size}/excite", (1, 1, high, high)


def _discriminator(input_resolution: int, width: int, channels: int) -> Iterator[Kernel]:
    filters = _scaled(DISCRIMINATOR_WIDTHS, width)
    first, small = min(256, input_resolution), min(128, input_resolution // 2)
    if input_resolution <= 256:
        yield "stem_1/conv", (3, 3, channels, filters[input_resolution])
    else:
        yield "stem_1/conv", (4, 4, channels, filters[input_resolution // 2])
    if input_resolution == 1024:
        yield "stem_2/conv", (4, 4, filters[512], filters[256])
    for size in filters:
        if size < first:
            before, count = filters[2 * size], filters[size]
            yield f"down_{size}/down/conv", (4, 4, before, count)
            yield f"down_{size}/conv/conv", (3, 3, count, count)
            yield f"down_{size}/direct/conv", (1, 1, before, count)
    for size, source in DISCRIMINATOR_EXCITATIONS.items():
        if source <= first:
            yield from _excitation(size, filters[source], filters[size])
    yield "head/conv", (1, 1, filters[8], HEAD_WIDTH * width)
    yield "to_logits", (4, 4, HEAD_WIDTH * width, 1)
    before = channels
    for size, count in _scaled(SMALL_WIDTHS, width).items():
        if size < small:
            yield f"small_{size}/conv", (4, 4, before, count)
            before = count
    yield "to_small_logits", (4, 4, before, 1)
    for name, source in (("full", filters[8]), ("small", before), ("part", filters[16])):
        for size, count in DECODER_FILTERS.items():
            if size <= small:
                yield f"decode_{name}/up_{size}/up", (3, 3, source, 2 * count)
                source = count
        yield f"decode_{name}/to_image", (3, 3, source, channels)


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


def _translator(blocks: int, width: int, channels: int) -> Iterator[Kernel]:
    yield "from_image", (7, 7, channels, width)
    yield from (("down_1", (3, 3, width, 2 * width)), ("down_2", (3, 3, 2 * width, 4 * width)))
    for block in range(1, blocks + 1):
        yield from ((f"block_{block}/conv_{i}", (3, 3, 4 * width, 4 * width)) for i in (1, 2))
    yield from (("up_1", (3, 3, 4 * width, 2 * width)), ("up_0", (3, 3, 2 * width, width)))
    yield "to_image", (7, 7, width, channels)


def _patch_discriminator(width: int, channels: int) -> Iterator[Kernel]:
    yield "from_image", (4, 4, channels, width)
    yield from ((f"down_{i}", (4, 4, 2 ** (i - 1) * width, 2**i * width)) for i in (1, 2, 3))
    yield "to_logits", (4, 4, 8 * width, 1)


def _projected_discriminator(resolution: int, map_channels: list[int], width: int) -> Iterator[Kernel]:
    del resolution
    for head, (before, downs) in enumerate(zip(map_channels, PROJECTED_DOWNS)):
        for i in range(downs):
            count = width * 2 ** (PROJECTED_DOWNS[0] - downs + i)
            yield f"head_{head}_down_{i}/conv", (4, 4, before, count)
            before = count
        yield f"head_{head}_to_logits", (4, 4, before, 1)
