"""JAX implementation of the engine: stateless scopes turn the stateful step into a pure function.

Only public Keras API: within a `keras.StatelessScope` a variable reads and takes values of the scope's own, so
the same code that updates variables in place on TensorFlow becomes values in, values out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp

from sle_gan.engine.random import RandomStream
from sle_gan.errors import UserError

# A step gets one array of images for each domain, and its random numbers; it returns named scalars.
Batch = Sequence[Any]
Step = Callable[[Batch, RandomStream], Mapping[str, Any]]


class _Scope(keras.StatelessScope):
    """A stateless scope that reads through to the one around it and remembers what was assigned."""

    def __init__(self, state_mapping: Iterable[tuple[keras.Variable, Any]]):
        super().__init__(state_mapping=list(state_mapping))
        self.assigned: dict[int, keras.Variable] = {}

    def get_current_value(self, variable: keras.Variable) -> Any:
        value = super().get_current_value(variable)
        outer = getattr(self, "original_scope", None)
        return outer.get_current_value(variable) if value is None and outer else value

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        self.assigned[id(update[0])] = update[0]
        super().add_update(update)


def vjp(fn: Callable[..., Any], variables: Sequence[keras.Variable], inputs: Sequence[Any] = ()):
    """Evaluates `fn(*inputs)` and returns its outputs with the pullback of their cotangents.

    See the TensorFlow engine. What `fn` assigns leaves it as auxiliary values and is assigned outside.
    """
    assigned: list[keras.Variable] = []

    def pure(values: Sequence[Any], inputs: Sequence[Any]) -> tuple[Any, list[Any]]:
        with _Scope(zip(variables, values)) as scope:
            outputs = fn(*inputs)
        assigned[:] = scope.assigned.values()
        return outputs, [scope.get_current_value(variable) for variable in assigned]

    values = [jnp.asarray(variable.value) for variable in variables]
    outputs, pull, updates = jax.vjp(pure, values, [jnp.asarray(x) for x in inputs], has_aux=True)
    for variable, value in zip(assigned, updates):
        variable.assign(value)

    def pullback(cotangents: Any) -> tuple[list[Any], list[Any]]:
        # The cotangents' containers may differ from the outputs' (a list for a tuple): JAX insists on equal ones.
        leaves, structure = jax.tree.leaves(cotangents), jax.tree.structure(outputs)
        return pull(jax.tree.unflatten(structure, [jnp.asarray(leaf) for leaf in leaves]))

    return outputs, pullback


def compile_inference(network: keras.Model, **options: Any) -> Callable[..., Any]:
    """`network(*inputs, training=False, **options)` as a compiled function of arrays or tensors."""

    @jax.jit
    def forward(trainable: Any, others: Any, *inputs: Any) -> Any:
        return network.stateless_call(trainable, others, *inputs, training=False, **options)[0]

    def call(*inputs: Any) -> Any:
        values = ([v.value for v in vs] for vs in (network.trainable_variables, network.non_trainable_variables))
        return forward(*values, *inputs)

    return call


def replica_count() -> int:
    """1: JAX splits the arrays of one program over the devices, and means are those of the whole batch."""
    return 1


def batch_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalises NHWC maps by the moments of the whole batch.

    Returns:
        `(y, mean, variance)`: the normalised maps, and the moments with shape (C,); the variance is
        unbiased, as PyTorch stores it.
    """
    wide = x.astype(jnp.float32)
    mean = jnp.mean(wide, axis=(0, 1, 2))
    variance = jnp.mean(jnp.square(wide - mean), axis=(0, 1, 2))
    y = (wide - mean) * (jax.lax.rsqrt(variance + epsilon) * gamma) + beta
    count = x.size // x.shape[-1]
    return y.astype(x.dtype), mean, variance * (count / (count - 1))


def update_averages(pairs: Sequence[tuple[keras.Variable, keras.Variable]], decay: Any) -> None:
    """average <- decay * average + (1 - decay) * variable, for pairs (average, variable)."""
    for average, variable in pairs:
        average.assign(average.value - (1.0 - decay) * (average.value - variable.value))


class Devices:
    """The devices of a run; with more than one, arrays are split over them by `keras.distribution`.

    Args:
        limit: use at most this many; all of them when None.

    Raises:
        UserError: when more are asked for than exist.
    """

    def __init__(self, limit: int | None = None):
        devices = jax.devices()
        if limit is not None and limit > len(devices):
            raise UserError(f"{limit} devices were asked for, but this machine has {len(devices)}")
        devices = devices[:limit]
        self.replicas: int = len(devices)
        self.description = f"{self.replicas} x {devices[0].platform.upper()} (JAX {jax.__version__})"
        self._distribution = None
        if len(devices) > 1:
            names = keras.distribution.list_devices()[: len(devices)]
            self._distribution = keras.distribution.DataParallel(devices=names)

    def scope(self) -> AbstractContextManager[Any]:
        """Context in which the variables of a run are created and assigned."""
        return self._distribution.scope() if self._distribution else nullcontext()

    def compile(
        self, step: Step, state: Iterable[keras.Variable], seed: int
    ) -> Callable[[Sequence[Batch], int], list[dict[str, float]]]:
        """Compiles a train step; see the TensorFlow engine. The old values' memory is reused for the new."""
        variables = list(state)

        def pure(values: Sequence[Any], batch: Batch, k: Any) -> tuple[dict[str, Any], list[Any]]:
            with _Scope(zip(variables, values)) as scope:
                logs = dict(step(batch, RandomStream(seed, k, step=k)))
            return logs, [scope.get_current_value(variable) for variable in variables]

        compiled = jax.jit(pure, donate_argnums=0)

        def run(batches: Sequence[Batch], k: int) -> list[dict[str, float]]:
            values, all_logs = [variable.value for variable in variables], []
            for i, batch in enumerate(batches):
                shared = tuple(self._distribute(images) for images in batch)
                logs, values = compiled(values, shared, jnp.asarray(k + i, jnp.uint32))
                all_logs.append({name: float(value) for name, value in logs.items()})
            for variable, value in zip(variables, values):
                variable.assign(value)
            return all_logs

        return run

    def _distribute(self, batch: np.ndarray) -> Any:
        if self._distribution is None:
            return jnp.asarray(batch)
        mesh = jax.sharding.Mesh(np.array(jax.devices()[: self.replicas]), ("batch",))
        return jax.device_put(batch, jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch")))
