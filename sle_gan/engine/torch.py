"""PyTorch implementation of the engine: autograd, one operation after the other, on one device.

A step runs as Python writes it, under `torch.no_grad`; `vjp` turns autograd on for what it differentiates. As on JAX,
the differentiated function runs within a `keras.StatelessScope`, so that what it assigns is written back behind it:
autograd refuses tensors that have been written to since it saved them.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import keras
import numpy as np
import torch
from keras import ops
from torch.nn import functional
from torch.optim.adam import adam
from torch.utils.checkpoint import checkpoint

from sle_gan.engine import nvidia, processor
from sle_gan.engine.adam import ConditionalAdam
from sle_gan.engine.calls import Batch, in_calls
from sle_gan.engine.random import RandomStream
from sle_gan.engine.scope import ReadThroughScope
from sle_gan.engine.torch_convolution import average_pool as average_pool
from sle_gan.engine.torch_convolution import conv as conv
from sle_gan.engine.torch_convolution import conv_transpose as conv_transpose
from sle_gan.engine.torch_convolution import nchw, nhwc
from sle_gan.errors import UserError

# A step gets a batch and its random numbers; it returns named scalars.
Step = Callable[[Batch, RandomStream], Mapping[str, Any]]
Run = Callable[..., list[dict[str, float]]]

# Keras reads it when it is imported, and takes the best device there is without it: mps, cuda, xpu, cpu.
DEVICE_VARIABLE = "KERAS_TORCH_DEVICE"

# Whether a function around the present one is being differentiated.
_DIFFERENTIATED: ContextVar[bool] = ContextVar("differentiated", default=False)


def vjp(fn: Callable[..., Any], variables: Sequence[keras.Variable], inputs: Sequence[Any] = ()):
    """Evaluates `fn(*inputs)` and returns its outputs with the pullback of their cotangents.

    See the TensorFlow engine. Gradients are differentiable again where `fn` is part of another `vjp`.
    """
    within = _DIFFERENTIATED.get()
    token = _DIFFERENTIATED.set(True)
    try:
        with torch.enable_grad():
            values = [_starting_point(variable.value, within) for variable in variables]
            points = [_starting_point(ops.convert_to_tensor(x), within) for x in inputs]
            with ReadThroughScope(zip(variables, values)) as scope:
                outputs = fn(*points)
    finally:
        _DIFFERENTIATED.reset(token)
    for variable in scope.assigned.values():
        variable.assign(scope.get_current_value(variable))

    def pullback(cotangents: Any) -> tuple[list[Any], list[Any]]:
        pairs = zip(keras.tree.flatten(outputs), keras.tree.flatten(cotangents), strict=True)
        pairs = [(y, torch.as_tensor(dy, dtype=y.dtype, device=y.device)) for y, dy in pairs if y.requires_grad]
        wanted = [*values, *points]
        differentiable = [x for x in wanted if x.requires_grad]
        found: Iterator[Any] = iter(())
        if pairs and differentiable:
            again = _DIFFERENTIATED.get()
            ys, dys = zip(*pairs)
            found = iter(torch.autograd.grad(ys, differentiable, dys, create_graph=again, materialize_grads=True))
        gradients = [next(found, None) if x.requires_grad else None for x in wanted]
        gradients = [torch.zeros_like(x) if dx is None else dx for x, dx in zip(wanted, gradients)]
        return gradients[: len(values)], gradients[len(values) :]

    return outputs if within else keras.tree.map_structure(_constant, outputs), pullback


def _starting_point(x: torch.Tensor, within: bool) -> torch.Tensor:
    """The same numbers, to take gradients with respect to; still those of `x` for a `vjp` around the present one."""
    if within and x.requires_grad:
        return x.view_as(x)
    return x.detach().requires_grad_(x.is_floating_point())


def _constant(x: Any) -> Any:
    return x.detach() if isinstance(x, torch.Tensor) else x


def custom_gradient(fn: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """The function's values, with the gradient that autograd finds, for the faster one that comes with them.

    Keras's own keeps inputs and outputs alive in a circle that no collector can see, a step's maps with each step, and
    its gradient has none itself.
    """
    return lambda *args: fn(*args)[0]


def compile_inference(network: keras.Model, **options: Any) -> Callable[..., Any]:
    """`network(*inputs, training=False, **options)` as a function of arrays or tensors, without gradients."""
    return compile_function(lambda *inputs: network(*inputs, training=False, **options))


def compile_function(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of (containers of) arrays, which are on the device for it; no gradients leave it."""

    def call(*inputs: Any) -> Any:
        with torch.no_grad():
            return fn(*keras.tree.map_structure(_to_tensor, inputs))

    return call


