"""The second engine: the same tests pass on it, it computes the same step, and runs move between engines."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import REPOSITORY, TINY, assert_refused, run

pytestmark = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs the extra `jax`")
TESTS = REPOSITORY / "tests"


def on(engine: str) -> dict[str, str]:
    return {**os.environ, "KERAS_BACKEND": engine}


@pytest.mark.slow
def test_the_golden_and_layer_tests_pass_on_jax() -> None:
    modules = (
        *("models", "dcgan_models", "lightweight_models", "layers", "upsampling", "losses", "augment", "vary"),
        *("folded", "export", "image_pool"),
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        *(str(TESTS / f"test_{module}.py") for module in modules),
    ]
    result = subprocess.run(command, env=on("jax"), capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.slow
def test_the_engine_float16_and_loops_of_steps_pass_on_jax() -> None:
    tests = ("test_float16_trains_in_a_compiled_step", "test_float16_scales_its_losses_and_skips_overflows")
    tests = (*tests, "test_one_program_makes_any_number_of_steps", "test_the_loss_scale_stays_within_limits")
    named = [f"{TESTS / 'test_step.py'}::{test}" for test in tests]
    named += [str(TESTS / "test_engine.py"), "-k", "not replica"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *named]
    result = subprocess.run(command, env=on("jax"), capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.slow
def test_a_run_moves_from_one_engine_to_the_other(pictures: Path, tmp_path: Path) -> None:
    output = ("--output-folder", tmp_path, "--name", "a")
    first = run("train", "--data-folder", pictures, *output, *TINY, "--steps", 2, "--diff-augment")
    assert first.returncode == 0, first.stderr
    second = run("train", *output, "--resume", "--steps", 4, "--engine", "jax")
    assert second.returncode == 0, second.stderr
    assert "(JAX " in second.stdout
    third = run("train", *output, "--resume", "--steps", 5, "--engine", "tensorflow")
    assert third.returncode == 0, third.stderr
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5]
    weights = ("--weights", tmp_path / "a" / "generator_weights.h5", "--count", 2)
    for engine in ("tensorflow", "jax"):
        done = run("generate", *weights, "--engine", engine, "--output-folder", tmp_path / engine)
        assert done.returncode == 0, done.stderr
    from PIL import Image

    for name in ("000000.png", "000001.png"):
        pictures_ = [np.asarray(Image.open(tmp_path / engine / name)).astype(int) for engine in ("tensorflow", "jax")]
        assert np.abs(pictures_[0] - pictures_[1]).max() <= 1


@pytest.mark.slow
def test_a_jax_run_is_exact_when_resumed(pictures: Path, tmp_path: Path) -> None:
    settings = ("--data-folder", pictures, "--output-folder", tmp_path, *TINY, "--diff-augment", "--engine", "jax")
    assert run("train", *settings, "--name", "a", "--steps", 4).returncode == 0
    assert run("train", *settings, "--name", "b", "--steps", 2).returncode == 0
    assert (
        run("train", "--output-folder", tmp_path, "--name", "b", "--resume", "--steps", 4, "--engine", "jax").returncode
        == 0
    )
    a, b = (np.load(tmp_path / name / "checkpoints" / "step_00000004.npz") for name in "ab")
    for name in a.files:
        if name != "meta.json":
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_an_engine_that_does_not_exist(tmp_path: Path) -> None:
    assert_refused(run("train", "--engine", "torch"), "--engine", "'torch'")
    environment = on("torch")
    assert_refused(run("train", "--data-folder", tmp_path, env=environment), "KERAS_BACKEND", "torch")
