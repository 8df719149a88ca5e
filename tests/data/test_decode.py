"""One file to one array: modes, orientation, geometry, antialiasing."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sle_gan.data import decode_image
from sle_gan.data.decode import PixelSettings, cover_box
from sle_gan.errors import UserError


def flat(image: Image.Image) -> list[int]:
    """The one colour of a picture that `decode_image` made; fails when it has several."""
    colours = np.unique(np.asarray(image).reshape(-1, np.asarray(image).shape[-1]), axis=0)
    assert len(colours) == 1, colours
    return colours[0].tolist()


def decoded(image: Image.Image, tmp_path: Path, suffix: str = ".png", **options: object) -> np.ndarray:
    path = tmp_path / f"picture{suffix}"
    image.save(path, **options)
    return decode_image(path, 16)


@pytest.mark.parametrize(("channels", "depth"), [("rgb", 3), ("grey", 1), ("rgba", 4)])
def test_shape_and_dtype(tmp_path: Path, channels: str, depth: int) -> None:
    Image.new("RGB", (40, 20), (255, 0, 0)).save(tmp_path / "a.png")
    image = decode_image(tmp_path / "a.png", 16, channels)
    assert image.shape == (16, 16, depth)
    assert image.dtype == np.uint8
    assert flat(image) == {"rgb": [255, 0, 0], "grey": [76], "rgba": [255, 0, 0, 255]}[channels]


# Modes


def test_one_bit(tmp_path: Path) -> None:
    assert flat(decoded(Image.new("1", (20, 20), 1), tmp_path)) == [255, 255, 255]


def test_cmyk(tmp_path: Path) -> None:
    image = decoded(Image.new("CMYK", (20, 20), (0, 255, 255, 0)), tmp_path, ".jpg", quality=100)
    np.testing.assert_allclose(flat(image), [255, 0, 0], atol=3)


def test_palette(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    assert flat(decoded(image, tmp_path)) == [10, 200, 30]


def test_alpha_lies_over_white(tmp_path: Path) -> None:
    assert flat(decoded(Image.new("RGBA", (20, 20), (0, 0, 0, 0)), tmp_path)) == [255, 255, 255]
    half = flat(decoded(Image.new("RGBA", (20, 20), (200, 0, 100, 128)), tmp_path))
    np.testing.assert_allclose(half, [227, 127, 177], atol=1)  # colour * 128/255 + 127
    grey = flat(decoded(Image.new("LA", (20, 20), (100, 128)), tmp_path))
    np.testing.assert_allclose(grey, [177] * 3, atol=1)


def test_transparent_palette_entry_lies_over_white(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 1)
    image.putpalette([0, 0, 0, 10, 200, 30])
    for suffix in (".png", ".gif"):
        assert flat(decoded(image, tmp_path, suffix, transparency=1)) == [255, 255, 255]


def test_pillow_drops_alpha_where_we_keep_it() -> None:
    """The trap this module exists for."""
    assert Image.new("RGBA", (1, 1), (0, 0, 0, 0)).convert("RGB").getpixel((0, 0)) == (0, 0, 0)


def test_invisible_colours_do_not_bleed(tmp_path: Path) -> None:
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[:, :32] = (255, 255, 255, 255)  # opaque white beside transparent black: all white over white
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert flat(decode_image(tmp_path / "a.png", 16)) == [255, 255, 255]
    visible = decode_image(tmp_path / "a.png", 16, "rgba")
    assert (visible[visible[..., 3] > 16][:, :3] > 230).all()


@pytest.mark.parametrize("value", [0, 257, 32896, 65535])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bit_grey_is_rescaled(tmp_path: Path, value: int, suffix: str) -> None:
    image = Image.fromarray(np.full((20, 20), value, np.uint16))
    assert flat(decoded(image, tmp_path, suffix)) == [value // 257] * 3


@pytest.mark.parametrize(
    ("dtype", "low", "high", "expected"),
    [
        (np.int32, 0, 65535, [0, 255]),
        (np.int32, 0, 100, [0, 100]),
        (np.int32, 0, 1, [0, 1]),
        (np.int32, -1000, 3000, [0, 255]),
        (np.float32, 0.0, 1.0, [0, 255]),
        (np.float32, 0.0, 200.0, [0, 200]),
        (np.float32, -3.0, 5.0, [0, 255]),
        (np.float32, np.nan, 1.0, [0, 255]),
        (np.float32, 0.0, np.inf, [0, 255]),
    ],
)
def test_32_bit_grey(tmp_path: Path, dtype: type, low: float, high: float, expected: list[int]) -> None:
    pixels = np.full((16, 16), low, dtype)
    pixels[8:] = high
    if high == np.inf:
        pixels[0] = 1.0  # the range is that of the finite values
    image = decoded(Image.fromarray(pixels), tmp_path, ".tif")
    assert [int(image[5, 8, 0]), int(image[12, 8, 0])] == expected


def test_nothing_finite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no finite pixel"):
        decoded(Image.fromarray(np.full((16, 16), np.nan, np.float32)), tmp_path, ".tif")


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tif"])
def test_animation_gives_its_first_frame(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "blue", "green")]
    options = {"lossless": True} if suffix == ".webp" else {}
    image = decoded(frames[0], tmp_path, suffix, save_all=True, append_images=frames[1:], **options)
    assert flat(image) == [255, 0, 0]


def test_content_counts_and_not_the_name(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), (9, 8, 7)).save(tmp_path / "a.jpg", format="PNG")
    assert flat(decode_image(tmp_path / "a.jpg", 16)) == [9, 8, 7]


# Orientation

TRANSPOSE = Image.Transpose
# Orientation n is stored as: the upright picture, transformed so. (EXIF: row 0 and column 0 of what is stored
# are, for n = 1..8, the top left, top right, bottom right, bottom left, left top, right top, right bottom, left
# bottom of what is seen.)
STORED = {
    1: None,
    2: TRANSPOSE.FLIP_LEFT_RIGHT,
    3: TRANSPOSE.ROTATE_180,
    4: TRANSPOSE.FLIP_TOP_BOTTOM,
    5: TRANSPOSE.TRANSPOSE,
    6: TRANSPOSE.ROTATE_90,
    7: TRANSPOSE.TRANSVERSE,
    8: TRANSPOSE.ROTATE_270,
}


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".png", {}),
        (".webp", {"lossless": True}),
        (".tif", {}),
        (".tif", {"compression": "tiff_deflate"}),  # decoded by libtiff, which turns by itself
        (".jpg", {"quality": 100, "subsampling": 0}),
    ],
)
def test_exif_orientation(
    tmp_path: Path,
    coordinates: Callable[[int, int], Image.Image],
    orientation: int,
    suffix: str,
    options: dict[str, object],
) -> None:
    upright = coordinates(64, 41)
    method = STORED[orientation]
    stored = upright if method is None else upright.transpose(method)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"turned{suffix}", exif=exif, **options)
    upright.save(tmp_path / "upright.png")
    turned = decode_image(tmp_path / f"turned{suffix}", 20).astype(int)
    expected = decode_image(tmp_path / "upright.png", 20).astype(int)
    assert np.abs(turned - expected).max() <= (4 if suffix == ".jpg" else 0)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_costs_no_picture(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20), (9, 8, 7)).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    assert flat(decode_image(tmp_path / "a.png", 16)) == [9, 8, 7]


# Geometry


@given(st.integers(1, 5000), st.integers(1, 5000))
def test_cover_box_is_the_largest_centred_square(width: int, height: int) -> None:
    left, top, right, bottom = cover_box(width, height)
    assert right - left == bottom - top == min(width, height)
    assert 0 <= left <= right <= width and 0 <= top <= bottom <= height
    assert abs(left - (width - right)) <= 1 and abs(top - (height - bottom)) <= 1


@settings(max_examples=30, deadline=None)
@given(st.integers(24, 255), st.integers(24, 255), st.integers(12, 64))
def test_never_squashed(width: int, height: int, resolution: int) -> None:
    """One output pixel is equally many input pixels wide and high, and the centre stays the centre."""
    x, y = np.meshgrid(np.arange(width), np.arange(height))
    file = io.BytesIO()
    Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8)).save(file, format="PNG")
    file.seek(0)
    image = decode_image(file, resolution).astype(float)
    side = min(width, height)
    step = side / resolution
    inner = slice(resolution // 4, resolution - resolution // 4)  # away from the border, where Lanczos is cut
    across = np.polyfit(np.arange(resolution)[inner], image[..., 0].mean(0)[inner], 1)[0]
    down = np.polyfit(np.arange(resolution)[inner], image[..., 1].mean(1)[inner], 1)[0]
    assert across == pytest.approx(step, rel=0.1, abs=0.1)
    assert down == pytest.approx(step, rel=0.1, abs=0.1)
    assert image[inner, inner, 0].mean() == pytest.approx((width - 1) / 2, abs=1.2)
    assert image[inner, inner, 1].mean() == pytest.approx((height - 1) / 2, abs=1.2)


def test_target_size_is_copied_exactly(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (33, 48, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(decode_image(tmp_path / "a.png", 33), pixels[:, 7:40])


def zone_plate(size: int) -> np.ndarray:
    """Rings that get finer from the middle outwards, up to the finest that pixels can show at the border."""
    x = np.arange(size) - size / 2
    return np.rint(127.5 + 127.5 * np.cos(np.pi * (x[:, None] ** 2 + x**2) / size)).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])  # the jpg is decoded at half its size: no aliases either
def test_zone_plate_has_no_aliases(tmp_path: Path, suffix: str) -> None:
    size, resolution = 1024, 128
    path = tmp_path / f"zone{suffix}"
    Image.fromarray(zone_plate(size)).save(path, quality=98)
    image = decode_image(path, resolution)[..., 0].astype(float)
    # Beyond 1/8 of the radius the rings are finer than the output's pixels; 0.3 leaves room for the filter's slope.
    x = np.arange(resolution) - resolution / 2
    fine = np.maximum(np.abs(x[:, None]), np.abs(x)) > 0.3 * resolution / 2
    nearest = zone_plate(size)[4::8, 4::8].astype(float)
    assert np.abs(nearest[fine] - 127.5).mean() > 40  # without a filter they would all turn into false rings
    assert np.abs(image[fine] - 127.5).mean() < 1.0  # 0.5 is a perfect grey
    assert np.abs(image[~fine] - 127.5).max() > 100  # and what can be shown is


# Settings


@given(st.one_of(st.integers(), st.floats(), st.text(), st.none(), st.booleans()))
def test_resolution_is_checked(resolution: object) -> None:
    good = isinstance(resolution, int) and not isinstance(resolution, bool) and 4 <= resolution <= 4096
    if good:
        assert PixelSettings(resolution).shape == (resolution, resolution, 3)
    else:
        with pytest.raises(UserError, match="resolution"):
            PixelSettings(resolution)


@given(st.one_of(st.text(), st.none(), st.integers(), st.lists(st.text())))
def test_channels_are_checked(channels: object) -> None:
    if channels not in ("rgb", "grey", "rgba"):
        with pytest.raises(UserError, match="rgb, grey, rgba"):
            PixelSettings(64, channels)


def test_numpy_resolution_is_an_int() -> None:
    assert type(PixelSettings(np.int64(64)).resolution) is int


# Enlarging


def coverage(side: int, resolution: int) -> np.ndarray:
    """Shares of old pixels (columns) in new ones (rows), counted on a grid that both divide."""
    fine = np.arange(side * resolution)
    shares = np.zeros((resolution, side))
    np.add.at(shares, (fine // side, fine // resolution), 1 / side)
    return shares


@settings(max_examples=30, deadline=None)
@given(st.integers(8, 40), st.integers(0, 9), st.integers(0, 2**32 - 1), st.sampled_from(["grey", "rgb", "rgba"]))
def test_enlarged_pixels_are_squares(side: int, more: int, seed: int, channels: str) -> None:
    """Every new pixel is the mean over the area that it covers, whatever the ratio of the sizes."""
    shape = (side, side + more, {"grey": 1, "rgb": 3, "rgba": 4}[channels])
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    pixels[..., 3:] = 255
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if channels == "grey" else pixels).save(file, format="PNG")
    enlarged = decode_image(file, 64, channels, "pixels")
    shares, square = coverage(side, 64), pixels[:, more // 2 : more // 2 + side].astype(float)
    expected = np.einsum("ij,kl,jlc->ikc", shares, shares, square)
    assert np.abs(enlarged - expected).max() <= 0.5 + 1e-9


def test_enlarging_pixels_by_a_whole_number_copies_them(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    twice = decode_image(tmp_path / "a.png", 64, "rgb", "pixels")
    np.testing.assert_array_equal(twice, pixels.repeat(4, axis=0).repeat(4, axis=1))
    assert (decode_image(tmp_path / "a.png", 64) != twice).mean() > 0.5  # by default it is Lanczos


def test_enlarging_does_not_touch_what_is_larger(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    for resolution in (16, 40):
        smooth, kept = (decode_image(tmp_path / "a.png", resolution, "rgb", how) for how in ("smooth", "pixels"))
        np.testing.assert_array_equal(smooth, kept)


def test_invisible_colours_do_not_bleed_when_enlarged(tmp_path: Path) -> None:
    image = Image.new("RGBA", (10, 10), (255, 0, 0, 0))
    image.paste((0, 0, 255, 255), (0, 0, 5, 10))
    image.save(tmp_path / "a.png")
    enlarged = decode_image(tmp_path / "a.png", 25, "rgb", "pixels")  # 2.5: the middle column is half of each
    np.testing.assert_allclose(enlarged[0, 11:14], [[0, 0, 255], [128, 128, 255], [255, 255, 255]], atol=1)


@pytest.mark.parametrize("enlarge", ["nearest", "", None])
def test_enlarging_is_checked(enlarge: object) -> None:
    with pytest.raises(UserError, match="expected one of smooth, pixels"):
        PixelSettings(64, "rgb", enlarge)  # type: ignore[arg-type]
