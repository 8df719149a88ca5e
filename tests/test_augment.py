"""DiffAugment: what each policy may and may not do to an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from keras import ops

from sle_gan import augment, engine
from sle_gan.engine import RandomStream


def images(batch: int = 6, size: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (batch, size, size, 3)).astype(np.float32)


def applied(policy: str, scales: list[np.ndarray], seed: int = 3) -> list[np.ndarray]:
    result = augment.diff_augment([ops.convert_to_tensor(s) for s in scales], policy.split(","), RandomStream(seed, 0))
    return [ops.convert_to_numpy(scale) for scale in result]


def test_same_seed_same_augmentation() -> None:
    x = images()
    policy = "color,translation,cutout"
    np.testing.assert_array_equal(applied(policy, [x])[0], applied(policy, [x])[0])
    assert np.abs(applied(policy, [x])[0] - applied(policy, [x], seed=4)[0]).max() > 0.1


def test_no_policy_changes_nothing() -> None:
    x = images()
    assert augment.diff_augment([x], (), RandomStream(0, 0))[0] is x
    with pytest.raises(ValueError, match="blur"):
        augment.diff_augment([x], ("blur",), RandomStream(0, 0))


POLICY = ("color", "translation", "cutout")


def with_probability(policy: Sequence[str], scales: list[np.ndarray], probability: Any) -> list[np.ndarray]:
    tensors = [ops.convert_to_tensor(scale) for scale in scales]
    result = augment.diff_augment(tensors, policy, RandomStream(3, 0), probability)
    return [ops.convert_to_numpy(scale) for scale in result]


def test_probability_one_is_always_and_zero_is_never() -> None:
    """Bit for bit: what the transformations draw does not depend on the probability."""
    x = images()
    always = applied(",".join(POLICY), [x])[0]
    for one in (1.0, ops.convert_to_tensor(1.0)):
        np.testing.assert_array_equal(with_probability(POLICY, [x], one)[0], always)
    np.testing.assert_array_equal(with_probability(POLICY, [x], 0.0)[0], x)


def test_each_transformation_of_each_image_has_its_own_coin() -> None:
    """With one half: images with every combination of three, each transformation on about half of the images."""
    x = images(256, 8) + 3
    cut, shifted, brighter = (with_probability((name,), [x], None)[0] for name in ("cutout", "translation", "color"))
    assert not any(np.array_equal(y, x) for y in (cut, shifted, brighter))
    for name, whole in (("cutout", cut), ("translation", shifted)):
        half = with_probability((name,), [x], 0.5)[0]
        chosen = np.array(
            [np.array_equal(one, all_) and not np.array_equal(one, b) for one, all_, b in zip(half, whole, x)]
        )
        spared = np.array([np.array_equal(one, before) for one, before in zip(half, x)])
        assert (chosen | spared).all() and 0.35 < spared.mean() < 0.75, name
    untouched = [np.array_equal(y, b) for y, b in zip(with_probability(("color",), [x], 0.5)[0], x)]
    assert 256 * 0.5**3 * 0.4 < sum(untouched) < 256 * 0.5**3 * 1.8  # three coins, not one


def test_a_spared_image_is_spared_at_every_scale() -> None:
    x = np.repeat(np.repeat(images(64, 16) + 3, 4, 1), 4, 2)
    scales = [x, x[:, ::4, ::4]]
    large, small = with_probability(("color",), scales, 0.3)
    spared = [[np.array_equal(y, b) for y, b in zip(*pair)] for pair in ((large, x), (small, scales[1]))]
    assert spared[0] == spared[1] and 0 < sum(spared[0]) < 64


def test_every_image_is_augmented_on_its_own() -> None:
    x = np.repeat(images(1), 8, axis=0)
    for policy in ("color", "translation", "cutout"):
        y = applied(policy, [x])[0]
        assert len({image.tobytes() for image in y}) >= 6, policy


@pytest.mark.skipif(engine.name == "torch", reason="one of them is TensorFlow's")
def test_both_ways_to_shift_are_one() -> None:
    x = ops.convert_to_tensor(images(4, 16)[:, :, :12])
    shifts = [ops.convert_to_tensor(each, "int32") for each in ((2, -2, 0, 1), (-2, 2, 1, 0))]
    twice = ops.convert_to_numpy(augment._shift(augment._shift(x, 1, shifts[0]), 2, shifts[1]))
    np.testing.assert_array_equal(ops.convert_to_numpy(augment._crop(x, shifts)), twice)
    assert np.any(twice[1, :2]) and not np.any(twice[0, :2])


def test_translation_moves_by_whole_pixels_up_to_an_eighth_and_enters_zeros() -> None:
    size = 32
    x = images(64, size) + 3  # nowhere zero
    y = applied("translation", [x])[0]
    seen = set()
    for before, after in zip(x, y):
        rows, columns = np.nonzero(after[:, :, 0].any(1))[0], np.nonzero(after[:, :, 0].any(0))[0]
        dy = rows[0] if rows[0] else rows[-1] - size + 1
        dx = columns[0] if columns[0] else columns[-1] - size + 1
        assert abs(dy) <= size // 8 and abs(dx) <= size // 8
        moved = np.zeros_like(before)
        moved[max(dy, 0) : size + min(dy, 0), max(dx, 0) : size + min(dx, 0)] = before[
            max(-dy, 0) : size + min(-dy, 0), max(-dx, 0) : size + min(-dx, 0)
        ]
        np.testing.assert_array_equal(after, moved)
        seen |= {int(dy), int(dx)}
    assert min(seen) == -4 and max(seen) == 4


def test_cutout_zeroes_one_square_of_half_the_side() -> None:
    x = images(64) + 3
    y = applied("cutout", [x])[0]
    heights = set()
    for before, after in zip(x, y):
        cut = (after == 0).all(-1)
        rows, columns = np.nonzero(cut.any(1))[0], np.nonzero(cut.any(0))[0]
        assert cut[np.ix_(rows, columns)].all()
        assert len(rows) <= 16 and len(columns) <= 16
        np.testing.assert_array_equal(after[~cut], before[~cut])
        heights.add(len(rows))
    assert max(heights) == 16 and min(heights) >= 8  # centred in the image, at the border at most half is cut off


def test_color_keeps_the_places_of_things() -> None:
    """Brightness, saturation and contrast are affine in each image: its grey values keep their order."""
    x = images(4)
    y = applied("color", [x])[0]
    for before, after in zip(x, y):
        assert np.corrcoef(before.mean(-1).ravel(), after.mean(-1).ravel())[0, 1] > 0.999


@pytest.mark.parametrize("policy", ("translation", "cutout"))
def test_both_scales_are_augmented_alike(policy: str) -> None:
    x = np.repeat(np.repeat(images(16, 16) + 3, 4, 1), 4, 2)
    large, small = applied(policy, [x, x[:, ::4, ::4]])
    # The same region is grey in both, up to the rounding to whole pixels of the small scale.
    grey = (large == 0).all(-1).mean((1, 2)), (small == 0).all(-1).mean((1, 2))
    np.testing.assert_allclose(*grey, atol=0.12)
    assert np.corrcoef(*grey)[0, 1] > 0.8


def test_augmentation_is_differentiable() -> None:
    x = ops.convert_to_tensor(images(4))
    policy = ("color", "translation", "cutout")
    y, pullback = engine.vjp(lambda x: augment.diff_augment([x], policy, RandomStream(3, 0))[0], (), [x])
    _, (gradient,) = pullback(ops.ones_like(y))
    # Each output is linear in its image: <gradient, x> + constant = sum(y), and constants come from brightness only.
    step = 1e-2 * np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    moved = augment.diff_augment([x + step], policy, RandomStream(3, 0))[0]
    np.testing.assert_allclose(
        ops.sum(moved - y, axis=(1, 2, 3)), ops.sum(gradient * step, axis=(1, 2, 3)), rtol=1e-2, atol=2e-2
    )


def test_flips_are_drawn_per_image() -> None:
    x = images(200, 8)
    y = ops.convert_to_numpy(augment.random_flip(ops.convert_to_tensor(x), RandomStream(0, 0)))
    flipped = np.array([np.array_equal(after, before[:, ::-1]) for before, after in zip(x, y)])
    same = np.array([np.array_equal(after, before) for before, after in zip(x, y)])
    assert (flipped ^ same).all() and 70 < flipped.sum() < 130


def test_ranges_of_colour() -> None:
    """Each of the three is one number for each image, from the whole of its range and from nothing else."""
    x = images(300, 8)

    def varied(name: str) -> np.ndarray:
        transform = getattr(augment, name)(300, RandomStream(3, 0))
        return ops.convert_to_numpy(transform(ops.convert_to_tensor(x)))

    def numbers(y: np.ndarray, centre: np.ndarray | float) -> np.ndarray:
        """Of each image: the factor of its distance from the centre."""
        distance = x - centre
        factors = ((y - centre) * distance).sum((1, 2, 3)) / (distance**2).sum((1, 2, 3))
        np.testing.assert_allclose(y, centre + factors[:, None, None, None] * distance, atol=1e-5)
        return factors

    shifts = varied("brightness") - x
    np.testing.assert_allclose(shifts, shifts[:, :1, :1, :1] + np.zeros_like(x), atol=1e-6)
    ranges = {
        (-0.5, 0.5): shifts[:, 0, 0, 0],
        (0.0, 2.0): numbers(varied("saturation"), x.mean(-1, keepdims=True)),
        (0.5, 1.5): numbers(varied("contrast"), x.mean((1, 2, 3), keepdims=True)),
    }
    for (low, high), found in ranges.items():
        width = high - low
        assert low - 1e-4 <= found.min() < low + 0.03 * width, (low, high)
        assert high - 0.03 * width < found.max() <= high + 1e-4, (low, high)


@pytest.mark.parametrize("policy", ("translation", "cutout"))
def test_places_are_drawn_for_each_axis_by_itself(policy: str) -> None:
    """Where the grey begins, along one axis and along the other."""
    x = images(300, 32) + 3
    grey = (applied(policy, [x])[0] == 0).all(-1)  # (B, H, W)
    if policy == "translation":  # rows that are grey all along, at the top less at the bottom
        lines = [grey.all(axis) for axis in (2, 1)]
        places = [line[:, :16].sum(1) - line[:, 16:].sum(1) for line in lines]
    else:
        places = [grey.any(axis).argmax(1) for axis in (2, 1)]
    assert all(place.std() > 2 for place in places)
    assert abs(np.corrcoef(*places)[0, 1]) < 0.2
