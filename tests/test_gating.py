"""The gated linear unit: the same function and gradients in every form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from sle_gan import engine
from sle_gan.models import gating
from sle_gan.models.gating import gated_linear_unit


def random(*shape: int, seed: int = 0) -> Any:
    return ops.convert_to_tensor(np.random.default_rng(seed).standard_normal(shape).astype("float32"))


def plain(x: Any, logits: Any = None) -> Any:
    channels = x.shape[-1] // 2
    y = x[..., :channels] * ops.sigmoid(x[..., channels:])
    return y if logits is None else y * ops.sigmoid(logits)


def test_by_hand() -> None:
    x, logits = np.array([[3.0, -2.0, 0.0, 100.0]], "float32"), np.array([[0.0, -100.0]], "float32")
    np.testing.assert_allclose(gated_linear_unit(x), [[1.5, -2.0]], atol=1e-6)
    excited = gated_linear_unit(x[None, None], logits[None, None])
    np.testing.assert_allclose(excited[0, 0], [[0.75, 0.0]], atol=1e-6)


@pytest.mark.parametrize("excited", (False, True))
@pytest.mark.parametrize("halves", (False, True))
@pytest.mark.parametrize("loop", (False, True))
def test_values_and_gradients(excited: bool, halves: bool, loop: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(gating, "_pays", lambda parts: loop)
    inputs = [random(2, 4, 6, 10), *([random(2, 1, 1, 5, seed=1)] if excited else [])]
    results = []
    for function in (plain, lambda x, *logits: gated_linear_unit(ops.split(x, 2, -1) if halves else x, *logits)):
        y, pullback = engine.vjp(function, (), inputs)
        results.append([y, *pullback(ops.sin(y))[1]])
    assert len(results[0]) == 1 + len(inputs)
    for expected, ours in zip(*results, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(ours), ops.convert_to_numpy(expected), atol=1e-6)


@pytest.mark.skipif(engine.name != "tensorflow", reason="the form is TensorFlow's")
def test_the_loop_is_taken_for_large_maps(monkeypatch: Any) -> None:
    import tensorflow as tf

    found: list[bool] = []

    def ask(*parts: Any) -> Any:
        found.append(gating._pays(parts))
        return parts

    monkeypatch.setattr(gating, "LARGE", 2 * 4 * 4 * 6)
    ask(random(2, 4, 4, 6))  # not compiled
    run = tf.function(ask, autograph=False)
    run(random(2, 4, 4, 6))
    run(random(2, 4, 4, 3), random(2, 4, 4, 3))
    run(random(2, 4, 4, 4))
    run(ops.cast(random(2, 4, 4, 6), "bfloat16"))
    assert found == [False, True, True, False, False]
