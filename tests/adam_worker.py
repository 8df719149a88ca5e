"""Adam on two logical CPUs and on one with the sum of their gradients; prints the weights after each as JSON.

A process of its own: logical devices must be made before TensorFlow starts.
"""

from __future__ import annotations

import json
import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from sle_gan import SLEGANConfig
from sle_gan.engine import Devices, RandomStream
from sle_gan.gans.optimizers import Accumulator, make_adam

STEPS = 4
# Adam's update depends on a gradient's size where that is near its epsilon: there a mean does not pass for a sum.
SIZES = np.array([1, 1, 1, 1e-10, 1e-10], np.float32)


class Weights(keras.Model):
    """Five weights and nothing else."""

    def __init__(self) -> None:
        super().__init__()
        self.w = self.add_weight(name="w", shape=(5,), initializer="ones")


def train(devices: Devices, parts: int) -> list[list[float]]:
    """The weights after each step; the gradient of a replica is the sum of its rows, so two have that of all rows."""
    with devices.scope():
        network = Weights()
        optimizer = make_adam(SLEGANConfig(batch_size=4, gradient_accumulation=parts), 0.1, network, "adam")

    def apply(batch: tuple, random: RandomStream) -> dict:
        del random
        optimizer.apply([ops.sum(ops.cast(batch[0], "float32") - 127.0, axis=0) * SIZES], [network.w])
        return {}

    def flush(batch: tuple, random: RandomStream) -> dict:
        del batch, random
        if isinstance(optimizer, Accumulator):
            optimizer.flush()
        return {}

    applied, flushed = (devices.compile(step, network.variables, seed=0) for step in (apply, flush))
    rows = np.random.default_rng(0).integers(0, 256, (STEPS, 4, 5), dtype=np.uint8)
    weights = []
    for step, batch in enumerate(rows):
        for part in np.split(batch, parts):
            applied([(part,)], step)
        flushed([(batch,)], step)
        weights.append(ops.convert_to_numpy(network.w).tolist())
    return weights


def main() -> None:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    one, two = Devices(), Devices(names=["CPU:0", "CPU:1"])
    print(json.dumps({str(parts): [train(one, parts), train(two, parts)] for parts in (1, 2)}))


if __name__ == "__main__":
    main()
