"""Everything that is to be measured on a GPU, in one command.

    python benchmarks/gpu.py --data-folder flowers17 --output-folder gpu \\
        --against "python fastgan_step.py {resolution} {batch_size} 30 {precision}" --peak-tflops 989

Three parts: the forms of upsampling, of which `sle_gan.models.upsampling` takes one by the map's size; the training
step at 256 and 512 px, batch 8 and 64, in float32 and bfloat16; and a whole run at 256 px, timed, with its FID curve
(mobilenet features) and its samples. In the output folder are then `upsampling.md`, `steps.md`, `steps.json`,
`steps.png`, `run.json` and the run's own folder `run` with log.jsonl, fid.png and samples.
`--tiny` goes through all of it in a minute on a CPU, to see that it works.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import harness
import training

FULL: dict[str, Any] = {
    "sizes": {"resolution": [256, 512], "batch_size": [8, 64], "precision": ["float32", "bfloat16"]},
    "step": {"steps": 10, "rounds": 3},
    "forms": {"up_to": 128},
    "run": {"resolution": 256, "steps": 50_000, "checkpoint_every": 5000, "sample_every": 1000},
    "fid": {"fid_frequency": 1000},
}
TINY: dict[str, Any] = {
    "sizes": {"resolution": [64], "batch_size": [2], "precision": ["float32"]},
    "step": {"steps": 1, "rounds": 1, "width": 8},
    "forms": {"up_to": 4, "rounds": 1},
    "run": {"resolution": 64, "steps": 4, "width": 8, "latent": 16, "batch_size": 4, "sample_every": 2},
    "fid": {"fid_frequency": 2, "fid_number_of_images": 8},
}


def flags(values: dict[str, Any]) -> list[str]:
    """{"batch_size": [8, 64]} -> ["--batch-size", "8", "64"]."""
    found: list[str] = []
    for name, value in values.items():
        found += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return found


def measure_forms(arguments: argparse.Namespace, plan: dict[str, Any], folder: Path) -> None:
    """The forms of upsampling at all batch sizes and precisions."""
    program = [sys.executable, str(Path(__file__).with_name("upsampling.py")), *flags({"engine": arguments.engine})]
    tables = []
    for batch_size, precision in itertools.product(plan["sizes"]["batch_size"], plan["sizes"]["precision"]):
        options = flags({"batch_size": batch_size, "precision": precision, **plan["forms"]})
        table = subprocess.run([*program, *options], stdout=subprocess.PIPE, text=True, check=True).stdout
        tables.append(f"batch {batch_size}, {precision}\n\n{table}")
        print(tables[-1])
    (folder / "upsampling.md").write_text("\n".join(tables), encoding="utf-8")


def measure_steps(arguments: argparse.Namespace, plan: dict[str, Any], folder: Path) -> None:
    """The training step at all sizes, against the other program if there is one."""
    given = {"against": arguments.against, "peak_tflops": arguments.peak_tflops}
    options = {
        "engine": arguments.engine,
        **plan["sizes"],
        **plan["step"],
        **{name: value for name, value in given.items() if value},
        "json": folder / "steps.json",
        "plot": folder / "steps.png",
    }
    summaries = training.main(flags(options))
    (folder / "steps.md").write_text(harness.table(summaries, training.COLUMNS) + "\n", encoding="utf-8")


def measure_run(arguments: argparse.Namespace, plan: dict[str, Any], folder: Path) -> harness.Row:
    """A whole run by the command that users have; its time, its losses' last line and its FID curve."""
    options = {**plan["run"], **({"steps": arguments.steps} if arguments.steps else {})}
    more = ["--diff-augment"]
    if arguments.fid:
        more += ["--fid", *flags({"fid_features": "mobilenet", **plan["fid"]})]
        if arguments.fid_features_weights:
            more += flags({"fid_features_weights": arguments.fid_features_weights})
    places = {"data_folder": arguments.data_folder, "name": "run", "output_folder": folder, "engine": arguments.engine}
    command = [
        sys.executable,
        str(harness.REPOSITORY / "sle_gan"),
        "train",
        "--override",
        *flags(places),
        *flags(options),
        *more,
    ]
    started = time.perf_counter()
    subprocess.run(command, check=True)
    lines = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text(encoding="utf-8").splitlines()]
    speeds = sorted(line["images_per_second"] for line in lines if "images_per_second" in line)
    row = {
        "steps": options["steps"],
        "seconds": time.perf_counter() - started,
        "images_per_s": speeds[len(speeds) // 2],
        "fid": [{"step": line["step"], "fid": line["fid"]} for line in lines if "fid" in line],
    }
    harness.write_json(str(folder / "run.json"), options, [row], [row])
    return row


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engine", choices=("tensorflow", "jax", "torch"), default="jax")
    parser.add_argument("--data-folder", help="pictures of the whole run, such as flowers17; none: no whole run")
    parser.add_argument("--output-folder", default="gpu_benchmark")
    parser.add_argument("--against", metavar="COMMAND", help="another program; see training.py")
    parser.add_argument("--peak-tflops", type=float, help="of the GPU, in place of its measured matrix product")
    parser.add_argument("--steps", type=int, help="of the whole run (default 50,000)")
    parser.add_argument("--no-fid", dest="fid", action="store_false", help="no FID in the whole run")
    parser.add_argument("--fid-features-weights", metavar="FILE", help="mobilenet's weights, instead of a download")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, to see that everything works")
    arguments = parser.parse_args(argv)
    if arguments.data_folder and not Path(arguments.data_folder).is_dir():
        parser.error(f"--data-folder {arguments.data_folder} is no folder")
    # Measured processes get --engine; here nothing is computed.
    os.environ["KERAS_BACKEND"] = arguments.engine
    folder, plan = Path(arguments.output_folder), TINY if arguments.tiny else FULL
    folder.mkdir(parents=True, exist_ok=True)
    measure_forms(arguments, plan, folder)
    measure_steps(arguments, plan, folder)
    if arguments.data_folder:
        row = measure_run(arguments, plan, folder)
        print(f"{row['steps']:,} steps in {row['seconds'] / 60:.1f} minutes, {row['images_per_s']:.1f} images/s")
        print(f"samples and curves: {folder / 'run'}")


if __name__ == "__main__":
    main()
