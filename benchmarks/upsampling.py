"""Nearest upsampling and a 3x3 convolution, forward and backward, in each of its forms: which wins where.

    python benchmarks/upsampling.py
    python benchmarks/upsampling.py --engine jax --batch-size 64 --precision bfloat16

The maps and channels are those of SLE-GAN's generator of 256 pixels. `sle_gan.models.upsampling` takes the form that
`fastest_form` names; this is what it was measured with.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import harness

SIZES = ((4, 1024, 1024), (8, 512, 512), (16, 256, 256), (32, 128, 256), (64, 128, 128), (128, 64, 64))


def make_step(form: str, x: Any, kernel: Any) -> Callable[[], Any]:
    """A function that computes maps, and from them as cotangents both gradients, and waits for all three."""
    from keras import ops

    from sle_gan import engine
    from sle_gan.models.upsampling import FORMS

    def step(x: Any, kernel: Any) -> Any:
        y, pullback = engine.vjp(FORMS[form], (), [x, kernel])
        _, gradients = pullback(y)
        return [ops.sum(value[..., 0]) for value in (y, *gradients)]

    compiled = engine.compile_function(step)
    return lambda: [float(ops.convert_to_numpy(value)) for value in compiled(x, kernel)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("tensorflow", "jax", "torch"), default="tensorflow")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--up-to", type=int, default=128, help="the largest map")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    from sle_gan.cli.common import import_backend

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import_backend(arguments.engine)
    import keras
    from keras import ops

    from sle_gan.models.upsampling import FORMS, fastest_form

    rows = []
    for size, channels, filters in (sizes for sizes in SIZES if sizes[0] <= arguments.up_to):
        x, kernel = (
            ops.cast(keras.random.normal(shape, seed=0), arguments.precision)
            for shape in ((arguments.batch_size, size, size, channels), (3, 3, channels, filters))
        )
        steps = {form: make_step(form, x, kernel) for form in FORMS}
        times: dict[str, list[float]] = {form: [] for form in FORMS}
        for round_ in range(arguments.rounds + 1):
            for form, step in steps.items():
                started = time.perf_counter()
                step()
                if round_:  # the first one compiles
                    times[form].append(1e3 * (time.perf_counter() - started))
        medians = {form: statistics.median(values) for form, values in times.items()}
        rows.append({"map": f"{size}x{size}x{channels} -> {filters}", "taken": fastest_form(size), **medians})
    print(harness.table(rows, {"map": "map", "taken": "taken", **{form: f"{form}, ms" for form in FORMS}}))


if __name__ == "__main__":
    main()
