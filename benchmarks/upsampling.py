"""Where one transposed convolution beats nearest upsampling and a 3x3 convolution, forward and backward.

python benchmarks/upsampling.py

The layer takes the transposed form from `FUSE_UPSAMPLING_FROM` on; the channels are those of the generator.
"""

from __future__ import annotations

import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from sle_gan import engine
from sle_gan.models.layers import SpectralUpConv2D


def seconds(fused: bool, size: int, channels: int, filters: int, batch: int = 8) -> float:
    layer = SpectralUpConv2D(filters, fused=fused)
    layer.build((None, size, size, channels))
    x = tf.constant(np.random.default_rng(0).standard_normal((batch, size, size, channels)), tf.float32)

    @tf.function
    def step():
        y, pullback = engine.vjp(layer, [layer.kernel], [x])
        return pullback(y)

    step()
    times = []
    for _ in range(5):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    print("input map        plain s   fused s   plain / fused")
    for size, channels, filters in [
        (4, 1024, 1024),
        (8, 512, 512),
        (16, 256, 256),
        (32, 128, 256),
        (64, 128, 128),
        (128, 64, 64),
    ]:
        plain, fused = (seconds(fused, size, channels, filters) for fused in (False, True))
        print(f"{size:4}x{size:<4}x{channels:<5} {plain:9.3f} {fused:9.3f} {plain / fused:9.2f}")


if __name__ == "__main__":
    main()
