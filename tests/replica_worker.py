"""Trains on two logical CPUs and on one with the double batch; prints how they differ as JSON.

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
from equal_draws import allowed_difference, replace_draws
from keras import ops
from tiny_gans import BATCH, make_tiny

from sle_gan.engine import Devices, RandomStream

STEPS = 3


def train(devices: Devices, model: str) -> tuple[dict, dict, list, dict]:
    with devices.scope():
        gan = make_tiny(model)
    initial = {name: ops.convert_to_numpy(v.value) for name, v in gan.state().items()}
    step = devices.compile(gan.train_step, gan.state().values(), seed=0)
    images = np.random.default_rng(0).integers(0, 256, (STEPS, BATCH, 64, 64, 3), dtype=np.uint8)
    losses, first = [], {}
    for k in range(STEPS):
        losses.append(list(step([(images[k],)], k)[0].values()))
        # Variables are compared after one step: rounding errors grow a hundredfold with every further one.
        first = first or {name: ops.convert_to_numpy(v.value) for name, v in gan.state().items()}
    return initial, first, losses, gan.state()


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
    initial, first_1, losses_1, _ = train(one, model)
    _, first_2, losses_2, state_2 = train(two, model)
    floats = [name for name, value in first_1.items() if value.dtype.kind == "f"]
    changes = {name: np.abs(first_1[name] - initial[name]).max() for name in floats}
    excess = {
        name: np.abs(first_1[name] - first_2[name]).max() / allowed_difference(name, first_1[name], initial[name])
        for name in floats
    }
    where = max(excess, key=excess.__getitem__)
    copies = [v.value.values for v in state_2.values() if hasattr(v.value, "values")]
    print(
        json.dumps(
            {
                "replica_counts": [one.replicas, two.replicas],
                "losses": [losses_1, losses_2],
                "where": where,
                "largest_excess": float(excess[where]),
                "smallest_change": float(min(change for name, change in changes.items() if name.endswith("kernel"))),
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
