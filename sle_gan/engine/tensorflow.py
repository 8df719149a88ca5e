"""TensorFlow implementation of the engine: GradientTape, tf.function, tf.distribute."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sle_gan import processors
from sle_gan.engine import malloc, nvidia
from sle_gan.engine.adam import ConditionalAdam
from sle_gan.engine.calls import Batch, in_calls, stack_batches
from sle_gan.engine.random import RandomStream
from sle_gan.engine.tensorflow_inference import (
    compile_function,
    compile_inference,
    faster_in_bfloat16,
    full_precision,
    fused,
    on_cpu,
    on_tensorflow_cpu,
    run_operations_at_once,
    save_model,
    to_device,
    tracing,
    unused_gpu,
)
from sle_gan.engine.tensorflow_order import after, recomputed
from sle_gan.errors import UserError

__all__ = [  # beside what is here
    "after",
    "compile_function",
    "compile_inference",
    "faster_in_bfloat16",
    "full_precision",
    "fused",
    "on_cpu",
    "on_tensorflow_cpu",
    "recomputed",
    "save_model",
    "to_device",
    "tracing",
    "unused_gpu",
]

# A step gets a batch and its random numbers; it returns named scalars.
Step = Callable[[Batch, RandomStream], Mapping[str, Any]]
Run = Callable[..., list[dict[str, float]]]


def vjp(fn: Callable[..., Any], variables: Sequence[keras.Variable], inputs: Sequence[Any] = ()):
    """Evaluates `fn(*inputs)` and returns its outputs with the pullback of cotangents of the same structure.

    Args:
        fn: any function of tensors; may read and assign Keras variables.
        variables: the variables to differentiate with respect to.
        inputs: tensors, passed to `fn` and differentiated with respect to.

    Returns:
        `(outputs, pullback)`. `pullback(cotangents)` gives two lists, `(d_variables, d_inputs)`; to be called once.
    """
    values = [variable.value for variable in variables]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        tape.watch(list(inputs))
        outputs = fn(*inputs)

    def pullback(cotangents: Any) -> tuple[list[Any], list[Any]]:
        gradients = tape.gradient(
            tf.nest.flatten(outputs),
            values + list(inputs),
            output_gradients=tf.nest.flatten(cotangents),
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return gradients[: len(values)], gradients[len(values) :]

    return outputs, pullback


# Keras's own are as good as any.
conv, conv_transpose, average_pool = ops.conv, ops.conv_transpose, ops.average_pool
custom_gradient = ops.custom_gradient


def replica_count() -> int:
    """Number of replicas that run the present step together (1 outside of a step)."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def batch_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalises NHWC maps by the moments of the whole batch, over all replicas.

    On one replica this is TensorFlow's fused kernel: five times faster on a CPU than the chain of
    elementwise operations that `keras.layers.BatchNormalization` becomes (8x256x256x64, forward and
    backward: 0.05 against 0.25 s on 2 cores).

    Returns:
        `(y, mean, variance)`: the normalised maps, and the moments with shape (C,); the variance is
        unbiased, as PyTorch stores it.
    """
    if replica_count() == 1 and x.dtype != tf.float64:  # the fused kernel has no float64
        return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=epsilon, is_training=True)
    all_mean = functools.partial(tf.distribute.get_replica_context().all_reduce, tf.distribute.ReduceOp.MEAN)
    wide = tf.cast(x, keras.config.floatx())
    mean = all_mean(tf.reduce_mean(wide, axis=(0, 1, 2)))
    # A second reduction, because E[x^2] - E[x]^2 loses the digits that E[(x - mean)^2] keeps.
    variance = all_mean(tf.reduce_mean(tf.square(wide - mean), axis=(0, 1, 2)))
    y = tf.cast(tf.nn.batch_normalization(wide, mean, variance, beta, gamma, epsilon), x.dtype)
    count = tf.cast(tf.size(x) // tf.shape(x)[-1] * replica_count(), keras.config.floatx())
    return y, mean, variance * count / (count - 1.0)


def leaky_relu(x: Any, slope: float) -> Any:
    """LeakyReLU whose gradient comes from its output, which the next layer keeps anyway, and not from its input."""

    @tf.custom_gradient
    def activate(x: Any) -> Any:
        y = tf.nn.leaky_relu(x, slope)
        return y, lambda dy: tf.raw_ops.LeakyReluGrad(gradients=dy, features=y, alpha=slope)

    return activate(x)


class Adam(ConditionalAdam):
    """Adam as PyTorch has it, with one fused kernel for each variable, where Keras has twenty operations.

    PyTorch adds epsilon to the square root of the unbiased second moment, Keras and TensorFlow to that of the biased
    one: their epsilon is as good as 30 times larger in the first steps.
    """

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        step = tf.cast(self.iterations + 1, keras.config.floatx())
        unbiased_2 = tf.sqrt(1.0 - tf.pow(float(self.beta_2), step))
        rate = learning_rate * unbiased_2 / (1.0 - tf.pow(float(self.beta_1), step))
        numbers = [rate, self.epsilon * unbiased_2]
        if self.applied is not None:
            numbers.append(tf.cast(self.applied, rate.dtype))
        super()._backend_update_step(grads, trainable_variables, tf.stack(numbers))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        index = self._get_variable_index(variable)
        learning_rate, epsilon, *applied = tf.unstack(learning_rate)
        betas = [self.beta_1, self.beta_2]
        for on in applied:  # one number, or none
            learning_rate *= on
            betas = [tf.where(on > 0, beta, 1.0) for beta in betas]
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=0.0,  # the learning rate is corrected for the bias already
            beta2_power=0.0,
            lr=learning_rate,
            beta1=betas[0],
            beta2=betas[1],
            epsilon=epsilon,
            grad=gradient,
        )


def all_gather(x: Any) -> Any:
    """The batches (B, ...) of all replicas in their order, on each of them: (replicas * B, ...)."""
    return x if replica_count() == 1 else tf.distribute.get_replica_context().all_gather(x, axis=0)


def replica_part(x: Any) -> Any:
    """This replica's share (B, ...) of what was gathered: (replicas * B, ...)."""
    if replica_count() == 1:
        return x
    return tf.stack(tf.split(x, replica_count()))[tf.distribute.get_replica_context().replica_id_in_sync_group]


