"""Images per second and peak memory of generating; in turn with other programs, if some are named.

    python benchmarks/generation.py --resolution 512
    python benchmarks/generation.py --resolution 512 --rounds 3 --against "python fastgan_generate.py plain"

The clock runs from seeds to uint8 pictures on the host: latents and noise are drawn, the network is folded once
before. Another command must print a line that ends in "N images/s". Every round is a new process for each side,
A B A B; with several others, the ratio is that to the fastest one.
"""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness


def measure(arguments: argparse.Namespace) -> None:
    """Generates in this process and prints the median over batches; the first one compiles."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from sle_gan import generation
    from sle_gan.hub.loading import load_folded

    generator = load_folded(arguments.weights, arguments.precision)
    times = []
    for k in range(arguments.batches + 2):
        seeds = range(k * arguments.batch_size, (k + 1) * arguments.batch_size)
        before = time.perf_counter()
        count = sum(len(images) for images in generation.generate_images(generator, seeds))
        times.append((time.perf_counter() - before) / count)
    print(f"{1 / statistics.median(times[2:]):.4f} images/s")


def write_weights(arguments: argparse.Namespace) -> None:
    """A file of untrained weights to measure with, made in a process of its own: drawing them takes memory too."""
    from sle_gan import Generator

    Generator(arguments.resolution, width=arguments.width).save_weights(arguments.weights)


def main() -> None:
    from sle_gan.config import TO_GENERATE

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--batches", type=int, default=4, help="timed batches of a process, after two to warm up")
    parser.add_argument("--precision", choices=TO_GENERATE, default="float32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", metavar="COMMAND", action="append", default=[], help="may be given several times")
    parser.add_argument("--child", choices=("measure", "write_weights"), help=argparse.SUPPRESS)
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        {"measure": measure, "write_weights": write_weights}[arguments.child](arguments)
        return
    compare(arguments)


def compare(arguments: argparse.Namespace) -> None:
    """Runs the rounds and prints a line for each, and medians."""
    with tempfile.TemporaryDirectory() as folder:
        ours = [sys.executable, __file__, "--weights", str(Path(folder) / "generator_weights.h5")]
        for name in ("resolution", "batch_size", "width", "batches", "precision"):
            ours += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
        subprocess.run([*ours, "--child", "write_weights"], check=True, stderr=subprocess.DEVNULL)
        commands = {"ours": [*ours, "--child", "measure"]}
        commands |= {command: shlex.split(command) for command in arguments.against}
        rows = harness.interleave(commands, arguments.rounds)
    speeds = {who: [row["images_per_s"] for row in rows if row["who"] == who] for who in commands}
    for who, values in speeds.items():
        peak = max(row["memory_gb"] for row in rows if row["who"] == who)
        print(f"median {statistics.median(values):8.3f} images/s {peak:5.2f} GB  {who}")
    if arguments.against:
        rounds = zip(*(speeds[command] for command in arguments.against))
        ratios = [own / max(others) for own, others in zip(speeds["ours"], rounds)]
        print(f"ours / the fastest other of the round, median of {len(ratios)}: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
