"""A run that was killed and resumed ends bit for bit where an uninterrupted one does."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY, kill_after, run, start

from sle_gan.runs.log import read_log

ADAPTIVE = ("--augment-probability", "auto", "--lecam", 0.1)
SETTINGS = (*TINY, *ADAPTIVE, "--crop", "random", "--checkpoint-every", 1, "--sample-every", 100, "--seed", 7)


def arrays(checkpoint: Path) -> dict[str, np.ndarray]:
    with np.load(checkpoint) as opened:
        return {name: opened[name] for name in opened.files if name != "meta.json"}


def test_killed_at_random_moments_and_resumed(pictures: Path, tmp_path: Path) -> None:
    """A checkpoint is written after every step, so that a kill is as likely to hit the writing as the training."""
    steps = 10
    settings = ("--data-folder", pictures, "--output-folder", tmp_path, *SETTINGS, "--steps", steps)
    assert run("train", *settings, "--name", "straight").returncode == 0

    process = start("train", *settings, "--name", "killed")
    # From the second step on: a run that is killed before its first checkpoint is whole has nothing to resume.
    for step in (random.randint(2, 4), random.randint(5, 8)):
        kill_after(tmp_path / "killed", step, process)
        process = start("train", "--output-folder", tmp_path, "--name", "killed", "--resume")
    _, err = process.communicate()
    assert process.returncode == 0, err

    straight, killed = (arrays(tmp_path / n / "checkpoints" / f"step_{steps:08d}.npz") for n in ("straight", "killed"))
    assert straight.keys() == killed.keys() and len(straight) > 400
    for name, expected in straight.items():
        np.testing.assert_array_equal(killed[name], expected, err_msg=name)
    logs = [read_log(tmp_path / name / "log.jsonl") for name in ("straight", "killed")]
    for log in logs:
        assert [line["step"] for line in log] == list(range(1, steps + 1))
    assert [line["generator"] for line in logs[0]] == [line["generator"] for line in logs[1]]
    exports = [(tmp_path / name / "generator_weights.h5").read_bytes() for name in ("straight", "killed")]
    assert exports[0] == exports[1]
    assert not list((tmp_path / "killed").rglob(".*.tmp")), "a kill's temporary files are cleaned up"


@pytest.mark.slow
def test_another_seed_is_another_run(pictures: Path, tmp_path: Path) -> None:
    settings = ("--data-folder", pictures, "--output-folder", tmp_path, *SETTINGS, "--steps", 1)
    for seed in (1, 2):
        assert run("train", *settings, "--name", seed, "--seed", seed).returncode == 0
    one, two = (arrays(tmp_path / n / "checkpoints" / "step_00000001.npz") for n in ("1", "2"))
    assert np.abs(one["generator/to_image/kernel"] - two["generator/to_image/kernel"]).max() > 1e-3