def assign_rows(variable: keras.Variable, indices: Any, rows: Any) -> None:
    """variable[indices] <- rows (N, ...), in place; the same on every replica. Rows of one index must be equal."""
    variable.value.scatter_update(tf.IndexedSlices(rows, indices))


# Up to this many images, one fused kernel for each beats the chain of elementwise operations over all.
_FUSED_INSTANCES = 4


def instance_norm(x: Any, epsilon: float) -> Any:
    """Normalises every image's channels by their own moments over the map; NHWC in and out, nothing learned.

    One image's instance norm is its batch norm, for which there is a fused kernel with a fused gradient
    (2x128x128x64, forward and backward, 2 CPU cores: 8 against 19 ms). Moments are float32 in any precision.
    """
    images, channels = x.shape[0], x.shape[-1]
    if images is None or images > _FUSED_INSTANCES or x.dtype == tf.float64:
        wide = tf.cast(x, keras.config.floatx())
        centred = wide - tf.reduce_mean(wide, axis=(1, 2), keepdims=True)
        variance = tf.reduce_mean(tf.square(centred), axis=(1, 2), keepdims=True)
        return tf.cast(centred * tf.math.rsqrt(variance + epsilon), x.dtype)
    gamma, beta = tf.ones(channels), tf.zeros(channels)
    parts = [
        tf.compat.v1.nn.fused_batch_norm(part, gamma, beta, epsilon=epsilon, is_training=True)[0]
        for part in (tf.split(x, images) if images > 1 else [x])
    ]
    return tf.concat(parts, axis=0) if images > 1 else parts[0]


