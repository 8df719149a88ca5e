"""The engine: pullbacks, random streams, averages, and two replicas against one of double batch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from helpers import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from sle_gan import engine
from sle_gan.engine import RandomStream


def test_vjp_by_hand() -> None:
    w = keras.Variable([2.0, 3.0])
    x = ops.convert_to_tensor([[1.0, 4.0], [5.0, 6.0]])
    outputs, pullback = engine.vjp(lambda x: {"sum": ops.sum(x * w), "square": ops.sum(ops.square(w))}, [w], [x])
    assert float(outputs["sum"]) == 42.0
    d_variables, d_inputs = pullback({"sum": ops.convert_to_tensor(1.0), "square": ops.convert_to_tensor(10.0)})
    np.testing.assert_allclose(d_variables[0], [1 + 5 + 40, 4 + 6 + 60])
    np.testing.assert_allclose(d_inputs[0], [[2, 3], [2, 3]])


def test_vjp_gives_zeros_where_nothing_depends() -> None:
    used, unused = keras.Variable(1.0), keras.Variable([1.0, 1.0])
    _, pullback = engine.vjp(lambda: used * 2.0, [used, unused])
    gradients, _ = pullback(ops.convert_to_tensor(1.0))
    np.testing.assert_array_equal(gradients[1], [0.0, 0.0])


def draw(stream: RandomStream) -> bytes:
    return ops.convert_to_numpy(keras.random.normal((8,), seed=stream)).tobytes()


def test_a_stream_is_a_pure_function_of_seed_position_and_name() -> None:
    assert draw(RandomStream(1, 5).fold("a")) == draw(RandomStream(1, 5).fold("a"))
    others = [RandomStream(2, 5).fold("a"), RandomStream(1, 6).fold("a"), RandomStream(1, 5).fold("b")]
    draws = {draw(stream) for stream in [RandomStream(1, 5).fold("a"), *others]}
    assert len(draws) == 4


def test_successive_draws_differ_and_do_not_disturb_folded_streams() -> None:
    stream = RandomStream(1, 0)
    first = draw(stream)
    assert draw(stream) != first
    assert draw(stream.fold("x")) == draw(RandomStream(1, 0).fold("x"))


@given(st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_seeds_fit_every_engine(seed: int, position: int) -> None:
    words = ops.convert_to_numpy(RandomStream(seed, position).next())
    assert words.shape == (2,) and (words >= 0).all() and words[1] == position


def test_averages() -> None:
    average, variable = keras.Variable([0.0, 10.0]), keras.Variable([1.0, 1.0])
    engine.update_averages([(average, variable)], 0.9)
    np.testing.assert_allclose(ops.convert_to_numpy(average), [0.1, 9.1], rtol=1e-6)


def test_more_devices_than_exist() -> None:
    with pytest.raises(ValueError, match="--devices 99"):
        engine.Devices(99)


@pytest.fixture(
    scope="module",
    params=("slegan", "dcgan", *(pytest.param(name, marks=pytest.mark.slow) for name in ("lightweight", "projected"))),
)
def replicas(request: pytest.FixtureRequest) -> dict:
    """What tests/replica_worker.py found with two logical CPUs; they must exist before TensorFlow starts."""
    worker = REPOSITORY / "tests" / "replica_worker.py"
    result = subprocess.run([sys.executable, str(worker), request.param], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return json.loads(result.stdout.splitlines()[-1])


def test_two_replicas_equal_one_of_double_batch(replicas: dict) -> None:
    assert replicas["replica_counts"] == [1, 2]
    assert replicas["smallest_change"] > 1e-6  # training moved the weights
    assert replicas["largest_difference"] < 1e-9, replicas["where"]
    np.testing.assert_allclose(replicas["losses"][0], replicas["losses"][1], rtol=1e-9)


def test_replicas_draw_different_numbers(replicas: dict) -> None:
    first, second = replicas["draws"]
    assert first != second


def test_replicas_hold_the_same_variables_afterwards(replicas: dict) -> None:
    assert replicas["largest_replica_difference"] == 0.0


needs_xla = pytest.mark.skipif(engine.name == "torch", reason="PyTorch runs without XLA")


def run_by_xla(fn: Callable[..., Any]) -> Any:
    if engine.name == "jax":
        import jax

        return jax.jit(fn)
    if engine.name == "torch":
        return fn
    import tensorflow as tf

    return tf.function(fn, jit_compile=True, autograph=False)


def optimized_program(fn: Callable[..., Any], *inputs: Any) -> str:
    """What XLA makes of a function on this machine."""
    if engine.name == "jax":
        return run_by_xla(fn).lower(*inputs).compile().as_text()
    return run_by_xla(fn).experimental_get_compiler_ir(*inputs)(stage="optimized_hlo")


@needs_xla
def test_xla_computes_again_what_is_not_to_be_kept() -> None:
    """Two functions of two tanh each: the last one's result is not needed, the others' two are computed twice."""
    x = ops.convert_to_tensor(np.linspace(-1, 1, 20, dtype=np.float32).reshape(4, 5))

    def gradient_through(call: Callable[..., Any]) -> Callable[[Any], Any]:
        def gradient(x: Any) -> Any:
            def twice(x: Any) -> Any:
                for _ in range(2):
                    x = call(lambda x: ops.tanh(ops.tanh(x) * 2.0) * 3.0, x)
                return x

            y, pullback = engine.vjp(twice, (), [x])
            return pullback(ops.ones_like(y))[1][0]

        return gradient

    kept, recomputed = gradient_through(lambda fn, x: fn(x)), gradient_through(engine.recomputed)
    assert optimized_program(kept, x).count(" tanh(") == 4
    assert optimized_program(recomputed, x).count(" tanh(") == 6
    np.testing.assert_allclose(engine.compile_function(recomputed)(x), kept(x), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_recomputation_leaves_every_number_as_it_is(dtype: str) -> None:
    """Also where the cotangent is not finite, on which what is computed again is made to wait."""
    x = ops.cast(ops.convert_to_tensor([-0.0, 0.5, -2.0]), dtype)
    slopes = []
    for call in (engine.recomputed, lambda fn, x: fn(x)):

        def slope(x: Any, call: Any = call) -> Any:
            y, pullback = engine.vjp(lambda x: call(ops.square, x), (), [x])
            return pullback(ops.cast(ops.convert_to_tensor([np.nan, 1.0, -3.0]), y.dtype))[1][0]

        slopes.append(ops.convert_to_numpy(ops.cast(run_by_xla(slope)(x), "float32")))
    np.testing.assert_array_equal(slopes[0], slopes[1])
    np.testing.assert_array_equal(slopes[0], [np.nan, 1.0, 12.0])


@needs_xla
def test_xla_keeps_parts_of_a_step_apart() -> None:
    """All values leave one barrier with all that they wait for; the barrier has no part in gradients."""
    x, y = ops.ones((3,)), ops.ones((2,))

    def both(x: Any, y: Any) -> Any:
        assert (engine.after([], [x]), engine.after({}, {})) == ([], {})  # the first of several parts waits for nothing
        values = engine.after({"a": x, "b": [ops.cast(x, "uint8")]}, [y * 2.0, {"c": y * 3.0}])
        waiting, pullback = engine.vjp(lambda x: engine.after([x], [y])[0] * 5.0, (), [x])
        return values["a"], values["b"][0], pullback(ops.ones_like(waiting))[1][0]

    if engine.name == "jax":
        program = run_by_xla(both).lower(x, y).as_text("hlo")
    else:
        program = run_by_xla(both).experimental_get_compiler_ir(x, y)(stage="hlo")
    barriers = [re.findall(r"(\w+)\[\d+\]", types) for types in re.findall(r"= (\(.*\)) opt-barrier\(", program)]
    assert sorted(barriers) == [["f32", "f32"], ["f32", "u8", "f32", "f32"]]
    for ours, theirs in zip(run_by_xla(both)(x, y), ([1, 1, 1], [1, 1, 1], [5, 5, 5])):
        np.testing.assert_array_equal(ours, theirs)


def test_adam_on_two_replicas_updates_with_the_sum_of_their_gradients() -> None:
    worker = REPOSITORY / "tests" / "adam_worker.py"
    result = subprocess.run([sys.executable, str(worker)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    for parts, (one, two) in json.loads(result.stdout.splitlines()[-1]).items():
        np.testing.assert_allclose(two, one, rtol=1e-6, err_msg=f"{parts} parts")
        assert np.abs(np.diff(one, axis=0)).min() > 1e-4  # each step moves each weight
