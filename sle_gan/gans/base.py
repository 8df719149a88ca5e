"""The interface of a GAN for the training loop, the checkpoints and the exports."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
from keras import ops

from sle_gan import engine
from sle_gan.config import TrainConfig
from sle_gan.gans import GANS
from sle_gan.gans.overfitting import OVERFITTING, OVERFITTING_LOGS
from sle_gan.models.layers import iterate_singular_vectors
from sle_gan.models.network import Network
from sle_gan.pictures import make_grid, pixels
from sle_gan.weights import variables_by_path

# Some of a GAN's logs under a title: how their names begin. "generator" stands for generator_AB and generator_BA too.
LogNames = Mapping[str, tuple[str, ...]]


class Phase(NamedTuple):
    """A piece of a step: named scalar losses of a batch, and the update of the networks named in `updates`."""

    updates: tuple[str, ...]
    run: Callable[[engine.Batch, engine.RandomStream], Mapping[str, Any]]


class DiscriminatorLosses(NamedTuple):
    """A discriminator's losses and the logits that they are of, in the same form for all GANs.

    losses: named scalars, whose sum it minimises.
    real, fake: its logits of real and of generated images, tensors of any shape. Whatever a loss may want, here they
        are higher for images that pass for real. Empty for images that were not looked at, and where logits say
        something about pairs of images only.
    """

    losses: dict[str, Any]
    real: Sequence[Any] = ()
    fake: Sequence[Any] = ()

    def joined(self, other: DiscriminatorLosses) -> DiscriminatorLosses:
        """The losses and logits of both."""
        return DiscriminatorLosses(
            {**self.losses, **other.losses}, [*self.real, *other.real], [*self.fake, *other.fake]
        )

    def detached(self) -> DiscriminatorLosses:
        """With logits that no gradient flows into."""
        logits = ([ops.stop_gradient(each) for each in kind] for kind in (self.real, self.fake))
        return DiscriminatorLosses(self.losses, *logits)

    def cotangents(self, losses: Mapping[str, Any]) -> DiscriminatorLosses:
        """Those of the losses, and none of the logits."""
        return DiscriminatorLosses(
            dict(losses), *([ops.zeros_like(each) for each in kind] for kind in (self.real, self.fake))
        )


class GAN(ABC):
    """Networks, optimizers and a train step. Touches neither disk nor terminal.

    A step is a row of phases between `begin_step` and `end_step`. Each phase ends with the update of one or
    more networks and relies on nothing but what earlier phases left in the variables: with gradient
    accumulation every phase runs for all parts of a batch before the next one starts, and a part has the same
    random numbers in every phase. Without it, `train_step` may share work between the phases.
    """

    config: TrainConfig
    # Which domain's images the generated ones are compared with by the metrics, and by which of them.
    reference_domain: ClassVar[int] = 0
    metrics: ClassVar[tuple[str, ...]] = ("fid",)
    # After how many steps the work of a step repeats.
    period: ClassVar[int] = 1
    # Sums of logs in the progress line.
    totals: ClassVar[LogNames] = {"G": ("generator",), "D": ("real", "fake")}
    # Panels of curves.png beside that of the adversarial losses.
    panels: ClassVar[LogNames] = {OVERFITTING: OVERFITTING_LOGS}

    @classmethod
    def create(cls, config: TrainConfig) -> GAN:
        """Makes the GAN that the settings describe, with whatever its losses need."""
        return cls(config)  # type: ignore[call-arg]

    def usage(self, run: Path) -> tuple[str, dict[str, Any]]:
        """The command that makes pictures with the result, and its flags by the names of their settings.

        Args:
            run: the run's folder.
        """
        return "generate", {"weights": run / "generator_weights.h5", "count": 16, "output_folder": "out"}

    def schedule(self, steps_per_epoch: float, last_step: int) -> None:
        """Called before training starts or is resumed, to set up what changes over the run, such as learning rates."""
        del steps_per_epoch, last_step

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
    def optimizers(self) -> dict[str, Any]:
        """All optimizers (see `gans.optimizers`), by the name of the network that each one updates."""

    @property
    def buffers(self) -> dict[str, keras.Variable]:
        """State beyond networks and optimizers."""
        return {}

    @property
    def constants(self) -> dict[str, str]:
        """Versions of inputs of training that no checkpoint holds, such as a frozen network's weights, by name."""
        return {}

    @property
    @abstractmethod
    def exports(self) -> dict[str, Network]:
        """File name -> network that is exported under it."""

    @property
    @abstractmethod
    def generator_export(self) -> Network:
        """The one of the exports that `generate` uses and that a score is of."""

    @property
    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The pieces of a step, in their order. Pure keras.ops."""

    def train_step(self, batch: engine.Batch, random: engine.RandomStream) -> dict[str, Any]:
        """Updates the networks on one batch; returns named scalar losses. Pure keras.ops."""
        self.begin_step(random)
        logs: dict[str, Any] = {}
        for phase in self.phases:
            logs.update(phase.run(batch, random))
        self.end_step(random)
        return logs

    def begin_step(self, random: engine.RandomStream) -> None:
        """One power iteration for every spectral kernel: within the step their singular vectors stay."""
        del random
        for network in self.trained.values():
            iterate_singular_vectors(network)

    def end_step(self, random: engine.RandomStream) -> None:
        """Called after the last update of a step, to update averages of networks; by default it does nothing."""
        del random

    def prepare_real(self, images: Any, random: engine.RandomStream) -> Any:
        """Training images uint8 (B, H, W, C) -> float in (-1, 1), with all augmentation that the settings ask for."""
        del random
        return pixels.to_model(images)

    @abstractmethod
    def generate(self, seeds: Iterable[int]) -> Iterator[np.ndarray]:
        """Pictures (b, H, W, C) uint8 of the network that is exported, one for each seed."""

    def scored_images(self, count: int, domains: Sequence[np.ndarray]) -> Iterator[np.ndarray]:
        """The pictures (b, H, W, C) uint8 that the metrics are computed of, `count` in all.

        Args:
            domains: all training images (N, H, W, C) uint8 of each domain.
        """
        del domains
        return self.generate(range(count))

    def previews(self, real: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Grids (H, W, C) uint8 by name, drawn while training.

        Args:
            real: a few images (n, H, W, C) uint8 of each domain, the same in all of a run.
        """
        del real
        return {"samples": make_grid(np.concatenate(list(self.generate(range(16)))))}

    def state(self) -> dict[str, keras.Variable]:
        """Every variable that training changes, by a name that both engines share.

        Raises:
            ValueError: if two of them have one name: a checkpoint would hold one of the two.
        """
        named = []
        for key, network in self.networks.items():
            named += [(f"{key}/{path}", variable) for path, variable in variables_by_path(network).items()]
        for key, optimizer in self.optimizers.items():
            # The learning rate is a setting, not a state: a resumed run may have another one.
            states = [variable for variable in optimizer.variables if variable.name != "learning_rate"]
            named += [(f"optimizer/{key}/{variable.path.split('/', 1)[1]}", variable) for variable in states]
        named += [(f"buffer/{key}", variable) for key, variable in self.buffers.items()]
        variables: dict[str, keras.Variable] = {}
        for name, variable in named:
            if variables.setdefault(name, variable) is not variable:
                raise ValueError(f"two variables of the state are called {name}")
        return variables


def make_gan(config: TrainConfig) -> GAN:
    """The GAN that the settings are of."""
    module, name = GANS[config.model].gan
    return getattr(importlib.import_module(module), name).create(config)


def update_average(averaged: Network, network: Network, step: Any, decay: float) -> None:
    """Averages weights and batch-norm statistics; singular vectors are unit vectors and are copied.

    The decay grows from 0.1 to its final value as the average of torch_ema does, so that samples of the
    first hundreds of steps are not those of the initial weights.

    Args:
        step: number of steps that are done, the present one included; a scalar tensor.
    """
    done = ops.cast(step, keras.config.floatx())
    decay = ops.minimum(decay, (1.0 + done) / (10.0 + done))
    pairs = list(zip(averaged.variables, network.variables))
    engine.update_averages([pair for pair in pairs if pair[0].name not in ("u", "v")], decay)
    engine.update_averages([pair for pair in pairs if pair[0].name in ("u", "v")], 0.0)