def update_averages(pairs: Sequence[tuple[keras.Variable, keras.Variable]], decay: Any) -> None:
    """average <- decay * average + (1 - decay) * variable, for pairs (average, variable); on every replica alike."""

    def update(strategy: tf.distribute.Strategy, decay: Any) -> None:
        # `decay` is the same on every replica; merge_call hands over one value for each.
        decay = tf.identity(strategy.experimental_local_results(decay)[0])
        for average, variable in pairs:
            strategy.extended.update(
                average.value,
                lambda a, v: tf.raw_ops.ResourceApplyGradientDescent(var=a.handle, alpha=1.0 - decay, delta=a - v),
                args=(variable.value,),
                group=True,
            )

    replica = tf.distribute.get_replica_context()
    if replica is None:
        update(tf.distribute.get_strategy(), decay)
    else:
        replica.merge_call(update, args=(tf.convert_to_tensor(decay, keras.config.floatx()),))


def join_workers(addresses: Sequence[str], process: int) -> None:
    """Nothing: MultiWorkerMirroredStrategy reads TF_CONFIG itself, and starts its server."""
    del addresses, process


def _repeat(
    strategy: Any, step: Callable[..., Any], rows: int | None, batches: Batch, k: Any, part: Any, count: Any
) -> dict[str, Any]:
    """The `count` steps k, k + 1, ... in one graph; batches are stacked along their first axis, and so are the logs.

    Args:
        rows: of the logs, where their number has to be known before they are made (XLA); else there are `count`.
        count: a scalar tensor, so that one graph serves for any number of steps.
    """
    names: list[str] = []

    def body(i: Any, logs: Any) -> tuple[Any, Any]:
        batch = tuple(strategy.run(lambda images: images[i], args=(images,)) for images in batches)
        values = step(batch, k + i, part)
        names[:] = values
        return i + 1, logs.write(i, tf.stack(list(values.values())))

    logs = tf.TensorArray(keras.config.floatx(), count if rows is None else rows)
    _, logs = tf.while_loop(lambda i, _: i < count, body, (0, logs), parallel_iterations=1)
    columns = tf.transpose(logs.stack())
    return {name: columns[i] for i, name in enumerate(names)}


