"""JAX implementation of the engine: stateless scopes turn the stateful step into a pure function.

Only public Keras API: within a `keras.StatelessScope` a variable reads and takes values of the scope's own, so
the same code that updates variables in place on TensorFlow becomes values in, values out.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import keras
import numpy as np
from jax import numpy as jnp
from keras import ops

from sle_gan.engine import nvidia
from sle_gan.engine.adam import ConditionalAdam
from sle_gan.engine.calls import Batch, in_calls, stack_batches
from sle_gan.engine.random import RandomStream
from sle_gan.engine.scope import ReadThroughScope
from sle_gan.errors import UserError

# A step gets a batch and its random numbers; it returns named scalars.
Step = Callable[[Batch, RandomStream], Mapping[str, Any]]
Run = Callable[..., list[dict[str, float]]]


def vjp(fn: Callable[..., Any], variables: Sequence[keras.Variable], inputs: Sequence[Any] = ()):
    """Evaluates `fn(*inputs)` and returns its outputs with the pullback of their cotangents.

    See the TensorFlow engine. What `fn` assigns leaves it as auxiliary values and is assigned outside.
    """
    assigned: list[keras.Variable] = []

    def pure(values: Sequence[Any], inputs: Sequence[Any]) -> tuple[Any, list[Any]]:
        with ReadThroughScope(zip(variables, values)) as scope:
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


# Keras's own are as good as any.
conv, conv_transpose, average_pool = ops.conv, ops.conv_transpose, ops.average_pool
custom_gradient = ops.custom_gradient


def compile_inference(network: keras.Model, **options: Any) -> Callable[..., Any]:
    """`network(*inputs, training=False, **options)` as a compiled function of arrays or tensors."""

    @jax.jit
    def forward(trainable: Any, others: Any, *inputs: Any) -> Any:
        return network.stateless_call(trainable, others, *inputs, training=False, **options)[0]

    def call(*inputs: Any) -> Any:
        values = ([v.value for v in vs] for vs in (network.trainable_variables, network.non_trainable_variables))
        return forward(*values, *inputs)

    return call


def compile_function(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of (containers of) arrays that reads no variables, compiled once for every combination of shapes."""
    return jax.jit(fn)


