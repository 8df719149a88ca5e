"""The part of the TensorFlow engine that runs trained networks: compiled, without gradients, or for other machines."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sle_gan.engine import nvidia, processor


def compile_inference(network: keras.Model, **options: Any) -> Callable[..., Any]:
    """`network(*inputs, training=False, **options)` as a compiled function of arrays or tensors."""
    return tf.function(lambda *inputs: network(*inputs, training=False, **options), autograph=False)


def compile_function(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function of (containers of) arrays that reads no variables, compiled once for every combination of shapes."""
    if on_cpu():
        run_operations_at_once(1)  # two generate no faster, and hold more maps
    return tf.function(fn, jit_compile=not on_cpu(), autograph=False)


def fused(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn`, elementwise operations on tensors of known shapes, as one loop inside of a `compile_function`.

    On a CPU by XLA, whose convolutions would be slow but whose loops are not: bias, noise and GLU behind a
    convolution take 2.2 ms of a core for 512x512x32, TensorFlow's own chain 12.7.
    """

    @functools.cache
    def compiled() -> Callable[..., Any]:  # when it is first called, for this asks for the devices
        return tf.function(fn, jit_compile=True, autograph=False) if on_cpu() else fn

    return lambda *inputs: compiled()(*inputs)


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Within it, float32 products on a GPU are of float32 numbers, not of TF32's with 10 bits for the fraction."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def to_device(array: np.ndarray) -> Any:
    """A tensor with a copy of the array, on the device that computes."""
    return tf.identity(tf.constant(array))  # the constant itself would keep the array beside its copy of it


def save_model(
    fn: Callable[..., Any], arrays: Any, noise: Sequence[np.ndarray], latent: int, path: Any, classes: bool = False
) -> None:
    """Writes `latents (B, latent) -> {"images": fn(arrays, latents, noise)}` as a SavedModel folder.

    Args:
        fn: a function of tensors, whose arrays become the model's variables.
        arrays: a list of dicts of arrays.
        noise: arrays; variables too.
        latent: length of a latent vector.
        path: of the folder.
        classes: the model has the input `classes` (B,) int32 too, the last argument of `fn`.
    """
    module: Any = tf.Module()
    module.arrays = [{key: tf.Variable(x, trainable=False, name=key) for key, x in own.items()} for own in arrays]
    module.noise = [tf.Variable(tf.constant(maps), trainable=False, name="noise") for maps in noise]

    inputs = [tf.TensorSpec((None, latent), tf.float32, "latents")]
    inputs += [tf.TensorSpec((None,), tf.int32, "classes")] if classes else []

    @tf.function(input_signature=inputs, autograph=False)
    def images(*inputs: Any) -> dict[str, Any]:
        values = [{key: tf.convert_to_tensor(x) for key, x in own.items()} for own in module.arrays]
        latents, *classes = inputs
        return {"images": fn(values, latents, [tf.convert_to_tensor(maps) for maps in module.noise], *classes)}

    module.images = images
    tf.saved_model.save(module, str(path), signatures={"serving_default": images})


def on_cpu() -> bool:
    """Whether TensorFlow computes on the CPU, for want of anything else."""
    return not tf.config.list_physical_devices("GPU")


def faster_in_bfloat16() -> bool | None:
    """Whether the device is known to be faster in bfloat16 than in float32; None where it has to be measured."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return None if processor.multiplies_bfloat16() else False
    details = (tf.config.experimental.get_device_details(gpu) for gpu in gpus)
    return all(nvidia.multiplies_bfloat16(each.get("compute_capability")) for each in details)


def unused_gpu() -> str | None:
    """Why TensorFlow computes on the CPU of a machine with a GPU, and what to do; None where nothing is wrong."""
    install = f'pip install "tensorflow[and-cuda]=={tf.__version__}" (TF_CPP_MIN_LOG_LEVEL=0 shows what it misses)'
    return nvidia.unused_gpu(f"TensorFlow {tf.__version__}", install) if on_cpu() else None


def on_tensorflow_cpu() -> bool:
    """Whether TensorFlow's CPU kernels compute, oneDNN's mostly."""
    return on_cpu()


def tracing() -> bool:
    """Whether a program is being traced, rather than run operation by operation."""
    return not tf.executing_eagerly()


def run_operations_at_once(count: int) -> None:
    """How many operations of a program may run at once, each on all cores; TensorFlow's default are as many as cores.

    With two, small operations and what large ones do on one core fill the other: a step of SLE-GAN at 256 px takes 0.91
    of the time on 2 cores. Each more holds more maps in memory: 3.5, 3.9 and 4.0 GB with one, two and three.
    """
    # A process that has computed already keeps the threads it has.
    with contextlib.suppress(RuntimeError):
        tf.config.threading.set_inter_op_parallelism_threads(count)
