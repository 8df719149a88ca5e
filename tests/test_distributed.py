"""Two real processes on this machine, joined over the loopback interface."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from double import largest_difference
from helpers import REPOSITORY, TINY, start

TESTS = REPOSITORY / "tests"
ENGINES = [
    "tensorflow",
    pytest.param(
        "jax", marks=pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs the extra `jax`")
    ),
]


def environments(engine: str, count: int = 2) -> list[dict[str, str]]:
    """One for each process, with a TF_CONFIG of free ports."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return [
        {
            **os.environ,
            "KERAS_BACKEND": engine,
            "TF_CONFIG": json.dumps({"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}}),
        }
        for i in range(count)
    ]


def finish(processes: list[subprocess.Popen[str]]) -> list[str]:
    """Their outputs; all are killed if one fails or hangs."""
    try:
        results = [process.communicate() for process in processes]
    finally:
        for process in processes:
            process.kill()
    for process, (_, errors) in zip(processes, results):
        assert process.returncode == 0, errors[-3000:]
    return [out for out, _ in results]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "steps"), [("dcgan", "10"), ("slegan", "1")])
@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_equal_one_with_the_whole_batch(engine: str, model: str, steps: str, tmp_path: Path) -> None:
    worker = [sys.executable, str(TESTS / "engine_worker.py"), "initial.npz"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    alone = {key: value for key, value in os.environ.items() if key != "TF_CONFIG"} | {"KERAS_BACKEND": engine}
    finish([subprocess.Popen([*worker, "one.npz", model, steps], env=alone, **pipes)])  # type: ignore[call-overload]
    finish(
        [
            subprocess.Popen([*worker, f"{i}.npz", model, steps], env=environment, **pipes)  # type: ignore[call-overload]
            for i, environment in enumerate(environments(engine))
        ]
    )
    initial, one, first, second = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("initial", "one", "0", "1"))
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)
    difference, where = largest_difference(first, one)
    print(f"largest difference {difference:.1e}, of {where}")
    assert difference < 1e-12, where  # the README says so
    kernel = "generator/to_image/kernel"
    assert np.abs(one[kernel] - initial[kernel]).max() > 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_distributed_run_is_written_by_its_first_process(engine: str, pictures: Path, tmp_path: Path) -> None:
    flags = ("--data-folder", pictures, "--output-folder", tmp_path, "--name", "a", *TINY, "--distributed")
    for extra in (("--steps", 2), ("--steps", 3, "--resume")):
        processes = [start("train", *flags, *extra, env=environment) for environment in environments(engine)]
        first, second = finish(processes)
        assert "finished at step" in first
        assert not [line for line in second.splitlines() if not line.startswith("[Gloo]")]  # JAX's transport
    lines = [json.loads(line) for line in (tmp_path / "a" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and (tmp_path / "a" / "generator_weights.h5").exists()
