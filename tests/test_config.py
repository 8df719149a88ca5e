"""Settings: validation, JSON, and the flags made from them."""

from __future__ import annotations

import dataclasses
import json
import typing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sle_gan import SLEGANConfig
from sle_gan.cli.train import make_parser
from sle_gan.config import CONFIGS, TrainConfig, config_from_dict, flag, read_config_file
from sle_gan.errors import UserError

text = st.text(st.characters(codec="utf-8"), max_size=20)
configs = st.builds(
    SLEGANConfig,
    data_folder=text,
    resolution=st.sampled_from(SLEGANConfig.resolutions),
    steps=st.none() | st.integers(1, 10**9),
    G_learning_rate=st.floats(1e-8, 1),
    channels=st.sampled_from(["rgb", "grey", "rgba"]),
    diff_augment=st.booleans(),
    flip=st.booleans(),
    seed=st.integers(0, 2**31 - 1),
)


@given(configs)
def test_json_round_trip(config: SLEGANConfig) -> None:
    assert config_from_dict(json.loads(config.to_json()), "test") == config
    assert config.validated() is config


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resolution": 300}, ("--resolution is 300", "64 to 1024")),
        ({"resolution": 32}, ("--resolution is 32",)),
        ({"width": 12}, ("--width is 12", "multiple of 8")),
        ({"batch_size": 0}, ("--batch-size is 0",)),
        ({"steps": 0}, ("--steps is 0",)),
        ({"steps": 5, "epochs": 5}, ("--steps 5", "--epochs 5")),
        ({"G_learning_rate": float("nan")}, ("--G-learning-rate is nan",)),
        ({"D_learning_rate": -1.0}, ("--D-learning-rate is -1.0",)),
        ({"ema_decay": 1.0}, ("--ema-decay is 1.0",)),
        ({"seed": -1}, ("--seed is -1",)),
        ({"augment_policy": "color,translatoin"}, ("translatoin", "did you mean 'translation'")),
        ({"augment_probability": 1.5}, ("--augment-probability is 1.5", "0 to 1", "auto")),
        ({"augment_probability": float("nan")}, ("--augment-probability is nan",)),
        ({"augment_probability": "auto", "diff_augment": False}, ("--augment-probability auto", "--diff-augment")),
        ({"augment_probability": 0.5, "augment_policy": ""}, ("--augment-probability 0.5", "--augment-policy")),
        ({"lecam": -0.1}, ("--lecam is -0.1",)),
        ({"lecam": float("inf")}, ("--lecam is inf",)),
        ({"patience": 0, "fid": True}, ("--patience is 0", "at least 1")),
        ({"patience": 3}, ("--patience is 3", "--fid")),
        ({"name": "a/b"}, ("--name is a/b",)),
        ({"name": ".."}, ("--name",)),
        ({"reconstruction_loss": "perceptual", "channels": "grey"}, ("--channels is grey",)),
    ],
)
def test_wrong_values_are_named(change: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        dataclasses.replace(SLEGANConfig(), **change).validated()
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"resolutoin": 64}', ("unknown setting 'resolutoin'", "did you mean 'resolution'")),
        ('{"resolution": "64"}', ("resolution is '64'", "an integer")),
        ('{"batch_size": true}', ("batch_size is True",)),
        ('{"steps": 1.5}', ("steps is 1.5", "an integer or null")),
        ('{"model": "slegna"}', ("model is 'slegna'", "did you mean 'slegan'")),
        ('{"channels": "cmyk"}', ("one of rgb, grey, rgba",)),
        ("[1]", ("holds a list",)),
        ("{", ("is not JSON",)),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, content: str, words: tuple[str, ...]) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        read_config_file(path)
    assert all(word in str(caught.value) for word in (*words, "config.json"))


def test_epochs_and_steps() -> None:
    assert SLEGANConfig(epochs=3, batch_size=8).total_steps(20) == 8  # ceil(60 / 8)
    assert SLEGANConfig(steps=7).total_steps(20) == 7
    assert SLEGANConfig().total_steps(20) == 50_000


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_every_setting_has_a_flag_that_sets_it(config: type[TrainConfig]) -> None:
    parser = make_parser(config)
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        if field.metadata.get("hidden"):
            with pytest.raises(SystemExit):
                parser.parse_args([flag(field.name), "3"])
            continue
        if hints[field.name] is bool:
            name = f"--no-{flag(field.name)[2:]}" if field.default else flag(field.name)
            value, arguments = not field.default, [name]
        else:
            value = typing.get_args(hints[field.name])[-1] if typing.get_origin(hints[field.name]) else 3
            if typing.get_origin(value) is typing.Literal:
                value = typing.get_args(value)[0]
            if hints[field.name] in (str, str | None):
                value = "3"
            elif value is type(None):
                value = 3
            arguments = [flag(field.name), str(value)]
        assert getattr(parser.parse_args(arguments), field.name) == value
        assert not hasattr(parser.parse_args([]), field.name)


def test_a_switch_can_be_turned_both_ways() -> None:
    """The way that is the default too: it wins over a file's setting, and scripts that give it go on to work."""
    parse = make_parser().parse_args
    for name in ("diff-augment", "flip", "fid"):
        field = name.replace("-", "_")
        assert getattr(parse([f"--{name}"]), field) is True and getattr(parse([f"--no-{name}"]), field) is False
    assert SLEGANConfig().diff_augment and not CONFIGS["dcgan"]().diff_augment


def test_a_number_or_a_word() -> None:
    parse = make_parser().parse_args
    assert parse(["--augment-probability", "auto"]).augment_probability == "auto"
    assert parse(["--augment-probability", "0.25"]).augment_probability == 0.25


def test_a_wrong_number_or_word_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        make_parser().parse_args(["--augment-probability", "often"])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--augment-probability" in line and "auto" in line and "often" in line


@pytest.mark.parametrize("change", ({"augment_probability": "auto", "diff_augment": True}, {"lecam": 0.1}))
def test_contrasts_of_logits_say_nothing_about_one_of_them(change: dict) -> None:
    with pytest.raises(UserError, match="--dual-contrast-loss"):
        dataclasses.replace(CONFIGS["lightweight"](), dual_contrast_loss=True, **change).validated()


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=12), max_size=5))
def test_no_words_on_the_command_line_crash_the_parser(words: list[str]) -> None:
    try:
        make_parser().parse_args(words)
    except SystemExit as error:
        assert error.code in (0, 2)
