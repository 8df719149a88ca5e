"""What `--mixed-precision auto` comes to: a fact about the device, or a measurement of this run's own steps."""

from __future__ import annotations

import dataclasses
import gc
import time
from typing import Literal

import numpy as np

from sle_gan import engine
from sle_gan.config import CHANNELS, TrainConfig
from sle_gan.gans.base import make_gan
from sle_gan.runs.folder import read_run_config
from sle_gan.training.step import compile_step

Choice = Literal["float32", "bfloat16"]
CHOICES: tuple[Choice, ...] = ("float32", "bfloat16")

# By how much bfloat16 has to be faster: what a measurement of a few steps may be wrong by.
MARGIN = 1.05
FEWEST_STEPS = 2


def with_precision(config: TrainConfig, devices: engine.Devices, started: bool) -> TrainConfig:
    """The settings with a precision that networks can be made in; all but `auto` stays as it is.

    All processes of a distributed run come to the same. What was chosen goes into the run's config.json, so that a
    resumed run computes in it on any machine, and nothing is measured again.

    Args:
        started: the run has a checkpoint: it goes on in its own precision.
    """
    if config.mixed_precision != "auto":
        return config
    choice = read_run_config(config.run_folder).mixed_precision if started else _choose(config, devices)
    return dataclasses.replace(config, mixed_precision=choice)


def _choose(config: TrainConfig, devices: engine.Devices) -> Choice:
    """bfloat16 where every process knows, or has measured, that it is faster."""
    known = devices.bfloat16
    if devices.any(known is False):
        print("--mixed-precision auto: float32, as the device has no instructions for products of bfloat16")
        return "float32"
    if not devices.any(known is None):
        print("--mixed-precision auto: bfloat16, for which the device has matrix units")
        return "bfloat16"
    print("--mixed-precision auto: timing steps in float32 and in bfloat16 ...", flush=True)
    gain = measure_gain(config, devices)
    choice: Choice = "float32" if devices.any(gain < MARGIN) else "bfloat16"
    print(f"--mixed-precision auto: {choice}; in bfloat16 a step is {gain:.2f} times as fast")
    return choice


def measure_gain(config: TrainConfig, devices: engine.Devices) -> float:
    """How many times as fast this run's steps are in bfloat16, after one step in each precision for warming up.

    Steps of both are made in turn, of networks that are thrown away. Their processor time is compared: what else the
    machine does changes it little. The number of steps is fixed, as the processes of a run make them together.
    """
    runs, timed = {}, FEWEST_STEPS
    for name in CHOICES:
        tried = dataclasses.replace(config, mixed_precision=name, steps_per_call=None)
        with devices.scope():
            gan = make_gan(tried)
        runs[name] = compile_step(gan, devices)
        timed = max(timed, gan.period)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (config.batch_size, *config.picture_shape, CHANNELS[config.channels]), np.uint8)
    labels = [np.zeros(config.batch_size, np.int32)] if config.class_count else []
    batch = (*[images] * len(config.folders), *labels)
    seconds = dict.fromkeys(runs, 0.0)
    for k in range(1 + timed):
        for name, run in runs.items():
            before = time.process_time()
            run([batch], k)
            seconds[name] += time.process_time() - before if k else 0.0
    del runs, run, gan
    gc.collect()  # a compiled step and its networks refer to each other
    return seconds["float32"] / max(seconds["bfloat16"], 1e-9)
