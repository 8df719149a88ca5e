"""What may be tried: spaces from JSON, and what is wrong with them in one line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sle_gan import CycleGANConfig, DCGANConfig, LightweightConfig, SLEGANConfig
from sle_gan.config import CONFIGS
from sle_gan.errors import UserError
from sle_gan.search.space import Choices, Range, default_space, parse_space, read_space

BASE = DCGANConfig(data_folder="x", resolution=32)


@pytest.mark.parametrize("model", CONFIGS)
def test_every_gan_has_a_space_that_holds_its_defaults(model: str) -> None:
    base = CONFIGS[model](data_folder="x")
    space = default_space(base, pictures=1000)
    assert {"G_learning_rate", "D_learning_rate"} <= set(space) and len(space) >= 4
    for name, dimension in space.items():
        assert dimension.holds(getattr(base, name)), name


def test_batches_that_a_small_set_has_not_are_left_out() -> None:
    assert default_space(BASE, pictures=40)["batch_size"] == Choices((16, 32))
    assert "batch_size" not in default_space(BASE, pictures=20)
    assert default_space(dataclasses.replace(BASE, drop_last=False), 20)["batch_size"].holds(128)


def test_a_space_goes_through_json_unchanged(tmp_path: Path) -> None:
    values = {
        "G_learning_rate": {"low": 1e-4, "high": 1e-3, "log": True},
        "batch_size": [16, 32],
        "latent": {"low": 50, "high": 150, "step": 10},
        "flip": [True, False],
        "label_smoothing_sides": ["one", "two"],
        "augment_probability": {"low": 0.2, "high": 1.0},
    }
    (tmp_path / "space.json").write_text(json.dumps(values))
    base = dataclasses.replace(BASE, diff_augment=True)
    space = read_space(str(tmp_path / "space.json"), base)
    assert {name: dimension.to_json() for name, dimension in space.items()} == values
    assert space["latent"] == Range(50, 150, step=10, integer=True)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "s.json is empty"),
        ({"G_learning_rat": [1.0, 2.0]}, "unknown setting 'G_learning_rat' (did you mean 'G_learning_rate'?)"),
        ({"batch_size": []}, "batch_size is an empty range"),
        ({"batch_size": [8]}, "batch_size is an empty range"),
        ({"batch_size": [8, 8]}, "all different"),
        ({"batch_size": {"low": 8, "high": 8}}, "batch_size is an empty range: low is 8 and high is 8"),
        ({"batch_size": {"low": 8, "high": 4}}, "expected low < high"),
        ({"batch_size": {"low": 8.5, "high": 9.5}}, "low is 8.5; expected a whole number"),
        ({"G_learning_rate": {"low": 0.0, "high": 1e-3, "log": True}}, "low above 0"),
        ({"G_learning_rate": {"low": -1.0, "high": 1e-3}}, "G-learning-rate may be -1.0, and then: --G-learning-rate"),
        ({"G_learning_rate": {"low": 1e-4}}, "high is missing"),
        ({"G_learning_rate": {"low": 1e-4, "hi": 1e-3}}, "unknown key 'hi'"),
        ({"G_learning_rate": {"low": "a", "high": 1e-3}}, "low is 'a'; expected a number"),
        ({"G_learning_rate": {"low": 1e-4, "high": float("inf")}}, "high is inf"),
        ({"G_learning_rate": 1e-3}, "expected a list of values, or an object"),
        ({"flip": {"low": 0, "high": 1}}, "flip is no number; give its choices"),
        ({"batch_size": [8, "many"]}, "batch_size is 'many'; expected an integer"),
        ({"label_smoothing": {"low": 0.0, "high": 0.2, "step": 0.3}}, "step is 0.3"),
        ({"label_smoothing": [0.0, 0.9]}, "label-smoothing may be 0.9, and then: --label-smoothing is 0.9"),
        ({"data_folder": ["a", "b"]}, "data_folder cannot be searched: scores of different pictures"),
        ({"resolution": [32, 64]}, "resolution cannot be searched"),
        ({"steps": [10, 20]}, "steps cannot be searched"),
        ({"fid_frequency": [10, 20]}, "fid_frequency cannot be searched"),
    ],
)
def test_what_is_wrong_is_said(values: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_space(values, BASE, "--space s.json")
    assert words in str(caught.value) and "\n" not in str(caught.value)
    assert str(caught.value).startswith("--space s.json")


def test_a_file_that_is_no_space(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected a JSON file"):
        read_space(str(tmp_path / "none.json"), BASE)
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(UserError, match="is not JSON with an object"):
        read_space(str(tmp_path / "list.json"), BASE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["low", "high", "log", "step", "choices", "x"]), inner, max_size=4)
    ),
    max_leaves=6,
)
configs = st.sampled_from([BASE, SLEGANConfig(data_folder="x"), LightweightConfig(), CycleGANConfig()])


@given(configs, st.data())
def test_no_json_ends_in_a_traceback(base: Any, data: st.DataObject) -> None:
    """A space, or a UserError: and every end of every dimension is a value that the settings take."""
    names = st.sampled_from([field.name for field in dataclasses.fields(base)]) | st.text(max_size=4)
    try:
        space = parse_space(data.draw(st.dictionaries(names, json_values, max_size=2)), base, "space")
    except UserError:
        return
    for name, dimension in space.items():
        for value in dimension.ends:
            assert dimension.holds(value)
            dataclasses.replace(base, **{name: value}).validated()
