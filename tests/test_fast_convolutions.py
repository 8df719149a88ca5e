"""Convolutions in forms with fewer multiplications: the same function and gradients as the plain ones."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from sle_gan import engine
from sle_gan.gans.cyclegan import networks
from sle_gan.models import convolution, narrow, strided, winograd


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


# The convolution that each takes the place of, by the shapes of maps and kernel.
PLAIN = {
    "same": ((8, 12, 5), (3, 3, 5, 7), lambda x, kernel: engine.conv(x, kernel, 1, "same")),
    "valid": ((10, 6, 5), (3, 3, 5, 7), lambda x, kernel: engine.conv(x, kernel, 1, "valid")),
    "stride 2": ((8, 16, 5), (4, 4, 5, 7), lambda x, kernel: engine.conv(x, kernel, 2, "same")),
    "stride 2, valid": ((10, 18, 5), (4, 4, 5, 7), lambda x, kernel: engine.conv(x, kernel, 2, "valid")),
    "transposed": ((4, 8, 5), (4, 4, 7, 5), lambda x, kernel: engine.conv_transpose(x, kernel, 2, "same")),
}


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize(("dtype", "tolerance"), (("float64", 1e-12), ("float32", 5e-5)))
@pytest.mark.parametrize("parts", (1, 3))  # all images at once, and each by itself
def test_winograd_is_the_convolution(name: str, dtype: str, tolerance: float, parts: int, monkeypatch: Any) -> None:
    if dtype == "float64" and engine.name == "jax":
        pytest.skip("JAX computes in float32")
    monkeypatch.setattr(winograd, "_number_of_parts", lambda *_: parts)
    shape, kernel_shape, plain = PLAIN[name]
    x, kernel = random((3, *shape), dtype), random(kernel_shape, dtype, seed=1)

    def fast(x: Any, kernel: Any) -> Any:
        if name == "transposed":
            return winograd.conv_transpose(x, kernel)
        return winograd.conv(x, kernel, 2 if "stride" in name else 1, "valid" if "valid" in name else "same")

    assert_same(value_and_gradients(fast, x, kernel), value_and_gradients(plain, x, kernel), tolerance)


def test_large_maps_are_transformed_in_parts() -> None:
    # 36 numbers of 64 channels for each of 32 x 32 tiles are 9.4 MB; the matrices of 128 filters are 1.2 MB.
    assert winograd._number_of_parts(winograd.PLAIN, 8, (32, 32), (64, 128)) == 8
    assert winograd._number_of_parts(winograd.PLAIN, 8, (16, 16), (64, 128)) == 2
    assert winograd._number_of_parts(winograd.PLAIN, 8, (16, 16), (64, 1024)) == 1  # 9.4 MB


def test_the_transforms_by_hand() -> None:
    """One axis: six pixels, three taps, four outputs."""
    form = winograd.PLAIN
    pixels, taps = np.array([3.0, -1.0, 4.0, 1.0, -5.0, 9.0]), np.array([2.0, 7.0, -1.0])
    found = form.outputs @ ((form.filters @ taps) * (form.inputs @ pixels))
    np.testing.assert_allclose(found, [-5, 25, 20, -42], rtol=1e-12)  # 2 * 3 + 7 * -1 - 4 = -5, ...


@pytest.mark.skipif(engine.name != "tensorflow", reason="the forms are TensorFlow's")
def test_winograd_is_taken_where_it_pays(monkeypatch: Any) -> None:
    import tensorflow as tf

    taken: list[tuple[int, ...]] = []
    compute = winograd._compute
    monkeypatch.setattr(winograd, "_compute", lambda x, *rest, **kw: taken.append(x.shape) or compute(x, *rest, **kw))

    def run(shape: tuple[int, ...], filters: int = 128, dtype: str = "float32", size: int = 3, **options: Any) -> int:
        before, kernel = len(taken), random((size, size, shape[-1], filters), dtype)
        tf.function(lambda x: convolution.conv(x, kernel, **options), autograph=False)(random(shape, dtype))
        return len(taken) - before

    def run_transposed(shape: tuple[int, ...], **options: Any) -> int:
        before, kernel = len(taken), random((4, 4, 128, shape[-1]), "float32")
        options = {"strides": 2, "padding": "same", **options}
        up = tf.function(lambda x: convolution.conv_transpose(x, kernel, **options), autograph=False)
        up(random(shape, "float32"))
        return len(taken) - before

    monkeypatch.setattr(winograd.PLAIN, "smallest", 64 * 4**2 * 3**2 * 64 * 64)
    monkeypatch.setattr(winograd.STRIDED, "smallest", 32 * 4**2 * 4**2 * 64 * 128)
    assert run((1, 32, 32, 64)) == 1
    assert run((1, 32, 32, 64), filters=64) == 1
    assert run((1, 34, 34, 64), padding="valid") == 1
    assert run((2, 32, 32, 64), size=4, strides=2) == 1
    assert run_transposed((2, 16, 16, 64)) == 1
    assert run((1, 33, 32, 64)) == 0  # no whole tiles
    assert run((2, 36, 32, 64), size=4, strides=2) == 0
    assert run_transposed((2, 18, 16, 64)) == 0
    assert run((1, 32, 32, 32)) == 0
    assert run((1, 32, 32, 64), filters=48) == 0
    assert run((1, 32, 32, 64), dtype="bfloat16") == 0
    assert run((1, 20, 20, 256), filters=256) == 0  # too few tiles
    assert run((1, 28, 28, 64), filters=64) == 0  # too small altogether
    assert run((2, 32, 32, 64), filters=64, size=4, strides=2) == 0
    assert run_transposed((1, 16, 16, 64)) == 0
    assert run((1, 32, 32, 64), strides=2) == 0
    assert run((1, 32, 32, 64), size=4) == 0
    assert run((1, 32, 32, 64), size=5) == 0
    assert run_transposed((2, 16, 16, 64), padding="valid") == 0
    convolution.conv(random((1, 32, 32, 64), "float32"), random((3, 3, 64, 128), "float32"))  # not compiled
    assert len(taken) == 5


# From or to few channels: shapes of maps and kernel, and the convolution.
NARROW = {
    "to few": ((6, 8, 5), (3, 3, 5, 3), lambda x, kernel: engine.conv(x, kernel, 1, "same")),
    "to few, 1x1": ((6, 8, 5), (1, 1, 5, 3), lambda x, kernel: engine.conv(x, kernel, 1, "same")),
    "from few, stride 2": ((6, 8, 3), (4, 4, 3, 5), lambda x, kernel: engine.conv(x, kernel, 2, "same")),
    "transposed": ((3, 4, 5), (4, 4, 3, 5), lambda x, kernel: engine.conv_transpose(x, kernel, 2, "same")),
}


@pytest.mark.parametrize("name", NARROW)
def test_narrow_is_the_convolution(name: str) -> None:
    dtype = "float32" if engine.name == "jax" else "float64"
    shape, kernel_shape, plain = NARROW[name]
    x, kernel = random((2, *shape), dtype), random(kernel_shape, dtype, seed=1)

    def fast(x: Any, kernel: Any) -> Any:
        if name == "transposed":
            return narrow.conv_transpose(x, kernel)
        return narrow.conv(x, kernel, 2 if "stride" in name else 1, "same")

    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert_same(value_and_gradients(fast, x, kernel), value_and_gradients(plain, x, kernel), tolerance)

    def gradients(fn: Any) -> Any:  # which a gradient penalty differentiates again
        def compute(x: Any, kernel: Any) -> Any:
            y, pull = engine.vjp(fn, (), (x, kernel))
            return ops.concatenate([ops.reshape(ops.sin(each), (-1,)) for each in pull(y)[1]])

        return compute

    if engine.name == "tensorflow":
        assert_same(
            value_and_gradients(gradients(fast), x, kernel), value_and_gradients(gradients(plain), x, kernel), tolerance
        )


@pytest.mark.skipif(engine.name != "tensorflow", reason="the forms are TensorFlow's")
def test_narrow_is_taken_where_it_pays() -> None:
    import tensorflow as tf

    def taken(shape: tuple[int, ...], kernel: tuple[int, ...], strides: int = 1, transposed: bool = False) -> bool:
        found: list[bool] = []

        def ask(x: Any) -> Any:
            found.append(narrow.pays(x, random(kernel, "float32"), strides, "same", transposed))
            return x

        tf.function(ask, autograph=False)(random(shape, "float32"))
        return found[0]

    assert taken((1, 64, 64, 8), (3, 3, 8, 3))
    assert taken((1, 64, 64, 8), (1, 1, 8, 4))
    assert taken((1, 64, 64, 3), (4, 4, 3, 8), 2)
    assert taken((1, 32, 32, 8), (4, 4, 3, 8), 2, transposed=True)
    assert not taken((1, 62, 64, 8), (3, 3, 8, 3))  # too small
    assert not taken((1, 65, 64, 8), (3, 3, 8, 3))  # no whole blocks
    assert not taken((1, 64, 64, 8), (3, 3, 8, 5))
    assert not taken((1, 64, 64, 3), (3, 3, 3, 8))
    assert not taken((1, 64, 64, 8), (3, 1, 8, 3))
    assert not taken((1, 64, 64, 8), (3, 3, 8, 3), 2)
    assert not taken((1, 30, 32, 8), (4, 4, 3, 8), 2, transposed=True)
    assert not taken((1, 64, 64, 8), (4, 4, 8, 3), 2, transposed=True)  # three into eight
    x, kernel = random((1, 64, 64, 8), "float32"), random((3, 3, 8, 3), "float32")
    assert not narrow.pays(x, kernel, 1, "same")  # not compiled


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
