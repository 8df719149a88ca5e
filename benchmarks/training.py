"""Speed, memory, start-up and utilisation of the training step; in turn with another program's, if one is named.

    python benchmarks/training.py --resolution 256 --batch-size 8
    python benchmarks/training.py --resolution 256 512 --batch-size 8 64 --precision float32 bfloat16 --engine jax
    python benchmarks/training.py --against "python fastgan_step.py {resolution} {batch_size} 3" --json out.json
    python benchmarks/training.py --model dcgan --resolution 64 --batch-size 128 --against "python dcgan_step.py"

The other command must print a line that ends in "N images/s"; its peak memory is read from the operating
system. Every round is a new process for each side, A B A B, so that both see the same states of the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import harness
from harness import run

__all__ = ["configure", "main", "matrix_product_rate", "models", "prepare", "run"]

SWEPT = ("model", "engine", "resolution", "batch_size", "precision")
COLUMNS = {
    "model": "model",
    "engine": "engine",
    "resolution": "px",
    "batch_size": "batch",
    "precision": "precision",
    "images_per_s": "images/s",
    "memory_gb": "peak GB",
    "device_memory_gb": "GPU's peak GB",
    "first_step_s": "first step after s",
    "model_gflop": "GFLOP/image",
    "executed_gflop": "executed",
    "matrix_gflop_per_s": "matrix product GFLOP/s",
    "utilization": "model / matrix product",
    "executed_utilization": "executed / matrix product",
    "their_images_per_s": "theirs images/s",
    "their_memory_gb": "theirs GB",
    "ratio": "ours / theirs",
}


# The setting that --width is of, where it has another name.
WIDTHS = {"lightweight": "fmap_max"}


def models() -> list[str]:
    """The GANs that --width describes."""
    from sle_gan.config import CONFIGS
    from sle_gan.config.base import field_names

    return [name for name in CONFIGS if WIDTHS.get(name, "width") in field_names(CONFIGS[name])]


def configure(arguments: Any) -> tuple[Any, int]:
    """The settings of a run, and how many domains of images it learns from."""
    from sle_gan.config import CONFIGS

    config = CONFIGS[arguments.model](
        resolution=arguments.resolution,
        batch_size=arguments.batch_size,
        mixed_precision=getattr(arguments, "precision", "float32"),
        **{WIDTHS.get(arguments.model, "width"): arguments.width},
        # As its PyTorch peer's step augments; the others' do not.
        **({"diff_augment": True, "augment_policy": "color,translation,cutout"} if arguments.model == "slegan" else {}),
        **({"feature_weights": getattr(arguments, "feature_weights", None)} if arguments.model == "projected" else {}),
    )
    return config, len(config.folders)


class Prepared(NamedTuple):
    """A compiled step: `step([batch] * calls, k)` makes the steps k, k + 1, ... of one call."""

    config: Any
    devices: Any
    step: Callable[..., Any]
    batch: tuple[Any, ...]
    calls: int
    period: int  # steps after which their work repeats


def prepare(arguments: Any) -> Prepared:
    """The step of a run, as training compiles it, with a batch of random images."""
    import numpy as np

    from sle_gan.cli.common import import_backend

    import_backend(os.environ.get("KERAS_BACKEND", "tensorflow"))  # as the commands do
    from sle_gan import engine
    from sle_gan.gans.base import make_gan

    config, domains = configure(arguments)
    devices = engine.Devices()
    with devices.scope():
        gan = make_gan(config)
    size = (config.batch_size, config.resolution, config.resolution, 3)
    images = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    # As in training: on an accelerator the images are there already, and many steps are one call.
    calls = 10 if devices.accelerated else 1
    resident = [images] * domains if devices.accelerated else None
    batch = (np.arange(config.batch_size, dtype=np.int32),) * domains if resident else (images,) * domains
    step = devices.compile(gan.train_step, gan.state().values(), seed=0, resident=resident, steps=calls)
    return Prepared(config, devices, step, batch, calls, gan.period)


def measure(arguments: argparse.Namespace) -> None:
    """Runs steps in this process and prints the median of their times."""
    started = time.perf_counter()
    config, devices, step, batch, calls, period = prepare(arguments)
    times, cpu_times = [], []
    for k in range(max(1, math.ceil(arguments.steps / period)) * period + 1):
        before, cpu_before = time.perf_counter(), time.process_time()
        step([batch] * calls, k * calls)  # its logs are on the host when it returns
        times.append((time.perf_counter() - before) / calls)
        cpu_times.append((time.process_time() - cpu_before) / calls)
        if k == 0:
            first, first_cpu = time.perf_counter() - started, time.process_time()
            print(f"{first:.1f} s to the end of the first step ({first_cpu:.1f} s of CPU time)", flush=True)
    times, cpu_times = (
        [statistics.mean(x[i : i + period]) for i in range(1, len(x), period)] for x in (times, cpu_times)
    )
    memory = harness.peak_memory_gb()  # before the matrix product, which is no part of training
    harness.report(
        memory_gb=memory,
        first_step_s=first,
        first_step_cpu_s=first_cpu,
        step_s=statistics.median(times),
        step_cpu_s=statistics.median(cpu_times),
        matrix_gflop_per_s=matrix_product_rate(config.mixed_precision, 8192 if devices.accelerated else 2048) / 1e9,
        device=devices.description,
        **({"device_memory_gb": peak} if (peak := _device_memory_gb()) else {}),
    )
    print(f"{config.batch_size / statistics.median(times):.4f} images/s")


def matrix_product_rate(precision: str = "float32", size: int = 2048, repeats: int = 10) -> float:
    """FLOP/s of the engine's product of two square matrices: the median of single ones."""
    import keras
    from keras import ops

    x = ops.cast(keras.random.normal((size, size)), precision)
    times = []
    for _ in range(repeats + 1):
        before = time.perf_counter()
        float(ops.cast(ops.matmul(x, x)[0, 0], "float32"))  # waits for the product; NumPy knows no bfloat16
        times.append(time.perf_counter() - before)
    return 2 * size**3 / statistics.median(times[1:])


