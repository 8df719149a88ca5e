"""Layers against numpy, by formulas that can be checked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import ops

from sle_gan import engine
from sle_gan.models import layers
from sle_gan.models.upsampling import upsample_nearest


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def spectral_conv(filters: int = 6) -> layers.SpectralConv2D:
    layer = layers.SpectralConv2D(filters, 3)
    layer.build((None, None, None, 4))
    return layer


# A map with fewer numbers than the kernel, which is divided by sigma itself, and one with more.
MAPS = [(1, 5, 5, 4), (2, 16, 16, 4)]


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    layer = spectral_conv()
    for _ in range(200):
        layer(random(1, 8, 8, 4), training=True)
    largest = np.linalg.svd(ops.convert_to_numpy(layer.kernel).reshape(-1, 6), compute_uv=False)[0]
    expected = ops.conv(random(2, 16, 16, 4), layer.kernel / largest, 1, "same")
    np.testing.assert_allclose(layer(random(2, 16, 16, 4)), expected, rtol=1e-3, atol=1e-4)


def test_the_smaller_of_input_and_kernel_is_divided() -> None:
    layer = spectral_conv()
    small, large = (layer.divide_by_sigma(random(*shape), training=False) for shape in MAPS)
    np.testing.assert_array_equal(small[1], layer.kernel)
    np.testing.assert_array_equal(large[0], random(*MAPS[1]))
    sigma = ops.convert_to_numpy(layer.kernel / large[1])
    np.testing.assert_allclose(random(*MAPS[0]) / ops.convert_to_numpy(small[0]), sigma.mean(), rtol=1e-5)


def test_power_iteration_runs_in_training_only() -> None:
    layer = spectral_conv()
    before = ops.convert_to_numpy(layer.u)
    layer(random(1, 8, 8, 4), training=False)
    np.testing.assert_array_equal(layer.u, before)
    layer(random(1, 8, 8, 4), training=True)
    assert np.abs(ops.convert_to_numpy(layer.u) - before).max() > 1e-6


@pytest.mark.parametrize("shape", MAPS)
def test_spectral_norms_gradient_flows_through_sigma(shape: tuple[int, ...]) -> None:
    """With c the loss's gradient in kernel / sigma: d = c / sigma - (v u^T) <kernel, c> / sigma^2."""
    layer, x, cotangent = spectral_conv(), ops.convert_to_tensor(random(*shape)), random(*shape[:3], 6, seed=1)
    _, pullback = engine.vjp(lambda x: layer(x, training=False), [layer.kernel], [x])
    (gradient,), (x_gradient,) = pullback(ops.convert_to_tensor(cotangent))
    kernel, u, v = (ops.convert_to_numpy(y).astype(np.float64) for y in (layer.kernel, layer.u, layer.v))
    sigma = v @ kernel.reshape(-1, 6) @ u
    normalized = ops.convert_to_tensor((kernel / sigma).astype(np.float32))
    _, pullback = engine.vjp(lambda x, k: ops.conv(x, k, 1, "same"), (), [x, normalized])
    expected_x, c = pullback(ops.convert_to_tensor(cotangent))[1]
    c = ops.convert_to_numpy(c).astype(np.float64)
    expected = c / sigma - np.outer(v, u).reshape(kernel.shape) * (kernel * c).sum() / sigma**2
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(x_gradient, expected_x, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", MAPS)
def test_halves_are_those_of_the_whole(shape: tuple[int, ...]) -> None:
    layer, norm, noise = spectral_conv(), layers.BatchNorm(), layers.NoiseInjection()
    norm.build((None, None, None, 6))
    noise.build((None, None, None, 6))
    norm.beta.assign(np.arange(6.0))
    noise.weight.assign(2.0)
    moments = [ops.convert_to_numpy(y) for y in (norm.moving_mean, norm.moving_variance)]
    maps = random(*shape[:3], 1, seed=1)

    def whole(x: Any) -> Any:
        return norm(noise(layer(x), maps), training=True)

    def halves(x: Any) -> Any:
        return joined(norm(noise(layer(x, halves=True), maps), training=True))

    def joined(y: Any) -> Any:
        # The kernel has more numbers than the smaller maps, which are then computed whole.
        assert isinstance(y, list) == (engine.on_tensorflow_cpu() and shape == MAPS[1])
        return ops.concatenate(y, -1) if isinstance(y, list) else y

    results = []
    for function in (whole, halves):
        for variable, value in zip((norm.moving_mean, norm.moving_variance), moments):
            variable.assign(value)
        y, pullback = engine.vjp(function, [layer.kernel, norm.gamma], [ops.convert_to_tensor(random(*shape))])
        d_variables, d_inputs = pullback(ops.sin(y))
        results.append([y, *d_variables, *d_inputs, norm(layer(random(*shape)), training=False)])
        results[-1] += [ops.convert_to_numpy(y) for y in (norm.moving_mean, norm.moving_variance)]
    for expected, ours in zip(*results):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)
    y = joined(norm(layer(random(*shape), halves=True), training=False))
    np.testing.assert_allclose(y, results[0][4], atol=1e-4)


def test_batch_norm_in_training() -> None:
    layer = layers.BatchNorm()
    layer.build((None, 4, 4, 3))
    layer.gamma.assign([1.0, 2.0, 3.0])
    layer.beta.assign([0.0, 1.0, -1.0])
    x = 5 + 2 * random(8, 4, 4, 3)
    y = layer(x, training=True)
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    expected = (x - mean) / np.sqrt(variance + 1e-5) * [1, 2, 3] + [0, 1, -1]
    np.testing.assert_allclose(y, expected, atol=1e-4)
    # PyTorch's momentum 0.1, with the unbiased variance.
    np.testing.assert_allclose(layer.moving_mean, 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * variance * 128 / 127, rtol=1e-4)


def test_batch_norm_in_inference_uses_the_moving_averages() -> None:
    layer = layers.BatchNorm()
    layer.build((None, 2, 2, 2))
    layer.gamma.assign([1.0, 2.0])
    layer.moving_mean.assign([1.0, -1.0])
    layer.moving_variance.assign([4.0, 9.0])
    x = random(3, 2, 2, 2)
    expected = (x - [1, -1]) / np.sqrt(np.array([4, 9]) + 1e-5) * [1, 2]
    np.testing.assert_allclose(layer(x, training=False), expected, atol=1e-5)


def test_pooling_and_nearest_resizing() -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(ops.convert_to_numpy(layers.pool_to(x, 2))[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(layers.downsample_nearest(x, 2)[0, :, :, 0], [[0, 2], [8, 10]])
    up = ops.convert_to_numpy(upsample_nearest(x[:, :2, :2], 2))[0, :, :, 0]
    np.testing.assert_array_equal(up, [[0, 0, 1, 1], [0, 0, 1, 1], [4, 4, 5, 5], [4, 4, 5, 5]])


def test_skip_layer_excitation_gates_channels() -> None:
    layer = layers.SkipLayerExcitation(6)
    layer.build((None, 8, 8, 5))
    high = np.ones((2, 16, 16, 6), np.float32)
    gated = ops.convert_to_numpy(layer(random(2, 8, 8, 5), high))
    assert gated.min() > 0 and gated.max() < 1
    np.testing.assert_array_equal(gated, np.broadcast_to(gated[:, :1, :1], gated.shape))  # one gate per channel
    assert gated[0, 0, 0].std() > 0
