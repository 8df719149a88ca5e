"""Pictures of more than 8 bits a channel: what their values become, and what is said about it."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sle_gan.data import decode_image, decode_whole, load_dataset
from sle_gan.data.levels import Levels, describe
from sle_gan.errors import UserError


def ramp(top: float, dtype: type) -> np.ndarray:
    """(64, 64): 0 to `top` from left to right, both ends on more than a thousandth of the pixels."""
    return np.tile(np.linspace(0, top, 64), (64, 1)).astype(dtype)


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16-bit colours (H, W, 3 or 4), which Pillow cannot write."""
    height, width, channels = values.shape

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0)
    lines = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def tiff16(values: np.ndarray, order: str, deflate: bool) -> bytes:
    """A TIFF of 16-bit colours (H, W, 3) in either byte order."""
    height, width, _ = values.shape
    data = values.astype(f"{order}u2").tobytes()
    data = zlib.compress(data) if deflate else data
    entries, place = [], 8 + 2 + 12 * 9 + 4
    for tag, count, value in (
        *((256, 1, width), (257, 1, height), (258, 3, place), (259, 1, 8 if deflate else 1), (262, 1, 2)),
        *((273, 1, place + 6), (277, 1, 3), (278, 1, height), (279, 1, len(data))),
    ):
        long = tag in (273, 279) or count > 1
        kind = 3 if tag == 258 or not long else 4
        content = struct.pack(f"{order}I", value) if long else struct.pack(f"{order}HH", value, 0)
        entries.append(struct.pack(f"{order}HHI", tag, kind, count) + content)
    start = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HIH", 42, 8, len(entries))
    return start + b"".join(entries) + struct.pack(f"{order}I3H", 0, 16, 16, 16) + data


def notes(folder: Path, cache: Path, **settings: object) -> tuple[str, ...]:
    return load_dataset(folder, 16, cache_folder=cache, progress=False, **settings).notes  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set").mkdir()
    return tmp_path / "set"


def test_a_twelfth_of_16_bits_is_said_and_mended(folder: Path, cache: Path) -> None:
    for name in "ab":
        Image.fromarray(ramp(4095, np.uint16)).save(folder / f"{name}.png")
    (first,) = notes(folder, cache)
    assert "2 pictures, a.png among them" in first and "about 16 of 256 levels" in first
    assert "--value-range=0,4095 " in first
    assert notes(folder, cache) == (first,), "the second start, from the cache, says it too"
    assert len(np.unique(decode_whole(folder / "a.png"))) <= 17
    mended = load_dataset(folder, 16, cache_folder=cache, progress=False, value_range=(0, 4095))
    assert mended.notes == () and mended.images.min() < 8 and mended.images.max() > 247
    assert len(np.unique(decode_whole(folder / "a.png", value_range=(0, 4095)))) == 64
    assert mended.digest != load_dataset(folder, 16, cache_folder=cache, progress=False).digest


@pytest.mark.parametrize(("top", "dtype"), [(65535, np.uint16), (60000, np.int32), (255, np.int32), (1.0, np.float32),
                                            (255, np.uint8), (30, np.uint8)])  # fmt: skip
def test_nothing_is_said_of_a_range_that_is_used_or_bytes(folder: Path, cache: Path, top: float, dtype: type) -> None:
    Image.fromarray(ramp(top, dtype)).save(folder / "a.tif")
    assert notes(folder, cache) == ()


