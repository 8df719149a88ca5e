"""A GAN's step as the loop calls it: in one piece, many at a time, or in parts with accumulated gradients."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from sle_gan import engine
from sle_gan.config import TrainConfig
from sle_gan.data.loader import HostBatch
from sle_gan.gans.base import GAN

Logs = dict[str, float]
Run = Callable[[Sequence[HostBatch], int], list[Logs]]

CALL_OF_AN_ACCELERATOR = 10


def compile_step(gan: GAN, devices: engine.Devices, resident: Sequence[np.ndarray] | None = None) -> Run:
    """`run(batches, k)`: the steps k, k + 1, ..., one for each batch; returns the losses of each.

    Args:
        resident: all images of each domain, to be kept on the device; batches are indices then.
    """
    config = gan.config
    if config.gradient_accumulation > 1:
        return _compile_accumulating(gan, devices, resident)
    steps = steps_per_call(config, devices.accelerated)
    return devices.compile(gan.train_step, gan.state().values(), config.seed, resident=resident, steps=steps)


def _compile_accumulating(gan: GAN, devices: engine.Devices, resident: Sequence[np.ndarray] | None) -> Run:
    """Every phase runs for all parts of a batch, then its networks are updated, then the next phase begins.

    All parts see the same weights, as the images of one large batch do; batch norm sees one part at a time.
    """
    parts = gan.config.gradient_accumulation
    sums = [total for optimizer in gan.optimizers.values() for total in optimizer.sums]
    state = [*gan.state().values(), *sums]

    def compiled(step: Callable[..., Any], parts: int = 1) -> Callable[..., list[Logs]]:
        return devices.compile(step, state, gan.config.seed, parts, resident)

    def without_logs(function: Callable[[engine.RandomStream], None]) -> Callable[..., list[Logs]]:
        def step(batch: engine.Batch, random: engine.RandomStream) -> Logs:
            function(random)
            return {}

        return compiled(step)

    def flush(keys: Sequence[str], random: engine.RandomStream) -> None:
        del random
        for key in keys:
            gan.optimizers[key].flush()

    begin, end = without_logs(gan.begin_step), without_logs(gan.end_step)
    phases = [
        (compiled(phase.run, parts), without_logs(functools.partial(flush, phase.updates))) for phase in gan.phases
    ]

    def run(batches: Sequence[HostBatch], k: int) -> list[Logs]:
        all_logs = []
        for step, batch in enumerate(batches, start=k):
            shares = list(zip(*(np.split(images, parts) for images in batch)))
            begin([shares[0]], step)
            logs: Logs = {}
            for phase, update in phases:
                losses = [phase([share], step, part)[0] for part, share in enumerate(shares)]
                update([shares[0]], step)
                logs.update({name: sum(each[name] for each in losses) / parts for name in losses[0]})
            end([shares[0]], step)
            all_logs.append(logs)
        return all_logs

    return run


def steps_per_call(config: TrainConfig, accelerated: bool) -> int:
    """How many steps the device makes in one call at most: what was asked for, or as many as keep a GPU from waiting.

    A call ends where something is to be done between steps: more steps than lie between would never be made.
    """
    if config.gradient_accumulation > 1:
        return 1
    intervals = [config.checkpoint_every, config.sample_every, *([config.fid_frequency] if config.fid else [])]
    return min(config.steps_per_call or (CALL_OF_AN_ACCELERATOR if accelerated else 1), *intervals)
