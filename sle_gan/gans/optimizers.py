"""Optimizers as GANs use them, and the precision that their networks compute in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from sle_gan import engine
from sle_gan.config import TrainConfig


def adam(
    config: TrainConfig,
    learning_rate: Any,
    networks: keras.Model | Sequence[keras.Model],
    name: str,
    beta_1: float = 0.5,
    beta_2: float = 0.999,
) -> Any:
    """Adam with betas (0.5, 0.999) as GANs use it, and PyTorch's epsilon; its slots exist at once.

    Under float16 its loss scale adapts itself; with gradient accumulation it is an `Accumulator`.

    Args:
        learning_rate: a number, or a schedule over the optimizer's own steps.
        networks: one, or some whose losses are not apart: they share one loss scale.
    """
    optimizer = engine.Adam(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8, name=name)
    if config.mixed_precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name=name)
    several = networks if isinstance(networks, Sequence) else [networks]
    variables = [variable for network in several for variable in network.trainable_variables]
    optimizer.build(variables)
    if config.gradient_accumulation > 1:
        return Accumulator(optimizer, variables, config.gradient_accumulation)
    return optimizer


class Accumulator:
    """Stands in for an optimizer: `apply` adds gradients up, `flush` updates with their mean.

    Keras optimizers can accumulate by themselves, but decide on the device when to update, which a replica of
    MirroredStrategy cannot. Here the host knows which part of a batch is the last one.

    Args:
        optimizer: built for `variables`.
        parts: calls of `apply` before each `flush`.
    """

    def __init__(self, optimizer: keras.optimizers.Optimizer, variables: Sequence[keras.Variable], parts: int):
        self.optimizer, self._variables, self._parts = optimizer, list(variables), parts
        # Each replica adds up its own; the optimizer sums over replicas once, when it updates.
        local: dict[str, Any] = {"synchronization": "on_read", "aggregation": "sum"}
        self.sums = [
            keras.Variable(ops.zeros(variable.shape), trainable=False, name=f"sum_{i}", **local)
            for i, variable in enumerate(self._variables)
        ]

    @property
    def variables(self) -> list[keras.Variable]:
        """The optimizer's; the sums are zero between steps and no part of the state."""
        return self.optimizer.variables

    def scale_loss(self, loss: Any) -> Any:
        return self.optimizer.scale_loss(loss)

    def apply(self, gradients: Sequence[Any], variables: Sequence[keras.Variable]) -> None:
        sums = {id(variable): total for variable, total in zip(self._variables, self.sums)}
        for variable, gradient in zip(variables, gradients):
            sums[id(variable)].assign_add(gradient)

    def flush(self) -> None:
        # Layers may have been frozen since the optimizer was built.
        pairs = [(variable, total) for variable, total in zip(self._variables, self.sums) if variable.trainable]
        self.optimizer.apply(
            [ops.convert_to_tensor(total) / self._parts for _, total in pairs], [variable for variable, _ in pairs]
        )
        for total in self.sums:
            total.assign(ops.zeros(total.shape))


@contextmanager
def compute_precision(config: TrainConfig) -> Iterator[None]:
    """Networks made within it compute in --mixed-precision; their variables, norms and outputs are float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(
        keras.config.floatx() if config.mixed_precision == "float32" else f"mixed_{config.mixed_precision}"
    )
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def add_gradients(before: Sequence[Any], more: Sequence[Any]) -> list[Any]:
    """The sums of two lists of gradients, of which the first may be empty."""
    return [one + other for one, other in zip(before, more, strict=True)] if before else list(more)


def cotangents(terms: Mapping[str, Any], optimizer: Any) -> dict[str, Any]:
    """d(total) / d(term), where the total is the sum of the loss terms as the optimizer wants it.

    That is its mean over the replicas, whose gradients are added up, times the optimizer's loss scale.
    """
    return {name: optimizer.scale_loss(ops.ones_like(term) / engine.replica_count()) for name, term in terms.items()}
