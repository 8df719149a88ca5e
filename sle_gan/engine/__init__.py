"""The only package that imports TensorFlow, JAX or PyTorch to compute.

Everything else is written with `keras` and the functions named here; `KERAS_BACKEND` (or
`~/.keras/keras.json`) chooses the implementation when this package is first imported.

| name | what it does |
|---|---|
| `Devices` | the devices of a run: variable scope, replica count, compiled train step |
| `join_workers` | makes this process one of several that train together |
| `vjp` | outputs of a function and the pullback of cotangents to its variables and inputs |
| `compile_inference` | a network's forward pass, compiled |
| `compile_function` | a function of arrays alone, compiled |
| `full_precision` | float32 products without TF32, for numbers that are compared with others' |
| `custom_gradient` | a function of tensors with a faster gradient of its own, where the engine can use one |
| `fused` | elementwise operations as one loop, within a compiled function |
| `name` | `tensorflow`, `jax` or `torch` |
| `save_model` | writes a function of arrays and latents as a SavedModel |
| `to_device` | copies an array to the device, as a tensor |
| `faster_in_bfloat16` | whether the device is faster in bfloat16, as far as that is known |
| `on_cpu` | whether the CPU computes, as there is no GPU |
| `on_tensorflow_cpu` | whether TensorFlow's CPU kernels compute, whose fastest forms are not XLA's |
| `tracing` | whether TensorFlow is tracing a program, which will run many times for maps of one size |
| `unused_gpu` | why the CPU computes although there is a GPU, and what to do |
| `conv`, `conv_transpose`, `average_pool` | as `keras.ops` has them, of maps NHWC |
| `batch_norm` | fused training-mode batch normalisation over all replicas |
| `leaky_relu` | LeakyReLU that keeps no more than it must for its gradient |
| `Batch` | the images of a step |
| `Adam` | `keras.optimizers.Adam` with as few operations as the engine allows |
| `instance_norm` | normalisation of every image by its own moments |
| `update_averages` | exponential moving averages of variables |
| `assign_rows` | some rows of a variable, the others staying where they are |
| `all_gather`, `replica_part` | a batch of all replicas on each of them, and each one's part of it again |
| `recomputed` | a function whose intermediate results are not kept for backpropagation |
| `after` | values that are computed after others, so that two parts of a step do not hold memory at once |
| `replica_count` | replicas of the step that is running: losses are scaled by its inverse |
| `RandomStream` | random numbers as a pure function of (seed, step, replica, name) |
"""

import keras

from sle_gan.errors import UserError

if keras.config.backend() == "tensorflow":
    from sle_gan.engine import tensorflow as _engine
elif keras.config.backend() == "jax":
    from sle_gan.engine import jax as _engine
elif keras.config.backend() == "torch":
    from sle_gan.engine import torch as _engine
else:
    raise UserError(
        f"the Keras backend is {keras.config.backend()!r}, but SLE-GAN runs on 'tensorflow', 'jax' and 'torch': "
        "set KERAS_BACKEND to one of them"
    )

from sle_gan.engine.calls import Batch
from sle_gan.engine.random import RandomStream

name: str = keras.config.backend()
Adam = _engine.Adam
Devices = _engine.Devices
join_workers = _engine.join_workers
vjp = _engine.vjp
compile_inference = _engine.compile_inference
compile_function = _engine.compile_function
custom_gradient = _engine.custom_gradient
full_precision = _engine.full_precision
fused = _engine.fused
faster_in_bfloat16 = _engine.faster_in_bfloat16
on_cpu = _engine.on_cpu
on_tensorflow_cpu = _engine.on_tensorflow_cpu
to_device = _engine.to_device
average_pool = _engine.average_pool
conv = _engine.conv
conv_transpose = _engine.conv_transpose
batch_norm = _engine.batch_norm
leaky_relu = _engine.leaky_relu
instance_norm = _engine.instance_norm
all_gather = _engine.all_gather
assign_rows = _engine.assign_rows
replica_part = _engine.replica_part
after = _engine.after
recomputed = _engine.recomputed
update_averages = _engine.update_averages
tracing = _engine.tracing
unused_gpu = _engine.unused_gpu
replica_count = _engine.replica_count
save_model = _engine.save_model

__all__ = [
    "Adam",
    "Batch",
    "Devices",
    "RandomStream",
    "after",
    "all_gather",
    "assign_rows",
    "average_pool",
    "batch_norm",
    "compile_function",
    "compile_inference",
    "conv",
    "conv_transpose",
    "custom_gradient",
    "faster_in_bfloat16",
    "full_precision",
    "fused",
    "instance_norm",
    "join_workers",
    "leaky_relu",
    "name",
    "on_cpu",
    "on_tensorflow_cpu",
    "recomputed",
    "replica_count",
    "replica_part",
    "save_model",
    "to_device",
    "tracing",
    "unused_gpu",
    "update_averages",
    "vjp",
]
