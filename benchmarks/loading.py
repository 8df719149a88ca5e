"""Whether training ever waits for pictures: the loader alone, and the loader beside steps of a given rate.

    python benchmarks/loading.py --resolution 256 --batch-size 8 --images-per-second 4

The pictures lie in a memory-mapped cache as those of a run do, and are read in the order of training. Beside steps,
a step is a sleep of as long as a step takes: on a GPU the host's cores are free then. A run itself says at its end
how much of its time it has waited; on a CPU that is the measurement, as the step takes the loader's cores.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import harness
import numpy as np

from sle_gan.data import BatchLoader


def waiting_share(loader: BatchLoader, step_s: float, steps: int) -> float:
    """Share of the time of `steps` steps of `step_s` seconds each that was spent waiting for their batches."""
    loader.next()  # the first batch is part of the start
    waited, started = loader.waited_s, time.perf_counter()
    for _ in range(steps):
        loader.next()
        time.sleep(step_s)
    return (loader.waited_s - waited) / (time.perf_counter() - started)


def batches_per_second(loader: BatchLoader, batches: int) -> float:
    """What the loader gives when nothing else is done."""
    loader.next()
    started = time.perf_counter()
    for _ in range(batches):
        loader.next()
    return batches / (time.perf_counter() - started)


def main(argv: Sequence[str] | None = None) -> harness.Row:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--pictures", type=int, default=1360)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--images-per-second", type=float, default=100.0, help="rate of the training steps")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args(argv)
    shape = (arguments.pictures, arguments.resolution, arguments.resolution, 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pictures.npy"
        written = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        random = np.random.default_rng(0)
        for picture in written:
            picture[...] = random.integers(0, 256, shape[1:], dtype=np.uint8)
        written.flush()
        pictures = np.load(path, mmap_mode="r")
        with BatchLoader([pictures], arguments.batch_size, seed=0) as loader:
            alone = batches_per_second(loader, arguments.steps)
        with BatchLoader([pictures], arguments.batch_size, seed=0) as loader:
            share = waiting_share(loader, arguments.batch_size / arguments.images_per_second, arguments.steps)
    row = {"loader_images_per_s": alone * arguments.batch_size, "waiting_percent": 100 * share}
    print(f"the loader alone: {row['loader_images_per_s']:.0f} images/s")
    print(
        f"beside steps of {arguments.images_per_second:g} images/s: {row['waiting_percent']:.2f} % of the time waiting"
    )
    if arguments.json:
        harness.write_json(arguments.json, vars(arguments), [row], [row])
    return row


if __name__ == "__main__":
    main()
