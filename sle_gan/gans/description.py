"""What a GAN says about itself without a backend."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sle_gan.config.base import TrainConfig

# The path of a kernel without "/kernel" at its end, and its shape.
Kernel = tuple[str, tuple[int, ...]]


class NetworkDescription(NamedTuple):
    """One class of networks.

    Attributes:
        module: in which the class is.
        kernels: a function of the network's arguments that gives all its kernels. Its parameters have the names of the
            arguments and one of the types int, bool, str and list[int]. Those with a default may be missing in a file.
        from_latents: whether it makes images from latents; `generate.py` takes such networks.
    """

    module: str
    kernels: Callable[..., Iterator[Kernel]]
    from_latents: bool = False


class TorchLayout(NamedTuple):
    """A layout of PyTorch checkpoints with whole models.

    Attributes:
        module: with the two functions.
        read: path -> `sle_gan.convert.checkpoint.TorchCheckpoint`.
        recognises: content of a file -> whether it has this layout. Not asked of the first layout, which is tried where
            no other one recognises a file.
    """

    module: str
    read: str
    recognises: str = ""


@dataclass(frozen=True)
class Description:
    """One GAN.

    Args:
        config: the class of its settings.
        gan: the module and the name of the class that trains it.
        networks: its classes of networks by name, without those of other GANs that it uses.
        checkpoint: the networks that every checkpoint of it holds, by their names in `GAN.networks`, with the names of
            their classes. Averages are left out: their classes are those of the networks that they are of.
        owns_weights: a weights file of one of its networks is a model of this GAN: a run that starts from it is one of
            this GAN too. Otherwise the file may start any GAN that its layers fit.
        torch_layout: of the PyTorch checkpoints that hold models of it.
        translates: it makes pictures from pictures, and none from latents.
        search_space: what `sle-gan search` tries where it is given no space of its own; see `sle_gan.search.space`.
    """

    config: type[TrainConfig]
    gan: tuple[str, str]
    networks: Mapping[str, NetworkDescription]
    checkpoint: Mapping[str, str]
    owns_weights: bool = False
    torch_layout: TorchLayout | None = None
    translates: bool = False
    search_space: Mapping[str, Any] = field(default_factory=dict)