def fused(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` itself: XLA fuses elementwise operations anyway."""
    return fn


def full_precision() -> AbstractContextManager[None]:
    """Within it, float32 products on a GPU are of float32 numbers, not of TF32's with 10 bits for the fraction."""
    return jax.default_matmul_precision("highest")


def to_device(array: np.ndarray) -> Any:
    """A tensor with a copy of the array, on the device that computes."""
    return jnp.asarray(array)


def save_model(*_: Any, **settings: Any) -> None:
    """SavedModel is TensorFlow's format.

    Raises:
        UserError: always; it names the engine to take.
    """
    raise UserError("a SavedModel is written by TensorFlow; use the tensorflow engine (KERAS_BACKEND=tensorflow)")


def on_cpu() -> bool:
    """Whether JAX computes on the CPU, for want of anything else."""
    return jax.default_backend() == "cpu"


def faster_in_bfloat16() -> bool:
    """See TensorFlow's. On a CPU, XLA computes no faster in bfloat16."""
    device = jax.devices()[0]
    if device.platform == "tpu":
        return True
    numbers = str(getattr(device, "compute_capability", "")).split(".")
    return nvidia.multiplies_bfloat16([int(number) for number in numbers if number.isdecimal()])


def unused_gpu() -> str | None:
    """See the TensorFlow engine; JAX_PLATFORMS says that the CPU is meant. Starts JAX, so workers join before."""
    if getattr(jax.config, "jax_platforms", None) or not on_cpu():
        return None
    return nvidia.unused_gpu(f"JAX {jax.__version__}", f'pip install "jax[cuda12]=={jax.__version__}"')


def on_tensorflow_cpu() -> bool:
    """No."""
    return False


def tracing() -> bool:
    """No: asked for TensorFlow's programs alone."""
    return False


def replica_count() -> int:
    """1: JAX splits the arrays of one program over the devices, and means are those of the whole batch."""
    return 1


def batch_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalises NHWC maps by the moments of the whole batch.

    Returns:
        `(y, mean, variance)`: the normalised maps, and the moments with shape (C,); the variance is
        unbiased, as PyTorch stores it.
    """
    wide = x.astype(keras.config.floatx())
    mean = jnp.mean(wide, axis=(0, 1, 2))
    variance = jnp.mean(jnp.square(wide - mean), axis=(0, 1, 2))
    y = (wide - mean) * (jax.lax.rsqrt(variance + epsilon) * gamma) + beta
    count = x.size // x.shape[-1]
    return y.astype(x.dtype), mean, variance * (count / (count - 1))


def leaky_relu(x: Any, slope: float) -> Any:
    """LeakyReLU; XLA chooses what it keeps for the gradient.

    At zero, where DiffAugment's cutout puts whole regions, the gradient is the slope, as TensorFlow and PyTorch have
    it; in `jax.nn.leaky_relu` it is 1.
    """
    slope = float(np.float32(slope))  # as TensorFlow's kernel keeps it, even in float64
    return jnp.where(x > 0, x, slope * x)


class Adam(ConditionalAdam):
    """Adam as PyTorch has it: epsilon is added to the square root of the unbiased second moment.

    Keras adds it to that of the biased one: its epsilon is as good as 30 times larger in the first steps.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        m, v = self._momentums[index], self._velocities[index]
        step = jnp.asarray(self.iterations + 1, keras.config.floatx())
        on = 1.0 if self.applied is None else jnp.asarray(self.applied, keras.config.floatx())
        self.assign(m, m + (gradient - m) * ((1.0 - self.beta_1) * on))
        self.assign(v, v + (jnp.square(gradient) - v) * ((1.0 - self.beta_2) * on))
        unbiased = m / (1.0 - self.beta_1**step), v / (1.0 - self.beta_2**step)
        self.assign_sub(variable, (learning_rate * on) * unbiased[0] / (jnp.sqrt(unbiased[1]) + self.epsilon))


def all_gather(x: Any) -> Any:
    """The batch itself: one program sees the whole batch, on however many devices it lies."""
    return x


def replica_part(x: Any) -> Any:
    """All of what was gathered; see `replica_count`."""
    return x


def assign_rows(variable: keras.Variable, indices: Any, rows: Any) -> None:
    """variable[indices] <- rows (N, ...); see the TensorFlow engine."""
    variable.assign(jnp.asarray(variable.value).at[indices].set(rows))


def recomputed(fn: Callable[..., Any], *inputs: Any) -> Any:
    """`fn(*inputs)`, of which only the inputs and the output are kept for backpropagation; see TensorFlow's.

    `jax.checkpoint` relies on XLA's barrier alone, which a CPU's program loses before its last search for what is
    computed twice: it keeps everything there.
    """

    @jax.custom_vjp
    def call(*inputs: Any) -> Any:
        return fn(*inputs)

    def backward(inputs: Any, cotangent: Any) -> Any:
        return jax.vjp(fn, *_tied(inputs, cotangent))[1](cotangent)

    call.defvjp(lambda *inputs: (fn(*inputs), inputs), backward)
    return call(*inputs)


def _tied(values: Sequence[Any], other: Any) -> list[Any]:
    """The values, as the results of operations that read the other array too; see TensorFlow's."""
    first = jax.lax.bitcast_convert_type(jnp.ravel(other)[0].astype(jnp.float32), jnp.uint32)
    never = (first >> 31) > 1
    return [jnp.where(never, jnp.zeros_like(value), value) for value in values]


def after(values: Any, done: Any) -> Any:
    """The values, to be used only once everything in `done` is computed; see the TensorFlow engine."""
    return jax.lax.optimization_barrier((values, done))[0]


def instance_norm(x: Any, epsilon: float) -> Any:
    """Normalises every image's channels by their own moments over the map; NHWC in and out, nothing learned."""
    wide = x.astype(keras.config.floatx())
    centred = wide - jnp.mean(wide, axis=(1, 2), keepdims=True)
    variance = jnp.mean(jnp.square(centred), axis=(1, 2), keepdims=True)
    return (centred * jax.lax.rsqrt(variance + epsilon)).astype(x.dtype)


def update_averages(pairs: Sequence[tuple[keras.Variable, keras.Variable]], decay: Any) -> None:
    """average <- decay * average + (1 - decay) * variable, for pairs (average, variable)."""
    for average, variable in pairs:
        average.assign(average.value - (1.0 - decay) * (average.value - variable.value))


def join_workers(addresses: Sequence[str], process: int) -> None:
    """Joins the processes of a distributed run; before anything else uses JAX."""
    keras.distribution.initialize(",".join(addresses), len(addresses), process)


class Devices:
    """The devices of a run; with more than one, arrays are split over them by `keras.distribution`.

    Args:
        limit: use at most this many; all of them when None.
        workers: the process has joined others (`join_workers`), and their devices belong to the run.

    Raises:
        UserError: when more are asked for than exist.
    """

    def __init__(self, limit: int | None = None, workers: bool = False):
        devices = jax.devices()
        if limit is not None and limit > len(devices):
            raise UserError(f"--devices {limit}: this machine has {len(devices)} ({devices[0].platform.upper()})")
        if limit is not None and workers:
            raise UserError(
                "--devices goes with one process; under --distributed every device of every process is used"
            )
        devices = devices[:limit]
        self.process: int = jax.process_index()
        self.replicas: int = len(devices)
        self.accelerated = devices[0].platform != "cpu"
        self.description = f"{self.replicas} x {devices[0].platform.upper()} (JAX {jax.__version__})"
        self._distribution, self._split, self._rows, self._same = None, None, None, None
        if len(devices) > 1:
            names = keras.distribution.list_devices()[: len(devices)]
            self._distribution = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
            mesh = jax.sharding.Mesh(np.array(devices), ("batch",))
            self._split = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
            self._rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "batch"))
            self._same = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        memory = (devices[0].memory_stats() or {}).get("bytes_limit") if self.accelerated else None
        self._resident = nvidia.resident_bytes(memory) if self.accelerated else 0

    def scope(self) -> AbstractContextManager[Any]:
        """Context in which the variables of a run are created and assigned."""
        return self._distribution.scope() if self._distribution else nullcontext()

    @property
    def bfloat16(self) -> bool:
        return faster_in_bfloat16()

    def fits(self, nbytes: int) -> bool:
        """Whether a training set of this size should stay on the device: a quarter of its memory at most."""
        return nbytes <= self._resident

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes that run together."""
        if jax.process_count() == 1:
            return flag
        from jax.experimental import multihost_utils

        return bool(multihost_utils.process_allgather(np.array([flag])).any())

    def compile(
        self,
        step: Step,
        state: Iterable[keras.Variable],
        seed: int,
        parts: int = 1,
        resident: Sequence[np.ndarray] | None = None,
        steps: int = 1,
    ) -> Run:
        """Compiles a train step, once; see the TensorFlow engine. The old values' memory is reused for the new."""
        variables = list(state)
        whole = None if resident is None else [self._to_devices(images, self._same) for images in resident]

        def one(values: Sequence[Any], whole: Any, batch: Batch, k: Any, part: Any) -> tuple[list[Any], dict[str, Any]]:
            if whole is not None:
                batch = tuple(jnp.take(images, indices, axis=0) for images, indices in zip(whole, batch))
            with ReadThroughScope(zip(variables, values)) as scope:
                logs = dict(step(batch, RandomStream(seed, k * parts + part, step=k)))
            return [scope.get_current_value(variable) for variable in variables], logs

        def several(values: Any, whole: Any, batches: Batch, k: Any, part: Any, count: Any) -> tuple[Any, Any]:
            traced = jax.jit(one)  # once, although its results' shapes are asked for first

            def body(i: Any, state: Any) -> tuple[Any, Any]:
                values, columns = state
                values, logs = traced(values, whole, tuple(images[i] for images in batches), k + i, part)
                return values, {name: column.at[i].set(logs[name]) for name, column in columns.items()}

            _, shapes = jax.eval_shape(traced, values, whole, tuple(images[0] for images in batches), k, part)
            columns = {name: jnp.zeros((steps,), shape.dtype) for name, shape in shapes.items()}
            return jax.lax.fori_loop(jnp.zeros_like(count), count, body, (values, columns))

        program = jax.jit(one if steps == 1 else several, donate_argnums=0, out_shardings=self._same)

        def call(batches: Sequence[Batch], k: int, part: int) -> list[dict[str, float]]:
            arrays, sharding = (batches[0], self._split) if steps == 1 else (stack_batches(batches, steps), self._rows)
            shares = tuple(self._to_devices(images, sharding) for images in arrays)
            numbers = k, part, *([] if steps == 1 else [len(batches)])
            values = [variable.value for variable in variables]
            values, logs = program(values, whole, shares, *(jnp.asarray(number, jnp.uint32) for number in numbers))
            for variable, value in zip(variables, values):
                variable.assign(value)
            columns = {name: np.atleast_1d(np.asarray(value)) for name, value in logs.items()}
            return [{name: float(column[i]) for name, column in columns.items()} for i in range(len(batches))]

        return functools.partial(in_calls, call, steps)

    def _to_devices(self, images: np.ndarray, sharding: Any) -> Any:
        """The array on the devices: each process has all of it and gives what its devices need."""
        if sharding is None:
            return jnp.asarray(images)
        return jax.make_array_from_callback(images.shape, sharding, lambda index: images[index])
