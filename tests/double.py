"""Float64 for comparisons of two ways of computing a step.

In float32 the ways round differently and a GAN's step enlarges that, by how much depends on the processor. In float64
rounding is a billion times smaller, and what is left apart is a mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import keras
import numpy as np
from keras import ops


@contextmanager
def double_precision() -> Iterator[None]:
    """Within it everything is computed in float64, on any engine."""
    before = keras.config.floatx(), keras.config.dtype_policy()
    _let_have_float64(True)
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        x = ops.convert_to_tensor(np.array([0.5]))
        for result in (x, ops.tanh(x), ops.mean(x), ops.sin(x), ops.floor(x)):
            assert keras.backend.standardize_dtype(result.dtype) == "float64"
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])
        _let_have_float64(False)


def _let_have_float64(on: bool) -> None:
    backend = keras.config.backend()
    if backend == "tensorflow":
        return
    from keras.src.backend.common import dtypes

    if backend == "jax":
        import jax

        jax.config.update("jax_enable_x64", on)
    # Keras's table of result types says that only TensorFlow has one: means and tanh would be float32.
    dtypes.BIT64_TO_BIT32_DTYPE["float64"] = "float64" if on else "float32"


def numbers(state: Mapping[str, keras.Variable]) -> dict[str, np.ndarray]:
    return {name: ops.convert_to_numpy(variable.value) for name, variable in state.items()}


def largest_difference(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> tuple[float, str]:
    """Of all arrays, each in relation to its largest value, and the name of the array that has it."""
    assert found.keys() == expected.keys()
    for name, value in (*found.items(), *expected.items()):
        assert np.isfinite(value).all(), name  # what is no number has no difference
    size = {name: np.abs(value).max() for name, value in expected.items()}
    return max((float(np.abs(found[name] - expected[name]).max() / (size[name] or 1.0)), name) for name in expected)
