"""Variations of real images: what each may and may not do to them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from sle_gan import augment
from sle_gan.engine import RandomStream

ALL = {"rotation": 15.0, "shear": 5.0, "zoom": 0.8, "brightness": 0.1, "contrast": 0.2}


def images(batch: int = 6, size: int = 32, channels: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (batch, size, size, channels)).astype(np.float32)


def vary(x: np.ndarray, seed: int = 3, **ranges: float) -> np.ndarray:
    return ops.convert_to_numpy(augment.vary(ops.convert_to_tensor(x), RandomStream(seed, 0), **ranges))


def transform(x: np.ndarray, *matrix: float) -> np.ndarray:
    matrices = np.tile(np.array(matrix, np.float32).reshape(1, 2, 2), (len(x), 1, 1))
    return ops.convert_to_numpy(augment.transform_affine(ops.convert_to_tensor(x), matrices))


def test_same_seed_same_variations() -> None:
    x = images()
    np.testing.assert_array_equal(vary(x, **ALL), vary(x, **ALL))
    assert np.abs(vary(x, **ALL) - vary(x, seed=4, **ALL)).max() > 0.1


def test_without_ranges_nothing_changes() -> None:
    x = images()
    np.testing.assert_array_equal(vary(x), x)


@pytest.mark.parametrize("name", ALL)
def test_every_image_is_varied_on_its_own_and_stays_in_range(name: str) -> None:
    x = np.repeat(images(1), 8, axis=0)
    y = vary(x, **{name: ALL[name]})
    assert len({image.tobytes() for image in y}) == 8
    assert y.min() >= -1 and y.max() <= 1 and y.shape == x.shape


def test_quarter_turns_and_mirrors_are_exact() -> None:
    x = images(2, 8)
    np.testing.assert_allclose(transform(x, 1, 0, 0, 1), x, atol=1e-6)
    # The result at (x, y) is the image at (-y, x): what was at the left is at the top.
    np.testing.assert_allclose(transform(x, 0, -1, 1, 0), np.rot90(x, 1, (1, 2)), atol=1e-6)
    np.testing.assert_allclose(transform(x, -1, 0, 0, 1), x[:, :, ::-1], atol=1e-6)


def test_half_the_size_of_a_ramp_is_half_its_slope() -> None:
    ramp = np.broadcast_to(np.linspace(-1, 1, 16, dtype=np.float32)[:, None], (1, 16, 16))[..., None]
    np.testing.assert_allclose(transform(ramp, 0.5, 0, 0, 0.5), ramp / 2, atol=1e-6)


def test_edges_are_mirrored() -> None:
    """At half the scale, the image and its mirror images on all sides."""
    x = images(1, 8)
    wide = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)), "symmetric")
    # Places -3.5 .. 3.5 from the centre, twice: halfway between the pixels of the padded image.
    np.testing.assert_allclose(transform(x, 2, 0, 0, 2), means_of_squares(wide), atol=1e-6)


def means_of_squares(x: np.ndarray) -> np.ndarray:
    batch, height, width, channels = x.shape
    return x.reshape(batch, height // 2, 2, width // 2, 2, channels).mean((2, 4))


@settings(max_examples=20, deadline=None)
@given(st.floats(-math.pi, math.pi), st.floats(-0.5, 0.5), st.floats(0.3, 3.0), st.sampled_from((1, 3)))
def test_equals_keras(angle: float, tilt: float, scale: float, channels: int) -> None:
    """`keras.ops.image.affine_transform`, whose origin is a corner."""
    x = images(2, 16, channels)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    matrix = scale * turn @ np.array([[1, tilt], [0, 1]])
    shift = 7.5 - matrix @ [7.5, 7.5]
    rows = [*matrix[0], shift[0], *matrix[1], shift[1], 0, 0]
    expected = ops.image.affine_transform(x, np.tile(np.array([rows], np.float32), (2, 1)), "bilinear", "reflect")
    np.testing.assert_allclose(transform(x, *matrix.ravel()), expected, atol=1e-3)


def fitted_matrices(size: int, **ranges: float) -> np.ndarray:
    """Of 300 images that hold their own coordinates: the linear map that each was varied by, (300, 2, 2)."""
    axis = (np.arange(size, dtype=np.float32) - (size - 1) / 2) / size
    x = np.broadcast_to(np.stack(np.meshgrid(axis, axis), -1), (300, size, size, 2))
    y = vary(x, **ranges)
    inner = slice(size // 4, -(size // 4))  # what no mirrored edge reaches
    design = x[0, inner, inner].reshape(-1, 2)
    return np.stack([np.linalg.lstsq(design, image[inner, inner].reshape(-1, 2), rcond=None)[0].T for image in y])


def test_ranges_of_geometry() -> None:
    turns = fitted_matrices(32, rotation=15.0)
    angles = np.degrees(np.arctan2(turns[:, 1, 0], turns[:, 0, 0]))
    assert -15 <= angles.min() < -14 and 14 < angles.max() <= 15.001
    np.testing.assert_allclose(turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(2), (300, 2, 2)), atol=1e-4)

    zooms = fitted_matrices(32, zoom=0.8)
    np.testing.assert_allclose(zooms, zooms[:, :1, :1] * np.eye(2), atol=1e-4)
    assert 0.8 <= zooms[:, 0, 0].min() < 0.81 and 0.99 < zooms[:, 0, 0].max() <= 1.0001

    tilts = fitted_matrices(32, shear=10.0)
    np.testing.assert_allclose(tilts[:, [0, 1, 1], [0, 0, 1]], np.tile([1, 0, 1], (300, 1)), atol=1e-4)
    angles = np.degrees(np.arctan(tilts[:, 0, 1]))
    assert -10.001 <= angles.min() < -9 and 9 < angles.max() <= 10.001


def test_ranges_of_colour() -> None:
    x = images(300, 8) / 4
    shifts = vary(x, brightness=0.1) - x
    np.testing.assert_allclose(shifts, shifts[:, :1, :1, :1] + np.zeros_like(x), atol=1e-6)
    assert -0.2 <= shifts.min() < -0.19 and 0.19 < shifts.max() <= 0.2001

    mean = x.mean((1, 2, 3), keepdims=True)
    factors = ((vary(x, contrast=0.3) - mean) / (x - mean))[np.abs(x - mean) > 0.01]
    assert 0.699 <= factors.min() < 0.71 and 1.29 < factors.max() <= 1.301
