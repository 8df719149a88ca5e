"""CycleGAN's steps on two engines, and on two replicas with half of the batch each: the same as in one piece."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import REPOSITORY

WORKER = REPOSITORY / "tests" / "cyclegan_worker.py"


def train(folder: Path, result: str, engine: str, replicas: int = 1) -> dict[str, np.ndarray]:
    command = [sys.executable, str(WORKER), "initial.npz", result, str(replicas)]
    environment = {**os.environ, "KERAS_BACKEND": engine}
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(folder / result) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, np.ndarray]]:
    """TensorFlow, one device; the folder with the initial state."""
    folder = tmp_path_factory.mktemp("workers")
    return folder, train(folder, "one.npz", "tensorflow")


def assert_agree(folder: Path, expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> None:
    """Losses of five steps within 1e-4 of their size; what the steps changed within rounding, which they enlarge."""
    with np.load(folder / "initial.npz") as arrays:
        initial = dict(arrays)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        if name.startswith("loss/"):
            np.testing.assert_allclose(found[name][:2], value[:2], rtol=1e-4, err_msg=name)
            np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1.5e-4, err_msg=name)
        elif value.dtype.kind == "i":
            np.testing.assert_array_equal(found[name], value)
        elif "pool" in name:  # single pixels show what brightness and contrast do not
            assert np.abs(found[name] - value).mean() < 1e-4
        elif not name.startswith("optimizer"):
            change = np.linalg.norm(value - initial[name])
            assert change > 0, name
            assert np.linalg.norm(found[name] - value) < 0.1 * change, name
    assert expected["buffer/pool_A/count"] == 10  # thirty images have passed: old ones have come back


@pytest.mark.slow
def test_two_replicas_equal_one_of_double_batch(one: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, expected = one
    assert_agree(folder, expected, train(folder, "two.npz", "tensorflow", replicas=2))


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs the extra `jax`")
def test_both_engines_agree_after_five_steps(one: tuple[Path, dict[str, np.ndarray]]) -> None:
    folder, expected = one
    assert_agree(folder, expected, train(folder, "jax.npz", "jax"))
