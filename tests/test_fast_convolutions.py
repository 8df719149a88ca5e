"""Convolutions in forms with fewer multiplications: the same function and gradients as the plain ones."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from sle_gan import engine
from sle_gan.gans.cyclegan import networks
from sle_gan.models import strided, winograd


def random(shape: tuple[int, ...], dtype: str, seed: int = 0) -> Any:
    return ops.convert_to_tensor(np.random.default_rng(seed).standard_normal(shape), dtype)


def value_and_gradients(fn: Any, *inputs: Any) -> list[np.ndarray]:
    """Of a random sum of the outputs, as a compiled program."""

    def compute(*inputs: Any) -> Any:
        y, pull = engine.vjp(fn, (), inputs)
        return [y, *pull(random(tuple(y.shape), y.dtype, seed=9))[1]]

    if engine.name == "tensorflow":
        import tensorflow as tf

        compute = tf.function(compute, autograph=False)
    return [ops.convert_to_numpy(x) for x in compute(*inputs)]


def assert_same(ours: list[np.ndarray], plain: list[np.ndarray], tolerance: float) -> None:
    for own, other in zip(ours, plain, strict=True):
        assert own.shape == other.shape
        assert np.abs(own - other).max() <= tolerance * other.std()


@pytest.mark.parametrize(("padding", "side"), (("same", (8, 12)), ("valid", (10, 6))))
@pytest.mark.parametrize(("dtype", "tolerance"), (("float64", 1e-12), ("float32", 5e-5)))
@pytest.mark.parametrize("together", (winograd.TOGETHER, 1.0))  # all images at once, and each by itself
def test_winograd_is_the_convolution(
    padding: str, side: tuple[int, int], dtype: str, tolerance: float, together: float, monkeypatch: Any
) -> None:
    if dtype == "float64" and engine.name == "jax":
        pytest.skip("JAX computes in float32")
    monkeypatch.setattr(winograd, "TOGETHER", together)
    x, kernel = random((3, *side, 5), dtype), random((3, 3, 5, 7), dtype, seed=1)
    ours = value_and_gradients(lambda x, kernel: winograd.convolve(x, kernel, padding), x, kernel)
    plain = value_and_gradients(lambda x, kernel: engine.conv(x, kernel, 1, padding), x, kernel)
    assert_same(ours, plain, tolerance)


def test_the_transforms_by_hand() -> None:
    """One axis: six pixels, three taps, four outputs."""
    pixels, taps = np.array([3.0, -1.0, 4.0, 1.0, -5.0, 9.0]), np.array([2.0, 7.0, -1.0])
    found = winograd.OUTPUTS @ ((winograd.KERNEL @ taps) * (winograd.INPUTS @ pixels))
    np.testing.assert_allclose(found, [-5, 25, 20, -42], rtol=1e-12)  # 2 * 3 + 7 * -1 - 4 = -5, ...


@pytest.mark.skipif(engine.name != "tensorflow", reason="the forms are TensorFlow's")
def test_winograd_is_taken_where_it_pays(monkeypatch: Any) -> None:
    import tensorflow as tf

    taken: list[tuple[int, ...]] = []
    convolve = winograd.convolve
    monkeypatch.setattr(winograd, "convolve", lambda x, *rest: taken.append(tuple(x.shape)) or convolve(x, *rest))

    def run(shape: tuple[int, ...], filters: int = 128, dtype: str = "float32", size: int = 3, **options: Any) -> None:
        kernel = random((size, size, shape[-1], filters), dtype)
        tf.function(lambda x: winograd.conv(x, kernel, **options), autograph=False)(random(shape, dtype))

    run((1, 32, 32, 64))
    run((1, 34, 34, 64), padding="valid")
    assert taken == [(1, 32, 32, 64), (1, 34, 34, 64)]
    run((1, 33, 32, 64))  # no whole tiles
    run((1, 32, 32, 32))
    run((1, 32, 32, 64), filters=64)
    run((1, 32, 32, 64), dtype="bfloat16")
    run((1, 24, 24, 64))  # too few tiles
    run((1, 32, 32, 64), strides=2)
    run((1, 32, 32, 64), size=5)
    winograd.conv(random((1, 32, 32, 64), "float32"), random((3, 3, 64, 128), "float32"))  # not compiled
    assert len(taken) == 2


@pytest.mark.parametrize("up", (False, True))
def test_strided_kernel_gradients(up: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(strided, "LARGE", 4)
    if up:
        x, kernel = random((2, 4, 6, 3), "float32"), random((3, 3, 5, 3), "float32", seed=1)
        ours = value_and_gradients(strided.conv_transpose, x, kernel)
        plain = value_and_gradients(lambda x, kernel: engine.conv_transpose(x, kernel, 2, "valid"), x, kernel)
    else:
        x, kernel = random((2, 9, 13, 3), "float32"), random((3, 3, 3, 5), "float32", seed=1)
        ours = value_and_gradients(strided.conv, x, kernel)
        plain = value_and_gradients(lambda x, kernel: engine.conv(x, kernel, 2, "valid"), x, kernel)
    assert_same(ours, plain, 1e-5)


@pytest.mark.parametrize("edges", (((1, 1), (1, 1)), ((0, 0), (3, 3)), ((0, 0), (0, 0))))
def test_reflections(edges: Any) -> None:
    x = random((2, 5, 6, 3), "float32")
    ours = value_and_gradients(lambda x: networks._reflect(x, *edges), x)
    plain = value_and_gradients(lambda x: ops.pad(x, ((0, 0), *edges, (0, 0)), mode="reflect"), x)
    for own, other in zip(ours, plain, strict=True):
        np.testing.assert_array_equal(own, other)


def test_a_wide_translator_is_the_same_compiled() -> None:
    """With enough channels for the other forms: compiled they are taken, eagerly they are not."""
    keras.utils.set_random_seed(3)
    network = networks.ResNetGenerator(blocks=1, width=32)  # 128 channels in the block
    x = np.random.default_rng(1).uniform(-1, 1, (1, 128, 128, 3)).astype(np.float32)
    compiled = ops.convert_to_numpy(network.inference(x))
    np.testing.assert_allclose(compiled, ops.convert_to_numpy(network(x)), atol=2e-5)
