"""Pictures cut to shapes that are no squares, and the cache of them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sle_gan.data import cover_box, decode_image, load_dataset
from sle_gan.data.decode import PixelSettings
from sle_gan.errors import UserError

SIDES = st.integers(8, 5000)
ASPECTS = st.tuples(st.integers(4, 16), st.integers(4, 16))


@given(SIDES, SIDES, ASPECTS)
def test_the_box_is_the_largest_centred_one_of_its_aspect(width: int, height: int, aspect: tuple[int, int]) -> None:
    left, top, right, bottom = cover_box(width, height, aspect)
    assert 0 <= left < right <= width and 0 <= top < bottom <= height
    across, down = aspect
    if across == down:  # squares are cut at whole pixels
        assert (left, top, right, bottom) == cover_box(width, height)
        assert all(type(edge) is int for edge in (left, top, right, bottom))
    else:
        assert (left + right, top + bottom) == pytest.approx((width, height))
    assert (right - left) * down == pytest.approx((bottom - top) * across)  # nothing is squashed
    assert (left == 0 and right == width) or (top == 0 and bottom == height)


def _ramp(width: int, height: int) -> np.ndarray:
    """Red is the place from left to right, green that from top to bottom: 0 to 255."""
    x, y = np.meshgrid((np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height)
    return np.rint(255 * np.stack([x, y, 0 * x], -1)).astype(np.uint8)


@pytest.mark.parametrize("size", [(300, 300), (600, 200), (100, 400), (96, 64), (40, 31)])
@pytest.mark.parametrize("aspect", ["3:2", "2:3", "5:4", "1:2"])
def test_a_picture_is_cut_and_not_squashed(tmp_path: Path, size: tuple[int, int], aspect: str) -> None:
    width, height = size
    Image.fromarray(_ramp(width, height)).save(tmp_path / "a.png")
    image = decode_image(tmp_path / "a.png", 32, aspect=aspect).astype(float)
    rows, columns = PixelSettings(32, aspect=aspect).shape[:2]
    assert image.shape == (rows, columns, 3) and min(rows, columns) == 32
    left, top, right, bottom = cover_box(width, height, (columns, rows))
    x = 255 * (left + (np.arange(columns) + 0.5) * (right - left) / columns) / width
    y = 255 * (top + (np.arange(rows) + 0.5) * (bottom - top) / rows) / height
    inner = (slice(3, -3), slice(3, -3))  # Lanczos at an edge sees the inside only
    np.testing.assert_allclose(image[..., 0][inner], np.tile(x, (rows, 1))[inner], atol=2.5)
    np.testing.assert_allclose(image[..., 1][inner], np.tile(y[:, None], (1, columns))[inner], atol=2.5)


def test_a_turned_picture_is_cut_as_it_is_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # its top is at the right
    upright = Image.fromarray(_ramp(90, 60))
    upright.save(tmp_path / "upright.png")
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    one, other = (decode_image(tmp_path / f"{name}.png", 16, aspect="3:2") for name in ("upright", "turned"))
    np.testing.assert_array_equal(one, other)


def test_a_reduced_jpeg_has_no_aliases(tmp_path: Path) -> None:
    """A square photo cut to a wide shape: what libjpeg leaves out is counted from the longer side."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)).save(tmp_path / "a.jpg")
    image = decode_image(tmp_path / "a.jpg", 64, aspect="2:1").astype(float)
    assert image.shape == (64, 128, 3)
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.png")
    assert np.abs(image - decode_image(tmp_path / "a.png", 64, aspect="2:1")).mean() < 1.5


def test_pixels_stay_squares(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (8, 12, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    enlarged = decode_image(tmp_path / "a.png", 64, "rgb", "pixels", aspect="3:2")
    np.testing.assert_array_equal(enlarged, pixels.repeat(8, 0).repeat(8, 1))
    # 12x8 cut to 5:4 is 10x8: the middle ten columns.
    enlarged = decode_image(tmp_path / "a.png", 64, "rgb", "pixels", aspect="5:4")
    np.testing.assert_array_equal(enlarged, pixels[:, 1:11].repeat(8, 0).repeat(8, 1))
    # To 7:4 it is 12 x 6.857: 0.571 of the outer rows are cut off, and the colours are kept on average.
    enlarged = decode_image(tmp_path / "a.png", 64, "rgb", "pixels", aspect="7:4")
    weights = np.array([1 - 4 / 7, 1, 1, 1, 1, 1, 1, 1 - 4 / 7])
    expected = (pixels * weights[:, None, None]).sum((0, 1)) / weights.sum() / 12
    np.testing.assert_allclose(enlarged.mean((0, 1)), expected, atol=0.5)


def _write(folder: Path) -> None:
    folder.mkdir()
    for i, size in enumerate([(90, 60), (60, 90), (64, 64)]):
        Image.fromarray(_ramp(*size)).save(folder / f"{i}.png")


def test_squares_have_the_cache_that_they_had(tmp_path: Path) -> None:
    """The digest as it was before there were shapes, computed anew; and the description that lies beside the array."""
    _write(tmp_path / "a")
    plain = load_dataset(tmp_path / "a", 16, cache_folder=tmp_path / "cache", progress=False)
    total = hashlib.blake2b(repr((2, 16, "rgb")).encode(), digest_size=16)
    for path in sorted((tmp_path / "a").iterdir()):
        content = hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        total.update(b"\0".join((os.fsencode(path.name), content.encode(), b"")))
    assert plain.digest == total.hexdigest()
    before = {path: path.read_bytes() for path in (tmp_path / "cache").iterdir()}
    assert len(before) == 2 and not any(b"aspect" in content for content in before.values())
    for aspect in ("1:1", "7:7", "10:9"):
        again = load_dataset(tmp_path / "a", 16, cache_folder=tmp_path / "cache", progress=False, aspect=aspect)
        assert again.digest == plain.digest
    assert {path: path.read_bytes() for path in (tmp_path / "cache").iterdir()} == before


def test_a_shape_has_a_cache_of_its_own(tmp_path: Path) -> None:
    _write(tmp_path / "a")

    def load(aspect: str):
        return load_dataset(tmp_path / "a", 16, cache_folder=tmp_path / "cache", progress=False, aspect=aspect)

    wide, tall, square = load("3:2"), load("2:3"), load("1:1")
    assert wide.images.shape == (3, 16, 24, 3) and tall.images.shape == (3, 24, 16, 3)
    assert len({wide.digest, tall.digest, square.digest}) == 3
    assert load("6:4").digest == wide.digest and load("16:9").digest == load("7:4").digest
    again = load("3:2")
    assert isinstance(again.images, np.memmap)
    for name, image in zip(again.files, again.images):
        np.testing.assert_array_equal(image, decode_image(tmp_path / "a" / name, 16, aspect="3:2"))


@pytest.mark.parametrize("aspect", ["1:0", "40:1", "wide"])
def test_impossible_aspects_are_refused_before_anything_is_read(tmp_path: Path, aspect: str) -> None:
    with pytest.raises(UserError, match=r"aspect is .*; expected W:H"):
        load_dataset(tmp_path / "missing", 16, aspect=aspect)
