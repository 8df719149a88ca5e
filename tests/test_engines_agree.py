"""Ten steps from one state, with equal batches and draws, are the same on all engines and on any number of devices.

In float64, where they agree to 1e-12. In float32 each rounds in its own way: a value near the kink of a leaky ReLU may
fall on its other side, which is no small difference to the gradient, and later steps enlarge it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from double import largest_difference
from helpers import REPOSITORY

pytestmark = pytest.mark.slow
MODELS = ("slegan", "slegan_classes", "projected", "projected_classes", "shaped", "lightweight", "dcgan", "cyclegan")
STEPS = 10


def train(folder: Path, result: str, engine: str, model: str, replicas: int = 1) -> dict[str, np.ndarray]:
    worker = str(REPOSITORY / "tests" / "engine_worker.py")
    command = [sys.executable, worker, "initial.npz", result, model, str(STEPS), str(replicas)]
    environment = {**os.environ, "KERAS_BACKEND": engine, "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / result) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module", params=MODELS)
def one(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """TensorFlow on one device: the model, the folder with the initial state, and the result."""
    folder = tmp_path_factory.mktemp("workers")
    return request.param, folder, train(folder, "one.npz", "tensorflow", request.param)


def assert_equal_but_for_rounding(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    difference, where = largest_difference(found, expected)
    print(f"largest difference {difference:.1e}, of {where}")
    assert difference < 1e-9, where


def test_the_steps_change_every_kernel_and_average(one: tuple) -> None:
    model, folder, after = one
    with np.load(folder / "initial.npz") as initial:
        for name in initial.files:
            if name.endswith("kernel"):
                assert np.abs(after[name] - initial[name]).max() > 1e-6, name
    if model == "cyclegan":
        assert after["buffer/pool_A/count"] == 10  # sixty images have passed: old ones have come back


@pytest.mark.parametrize(("engine", "devices"), [("jax", 1), ("jax", 2), ("torch", 1)])
def test_other_engines_equal_tensorflow(one: tuple, engine: str, devices: int) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"needs the extra `{engine}`")
    model, folder, expected = one
    assert_equal_but_for_rounding(train(folder, f"{engine}_{devices}.npz", engine, model, devices), expected)


def test_two_replicas_equal_one_of_double_batch(one: tuple) -> None:
    model, folder, expected = one
    assert_equal_but_for_rounding(train(folder, "two.npz", "tensorflow", model, 2), expected)
