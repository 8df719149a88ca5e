"""The gated linear unit: the first half of a map's channels times the sigmoid of the second."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from sle_gan import engine

# Numbers of a map from which compiled loops beat the operations one by one, and the taking apart and joining of halves
# (8x128x128x128, forward and backward, 2 cores: 11 for 19 ms).
LARGE = 1 << 22


def gated_linear_unit(x: Any, logits: Any = None) -> Any:
    """(..., 2C), or a list of both halves (..., C) -> (..., C).

    Args:
        logits: (B, 1, 1, C), whose sigmoid is one factor more for each channel of maps (B, H, W, 2C); None for none.
    """
    parts = x if isinstance(x, list) else [x]
    if _pays(parts):
        return _in_loops(parts, [] if logits is None else [logits])
    y = gate(*(parts if len(parts) == 2 else ops.split(x, 2, axis=-1)))
    return y if logits is None else y * ops.sigmoid(logits)


def _pays(parts: Sequence[Any]) -> bool:
    x = parts[0]
    if None in x.shape or keras.backend.standardize_dtype(x.dtype) != "float32":
        return False
    return len(parts) * math.prod(x.shape) >= LARGE and engine.on_tensorflow_cpu() and engine.tracing()


@engine.custom_gradient
def gate(values: Any, gates: Any) -> Any:
    """values * sigmoid(gates), of one shape.

    With y = a s and s = sigmoid(b), dy/da = s and dy/db = y (1 - s): only s is kept for the backward pass, as y is
    kept by the layer that follows.
    """
    open_ = _sigmoid(gates)
    y = values * open_

    def grad(*args: Any, upstream: Any = None) -> Any:
        upstream = args[0] if upstream is None else upstream
        # Not y (1 - s) first: TensorFlow would compute 1 - s, which waits for nothing, as soon as there is an s.
        d_gates = upstream * y
        return upstream * open_, d_gates - d_gates * open_

    return y, grad


def _in_loops(parts: Sequence[Any], logits: Sequence[Any]) -> Any:
    """As `gated_linear_unit`: with one more factor f = sigmoid(l), y = a s f, dy/da = s f, and dy/dl = y (1 - f)."""
    whole = len(parts) == 1

    @engine.custom_gradient
    def compute(*inputs: Any) -> Any:
        factors = [ops.sigmoid(each) for each in inputs[len(parts) :]]
        y, open_ = _forward(inputs[: len(parts)], factors)

        def grad(*args: Any, upstream: Any = None) -> Any:
            upstream = args[0] if upstream is None else upstream
            d_parts = (_backward_whole if whole else _backward)(y, open_, factors, upstream)
            return (*d_parts, *(ops.sum(upstream * y, (1, 2), keepdims=True) * (1.0 - factor) for factor in factors))

        return y, grad

    return compute(*parts, *logits)


@engine.fused
def _forward(parts: Sequence[Any], factors: Sequence[Any]) -> tuple[Any, Any]:
    """The output, and s."""
    values, gates = parts if len(parts) == 2 else ops.split(parts[0], 2, -1)
    open_ = ops.sigmoid(gates)
    return math.prod(factors, start=values * open_), open_


def _gradients(y: Any, open_: Any, factors: Sequence[Any], upstream: Any) -> tuple[Any, Any]:
    d_gates = upstream * y
    return math.prod(factors, start=upstream * open_), d_gates - d_gates * open_


_backward = engine.fused(_gradients)


@engine.fused
def _backward_whole(*args: Any) -> list[Any]:
    """The gradients of both halves side by side.

    As a sum of both with zeros beside them: a compiled loop that joins an axis takes 1.4 times as long.
    """
    values, gates = _gradients(*args)
    beside, channels = [(0, 0)] * (len(values.shape) - 1), values.shape[-1]
    return [ops.pad(values, [*beside, (0, channels)]) + ops.pad(gates, [*beside, (channels, 0)])]


def _sigmoid(x: Any) -> Any:
    """Sigmoid; of bfloat16 by float32 on TensorFlow's CPU, whose own takes twice as long (8x64x64x64: 4.3, 2.1 ms)."""
    if keras.backend.standardize_dtype(x.dtype) == "bfloat16" and engine.on_tensorflow_cpu():
        return ops.cast(ops.sigmoid(ops.cast(x, "float32")), "bfloat16")
    return ops.sigmoid(x)
