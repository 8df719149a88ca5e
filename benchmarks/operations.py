"""Where a training step's time goes: kinds of operations, by TensorFlow's own profiler.

    python benchmarks/operations.py --resolution 256 --batch-size 8

On a CPU operations run one after the other, each on all cores, so their times add up to the step's.
"""

from __future__ import annotations

import argparse
import collections
import os
import re
import tempfile
import time
from pathlib import Path

import harness
import training

# TensorFlow's names of operations -> what they are in this project. The first that fits counts.
KINDS = {
    "convolutions, gradient of the kernel": r"BackpropFilter",
    "convolutions, gradient of the input, and upsampling": r"BackpropInput",
    "convolutions": r"Conv2D",
    "batch norm": r"BatchNorm",
    "pooling, and the sums of upsampling": r"AvgPool",
    "LeakyReLU": r"LeakyRelu",
    "Adam": r"ApplyAdam",
    "matrix products (minimal filtering, small maps, spectral norm, DiffAugment)": r"MatMul|Einsum",
    "copies and joins": r"Concat|Split|Slice|Pad|Transpose|Tile|Pack|Gather|StridedSlice|AddN|Identity",
}
REST = "elementwise and the rest"
BETWEEN = "compiled loops, which the profiler does not name (minimal filtering), and between operations"


def profile(arguments: argparse.Namespace) -> tuple[float, dict[str, float]]:
    """Seconds of a step, and seconds of each kind of operation in it."""
    import tensorflow as tf

    # One operation at a time, as the times of two at once do not add up to the step's.
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.zeros(())  # TensorFlow keeps its threads from here on
    prepared = training.prepare(arguments)
    prepared.step([prepared.batch], 0)
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        started = time.perf_counter()
        for k in range(arguments.steps):
            prepared.step([prepared.batch], 1 + k)
        seconds = (time.perf_counter() - started) / arguments.steps
        tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        times = operation_times(file.read_bytes())
    kinds: dict[str, float] = collections.defaultdict(float)
    for name, total in times.items():
        kind = next((kind for kind, pattern in KINDS.items() if re.search(pattern, name)), REST)
        kinds[kind] += total / arguments.steps
    return seconds, dict(kinds)


def operation_times(trace: bytes) -> dict[str, float]:
    """Seconds by type of operation, of a profile in which no two of them run at once."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace.FromString(trace)
    times: dict[str, float] = collections.defaultdict(float)
    for plane in space.planes:
        names = {key: value.name for key, value in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                # "name of the node:type of the operation"
                found = re.fullmatch(r"[^:]+:(_?[A-Z]\w+)", names[event.metadata_id])
                if found:
                    times[found[1]] += event.duration_ps / 1e12
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=training.models(), default="slegan")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--steps", type=int, default=3)
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    seconds, kinds = profile(arguments)
    inside = sum(kinds.values())
    kinds[BETWEEN] = max(0.0, seconds - inside)
    rows: list[harness.Row] = [
        {"kind": kind, "seconds": spent, "share": f"{100 * spent / seconds:.0f} %"}
        for kind, spent in sorted(kinds.items(), key=lambda item: -item[1])
    ]
    print(f"a step takes {seconds:.2f} s under the profiler, {inside:.2f} s of it in operations that it names")
    print(harness.table(rows, {"kind": "operations", "seconds": "s/step", "share": "of the step"}))


if __name__ == "__main__":
    main()
