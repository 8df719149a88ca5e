"""What is measured of one picture moves as it should, and stays where it should."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from sle_gan.curation.measures import contrast, measure, perceptual_hashes, sharpness, structure
from sle_gan.data import read_reduced


def _photo(seed: int = 0, side: int = 160) -> Image.Image:
    """Soft patches with sharp edges, as photographs have."""
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (5, 5, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    for _ in range(12):
        left, top = (int(v) for v in rng.integers(0, side - 30, 2))
        colour = tuple(int(v) for v in rng.integers(0, 256, 3))
        image.paste(colour, (left, top, left + int(rng.integers(8, 60)), top + int(rng.integers(8, 60))))
    return image


def _grey(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L"), np.float32)


def _bits(one: np.uint64, other: np.uint64) -> int:
    return int(np.bitwise_count(one ^ other))


def test_contrast_of_blank_and_almost_blank_pictures() -> None:
    blank = Image.new("RGB", (300, 200), (200, 30, 30))
    assert contrast(blank) == 0
    blank.paste((0, 0, 0), (0, 0, 20, 20))  # 0.7 % of it
    assert contrast(blank) < 24
    blank.paste((0, 0, 0), (0, 0, 100, 100))
    assert contrast(blank) > 150


def test_structure_tells_noise_from_pictures() -> None:
    noise = np.random.default_rng(0).normal(128, 50, (200, 260)).astype(np.float32)
    assert abs(structure(noise)) < 0.1
    assert structure(_grey(_photo())) > 0.5
    assert structure(np.full((50, 50), 7, np.float32)) == 1


def test_sharpness_falls_with_blur_and_not_with_contrast() -> None:
    photo = _photo()
    values = [sharpness(_grey(photo.filter(ImageFilter.GaussianBlur(radius)))) for radius in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True) and values[0] > 0.8 and values[-1] < 0.6
    paler = photo.point(lambda value: value // 2)
    assert sharpness(_grey(paler)) == pytest.approx(values[0], rel=0.1)


def test_a_sharp_thing_before_a_soft_ground_is_sharp() -> None:
    soft = _photo().filter(ImageFilter.GaussianBlur(6))
    soft.paste(_photo(1, 60), (50, 50))
    assert sharpness(_grey(soft)) > 0.8


@given(st.integers(0, 1000))
def test_the_second_hash_is_that_of_the_mirror_image(seed: int) -> None:
    photo = _photo(seed).convert("L")
    mirrored = photo.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert _bits(perceptual_hashes(photo)[1], perceptual_hashes(mirrored)[0]) <= 2  # ties at the median


def test_hashes_stay_for_one_picture_and_differ_for_two() -> None:
    photo = _photo(3).convert("L")
    file = io.BytesIO()
    photo.resize((90, 90)).save(file, "JPEG", quality=40)
    again = perceptual_hashes(Image.open(file))
    assert _bits(perceptual_hashes(photo)[0], again[0]) <= 4
    assert _bits(perceptual_hashes(photo)[0], perceptual_hashes(_photo(4).convert("L"))[0]) > 16


@pytest.mark.parametrize("shape", [(8, 8), (8, 128), (256, 9), (3, 3), (1, 5)])
def test_any_shape_is_measured(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    measured = measure(pixels, (shape[1], shape[0]), 1, "x")
    assert all(np.isfinite(value) for value in (measured.contrast, measured.structure, measured.sharpness))


def test_pictures_are_reduced_upright_and_know_their_size() -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    _photo(0, 600).resize((900, 600)).save(file, "JPEG", exif=exif)
    pixels, size = read_reduced(file, 100)
    assert pixels.shape == (150, 100, 3) and size == (600, 900)
    file = io.BytesIO()
    _photo(0, 40).save(file, "PNG")
    pixels, size = read_reduced(file, 100)
    assert pixels.shape == (40, 40, 3) and size == (40, 40)
