"""Trains on two logical CPUs and on one with the double batch, in float64; prints how they differ as JSON.

    python replica_worker.py MODEL

A process of its own: logical devices must be made before TensorFlow starts. Both runs see the same random numbers.
"""

from __future__ import annotations

import json
import os
import sys

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import tensorflow as tf
from double import double_precision, largest_difference, numbers
from equal_draws import replace_draws
from keras import ops
from tiny_gans import BATCH, make_tiny

from sle_gan.engine import Devices, RandomStream

STEPS = 3


def train(devices: Devices, model: str) -> tuple[dict, dict, list, dict]:
    with devices.scope():
        gan = make_tiny(model)
    state = gan.state()
    initial = numbers(state)
    step = devices.compile(gan.train_step, state.values(), seed=0)
    images = np.random.default_rng(0).integers(0, 256, (STEPS, BATCH, 64, 64, 3), dtype=np.uint8)
    losses = [list(step([(images[k],)], k)[0].values()) for k in range(STEPS)]
    return initial, numbers(state), losses, state


def main(model: str) -> None:
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
    )
    one, two = Devices(), Devices(names=["CPU:0", "CPU:1"])
    (draws,) = two.compile(
        lambda batch, random: {
            str(i): keras.random.uniform((), seed=random) * 0 + v for i, v in enumerate(spread(random))
        },
        state=(),
        seed=0,
    )([(np.zeros((2, 1), np.uint8),)], 0)
    replace_draws(BATCH, lambda: tf.distribute.get_strategy().num_replicas_in_sync)
    with double_precision():
        initial, after_1, losses_1, _ = train(one, model)
        _, after_2, losses_2, state_2 = train(two, model)
    difference, where = largest_difference(after_2, after_1)
    kernels = [name for name in after_1 if name.endswith("kernel")]
    copies = [v.value.values for v in state_2.values() if hasattr(v.value, "values")]
    print(
        json.dumps(
            {
                "replica_counts": [one.replicas, two.replicas],
                "losses": [losses_1, losses_2],
                "where": where,
                "largest_difference": difference,
                "smallest_change": min(float(np.abs(after_1[name] - initial[name]).max()) for name in kernels),
                "largest_replica_difference": max(
                    float(np.abs(a.numpy() - b.numpy()).max()) for a, b in copies if a.dtype.is_floating
                ),
                "draws": [draws["0"], draws["1"]],
            }
        )
    )


def spread(random: RandomStream) -> list:
    """The draw of each of the two replicas, summed over replicas so that the mean log shows half of each."""
    value = keras.random.uniform((), seed=random.fold("spread"))
    replica = ops.cast(random.position % 2, "float32")
    return [value * (1 - replica), value * replica]


if __name__ == "__main__":
    main(sys.argv[1])
