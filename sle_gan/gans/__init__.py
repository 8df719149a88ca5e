"""The GANs. Each one is a folder here, and this module names them once; it imports no backend.

A folder's `__init__` holds its `DESCRIPTION` (see `sle_gan.gans.description`), from which everything else follows:
command-line flags, the kernels that a weights file must have, which networks a checkpoint holds. A new GAN is a new
folder and its name in `NAMES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sle_gan.gans.description import Description

NAMES = (
    "slegan",
    "dcgan",
    "cyclegan",
    "lightweight",
    "projected",
)

__all__ = ["GANS", "NAMES", "find_network", "network_class"]


class _Descriptions(Mapping[str, "Description"]):
    """The descriptions by the GANs' names, each imported when it is first asked for."""

    def __getitem__(self, name: str) -> Description:
        if name not in NAMES:
            raise KeyError(name)
        return importlib.import_module(f"sle_gan.gans.{name}").DESCRIPTION

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


GANS: Mapping[str, Description] = _Descriptions()


def find_network(name: str) -> str | None:
    """The name of the GAN that a class of networks belongs to; None where there is no such class."""
    return next((gan for gan in GANS if name in GANS[gan].networks), None)


def network_class(name: str) -> Any:
    """A class of networks by its name, as weights files give it; None where there is none. Starts a backend."""
    gan = find_network(name)
    return getattr(importlib.import_module(GANS[gan].networks[name].module), name) if gan else None
