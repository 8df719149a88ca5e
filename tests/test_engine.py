"""The engine: pullbacks, random streams, averages, and two replicas against one of double batch."""

from __future__ import annotations

import json
import subprocess
import sys

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
    np.testing.assert_allclose(average.value, [0.1, 9.1], rtol=1e-6)


def test_more_devices_than_exist() -> None:
    with pytest.raises(ValueError, match="--devices 99"):
        engine.Devices(99)


@pytest.fixture(scope="module", params=("slegan", "dcgan", pytest.param("lightweight", marks=pytest.mark.slow)))
def replicas(request: pytest.FixtureRequest) -> dict:
    """What tests/replica_worker.py found with two logical CPUs; they must exist before TensorFlow starts."""
    worker = REPOSITORY / "tests" / "replica_worker.py"
    result = subprocess.run([sys.executable, str(worker), request.param], capture_output=True, text=True, timeout=300)
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


def test_adam_on_two_replicas_updates_with_the_sum_of_their_gradients() -> None:
    worker = REPOSITORY / "tests" / "adam_worker.py"
    result = subprocess.run([sys.executable, str(worker)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    for parts, (one, two) in json.loads(result.stdout.splitlines()[-1]).items():
        np.testing.assert_allclose(two, one, rtol=1e-6, err_msg=f"{parts} parts")
        assert np.abs(np.diff(one, axis=0)).min() > 1e-4  # each step moves each weight
