"""Train steps in float64 on the engine of KERAS_BACKEND, from a given state; writes the new state and all losses.

    python engine_worker.py INITIAL.npz RESULT.npz MODEL STEPS [REPLICAS]    (makes INITIAL.npz if it is not there)

REPLICAS are logical CPU devices. With TF_CONFIG the process is one of several that share the batch; each writes what
it has.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
from double import double_precision, numbers
from equal_draws import replace_draws
from tiny_gans import BATCH, make_tiny

from sle_gan.engine import Devices, join_workers, replica_count
from sle_gan.training.workers import read_workers


def main(initial: Path, result: Path, model: str, steps: int, replicas: int = 1) -> None:
    together = "TF_CONFIG" in os.environ
    if together:
        join_workers(*read_workers())
    devices = Devices(workers=True) if together else logical_devices(replicas)
    with double_precision():  # not before: processes must be joined before anything is computed
        train(devices, initial, result, model, steps)


def logical_devices(count: int) -> Devices:
    if keras.config.backend() == "jax":
        import jax

        jax.config.update("jax_num_cpu_devices", count)
        return Devices()
    if keras.config.backend() == "torch":
        return Devices(count)
    import tensorflow as tf

    logical = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], logical)
    return Devices(names=[f"CPU:{i}" for i in range(count)])


def train(devices: Devices, initial: Path, result: Path, model: str, steps: int) -> None:
    with devices.scope():
        gan = make_tiny(model)
    state = gan.state()
    if not initial.exists():
        np.savez(initial, **numbers(state))
    with np.load(initial) as arrays:
        assert set(arrays.files) == set(state), "the engines name their variables alike"
        with devices.scope():
            for name, variable in state.items():
                variable.assign(arrays[name])
    replace_draws(BATCH, replica_count if devices.replicas > 1 else lambda: 1)
    shape = (steps, len(gan.config.folders), BATCH, *gan.config.picture_shape, 3)
    images = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    step = devices.compile(gan.train_step, state.values(), seed=0)
    labels = np.random.default_rng(1).integers(0, gan.config.class_count or 1, (steps, BATCH), dtype=np.int32)
    more = [(each,) if gan.config.class_count else () for each in labels]
    logs = [step([(*batch, *more[k])], k)[0] for k, batch in enumerate(images)]
    losses = {f"loss/{name}": np.array([log[name] for log in logs]) for name in logs[0]}
    np.savez(result, **numbers(state), **losses)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], *map(int, sys.argv[4:]))
