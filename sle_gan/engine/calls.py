"""How the engines cut a row of steps into calls of one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# What a step gets: for each domain of images that the GAN learns from one tensor, uint8 (B, H, W, C).
Batch = Sequence[Any]

Logs = dict[str, float]


def in_calls(
    call: Callable[[Sequence[Any], int, int], list[Logs]], steps: int, batches: Sequence[Any], k: int, part: int = 0
) -> list[Logs]:
    """The logs of the steps k, k + 1, ..., one for each batch, of which one `call(batches, k, part)` makes `steps`."""
    return [logs for at in range(0, len(batches), steps) for logs in call(batches[at : at + steps], k + at, part)]


def stack_batches(batches: Sequence[Sequence[np.ndarray]], steps: int) -> list[np.ndarray]:
    """For each domain one array of `steps` batches; the last one stands for those that are missing.

    A program of XLA has one shape: with fewer batches it would be compiled again.
    """
    whole = [*batches, *[batches[-1]] * (steps - len(batches))]
    return [np.stack(images) for images in zip(*whole)]
