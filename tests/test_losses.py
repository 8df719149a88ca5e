"""Losses by hand."""

import numpy as np
import pytest
from keras import ops

from sle_gan import losses

LOGITS = np.array([[-2.0, 0.0, 0.5, 3.0]], np.float32)


def test_hinge() -> None:
    assert float(losses.hinge_real(LOGITS)) == pytest.approx((3 + 1 + 0.5 + 0) / 4)
    assert float(losses.hinge_fake(LOGITS)) == pytest.approx((0 + 1 + 1.5 + 4) / 4)
    assert float(losses.hinge_generator(LOGITS)) == pytest.approx(-1.5 / 4)
    margins = np.array([[0.8, 1.0, 0.9, 1.0]], np.float32)
    assert float(losses.hinge_real(LOGITS, margins)) == pytest.approx((2.8 + 1 + 0.4 + 0) / 4)


def test_cross_entropy() -> None:
    """-(t log s(x) + (1 - t) log(1 - s(x))), here in float64, with logits that float32's sigmoid rounds to 0 and 1."""
    logits = np.array([-200.0, -3.0, 0.0, 0.7, 150.0])
    for target in (0.0, 0.1, 0.9, 1.0):
        expected = target * np.logaddexp(0, -logits) + (1 - target) * np.logaddexp(0, logits)
        assert float(losses.cross_entropy(logits.astype(np.float32), target)) == pytest.approx(
            expected.mean(), rel=1e-6
        )
    assert float(losses.cross_entropy(np.zeros(3, np.float32), 1.0)) == pytest.approx(np.log(2))


def test_margins_are_between_four_fifths_and_one() -> None:
    margins = ops.convert_to_numpy(losses.random_margins((100, 50), seed=1))
    assert 0.8 <= margins.min() < 0.801 and 0.999 < margins.max() <= 1.0


def test_reconstruction_losses_are_means() -> None:
    a, b = np.zeros((3, 2, 2, 1), np.float32), np.full((3, 2, 2, 1), -0.5, np.float32)
    assert float(losses.l1(a, b)) == pytest.approx(0.5)
    assert float(losses.mse(a, b)) == pytest.approx(0.25)
    assert float(losses.l1(np.tile(a, (2, 1, 1, 1)), np.tile(b, (2, 1, 1, 1)))) == pytest.approx(0.5)


def test_perceptual_loss_compares_directions_of_features() -> None:
    loss = losses.perceptual(lambda images: [images, 2 * images])
    a = ops.convert_to_tensor(np.array([3.0, 4.0], np.float32).reshape(1, 1, 1, 2))
    assert float(loss(a, 10 * a)) == pytest.approx(0.0, abs=1e-6)
    orthogonal = ops.convert_to_tensor(np.array([4.0, -3.0], np.float32).reshape(1, 1, 1, 2))
    assert float(loss(a, orthogonal)) == pytest.approx(4.0, rel=1e-5)  # |e1 - e2|^2 = 2 in both maps
