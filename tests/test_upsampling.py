"""The forms of nearest upsampling and a convolution against what they are forms of, and their choice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from sle_gan import engine
from sle_gan.models import upsampling

SIDES = st.integers(1, 9)


def outputs_and_gradients(form: str, x: Any, kernel: Any) -> list[np.ndarray]:
    y, pullback = engine.vjp(upsampling.FORMS[form], (), [x, kernel])
    return [ops.convert_to_numpy(value) for value in (y, *pullback(ops.sin(y))[1])]


@pytest.mark.parametrize("form", sorted(set(upsampling.FORMS) - {"plain"}))
@settings(max_examples=15, deadline=None)
@given(batch=st.integers(1, 3), height=SIDES, width=SIDES, channels=st.integers(1, 5), filters=st.integers(1, 5))
def test_every_form_equals_upsampling_and_convolution(
    form: str, batch: int, height: int, width: int, channels: int, filters: int
) -> None:
    random = np.random.default_rng(0)
    x = ops.convert_to_tensor(random.standard_normal((batch, height, width, channels)).astype(np.float32))
    kernel = ops.convert_to_tensor(random.standard_normal((3, 3, channels, filters)).astype(np.float32))
    repeated = np.repeat(np.repeat(ops.convert_to_numpy(x), 2, axis=1), 2, axis=2)
    expected = outputs_and_gradients("plain", x, kernel)
    np.testing.assert_allclose(expected[0], ops.conv(repeated, kernel, 1, "same"), atol=1e-4)
    for ours, theirs in zip(outputs_and_gradients(form, x, kernel), expected):
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize(
    ("on_cpu", "on_tensorflow_cpu", "forms"),
    [
        (True, True, {4: "taps", 16: "taps", 32: "box", 128: "box"}),
        (True, False, {4: "taps", 16: "taps", 32: "plain", 128: "plain"}),
        (False, False, {4: "plain", 8: "transposed", 128: "transposed"}),
    ],
)
@pytest.mark.skipif(engine.name == "torch", reason="PyTorch's CPU has forms of its own")
def test_the_form_is_chosen_by_size_and_device(
    monkeypatch: pytest.MonkeyPatch, on_cpu: bool, on_tensorflow_cpu: bool, forms: dict[int, str]
) -> None:
    monkeypatch.setattr(engine, "on_cpu", lambda: on_cpu)
    monkeypatch.setattr(engine, "on_tensorflow_cpu", lambda: on_tensorflow_cpu)
    assert {size: upsampling.fastest_form(size) for size in forms} == forms
