"""Images per second and peak memory of the training step; in turn with another program's, if one is named.

    python benchmarks/training.py --resolution 256 --batch-size 8
    python benchmarks/training.py --resolution 256 --rounds 3 --against "python fastgan_step.py 256 8 3"
    python benchmarks/training.py --model dcgan --resolution 64 --batch-size 128 --against "python dcgan_step.py"

The other command must print a line that ends in "N images/s"; its peak memory is read from the operating
system. Every round is a new process for each side, A B A B, so that both see the same state of the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import time
from pathlib import Path


def measure(arguments: argparse.Namespace) -> None:
    """Runs steps in this process and prints the median of their times."""
    started = time.perf_counter()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import numpy as np

    from sle_gan import engine
    from sle_gan.config import CONFIGS
    from sle_gan.gans import make_gan

    size = (arguments.batch_size, arguments.resolution, arguments.resolution, 3)
    config = CONFIGS[arguments.model](
        resolution=arguments.resolution,
        batch_size=arguments.batch_size,
        width=arguments.width,
        diff_augment=arguments.model == "slegan",
    )
    devices = engine.Devices()
    with devices.scope():
        gan = make_gan(config)
    step = devices.compile(gan.train_step, gan.state().values(), seed=0)
    images = np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)
    times = []
    for k in range(arguments.steps + 1):
        before = time.perf_counter()
        step([(images,)], k)  # its logs are on the host when it returns
        times.append(time.perf_counter() - before)
        if k == 0:
            print(f"{time.perf_counter() - started:.1f} s to the end of the first step")
    print(f"{arguments.batch_size / statistics.median(times[1:]):.4f} images/s")


def run(command: list[str]) -> tuple[float, float, str]:
    """Runs a command; returns its images per second, its peak memory in GB and its output."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    found = re.findall(r"([\d.]+) images/s", output)
    if status or not found:
        sys.exit(f"{shlex.join(command)} ended with {status} and printed no 'N images/s':\n{output}")
    scale = 1e9 if sys.platform == "darwin" else 1e6  # ru_maxrss is in bytes on macOS, in KiB on Linux
    return float(found[-1]), usage.ru_maxrss / scale, output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("slegan", "dcgan"), default="slegan")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3, help="timed steps of a process, after one for warming up")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--against", metavar="COMMAND", help="another program that prints 'N images/s'")
    parser.add_argument("--json", metavar="FILE", help="write every round's numbers")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        measure(arguments)
        return
    ours = [sys.executable, __file__, "--child"]
    for name in ("model", "resolution", "batch_size", "width", "steps"):
        ours += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    commands = {"ours": ours, **({"theirs": shlex.split(arguments.against)} if arguments.against else {})}
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for round_number in range(arguments.rounds):
        for name, command in commands.items():
            speed, memory, output = run(command)
            results[name].append((speed, memory))
            first = re.search(r"[\d.]+ s to the end of the first step", output)
            start = f", {first.group()}" if first else ""
            print(f"round {round_number + 1} {name:6} {speed:8.3f} images/s {memory:5.2f} GB{start}")
    for name, rounds in results.items():
        speeds, memories = zip(*rounds)
        print(f"median {name:6} {statistics.median(speeds):8.3f} images/s, peak {max(memories):.2f} GB")
    if arguments.against:
        ratios = [a[0] / b[0] for a, b in zip(results["ours"], results["theirs"])]
        print(f"ours / theirs, median of {len(ratios)} rounds: {statistics.median(ratios):.2f}")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps({"settings": vars(arguments), "rounds": results}, indent=2))


if __name__ == "__main__":
    main()
