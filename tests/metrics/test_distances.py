"""KID, MiFID, precision and recall on numbers that can be checked by hand."""

import numpy as np
import pytest

from sle_gan.errors import UserError
from sle_gan.metrics import (
    kernel_distance,
    memorization_distance,
    memorization_informed_distance,
    precision_recall,
)
from sle_gan.metrics import memorization as memorization_module
from sle_gan.metrics import precision_recall as precision_recall_function
from sle_gan.metrics.kernel import mmd2_unbiased

RANDOM = np.random.default_rng(0)
LINE_REAL = np.array([[0.0], [1.0], [2.0], [10.0]])
LINE_FAKE = np.array([[0.5], [20.0], [3.5], [1.5]])


def test_kernel_by_hand():
    # k(x, y) = (xy + 1)^3. Within: k(0,1) = 1, k(2,3) = 343. Across: 1, 1, 27, 64, mean 23.25.
    assert mmd2_unbiased(np.array([[0.0], [1.0]]), np.array([[2.0], [3.0]])) == 1 + 343 - 2 * 23.25


def test_kernel_distance_is_unbiased_in_the_number_of_images():
    a, b = RANDOM.standard_normal((4000, 8)), RANDOM.standard_normal((4000, 8)) + 0.5
    few = kernel_distance(a[:400], b[:400], subset_size=100, subsets=200)
    many = kernel_distance(a, b, subsets=10)
    assert many.subset_size == 1000 and many.std < few.std
    assert few.mean == pytest.approx(many.mean, abs=4 * few.std / np.sqrt(4))  # 400 images hold 4 free subsets
    same = kernel_distance(a[:2000], a[2000:], subsets=10)
    assert abs(same.mean) < 3 * same.std < many.mean


def test_kernel_distance_of_a_small_set_still_has_a_spread():
    result = kernel_distance(RANDOM.random((20, 4)), RANDOM.random((30, 4)))
    assert result.subset_size == 10 and result.std > 0


def test_kernel_distance_is_repeatable_by_seed():
    a, b = RANDOM.random((50, 4)), RANDOM.random((60, 4))
    assert kernel_distance(a, b, seed=3) == kernel_distance(a, b, seed=3) != kernel_distance(a, b, seed=4)


def test_memorization_distance_by_hand():
    real = np.array([[1.0, 0.0], [0.0, 1.0]])
    fake = np.array([[1.0, 1.0], [0.0, -2.0]])  # 45 degrees from both; opposite to the second
    assert memorization_distance(real, fake) == pytest.approx((1 - np.sqrt(0.5)) / 2)
    assert memorization_distance(real, np.zeros((2, 2))) == 1  # nothing has no direction


def test_memorization_distance_does_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch):
    real, fake = RANDOM.random((30, 6)), RANDOM.random((17, 6))
    cosines = np.abs(fake @ real.T) / np.outer(np.linalg.norm(fake, axis=1), np.linalg.norm(real, axis=1))
    monkeypatch.setattr(memorization_module, "_BLOCK", 7)
    assert memorization_distance(real, fake) == pytest.approx(np.mean(1 - cosines.max(axis=1)), rel=1e-12)


def test_mifid_divides_below_the_threshold_only():
    assert memorization_informed_distance(3.0, 0.05) == pytest.approx(60)
    assert memorization_informed_distance(3.0, 0.0999) == pytest.approx(3 / 0.0999)
    assert memorization_informed_distance(3.0, 0.1) == 3  # the threshold of the paper's evaluation
    assert memorization_informed_distance(3.0, 0.0) > 1e12
    with pytest.raises(UserError, match="finite"):
        memorization_informed_distance(float("nan"), 0.2)


def test_precision_recall_by_hand():
    # k = 1. Real radii 1, 1, 1, 8: 20 is out of reach of 10 (distance 10), 3.5 is within 8 of it: 3 of 4.
    # Fake radii: 0.5 -> 1, 1.5 -> 1, 3.5 -> 2, 20 -> 16.5, and 10 is within 16.5 of 20: 4 of 4.
    result = precision_recall(LINE_REAL, LINE_FAKE, neighbours=1)
    assert result == (0.75, 1.0)
    assert precision_recall(LINE_FAKE, LINE_REAL, neighbours=1) == (1.0, 0.75)


def test_precision_recall_equals_brute_force(monkeypatch: pytest.MonkeyPatch):
    real, fake = RANDOM.standard_normal((41, 5)), RANDOM.standard_normal((33, 5)) * 0.7

    def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.linalg.norm(a[:, None] - b[None], axis=2)

    def covered(points: np.ndarray, centres: np.ndarray) -> float:
        radii = np.sort(distances(centres, centres), axis=1)[:, 3]  # the first is the point itself
        return (distances(points, centres) <= radii).any(axis=1).mean()

    module = __import__("sys").modules[precision_recall_function.__module__]
    monkeypatch.setattr(module, "_BLOCK", 8)
    assert precision_recall(real, fake) == pytest.approx((covered(fake, real), covered(real, fake)))


def test_recall_falls_under_mode_collapse_while_precision_does_not():
    real = RANDOM.standard_normal((300, 4))
    collapsed = real[:1] + 0.01 * RANDOM.standard_normal((300, 4))
    result = precision_recall(real, collapsed)
    assert result.precision == 1 and result.recall < 0.02


@pytest.mark.parametrize("metric", [kernel_distance, memorization_distance, precision_recall])
def test_bad_input_is_an_error(metric):
    good, bad = RANDOM.random((8, 3)), RANDOM.random((8, 3))
    bad[4, 1] = np.nan
    for a, b in [(good, bad), (bad, good), (good, good[:, :2]), (good[:0], good), (good, good[:0])]:
        with pytest.raises(UserError):
            metric(a, b)


def test_too_few_images_and_impossible_settings_are_errors():
    a = RANDOM.random((8, 3))
    with pytest.raises(UserError, match="at least 4"):
        precision_recall(a[:3], a)
    with pytest.raises(UserError, match="neighbours 0"):
        precision_recall(a, a, neighbours=0)
    with pytest.raises(UserError, match="at least 4"):
        kernel_distance(a[:1], a)
    with pytest.raises(UserError, match="2 to 8"):
        kernel_distance(a, a, subset_size=9)
    with pytest.raises(UserError, match="0 subsets"):
        kernel_distance(a, a, subsets=0)
