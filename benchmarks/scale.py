"""What a large set and many devices cost: a run on 100,000 pictures, and a step on 1, 2 and 4 logical devices.

    python benchmarks/scale.py pictures --count 100000
    python benchmarks/scale.py devices --model slegan --resolution 256 --batch-size 8

`pictures` draws JPEGs, trains on them twice in new processes, and looks at each process's memory every second. The
first run decodes all of them; the second shows what a start costs from then on. `devices` cuts one processor into
logical devices: their step computes the same batch with the same cores, so that all it takes longer is the
distribution: copies, sums over replicas, smaller batches. It also counts the bytes that real devices would send.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import harness
import numpy as np
import training

BYTES = 4  # of a gradient's number: gradients are float32 in every precision


def draw(folder: Path, count: int, side: int = 64) -> None:
    """JPEGs of coloured discs on a coloured ground, in folders of 1,000."""
    from PIL import Image
    from tqdm import tqdm

    rows, columns = np.mgrid[:side, :side]

    def one(i: int) -> None:
        random = np.random.default_rng(i)
        y, x, radius = random.uniform((0, 0, side / 8), (side, side, side / 2))
        inside = np.hypot(rows - y, columns - x) < radius
        ground, disc = random.integers(0, 256, (2, 3), dtype=np.uint8)
        image = Image.fromarray(np.where(inside[..., None], disc, ground))
        image.save(folder / f"{i // 1000:03d}" / f"{i:06d}.jpg")

    for i in range(0, count, 1000):
        (folder / f"{i // 1000:03d}").mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        for _ in tqdm(pool.map(one, range(count), chunksize=100), total=count, unit="picture", desc="drawing"):
            pass


def resident_gb(pid: int) -> float:
    """What a process has in memory at this moment, the mapped pictures' pages included."""
    found = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True).stdout
    return int(found or 0) * 1024 / 1e9


def train(pictures: Path, folder: Path, name: str, arguments: argparse.Namespace) -> harness.Row:
    """One run: seconds to its first step, images/s, what it waited, and its memory over time."""
    command = [sys.executable, "-m", "sle_gan", "train", "--data-folder", str(pictures), "--resolution", "64"]
    command += ["--batch-size", "8", "--width", "16", "--steps", str(arguments.steps), "--sample-every", "1000000"]
    command += ["--output-folder", str(folder / "runs"), "--name", name, "--cache-folder", str(folder / "cache")]
    started = time.perf_counter()
    environment = {**os.environ, "PYTHONPATH": str(harness.REPOSITORY)}
    with (folder / f"{name}.txt").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        memory, read, first = [], None, None
        while process.poll() is None:
            time.sleep(0.1 if first is None else 1)
            text = (folder / f"{name}.txt").read_text(errors="replace")
            now = time.perf_counter() - started
            read = read or (now if "pictures of" in text else None)
            if first is None and re.search(r"step \d+ ", text):
                first = now
            if first is not None:
                memory.append(resident_gb(process.pid))
    text = (folder / f"{name}.txt").read_text(errors="replace")
    if process.returncode:
        sys.exit(f"the run {name} ended with {process.returncode}:\n{text[-2000:]}")
    waited = re.search(r"([\d.]+) % of it waiting", text)
    memory = [gb for gb in memory if gb]
    return {
        "run": name,
        "read_s": read,
        "first_step_s": first,
        "early_gb": statistics.median(memory[: max(1, len(memory) // 4)]),
        "late_gb": statistics.median(memory[-max(1, len(memory) // 4) :]),
        "waiting_percent": float(waited.group(1)) if waited else None,
    }


def measure_pictures(arguments: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        few, many = folder / "few", folder / "many"
        draw(few, 100)
        draw(many, arguments.count)
        rows = []
        for name, pictures in (("100", few), ("first", many), ("100 again", few), ("again", many)):
            rows.append(train(pictures, folder, name.replace(" ", "_"), arguments))
            print(rows[-1], flush=True)
    columns = {
        "run": "run",
        "read_s": "pictures there after s",
        "first_step_s": "first step after s",
        "early_gb": "GB, first quarter",
        "late_gb": "GB, last quarter",
        "waiting_percent": "% waiting",
    }
    print(harness.table(rows, columns))


def measure_devices(arguments: argparse.Namespace) -> None:
    """Each number of devices in a process of its own, in turn."""
    rows = []
    for round_number in range(1, arguments.rounds + 1):
        for count in arguments.devices:
            command = [sys.executable, __file__, "step", "--count", str(count), "--model", arguments.model]
            command += ["--resolution", str(arguments.resolution), "--batch-size", str(arguments.batch_size)]
            speed, memory, output = harness.run([*command, "--steps", str(arguments.steps)])
            row = {"devices": count, "images_per_s": speed, "memory_gb": memory, **harness.reported(output)}
            print(f"round {round_number}: {row}", flush=True)
            rows.append(row)
    medians = []
    for count in arguments.devices:
        own = [row for row in rows if row["devices"] == count]
        numbers = ("images_per_s", "memory_gb")
        medians.append({**own[0], **{name: statistics.median(row[name] for row in own) for name in numbers}})
    columns = {"devices": "logical devices", "images_per_s": "images/s", "memory_gb": "peak GB", "sent_mb": "MB sent"}
    print(harness.table(medians, columns))


def step(arguments: argparse.Namespace) -> None:
    """Steps on so many logical devices, in this process."""
    import tensorflow as tf

    from sle_gan import engine
    from sle_gan.gans.base import make_gan

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * arguments.count)
    arguments.width = 64
    config, domains = training.configure(arguments)
    devices = engine.Devices(names=[f"CPU:{i}" for i in range(arguments.count)])
    with devices.scope():
        gan = make_gan(config)
    images = np.random.default_rng(0).integers(0, 256, (config.batch_size, *[config.resolution] * 2, 3), dtype=np.uint8)
    run = devices.compile(gan.train_step, gan.state().values(), seed=0)
    times = []
    for k in range(arguments.steps + 1):
        started = time.perf_counter()
        run([(images,) * domains], k)
        times.append(time.perf_counter() - started)
    updated = [variable for key in gan.optimizers for variable in gan.networks[key].trainable_variables]
    numbers = sum(int(np.prod(variable.shape)) for variable in updated)
    harness.report(sent_mb=numbers * BYTES / 1e6)
    print(f"{config.batch_size / statistics.median(times[1:]):.4f} images/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    pictures = commands.add_parser("pictures")
    pictures.add_argument("--count", type=int, default=100_000)
    pictures.add_argument("--steps", type=int, default=1500)
    for name in ("devices", "step"):
        devices = commands.add_parser(name)
        devices.add_argument("--model", choices=training.models(), default="slegan")
        devices.add_argument("--resolution", type=int, default=256)
        devices.add_argument("--batch-size", type=int, default=8)
        devices.add_argument("--steps", type=int, default=3)
    commands.choices["devices"].add_argument("--devices", type=int, nargs="+", default=[1, 2, 4])
    commands.choices["devices"].add_argument("--rounds", type=int, default=2)
    commands.choices["step"].add_argument("--count", type=int, required=True)
    arguments = parser.parse_args()
    {"pictures": measure_pictures, "devices": measure_devices, "step": step}[arguments.command](arguments)


if __name__ == "__main__":
    main()
