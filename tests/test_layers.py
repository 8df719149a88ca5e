"""Layers against numpy, by formulas that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from keras import ops

from sle_gan import engine
from sle_gan.models import layers


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_spectral_norm_divides_by_the_largest_singular_value() -> None:
    layer = layers.SpectralConv2D(6, 3)
    layer.build((None, 8, 8, 4))
    for _ in range(200):
        layer.normalized_kernel(training=True)
    kernel = ops.convert_to_numpy(layer.normalized_kernel(training=False)).reshape(-1, 6)
    assert np.linalg.svd(kernel, compute_uv=False)[0] == pytest.approx(1.0, abs=1e-4)


def test_power_iteration_runs_in_training_only() -> None:
    layer = layers.SpectralConv2D(6, 3)
    layer.build((None, 8, 8, 4))
    before = ops.convert_to_numpy(layer.u)
    layer(random(1, 8, 8, 4), training=False)
    np.testing.assert_array_equal(layer.u, before)
    layer(random(1, 8, 8, 4), training=True)
    assert np.abs(ops.convert_to_numpy(layer.u) - before).max() > 1e-6


def test_spectral_norms_gradient_flows_through_sigma() -> None:
    """With <kernel / sigma, c> as the loss: d = c / sigma - (u v^T) <kernel, c> / sigma^2."""
    layer = layers.SpectralConv2D(6, 3)
    layer.build((None, 8, 8, 4))
    c = random(3, 3, 4, 6, seed=1)
    _, pullback = engine.vjp(lambda: layer.normalized_kernel(training=False), [layer.kernel])
    (gradient,), _ = pullback(ops.convert_to_tensor(c))
    kernel, u, v = (ops.convert_to_numpy(x).astype(np.float64) for x in (layer.kernel, layer.u, layer.v))
    sigma = v @ kernel.reshape(-1, 6) @ u
    expected = c / sigma - np.outer(v, u).reshape(kernel.shape) * (kernel * c).sum() / sigma**2
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", (4, 7, 32))
def test_fused_upsampling_equals_upsampling_and_convolution(size: int) -> None:
    fused, plain = (layers.SpectralUpConv2D(5, fused=fused) for fused in (True, False))
    for layer in (fused, plain):
        layer.build((None, size, size, 3))
    plain.set_weights(fused.get_weights())
    x, cotangent = random(2, size, size, 3), random(2, 2 * size, 2 * size, 5, seed=1)
    results = []
    for layer in (fused, plain):
        y, pullback = engine.vjp(layer, [layer.kernel], [ops.convert_to_tensor(x)])
        results.append([y, *pullback(ops.convert_to_tensor(cotangent))])
    (y_f, (k_f,), (x_f,)), (y_p, (k_p,), (x_p,)) = results
    for ours, expected in ((y_f, y_p), (k_f, k_p), (x_f, x_p)):
        scale = np.abs(ops.convert_to_numpy(expected)).max()
        np.testing.assert_allclose(ours, expected, atol=2e-5 * scale)


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


def test_gated_linear_unit() -> None:
    np.testing.assert_allclose(
        layers.gated_linear_unit(np.array([[3.0, -2.0, 0.0, 100.0]], np.float32)), [[1.5, -2.0]], atol=1e-6
    )


def test_pooling_and_nearest_resizing() -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(ops.convert_to_numpy(layers.pool_to(x, 2))[0, :, :, 0], [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(layers.downsample_nearest(x, 2)[0, :, :, 0], [[0, 2], [8, 10]])
    up = ops.convert_to_numpy(layers.upsample_nearest(x[:, :2, :2], 2))[0, :, :, 0]
    np.testing.assert_array_equal(up, [[0, 0, 1, 1], [0, 0, 1, 1], [4, 4, 5, 5], [4, 4, 5, 5]])


def test_skip_layer_excitation_gates_channels() -> None:
    layer = layers.SkipLayerExcitation(6)
    layer.build((None, 8, 8, 5))
    high = np.ones((2, 16, 16, 6), np.float32)
    gated = ops.convert_to_numpy(layer(random(2, 8, 8, 5), high))
    assert gated.min() > 0 and gated.max() < 1
    np.testing.assert_array_equal(gated, np.broadcast_to(gated[:, :1, :1], gated.shape))  # one gate per channel
    assert gated[0, 0, 0].std() > 0
