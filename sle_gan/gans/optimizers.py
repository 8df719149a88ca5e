"""Optimizers as GANs use them, and the precision that their networks compute in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from sle_gan import engine
from sle_gan.config import TrainConfig
from sle_gan.models.precision import computing_in


def make_adam(
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
    kind = ScaledAdam if config.mixed_precision == "float16" else engine.Adam
    optimizer = kind(learning_rate, beta_1=beta_1, beta_2=beta_2, epsilon=1e-8, name=name)
    several = networks if isinstance(networks, Sequence) else [networks]
    variables = [variable for network in several for variable in network.trainable_variables]
    optimizer.build(variables)
    if config.gradient_accumulation > 1:
        return Accumulator(optimizer, variables, config.gradient_accumulation)
    return optimizer


class ScaledAdam(engine.Adam):  # type: ignore[reportGeneralTypeIssues]  # one of two classes
    """Adam for gradients that were float16 on their way: `scale_loss` keeps them large enough, `apply` divides again.

    Where a gradient is NaN or Inf, the step is left out and the scale is halved; after `GROWTH_STEPS` steps without
    one it is doubled. These are the rule, the names and the numbers of `keras.optimizers.LossScaleOptimizer`, which
    made the older float16 checkpoints. That one assigns within a branch: not possible in a stateless scope (JAX).
    """

    FIRST_SCALE = 2.0**15
    LIMITS = 1.0, 2.0**24  # a scale beyond these cannot be the cause of NaN or Inf
    GROWTH_STEPS = 2000

    def build(self, variables: Sequence[keras.Variable]) -> None:
        super().build(variables)
        state: dict[str, Any] = {"shape": (), "aggregation": "only_first_replica"}
        first = keras.initializers.Constant(self.FIRST_SCALE)
        self.dynamic_scale = self.add_variable(initializer=first, dtype="float32", name="dynamic_scale", **state)
        self.step_counter = self.add_variable(initializer="zeros", dtype="int", name="step_counter", **state)

    def scale_loss(self, loss: Any) -> Any:
        return loss * ops.convert_to_tensor(self.dynamic_scale)

    def apply(self, gradients: Sequence[Any], variables: Sequence[keras.Variable]) -> None:
        if self.applied is not None:  # it is `apply_where` that calls
            super().apply(gradients, variables)
            return
        own = ops.all(ops.stack([ops.all(ops.isfinite(gradient)) for gradient in gradients]))
        finite = ops.min(engine.all_gather(ops.reshape(ops.cast(own, "float32"), (1,)))) > 0  # on every replica
        scale = ops.convert_to_tensor(self.dynamic_scale)
        unscaled = [ops.where(finite, gradient / scale, ops.zeros_like(gradient)) for gradient in gradients]
        self.apply_where(finite, unscaled, variables)
        steps = ops.convert_to_tensor(self.step_counter) + 1
        grown = steps >= self.GROWTH_STEPS
        factor = ops.where(finite, ops.where(grown, 2.0, 1.0), 0.5)
        self.dynamic_scale.assign(ops.clip(scale * factor, *self.LIMITS))
        self.step_counter.assign(ops.where(ops.logical_and(finite, ops.logical_not(grown)), steps, 0))


class Accumulator:
    """An optimizer's interface for accumulated gradients: `apply` adds gradients up, `flush` updates with their mean.

    Keras optimizers can accumulate gradients, but decide on the device when to update, which is not possible within a
    replica of MirroredStrategy. Here the host calls `flush` after the last part of a batch.

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
    """Networks made within it compute in --mixed-precision; their variables, norms and outputs are float32.

    Raises:
        ValueError: if the settings leave the precision open.
    """
    if config.mixed_precision == "auto":
        raise ValueError("mixed_precision is 'auto'; networks need what sle_gan.training.precision makes of it")
    with computing_in(config.mixed_precision):
        yield


def add_gradients(before: Sequence[Any], more: Sequence[Any]) -> list[Any]:
    """The sums of two lists of gradients, of which the first may be empty."""
    return [one + other for one, other in zip(before, more, strict=True)] if before else list(more)


def cotangents(terms: Mapping[str, Any], optimizer: Any) -> dict[str, Any]:
    """d(total) / d(term), where the total is the sum of the loss terms as the optimizer wants it.

    That is its mean over the replicas, whose gradients are added up, times the optimizer's loss scale.
    """
    return {name: optimizer.scale_loss(ops.ones_like(term) / engine.replica_count()) for name, term in terms.items()}
