"""Equal draws for two ways of running a step.

keras.random's draws are replaced by numpy's, named after their stream: equal for engines and replica counts.

For the worker scripts that compare two ways of running one train step.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


def replace_draws(batch: int, replicas: Callable[[], int]) -> None:
    """From now on each draw is this replica's share of one array for the whole batch.

    Args:
        batch: size of the whole batch; no other axis of a draw may have the size of a share.
        replicas: called while tracing, gives their number.
    """

    def shared(draw_whole: Callable[..., np.ndarray]) -> Callable[..., Any]:
        def draw(shape: tuple[int, ...], *args: float, seed: Any, **kwargs: Any) -> Any:
            count = replicas()
            axis = next((i for i, size in enumerate(shape) if size == batch // count), None)
            random = np.random.default_rng(zlib.crc32(f"{seed.name}{seed._draws}".encode()))
            seed._draws += 1
            if axis is None:
                return ops.convert_to_tensor(draw_whole(random, shape, *args, **kwargs))
            whole = draw_whole(random, tuple(batch if i == axis else s for i, s in enumerate(shape)), *args, **kwargs)
            shares = np.stack(np.split(whole, count, axis))
            return ops.convert_to_tensor(shares)[seed.position % count if count > 1 else 0]

        return draw

    keras.random.normal = shared(lambda random, shape: random.standard_normal(shape).astype(keras.config.floatx()))
    keras.random.uniform = shared(
        lambda random, shape, low=0.0, high=1.0: random.uniform(low, high, shape).astype(keras.config.floatx())
    )
