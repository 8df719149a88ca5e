"""`sle-gan train --mix-in`: a run with a second source of pictures, stopped and resumed, on both engines."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers import run as command

from sle_gan import CycleGANConfig, DCGANConfig
from sle_gan.config.base import TrainConfig
from sle_gan.demo import draw_demo_set
from sle_gan.errors import UserError
from sle_gan.hub.training_facts import command as shared_command
from sle_gan.hub.training_facts import shareable_settings
from sle_gan.runs import checkpoints

STEPS = 6


@pytest.fixture(scope="module")
def others(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("others") / "flowers"
    draw_demo_set(folder, count=9, resolution=32, seed=5, progress=False)
    return folder


@pytest.fixture
def config(pictures: Path, others: Path, tmp_path: Path) -> DCGANConfig:
    return DCGANConfig(
        data_folder=str(pictures),
        mix_in=str(others),
        mix_in_share=0.5,
        mix_in_steps=5,
        output_folder=str(tmp_path),
        resolution=32,
        width=4,
        latent=8,
        batch_size=8,
        steps=STEPS,
        checkpoint_every=100,
        sample_every=100,
    )


def state(config: TrainConfig) -> dict[str, np.ndarray]:
    return checkpoints.read(checkpoints.path_of(config.run_folder / "checkpoints", STEPS))[1]


def train(config: TrainConfig, name: str, **how: object) -> TrainConfig:
    from sle_gan.training import run

    named = dataclasses.replace(config, name=name)
    run.train(named.validated(), **how)  # type: ignore[arg-type]
    return named


def assert_equal(one: TrainConfig, other: TrainConfig) -> None:
    expected = state(one)
    for name, value in state(other).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_resumed_run_and_one_on_the_device_end_the_same(
    config: DCGANConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from sle_gan import engine

    whole = train(config, "whole")
    assert f"9 pictures of 32x32 from {config.mix_in}" in capsys.readouterr().out
    halves = train(config, "halves", share=0.5)
    train(config, "halves", resume=True)
    assert "not the pictures" not in capsys.readouterr().out
    assert_equal(whole, halves)
    plain = train(dataclasses.replace(config, mix_in=None, mix_in_share=0.3, mix_in_steps=5000), "plain")
    kernel = next(name for name in state(plain) if name.startswith("discriminator/") and name.endswith("/kernel"))
    assert not np.array_equal(state(plain)[kernel], state(whole)[kernel])
    # As where all pictures are kept on an accelerator, and batches are indices.
    monkeypatch.setattr(engine.Devices, "fits", lambda self, nbytes: True)
    assert_equal(whole, train(config, "resident"))
    # Other pictures than those it began with are told, and no reason to stop.
    train(dataclasses.replace(config, mix_in=config.data_folder, steps=STEPS + 1), "halves", resume=True)
    assert "these are not the pictures that the run began with" in capsys.readouterr().out


def test_what_cannot_be_mixed_in(config: DCGANConfig, tmp_path: Path) -> None:
    for change, words in (
        ({"mix_in_share": 0.0}, "--mix-in-share is 0.0; expected more than 0"),
        ({"mix_in_share": 1.5}, "--mix-in-share is 1.5"),
        ({"mix_in_steps": 0}, "--mix-in-steps is 0; expected at least 1"),
        ({"mix_in": None}, "--mix-in-share is 0.5; expected --mix-in beside it"),
    ):
        with pytest.raises(UserError, match=words):
            dataclasses.replace(config, **change).validated()
    from sle_gan.cli import train as cli

    with pytest.raises(UserError, match=r"--mix-in .*none"):
        cli.main(
            ["--model", "dcgan", "--data-folder", config.data_folder, "--mix-in", str(tmp_path / "none"), "--dry-run"]
        )
    assert not hasattr(CycleGANConfig(), "mix_in")


def test_a_model_card_names_no_path(config: DCGANConfig) -> None:
    text = shared_command(config, shareable_settings(config))
    assert "--mix-in OTHER_PICTURES" in text and "--mix-in-share 0.5" in text and config.mix_in not in text


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="needs the extra `jax`")
def test_on_the_second_engine(config: DCGANConfig, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(config.to_json())
    jax = ("train", "--config", tmp_path / "config.json", "--engine", "jax", "--name")
    assert command(*jax, "whole").returncode == 0
    assert command(*jax, "halves", "--steps", STEPS // 2).returncode == 0
    resumed = command(
        "train", "--output-folder", tmp_path, "--name", "halves", "--resume", "--steps", STEPS, "--engine", "jax"
    )
    assert resumed.returncode == 0, resumed.stderr
    assert_equal(*(dataclasses.replace(config, name=name) for name in ("whole", "halves")))