class Devices:
    """The devices of a run, behind one tf.distribute strategy.

    Args:
        limit: use at most this many GPUs of this machine; all of them when None. Without a GPU the CPU is used.
        names: explicit device names, such as two logical CPUs in a test.
        workers: run together with the other processes that TF_CONFIG names, one per machine.

    Raises:
        UserError: when more GPUs are asked for than exist.
    """

    def __init__(self, limit: int | None = None, names: Sequence[str] | None = None, workers: bool = False):
        gpus = tf.config.list_physical_devices("GPU")
        if names is None and limit is not None and limit > max(1, len(gpus)):
            raise UserError(f"--devices {limit}: this machine has {max(1, len(gpus))} ({'GPU' if gpus else 'CPU'})")
        # A process that has computed already, such as a notebook, keeps what it has: its GPU may be all its own by now.
        with contextlib.suppress(RuntimeError):
            for gpu in gpus:
                tf.config.experimental.set_memory_growth(gpu, True)
        if names is None:
            names = [f"GPU:{i}" for i in range(len(gpus))][:limit]
        self._workers = workers
        if not gpus and not workers:
            run_operations_at_once(min(2, processors.available()))
            malloc.share_one_arena()
        if workers:
            if limit is not None:
                tf.config.set_visible_devices(gpus[:limit], "GPU")
            self._strategy = tf.distribute.MultiWorkerMirroredStrategy()
        elif len(names) > 1:
            self._strategy = tf.distribute.MirroredStrategy(names)
        else:
            self._strategy = tf.distribute.get_strategy()
        resolver = self._strategy.cluster_resolver
        self.process: int = resolver.task_id or 0 if workers and resolver else 0
        self.replicas: int = self._strategy.num_replicas_in_sync
        self.accelerated = bool(gpus)
        self.description = f"{self.replicas} x {'GPU' if gpus else 'CPU'} (TensorFlow {tf.__version__})"
        # XLA fuses the elementwise chains on a GPU; on a CPU its convolutions take twice as long.
        self._jit = self.accelerated and self.replicas == 1
        self._resident = nvidia.resident_bytes(nvidia.gpu_memory()) if self._jit else 0

    def scope(self) -> AbstractContextManager[Any]:
        """Context in which the variables of a run are created and assigned."""
        return self._strategy.scope()

    @property
    def bfloat16(self) -> bool | None:
        return faster_in_bfloat16()

    def fits(self, nbytes: int) -> bool:
        """Whether a training set of this size should stay on the device: a quarter of its memory at most.

        Only a single GPU: elsewhere the gathering of uint8 images has no kernel, and a CPU gains nothing.
        """
        return nbytes <= self._resident

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes that run together."""
        if not self._workers:
            return flag

        @tf.function(autograph=False)
        def total(value: Any) -> Any:
            return self._strategy.reduce("SUM", self._strategy.run(tf.identity, args=(value,)), axis=None)

        self._total = getattr(self, "_total", total)
        return float(self._total(tf.constant(float(flag)))) > 0

    def compile(
        self,
        step: Step,
        state: Iterable[keras.Variable],
        seed: int,
        parts: int = 1,
        resident: Sequence[np.ndarray] | None = None,
        steps: int = 1,
    ) -> Run:
        """Compiles a train step over all replicas, once.

        Args:
            step: `step(batch, random) -> {name: scalar}`; runs once per replica, on its share of the batch.
            state: every variable that the step may change (TensorFlow finds them by itself).
            seed: the run's seed, from which the step's `RandomStream` follows.
            parts: into how many parts the caller cuts the batch of a step.
            resident: all images of each domain; they are brought to the device once, and batches are indices.
            steps: how many steps one call of the device makes at most: with more than one it is a loop.

        Returns:
            `run(batches, k, part=0)`: runs the steps k, k + 1, ..., one for each batch, in as few calls of the
            device as that takes, and returns their logs, averaged over replicas. A batch is a tuple of host
            arrays, one for each domain, whose first axes are divisible by the replica count.
        """
        del state
        strategy, replicas = self._strategy, self.replicas
        whole = None if resident is None else [tf.constant(images) for images in resident]

        def replica_step(batch: Batch, k: Any, part: Any) -> Mapping[str, Any]:
            context = tf.distribute.get_replica_context()
            replica = context.replica_id_in_sync_group if context else 0
            if whole is not None:
                batch = tuple(tf.gather(images, indices) for images, indices in zip(whole, batch))
            position = (k * parts + part) * replicas + replica
            return step(batch, RandomStream(seed, position, step=k, replicas=replicas))

        def all_replicas(batch: Batch, k: Any, part: Any) -> dict[str, Any]:
            logs = strategy.run(replica_step, args=(batch, k, part))
            return {name: strategy.reduce("MEAN", value, axis=None) for name, value in logs.items()}

        # The step has no Python control flow on tensors: autograph would only slow the tracing down.
        repeated = functools.partial(_repeat, strategy, all_replicas, steps if self._jit else None)
        program = tf.function(all_replicas if steps == 1 else repeated, jit_compile=self._jit, autograph=False)

        def call(batches: Sequence[Batch], k: int, part: int) -> list[dict[str, float]]:
            numbers = tf.constant(k, tf.int32), tf.constant(part, tf.int32)
            if steps == 1:
                shares = tuple(self._distribute(images, 0) for images in batches[0])
                return [{name: float(value) for name, value in program(shares, *numbers).items()}]
            stacked = tuple(self._distribute(images, 1) for images in stack_batches(batches, steps))
            columns = program(stacked, *numbers, tf.constant(len(batches), tf.int32))
            columns = {name: value.numpy() for name, value in columns.items()}
            return [{name: float(column[i]) for name, column in columns.items()} for i in range(len(batches))]

        return functools.partial(in_calls, call, steps)

    def _distribute(self, images: np.ndarray, axis: int) -> Any:
        """Each replica's share along an axis."""
        if self.replicas == 1:
            return tf.convert_to_tensor(images)
        shares = np.split(images, self.replicas, axis)
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: tf.convert_to_tensor(shares[context.replica_id_in_sync_group])
        )
