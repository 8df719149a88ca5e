"""The engines beside TensorFlow: the same tests pass on them, and runs move between all three."""

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

TESTS = REPOSITORY / "tests"


@pytest.fixture(params=["jax", "torch"])
def engine(request: pytest.FixtureRequest) -> str:
    need(request.param)
    return request.param


def need(engine: str) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"needs the extra `{engine}`")


def on(engine: str) -> dict[str, str]:
    # What OpenMP does while it waits matters where other tests run beside.
    return {**os.environ, "KERAS_BACKEND": engine, "OMP_WAIT_POLICY": "PASSIVE"}


@pytest.mark.slow
def test_the_golden_and_layer_tests_pass(engine: str) -> None:
    modules = (
        *("models", "dcgan_models", "lightweight_models", "layers", "upsampling", "losses", "augment", "vary"),
        *("folded", "gating", "export", "image_pool"),
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
    result = subprocess.run(command, env=on(engine), capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.slow
def test_the_engine_float16_and_loops_of_steps_pass(engine: str) -> None:
    tests = ("test_float16_trains_in_a_compiled_step", "test_float16_scales_its_losses_and_skips_overflows")
    tests = (*tests, "test_one_program_makes_any_number_of_steps", "test_the_loss_scale_stays_within_limits")
    tests = (*tests, "test_adam_equals_pytorch", "test_accumulated_parts_equal_one_large_batch")
    tests = (*tests, "test_bfloat16_trains_float32_variables", "test_the_gradient_of_leaky_relu")
    tests = (*tests, "test_many_steps_in_a_call_and_resident_images_change_no_bit")
    named = [f"{TESTS / 'test_step.py'}::{test}" for test in tests]
    named += [str(TESTS / "test_engine.py"), "-k", "not replica"]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *named]
    result = subprocess.run(command, env=on(engine), capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stdout[-3000:]


@pytest.mark.slow
def test_a_run_moves_from_one_engine_to_the_others(pictures: Path, tmp_path: Path) -> None:
    for engine in ("jax", "torch"):
        need(engine)
    output = ("--output-folder", tmp_path, "--name", "a")
    first = run("train", "--data-folder", pictures, *output, *TINY, "--steps", 2, "--diff-augment")
    assert first.returncode == 0, first.stderr
    for steps, engine, named in ((4, "jax", "(JAX "), (6, "torch", "(PyTorch "), (7, "tensorflow", "(TensorFlow ")):
        later = run("train", *output, "--resume", "--steps", steps, "--engine", engine)
        assert later.returncode == 0, later.stderr
        assert named in later.stdout
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6, 7]
    weights = ("--weights", tmp_path / "a" / "generator_weights.h5", "--count", 2)
    engines = ("tensorflow", "jax", "torch")
    for engine in engines:
        done = run("generate", *weights, "--engine", engine, "--output-folder", tmp_path / engine)
        assert done.returncode == 0, done.stderr
    from PIL import Image

    for name in ("000000.png", "000001.png"):
        first, *others = (np.asarray(Image.open(tmp_path / engine / name)).astype(int) for engine in engines)
        assert all(np.abs(other - first).max() <= 1 for other in others)


@pytest.mark.slow
def test_a_run_is_exact_when_resumed(engine: str, pictures: Path, tmp_path: Path) -> None:
    settings = ("--data-folder", pictures, "--output-folder", tmp_path, *TINY, "--diff-augment", "--engine", engine)
    assert run("train", *settings, "--name", "a", "--steps", 4).returncode == 0
    assert run("train", *settings, "--name", "b", "--steps", 2).returncode == 0
    assert (
        run(
            "train", "--output-folder", tmp_path, "--name", "b", "--resume", "--steps", 4, "--engine", engine
        ).returncode
        == 0
    )
    a, b = (np.load(tmp_path / name / "checkpoints" / "step_00000004.npz") for name in "ab")
    for name in a.files:
        if name != "meta.json":
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def test_an_engine_that_does_not_exist(tmp_path: Path) -> None:
    assert_refused(run("train", "--engine", "mxnet"), "--engine", "'mxnet'")
    assert_refused(run("train", "--data-folder", tmp_path, env=on("openvino")), "KERAS_BACKEND", "openvino")


@pytest.mark.parametrize("flags", [("--devices", 2), ("--distributed",)])
def test_torch_has_one_device(flags: tuple[object, ...], pictures: Path, tmp_path: Path) -> None:
    need("torch")
    output = ("--output-folder", tmp_path / "runs", "--engine", "torch")
    cluster = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'
    result = run("train", "--data-folder", pictures, *TINY, *output, *flags, env={**on("torch"), "TF_CONFIG": cluster})
    assert_refused(result, str(flags[0]), "the torch engine", "--engine tensorflow or jax")
    assert not (tmp_path / "runs").exists() and "pictures of" not in result.stdout