def _device_memory_gb() -> float | None:
    """Peak of the first GPU's memory in this process."""
    import keras

    if keras.config.backend() == "jax":
        import jax

        stats = jax.devices()[0].memory_stats() or {}
        return stats["peak_bytes_in_use"] / 1e9 if "peak_bytes_in_use" in stats else None
    if keras.config.backend() == "torch":
        import torch

        return torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        return None
    return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e9


def count_flops(settings: dict[str, Any], width: int) -> dict[str, float]:
    """GFLOP of a training image, from a process of its own: the measured one should hold nothing else."""
    command = [sys.executable, str(Path(__file__).with_name("flops.py")), "--width", str(width)]
    for name in ("model", "resolution", "batch_size"):
        command += [f"--{name.replace('_', '-')}", str(settings[name])]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    counts = json.loads(output.splitlines()[-1])
    share = settings["batch_size"] * 1e9
    return {"model_gflop": counts["model_flops"] / share, "executed_gflop": counts["executed_flops"] / share}


def compare(settings: dict[str, Any], arguments: argparse.Namespace) -> tuple[list[harness.Row], harness.Row]:
    """All rounds of one combination of settings, and what they come to."""
    child = [sys.executable, __file__, "--child", "--width", str(arguments.width), "--steps", str(arguments.steps)]
    for name, value in settings.items():
        child += [f"--{name.replace('_', '-')}", str(value)]
    if arguments.feature_weights:
        child += ["--feature-weights", arguments.feature_weights]
    commands = {"ours": child}
    if arguments.against:
        commands["theirs"] = [part.format(**settings) for part in shlex.split(arguments.against)]
    print(", ".join(f"{name} {value}" for name, value in settings.items()), flush=True)
    rows = harness.interleave(commands, arguments.rounds, {"KERAS_BACKEND": settings["engine"]})
    summary = {**settings, **harness.summarize(rows)}
    if arguments.flops:
        summary |= count_flops(settings, arguments.width)
        for name in ("model", "executed"):
            rate = summary[f"{name}_gflop"] * summary["images_per_s"]
            peak = arguments.peak_tflops * 1e3 if arguments.peak_tflops else summary["matrix_gflop_per_s"]
            summary["utilization" if name == "model" else "executed_utilization"] = rate / peak
    return [{**settings, **row} for row in rows], summary


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    several: dict[str, Any] = {"nargs": "+", "help": "one or more"}
    parser.add_argument("--model", choices=models(), default=["slegan"], **several)
    parser.add_argument("--engine", choices=("tensorflow", "jax", "torch"), default=["tensorflow"], **several)
    parser.add_argument("--resolution", type=int, default=[256], **several)
    parser.add_argument("--batch-size", type=int, default=[8], **several)
    parser.add_argument("--precision", choices=("float32", "bfloat16", "float16"), default=["float32"], **several)
    parser.add_argument("--width", type=int, default=64, help="of a lightweight GAN --fmap-max")
    parser.add_argument("--feature-weights", metavar="FILE", help="of projected, as for sle-gan train")
    parser.add_argument(
        "--steps",
        type=int,
        default=3,
        help="timed steps of a process (calls of ten on a GPU); a "
        "lightweight GAN's by fours, of which one has the penalty",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", metavar="COMMAND", help="another program; {resolution} and the like are filled in")
    parser.add_argument("--no-flops", dest="flops", action="store_false", help="do not count floating-point operations")
    parser.add_argument("--peak-tflops", type=float, help="of the machine, in place of its measured matrix product")
    parser.add_argument("--json", metavar="FILE", help="write every round's numbers, and their medians")
    parser.add_argument("--plot", metavar="FILE", help="draw images/s")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> list[harness.Row]:
    arguments = parse(argv)
    if arguments.child:
        measure(argparse.Namespace(**{k: v[0] if k in SWEPT else v for k, v in vars(arguments).items()}))
        return []
    rows, summaries = [], []
    for values in itertools.product(*(getattr(arguments, name) for name in SWEPT)):
        more, summary = compare(dict(zip(SWEPT, values)), arguments)
        rows += more
        summaries.append(summary)
    print(harness.table(summaries, COLUMNS))
    if arguments.json:
        harness.write_json(arguments.json, vars(arguments), rows, summaries)
    if arguments.plot:
        labels = [f"{s['model']} {s['resolution']} px, {s['batch_size']}, {s['engine']}" for s in summaries]
        harness.plot(summaries, labels, arguments.plot)
    return summaries


if __name__ == "__main__":
    main()