def _to_tensor(x: Any) -> Any:
    return ops.convert_to_tensor(x) if isinstance(x, (np.ndarray, np.generic)) else x


def fused(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` itself: it runs as it is."""
    return fn


@contextmanager
def full_precision() -> Iterator[None]:
    """Within it, float32 products on a GPU are of float32 numbers, not of TF32's with 10 bits for the fraction."""
    matmul: Any = torch.backends.cuda.matmul
    convolution: Any = torch.backends.cudnn
    before = matmul.allow_tf32, convolution.allow_tf32
    matmul.allow_tf32 = convolution.allow_tf32 = False
    try:
        yield
    finally:
        matmul.allow_tf32, convolution.allow_tf32 = before


def to_device(array: np.ndarray) -> Any:
    """A tensor with a copy of the array, on the device that computes."""
    return ops.convert_to_tensor(np.array(array))


def save_model(*_: Any, **settings: Any) -> None:
    """SavedModel is TensorFlow's format.

    Raises:
        UserError: always; it names the engine to take.
    """
    raise UserError("a SavedModel is written by TensorFlow; use the tensorflow engine (KERAS_BACKEND=tensorflow)")


def device_kind() -> str:
    """Where Keras computes: cuda, mps, xpu or cpu."""
    return ops.convert_to_tensor(0.0).device.type


def on_cpu() -> bool:
    """Whether PyTorch computes on the CPU."""
    return device_kind() == "cpu"


def faster_in_bfloat16() -> bool | None:
    """See TensorFlow's; of GPUs that are not NVIDIA's nothing is known here."""
    kind = device_kind()
    if kind == "cpu":
        return None if processor.multiplies_bfloat16() else False
    known = kind == "cuda" and torch.version.hip is None  # ROCm calls its own cuda too
    return known and nvidia.multiplies_bfloat16(torch.cuda.get_device_capability())


def unused_gpu() -> str | None:
    """See the TensorFlow engine; KERAS_TORCH_DEVICE says that the CPU is meant."""
    if os.environ.get(DEVICE_VARIABLE) or not on_cpu():
        return None
    return nvidia.unused_gpu(
        f"PyTorch {torch.__version__}", "install its build for CUDA, by the command that pytorch.org names"
    )


def on_tensorflow_cpu() -> bool:
    """No."""
    return False


def tracing() -> bool:
    """No: asked for TensorFlow's programs alone."""
    return False


def replica_count() -> int:
    """1: there is one device."""
    return 1


def batch_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Normalises NHWC maps by the moments of the whole batch.

    Returns:
        `(y, mean, variance)`: the normalised maps, and the moments with shape (C,); the variance is
        unbiased, as PyTorch stores it.
    """
    mean, variance = torch.zeros_like(gamma, requires_grad=False), torch.ones_like(gamma, requires_grad=False)
    # With a momentum of 1 the running moments become those of this batch.
    y = functional.batch_norm(nchw(x), mean, variance, gamma, beta, training=True, momentum=1.0, eps=epsilon)
    return nhwc(y), mean, variance


def leaky_relu(x: Any, slope: float) -> Any:
    """LeakyReLU; its gradient at zero is the slope, as on the other engines."""
    return functional.leaky_relu(x, float(np.float32(slope)))  # as TensorFlow's kernel keeps it, even in float64


class Adam(ConditionalAdam):
    """PyTorch's own, one fused kernel for each variable, on Keras's variables."""

    def _backend_update_step(self, grads: Any, trainable_variables: Any, learning_rate: Any) -> None:
        indices = [self._get_variable_index(variable) for variable in trainable_variables]
        done = ops.convert_to_tensor(self.iterations)
        skip = None if self.applied is None else 1.0 - torch.as_tensor(self.applied).float().to(done.device)
        with torch.no_grad():
            adam(
                [variable.value for variable in trainable_variables],
                [gradient.to(variable.value.dtype) for gradient, variable in zip(grads, trainable_variables)],
                [self._momentums[index].value for index in indices],
                [self._velocities[index].value for index in indices],
                max_exp_avg_sqs=[],
                # PyTorch counts the steps of each variable, here from those that the optimizer has made.
                state_steps=[done.to(torch.float32, copy=True) for _ in indices],
                fused=True,
                found_inf=skip,
                amsgrad=False,
                beta1=float(self.beta_1),
                beta2=float(self.beta_2),
                lr=torch.as_tensor(ops.convert_to_tensor(learning_rate), dtype=torch.float32),
                weight_decay=0.0,
                eps=self.epsilon,
                maximize=False,
            )


def all_gather(x: Any) -> Any:
    """The batch itself."""
    return x


def replica_part(x: Any) -> Any:
    """All of what was gathered."""
    return x


def assign_rows(variable: keras.Variable, indices: Any, rows: Any) -> None:
    """variable[indices] <- rows (N, ...), in place; see the TensorFlow engine."""
    with torch.no_grad():
        variable.value[indices.long()] = rows.to(variable.value.dtype)


def recomputed(fn: Callable[..., Any], *inputs: Any) -> Any:
    """`fn(*inputs)`, of which only the inputs and the output are kept for backpropagation; see TensorFlow's."""
    if not torch.is_grad_enabled():
        return fn(*inputs)
    return checkpoint(fn, *inputs, use_reentrant=False, preserve_rng_state=False)


def after(values: Any, done: Any) -> Any:
    """The values: PyTorch computes in the order in which Python asks for it."""
    del done
    return values


def instance_norm(x: Any, epsilon: float) -> Any:
    """Normalises every image's channels by their own moments over the map; NHWC in and out, nothing learned."""
    wide = ops.cast(x, keras.config.floatx())
    centred = wide - wide.mean((1, 2), keepdim=True)
    variance = centred.square().mean((1, 2), keepdim=True)
    return (centred * torch.rsqrt(variance + epsilon)).to(x.dtype)


def update_averages(pairs: Sequence[tuple[keras.Variable, keras.Variable]], decay: Any) -> None:
    """average <- decay * average + (1 - decay) * variable, for pairs (average, variable)."""
    with torch.no_grad():
        share = 1.0 - ops.convert_to_tensor(decay, keras.config.floatx())  # on the device: nobody waits for its value
        for average, variable in pairs:
            average.value.lerp_(variable.value, share)


def join_workers(addresses: Sequence[str], process: int) -> None:
    """There is one process.

    Raises:
        UserError: always; it names the engines to take.
    """
    raise UserError(
        "--distributed: the torch engine trains in one process on one device; "
        "use --engine tensorflow or jax, or leave --distributed out"
    )


class Devices:
    """The device of a run: the one that Keras has chosen.

    Args:
        limit: 1 or None.
        workers: see `join_workers`.

    Raises:
        UserError: when more are asked for.
    """

    process: int = 0
    replicas: int = 1

    def __init__(self, limit: int | None = None, workers: bool = False):
        if workers:
            join_workers((), 0)
        if limit is not None and limit > 1:
            raise UserError(
                f"--devices {limit}: the torch engine trains on one device; use --engine tensorflow or jax for more, "
                "or leave --devices out"
            )
        self.kind = device_kind()
        self.accelerated = self.kind != "cpu"
        self.description = f"1 x {self._name()} (PyTorch {torch.__version__})"
        self._resident = nvidia.resident_bytes(self._memory()) if self.accelerated else 0

    def _name(self) -> str:
        return {"cpu": "CPU", "cuda": "GPU", "mps": "Apple GPU", "xpu": "Intel GPU"}.get(self.kind, self.kind)

    def _memory(self) -> int | None:
        """Bytes that the device has, as far as it says."""
        if self.kind == "cuda":
            return torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
        return None

    def scope(self) -> AbstractContextManager[Any]:
        """Context in which the variables of a run are created and assigned."""
        return nullcontext()

    @property
    def bfloat16(self) -> bool | None:
        return faster_in_bfloat16()

    def fits(self, nbytes: int) -> bool:
        """Whether a training set of this size should stay on the device: a quarter of its memory at most."""
        return nbytes <= self._resident

    def any(self, flag: bool) -> bool:
        """The flag: there is one process."""
        return flag

    def compile(
        self,
        step: Step,
        state: Iterable[keras.Variable],
        seed: int,
        parts: int = 1,
        resident: Sequence[np.ndarray] | None = None,
        steps: int = 1,
    ) -> Run:
        """Prepares a train step; see the TensorFlow engine. The logs of a call leave the device together."""
        for variable in state:
            variable.value.requires_grad_(False)  # `vjp` asks for the gradients that are wanted
        whole = None if resident is None else [ops.convert_to_tensor(images) for images in resident]

        def call(batches: Sequence[Batch], k: int, part: int) -> list[dict[str, float]]:
            rows, names = [], []
            with torch.no_grad():
                for number, batch in enumerate(batches, start=k):
                    tensors = tuple(ops.convert_to_tensor(images) for images in batch)
                    if whole is not None:
                        tensors = tuple(images[indices.long()] for images, indices in zip(whole, tensors))
                    logs = step(tensors, RandomStream(seed, number * parts + part, step=number))
                    names = list(logs)
                    rows.append(
                        torch.stack([ops.cast(value, keras.config.floatx()) for value in logs.values()])
                        if logs
                        else torch.zeros(0)
                    )
                columns = torch.stack(rows).cpu().tolist()
            return [dict(zip(names, row)) for row in columns]

        return functools.partial(in_calls, call, steps)
