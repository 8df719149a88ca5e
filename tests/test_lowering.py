"""Every GAN's step can be compiled by XLA, as TensorFlow does on a GPU: no operation is without a kernel there."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from equal_draws import replace_draws
from tiny_gans import BATCH, CONFIGS, make, make_tiny

from sle_gan import engine
from sle_gan.engine import RandomStream
from sle_gan.training.step import compile_step

tf = pytest.importorskip("tensorflow")
# Whatever else a setting brings into a step.
MORE: dict[str, dict[str, Any]] = {
    "slegan": {"crop": "random"},
    "dcgan": {"mixed_precision": "float16"},
    "lightweight": {"freq_chan_attn": True, "antialias": True},
    "cyclegan": {},
    "projected": {"mixed_precision": "bfloat16"},
}


def lower(function: Any, *arguments: Any) -> str:
    """XLA's text of a function; raises where an operation has no kernel. Compiling the text would take a minute."""
    compiled = tf.function(function, jit_compile=True, autograph=False)
    return compiled.experimental_get_compiler_ir(*arguments)(stage="hlo")


def images(domains: int) -> tuple[Any, ...]:
    return tuple(tf.zeros((BATCH, 64, 64, 3), tf.uint8) for _ in range(domains))


@pytest.mark.alone  # XLA keeps 0.2 GB of each
@pytest.mark.parametrize("model", CONFIGS)
def test_a_step_is_lowered(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for cpu in ("on_cpu", "on_tensorflow_cpu"):  # a GPU takes other forms than this machine
        monkeypatch.setattr(engine, cpu, lambda: False)
    gan = make(dataclasses.replace(CONFIGS[model], **MORE[model]))

    def step(batch: Any, k: Any) -> Any:
        return gan.train_step(batch, RandomStream(0, k, step=k))

    text = lower(step, images(len(gan.config.folders)), tf.constant(0))
    assert text.count("convolution(") > 10


def test_an_operation_without_a_kernel_is_noticed() -> None:
    turn = tf.constant([[0.0, 1, 0, -1, 0, 0, 0, 0]])
    with pytest.raises(ValueError, match="No registered 'ImageProjectiveTransform"):
        lower(lambda x: keras.ops.image.affine_transform(x, turn), tf.zeros((1, 8, 8, 3)))


@pytest.mark.slow
def test_one_and_many_compiled_steps_equal_those_of_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """With equal draws: XLA's own random numbers are others."""
    for name in ("normal", "uniform"):
        monkeypatch.setattr(keras.random, name, getattr(keras.random, name))  # brings them back afterwards
    replace_draws(BATCH, lambda: 1)
    random = np.random.default_rng(0)
    batches = [(random.integers(0, 256, (BATCH, 64, 64, 3), dtype=np.uint8),) for _ in range(3)]
    plain, compiled = [], []
    for jit, logs in ((False, plain), (True, compiled)):
        devices = engine.Devices()
        monkeypatch.setattr(devices, "_jit", jit)
        step = compile_step(make_tiny("dcgan"), devices)
        logs += step(batches[:1], 0) + step(batches[1:], 1)
    for expected, found in zip(plain, compiled):
        assert found == pytest.approx(expected, rel=1e-4)
    assert plain[0] != pytest.approx(plain[2], rel=1e-2)
