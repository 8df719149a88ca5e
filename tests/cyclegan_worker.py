"""Trains a CycleGAN for a few steps in two ways that must agree; a process of its own for each way.

    python cyclegan_worker.py INITIAL.npz RESULT.npz [REPLICAS]     (makes INITIAL.npz if it is not there)

The engine is KERAS_BACKEND's. SGD replaces Adam, whose first steps turn rounding errors into full steps. Draws are
numpy's where the engines differ; with REPLICAS, which share an engine, those of the image pool are the real ones.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from equal_draws import replace_draws
from keras import ops

from sle_gan.config import CycleGANConfig
from sle_gan.engine import Devices
from sle_gan.gans.cyclegan import CycleGAN

BATCH, STEPS = 6, 5  # shares of 3: no other axis of a draw has that size
CONFIG = CycleGANConfig(resolution=64, width=4, blocks=2, batch_size=BATCH, pool_size=10, diff_augment=True)


def numbers(state: dict) -> dict[str, np.ndarray]:
    return {name: ops.convert_to_numpy(variable.value) for name, variable in state.items()}


def make_devices(replicas: int) -> Devices:
    if replicas == 1:
        return Devices()
    import tensorflow as tf

    logical = [tf.config.LogicalDeviceConfiguration()] * replicas
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
    return Devices(names=[f"CPU:{i}" for i in range(replicas)])


def main(initial: Path, result: Path, replicas: int) -> None:
    keras.utils.set_random_seed(0)
    devices = make_devices(replicas)
    with devices.scope():
        gan = CycleGAN(CONFIG)
        optimizers = [keras.optimizers.SGD(1e-3, name=f"sgd_{i}") for i in range(3)]
        gan.generator_optimizer = optimizers[0]
        gan.ways = tuple(way._replace(optimizer=sgd) for way, sgd in zip(gan.ways, optimizers[1:]))
        gan.generator_optimizer.build(gan.a_to_b.trainable_variables + gan.b_to_a.trainable_variables)
        for way in gan.ways:
            way.optimizer.build(way.judge.trainable_variables)
    state = gan.state()
    if not initial.exists():
        for variable in gan.a_to_b.trainable_variables + gan.b_to_a.trainable_variables:
            variable.assign(variable.value * 3.0)  # pictures with some contrast, not all grey
        np.savez(initial, **numbers(state))
    with np.load(initial) as arrays, devices.scope():
        assert set(arrays.files) == set(state), "the engines name their variables alike"
        for name, variable in state.items():
            variable.assign(arrays[name])
    replace_draws(BATCH, lambda: replicas)
    images = np.random.default_rng(0).integers(0, 256, (STEPS, 2, BATCH, 64, 64, 3), dtype=np.uint8)
    step = devices.compile(gan.train_step, state.values(), seed=0)
    logs = [step([tuple(images[k])], k)[0] for k in range(STEPS)]
    losses = {f"loss/{name}": np.array([log[name] for log in logs]) for name in logs[0]}
    np.savez(result, **numbers(state), **losses)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
