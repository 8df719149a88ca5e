"""What a PyTorch checkpoint holds once it is in our layout."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from sle_gan import weights
from sle_gan.weights import Arrays, StoredNetwork


class Converted(NamedTuple):
    """One network read from a checkpoint: its class name, constructor arguments, arrays by path."""

    network: str
    architecture: dict[str, Any]
    arrays: Arrays

    def stored(self, source: str | Path) -> StoredNetwork:
        """The same as other files are opened; `source` is what the file is called in messages."""
        return StoredNetwork(source, self.network, self.architecture, lambda: self.arrays)

    def check(self, source: str | Path) -> None:
        """Raises a UserError unless the kernels are those of the network, which then may be built."""
        shapes = {path: array.shape for path, array in self.arrays.items()}
        weights.check_kernels(self.network, self.architecture, shapes, source)


class AdamState(NamedTuple):
    """The state of Adam for one network: steps made, learning rate, both moments by the variables' paths."""

    step: int
    learning_rate: float
    first: Arrays
    second: Arrays


@dataclass
class TorchCheckpoint(ABC):
    """A checkpoint of another project. Arrays are views on the file wherever the layout allows it.

    Attributes:
        model: the GAN that it is of.
        average_key: how the file calls the averaged generator.
        keeps_raw_generator: how the file calls the other generator, and what to do to keep it beside the average.
        networks: "generator", "discriminator" and "generator_ema": whichever of them the file holds.
        ignored: what else is in the file, in words.
        optimizers: "generator" and "discriminator"; those whose state is complete.
    """

    model: ClassVar[str]
    average_key: ClassVar[str]
    keeps_raw_generator: ClassVar[str]

    networks: dict[str, Converted]
    ignored: list[str]
    optimizers: dict[str, AdamState] = field(default_factory=dict)

    @property
    def averaged(self) -> Converted:
        """The generator to make pictures with: the average where the file holds one."""
        return self.networks.get("generator_ema") or self.networks["generator"]

    @property
    def sizes(self) -> dict[str, Any]:
        """The arguments of all networks; where two have one argument, the first network's."""
        sizes: dict[str, Any] = {}
        for network in self.networks.values():
            sizes = {**network.architecture, **sizes}
        return sizes

    @property
    @abstractmethod
    def description(self) -> str:
        """Which GAN of which size this is, in a few words."""
