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
        optional = name in expected and expected[name].default is not inspect.Parameter.empty
        if name not in expected or (name not in architecture and not optional):
            raise ValueError(f"its arguments are {', '.join(expected)}")
    for name, value in architecture.items():
        fits = {
            "int": _is_count(value),
            "bool": type(value) is bool,
            "str": type(value) is str,
            "list[int]": isinstance(value, (list, tuple)) and all(map(_is_count, value)),
            "list[str]": isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value),
        }[str(expected[name].annotation)]
        if not fits:
            raise ValueError(f"{name} must be of the type {expected[name].annotation}, and in bounds")
    sides = [architecture.get(name, 64) for name in ("output_resolution", "input_resolution")]
    if any(side & (side - 1) or not 32 <= side <= 1024 for side in sides):
        raise ValueError("the resolution must be a power of two from 32 to 1024")
    if not 8 <= architecture.get("fmap_inverse_coef", 8) <= 20:
        raise ValueError("fmap_inverse_coef must be from 8 to 20")


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value <= _LARGEST