def test_floats_of_any_size_are_read_without_a_warning(tmp_path: Path) -> None:
    values = ramp(1.0, np.float32) * np.float32(3e38)
    values[0, 0], values[0, 1] = -3e38, -np.inf
    Image.fromarray(values).save(tmp_path / "a.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = decode_whole(tmp_path / "a.tif")
    assert (int(image.min()), int(image.max())) == (0, 255)


def test_a_hot_pixel_is_no_range(folder: Path, cache: Path) -> None:
    values = ramp(4095, np.uint16)
    values[3, 3] = 65535
    Image.fromarray(values).save(folder / "a.png")
    assert "--value-range=0,4095 " in notes(folder, cache)[0]


def test_values_just_above_one_are_no_black_picture_without_a_word(folder: Path, cache: Path) -> None:
    Image.fromarray(ramp(1.25, np.float32)).save(folder / "a.tif")
    (note,) = notes(folder, cache)
    assert "between 0 and 1.25, of 0 to 255: about 1 of 256 levels; --value-range=0,1.25 " in note


def test_pictures_on_different_scales_are_named(folder: Path, cache: Path) -> None:
    Image.fromarray(ramp(1.0, np.float32)).save(folder / "a.tif")
    Image.fromarray(ramp(200.0, np.float32)).save(folder / "b.tif")
    (note,) = notes(folder, cache)
    assert "a.tif as 0 to 1, b.tif as 0 to 255" in note


def test_stretched_pictures_are_named(folder: Path, cache: Path) -> None:
    for name, top in (("a", 3071), ("b", 2000)):
        Image.fromarray(ramp(top + 1024, np.int32) - 1024).save(folder / f"{name}.tif")
    (note,) = notes(folder, cache)
    assert "least to the greatest of each picture" in note and "--value-range=-1024,3071 " in note
    assert notes(folder, cache, value_range=(-1024, 3071)) == ()
    image = decode_whole(folder / "b.tif", value_range=(-1024, 3071))
    assert (int(image.min()), int(image.max())) == (0, round(255 * 3024 / 4095))


def test_no_number_is_black_and_said(folder: Path, cache: Path) -> None:
    values = ramp(1.0, np.float32)
    values[:8, 40:42], values[0, 0] = np.nan, np.inf
    Image.fromarray(values).save(folder / "a.tif")
    (note,) = notes(folder, cache)
    assert note.startswith("a.tif has 17 values without a finite number: NaN became black")
    image = decode_whole(folder / "a.tif")[..., 0]
    assert image[0, 0] == 255 and (image[:8, 40:42] == 0).all()
    np.testing.assert_array_equal(image[8:], np.rint(255 * ramp(1.0, np.float32)[8:]))


@pytest.mark.parametrize("form", ["png", "png with alpha", "tiff <", "tiff >", "deflated tiff <", "deflated tiff >"])
def test_16_bit_colours_have_all_their_bits_at_a_range(tmp_path: Path, form: str) -> None:
    values = np.random.default_rng(0).integers(0, 4096, (20, 30, 4), np.uint16)
    values[..., 3] = 65535
    if form.startswith("png"):
        data = png16(values if "alpha" in form else values[..., :3])
    else:
        data = tiff16(values[..., :3], form[-1], "deflated" in form)
    image = decode_whole(io.BytesIO(data), value_range=(0, 4095))
    np.testing.assert_array_equal(image, np.rint(values[..., :3] / 4095 * 255))


def test_16_bit_colours_at_a_part_of_their_range_are_said(folder: Path, cache: Path) -> None:
    values = np.repeat(ramp(4095, np.uint16)[..., None], 3, axis=2)
    (folder / "a.png").write_bytes(png16(values))
    assert "--value-range=0,4095 " in notes(folder, cache)[0]


@pytest.mark.parametrize("wrong", [(1, 1), (5, 2), (0, np.nan), (0,), ("a", 1), 3])
def test_ranges_are_checked(tmp_path: Path, wrong: object) -> None:
    for decode in (decode_image, decode_whole):
        with pytest.raises(UserError, match=r"value range .*expected two numbers"):
            decode(tmp_path / "a.png", value_range=wrong)  # type: ignore[arg-type]


def test_of_a_chosen_range_only_what_is_missing_is_said() -> None:
    narrow = Levels(0, 10, 0, 65535, stretched=False, integers=True, missing=3)
    assert len(describe({"a": narrow}, chosen=False)) == 2
    assert len(describe({"a": narrow}, chosen=True)) == 1
