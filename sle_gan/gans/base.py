"""What the training loop, the checkpoints and the exports ask of a GAN."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np

from sle_gan import engine
from sle_gan.config import TrainConfig
from sle_gan.models.network import Network
from sle_gan.weights import variables_by_path


class GAN(ABC):
    """Networks, optimizers and a train step. Touches neither disk nor terminal."""

    config: TrainConfig

    @property
    @abstractmethod
    def networks(self) -> dict[str, Network]:
        """All networks whose variables are the state of training."""

    @property
    def trained(self) -> dict[str, Network]:
        """Those of the networks that have an optimizer."""
        return {key: self.networks[key] for key in self.optimizers}

    @property
    @abstractmethod
    def optimizers(self) -> dict[str, keras.optimizers.Optimizer]:
        """All optimizers, by the name of the network that each one updates."""

    @property
    @abstractmethod
    def exports(self) -> dict[str, Network]:
        """File name -> network that is exported under it."""

    @property
    @abstractmethod
    def generator_export(self) -> Network:
        """The one of the exports that `generate` uses and that a score is of."""

    @abstractmethod
    def train_step(self, images: Any, random: engine.RandomStream) -> dict[str, Any]:
        """Updates the networks on one batch; returns named scalar losses. Pure keras.ops."""

    @abstractmethod
    def generate(self, seeds: Iterable[int]) -> Iterator[np.ndarray]:
        """Pictures (b, R, R, C) uint8 of the network that is exported, one for each seed."""

    @abstractmethod
    def reconstruct(self, images: Any) -> dict[str, Any]:
        """Rows of the preview grid made from uint8 images, float in (-1, 1); empty if the GAN has none."""

    def state(self) -> dict[str, keras.Variable]:
        """Every variable that training changes, by a name that both engines share."""
        variables = {}
        for key, network in self.networks.items():
            for path, variable in variables_by_path(network).items():
                variables[f"{key}/{path}"] = variable
        for key, optimizer in self.optimizers.items():
            for variable in optimizer.variables:
                # The learning rate is a setting, not a state: a resumed run may have another one.
                if variable.name != "learning_rate":
                    variables[f"optimizer/{key}/{variable.path.split('/', 1)[1]}"] = variable
        return variables


def adam(learning_rate: float, network: keras.Model, name: str) -> keras.optimizers.Adam:
    """Adam with betas (0.5, 0.999) as GANs use it, and PyTorch's epsilon; its slots exist at once."""
    optimizer = keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.999, epsilon=1e-8, name=name)
    optimizer.build(network.trainable_variables)
    return optimizer
