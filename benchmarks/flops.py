"""Floating-point operations of a training step, counted in its graph: 2 for each multiply-add.

    python benchmarks/flops.py --model slegan --resolution 256 --batch-size 8

`model_flops` are those of the networks as their authors wrote them, for comparisons between programs;
`executed_flops` are all that ours computes, where convolutions, and upsampling before them, have shorter forms
(`sle_gan.models.winograd`, `upsampling`), and where augmentation has products of its own. Counted are
convolutions and matrix products, forward and backward, with padding's zeros. The graph is TensorFlow's also
for what runs on JAX: the step is the same, and TensorFlow names the operations with their shapes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any

# What networks are made of; augmentation shifts images by batched products.
NETWORKS = ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "MatMul")


def of_operation(operation: Any) -> int:
    """Floating-point operations of one TensorFlow operation; 0 for what is neither convolution nor product."""
    kind, inputs = operation.type, operation.inputs
    if kind == "Conv2D":
        return 2 * _pixels(operation.outputs[0]) * _size(inputs[1])
    if kind == "Conv2DBackpropInput":  # (sizes, kernel, gradient of the output)
        return 2 * _pixels(inputs[2]) * _size(inputs[1])
    if kind == "Conv2DBackpropFilter":  # (input, sizes, gradient of the output) -> gradient of the kernel
        return 2 * _pixels(inputs[2]) * _size(operation.outputs[0])
    if kind in ("MatMul", "BatchMatMul", "BatchMatMulV2"):
        transposed = operation.get_attr("transpose_a" if kind == "MatMul" else "adj_x")
        return 2 * _size(operation.outputs[0]) * inputs[0].shape[-2 if transposed else -1]
    if kind == "Einsum":
        terms = operation.get_attr("equation").decode().split("->")[0].split(",")
        sizes = {index: size for term, x in zip(terms, inputs) for index, size in zip(term, x.shape)}
        return 2 * math.prod(sizes.values())
    return 0


def _pixels(maps: Any) -> int:
    return math.prod(maps.shape[:-1])


def _size(tensor: Any) -> int:
    return math.prod(tensor.shape)


def of_function(function: Any, *arguments: Any) -> dict[str, int]:
    """Floating-point operations of a `tf.function` by kind of operation, without what TensorFlow will not run."""
    graph = function.get_concrete_function(*arguments).graph
    counts: Counter[str] = Counter()
    for operation in _needed([*(x.op for x in graph.outputs), *graph.control_outputs]):
        if flops := of_operation(operation):
            counts[operation.type] += flops
    return dict(counts)


def _needed(last: Iterable[Any]) -> Iterable[Any]:
    """The operations that these ones wait for, and they themselves."""
    seen: dict[str, Any] = {}
    waiting = list(last)
    while waiting:
        operation = waiting.pop()
        if operation.name not in seen:
            seen[operation.name] = operation
            waiting += [x.op for x in operation.inputs] + list(operation.control_inputs)
    return seen.values()


def of_training_step(config: Any, domains: int) -> dict[str, int]:
    """Floating-point operations of one step of a GAN, by kind of operation."""
    import tensorflow as tf

    from sle_gan import engine
    from sle_gan.gans.base import make_gan

    gan = make_gan(config)
    shape = (config.batch_size, config.resolution, config.resolution, 3)
    batch = [tf.zeros(shape, tf.uint8)] * domains
    step = tf.function(lambda *images: gan.train_step(images, engine.RandomStream(0, 0)), autograph=False)
    return of_function(step, *batch)


def as_written() -> None:
    """From here on networks compute as their authors wrote them."""
    from sle_gan.models import convolution, strided, upsampling

    upsampling.fastest_form = lambda size: "plain"
    convolution.FORMS, strided.LARGE = (), sys.maxsize


def main() -> None:
    from training import configure, models  # beside this file; finds this checkout

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=models(), default="slegan")
    parser.add_argument("--resolution", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--width", type=int, default=64)
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    config, domains = configure(arguments)
    executed = of_training_step(config, domains)
    as_written()
    model = of_training_step(config, domains)
    counts = {
        "model_flops": sum(flops for kind, flops in model.items() if kind in NETWORKS),
        "executed_flops": sum(executed.values()),
        "kinds": executed,
    }
    print(json.dumps(counts))


if __name__ == "__main__":
    main()
