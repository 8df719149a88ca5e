"""One picture file -> one uint8 array of a given shape, whatever its mode, orientation and own shape."""

import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from operator import index
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageFile

from sle_gan.data.levels import Levels, ValueRange, checked_range, levels_of_bytes, to_8_bit
from sle_gan.data.opening import MAX_PIXELS, Source, open_picture
from sle_gan.errors import UserError
from sle_gan.shapes import SQUARE, checked_aspect, made_aspect, picture_shape

# JPEGs decode at 1/2, 1/4 or 1/8 for less work (12 megapixels to 256: 89 ms, not 240), as long as this many
# times the target is left. Measured on a zone plate: aliases of 0.7 levels at 3, of 3.6 at 2; 0.5 is rounding.
_DRAFT = 3
_CHANNELS = {"rgb": 3, "grey": 1, "rgba": 4}
_ENLARGE = ("smooth", "pixels")
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED = (5, 6, 7, 8)  # orientations that exchange width and height


@dataclass(frozen=True)
class PixelSettings:
    """What every image becomes: `resolution` pixels on the shorter side, `channels` "rgb", "grey" or "rgba".

    A smaller picture is enlarged "smooth", by Lanczos, or as "pixels", each of which stays a square.
    value_range: which values are black and white where there are more than 8 bits a channel, as (0, 4095).
    aspect: W:H of the image, of which the nearest is taken that networks make; see `sle_gan.shapes`.
    """

    resolution: int = 256
    channels: str = "rgb"
    enlarge: str = "smooth"
    value_range: ValueRange | None = None
    aspect: str = SQUARE

    def __post_init__(self) -> None:
        try:
            resolution = index(self.resolution)
        except TypeError:
            resolution = 0
        if isinstance(self.resolution, bool) or not 4 <= resolution <= 4096:
            raise UserError(f"resolution {self.resolution!r}: expected a whole number from 4 to 4096")
        if not isinstance(self.channels, str) or self.channels not in _CHANNELS:
            raise UserError(f"channels {self.channels!r}: expected one of {', '.join(_CHANNELS)}")
        if self.enlarge not in _ENLARGE:
            raise UserError(f"enlarge {self.enlarge!r}: expected one of {', '.join(_ENLARGE)}")
        object.__setattr__(self, "resolution", resolution)  # a numpy integer is no JSON
        object.__setattr__(self, "value_range", checked_range(self.value_range))
        checked_aspect(self.aspect, "aspect")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (*picture_shape(self.resolution, self.aspect), _CHANNELS[self.channels])

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        if made_aspect(self.aspect) == SQUARE:  # as before there was another
            del values["aspect"]
        return values


Box = tuple[float, float, float, float]


def cover_box(width: int, height: int, aspect: tuple[int, int] = (1, 1)) -> Box:
    """(left, top, right, bottom) of the largest centred box of an aspect: what a cover-resize and centre crop keep.

    Whole pixels for a square. For others the sides that are cut may lie within pixels, so that nothing is squashed.

    Args:
        aspect: width and height of the box, in any unit.
    """
    across, down = aspect
    if across == down:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side
    if width * down >= height * across:  # too wide
        left = (width - height * across / down) / 2
        return left, 0, width - left, height
    top = (height - width * down / across) / 2
    return 0, top, width, height - top


class Decoded(NamedTuple):
    """A picture as uint8 (H, W, C), and how its values were read; None where they were bytes."""

    pixels: np.ndarray
    levels: Levels | None


def decode_image(
    path: Source,
    resolution: int = 256,
    channels: str = "rgb",
    enlarge: str = "smooth",
    value_range: ValueRange | None = None,
    aspect: str = SQUARE,
) -> np.ndarray:
    """Reads one picture as uint8 of shape (resolution, resolution, C), C = 3, 1 ("grey") or 4 ("rgba").

    With another `aspect`, W:H, the shorter side is the resolution. EXIF orientation is honoured; the largest centred
    box of that aspect is cut and resized with Lanczos (antialiased): nothing is squashed. Where that box is smaller
    than the image, `enlarge` "pixels" keeps the pixels of pixel art as squares of one size, which Lanczos would blur.
    Any mode is converted: alpha over white (kept by "rgba"), palettes, CMYK, 1-bit; 16-bit grey is divided by 257;
    32-bit and float grey are taken as 0..1, 0..255 or 0..65535, whichever is the first to hold all values, else
    stretched from their minimum and maximum. `value_range` says instead what is black and white in pictures of 16 bits
    and more. NaN is black.
    An animation gives its first frame.

    Raises an exception whose message is the reason when the file is no picture (of any format named in
    `IMAGE_SUFFIXES`), is damaged (metadata do not count), has a side under `MIN_SIDE` pixels (nothing to learn
    from when enlarged), is more than `MAX_ASPECT` times longer than wide (a centre crop would show a scrap of it),
    or has more than `MAX_PIXELS` pixels as it is decoded (a decompression bomb, or as dangerous). Pillow has no
    closed list of exceptions; expect any.
    """
    return read_cut(path, PixelSettings(resolution, channels, enlarge, value_range, aspect)).pixels


def read_cut(path: Source, settings: PixelSettings) -> Decoded:
    """`decode_image`, with how the values were read."""
    height, width, _ = settings.shape
    whole, levels = _read(path, settings.value_range, _DRAFT * max(height, width))
    box = cover_box(*whole.size, (width, height))
    if settings.enlarge == "pixels" and box[2] - box[0] < width:
        whole = _enlarge_pixels(whole, box, width, height)
    else:
        whole = whole.resize((width, height), Image.Resampling.LANCZOS, box=box)
    return Decoded(_to_array(whole, settings.channels), levels)


def decode_whole(path: Source, channels: str = "rgb", value_range: ValueRange | None = None) -> np.ndarray:
    """Reads one picture as uint8 (H, W, C) at its own size, upright; otherwise, and raising, as `decode_image`."""
    return read_whole(path, channels, value_range).pixels


def read_whole(path: Source, channels: str = "rgb", value_range: ValueRange | None = None) -> Decoded:
    """`decode_whole`, with how the values were read."""
    whole, levels = _read(path, checked_range(value_range))
    return Decoded(_to_array(whole, channels), levels)


def read_reduced(path: Source, side: int) -> tuple[np.ndarray, tuple[int, int]]:
    """One picture whole and upright, uint8 (h, w, 3) with its shorter side at most `side`; and its own (width, height).

    Reduced with antialiasing, never enlarged. Raises as `decode_image`.
    """
    with open_picture(path) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION_TAG, 1) in _TURNED:
            width, height = height, width
    whole, _ = _read(path, None, _DRAFT * side)
    shorter = min(whole.size)
    if shorter > side:
        size = (max(1, round(whole.width * side / shorter)), max(1, round(whole.height * side / shorter)))
        whole = whole.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
    return _to_array(whole, "rgb"), (width, height)


@contextmanager
def quiet_pillow() -> Iterator[None]:
    """Hides Pillow's warnings on damaged files: each becomes a reason, or has no effect on the pixels.

    Around all the threads that decode and not inside them: the list of filters is global.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `open_picture` refuses these itself
        yield


def decode_failure(error: Exception) -> str:
    """The reason, on one line, why a file gave no image."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, Image.DecompressionBombError):
        return f"refused: over {MAX_PIXELS:,} pixels, a decompression bomb"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    text = " ".join(str(error).split())
    return text if text else f"cannot be decoded ({type(error).__name__})"


def _read(
    path: Source, value_range: ValueRange | None, at_least: int | None = None
) -> tuple[Image.Image, Levels | None]:
    """An upright image of mode L, RGB or RGBa, and how its values were read."""
    with open_picture(path, at_least) as image:
        stored = _stored_form(image)
        image.load()
        plain, levels = image, None
        if image.mode.startswith(("I", "F")):
            bits = 16 if image.mode.startswith("I;16") or stored == "I;16B" else 32
            pixels, levels = to_8_bit(np.asarray(image), bits, value_range)
            plain = Image.fromarray(pixels)
        elif stored[-4:-1] == ";16" and value_range:
            plain, levels = _ranged_colours(path, np.asarray(image), stored, value_range)
        elif stored[-4:-1] == ";16":
            levels = levels_of_bytes(np.asarray(image.convert("RGB")))
        return _to_8_bit(upright(plain, image)), levels


def _stored_form(image: Image.Image) -> str:
    """Pillow's name for the form of the pixels in the file, such as RGB;16B; empty where it does not matter."""
    arguments = image.tile[0][3] if isinstance(image, ImageFile.ImageFile) and image.tile else ""
    form = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return form if isinstance(form, str) else ""


def _ranged_colours(
    path: Source, upper: np.ndarray, stored: str, value_range: ValueRange
) -> tuple[Image.Image, Levels]:
    """16-bit colours at a range. Pillow has no such mode: it gives the upper bytes, or the lower in the other order."""
    form, order = stored[:-1], stored[-1]
    other = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}.get(order)
    if form not in ("RGB;16", "RGBA;16") or other is None:
        raise ValueError(f"pixels stored as {stored} can be read without --value-range only; save a 16-bit RGB PNG")
    with open_picture(path) as image:
        assert isinstance(image, ImageFile.ImageFile)
        image.tile = [_with_form(tile, f"{form}{other}") for tile in image.tile]
        image.load()
        lower = np.asarray(image)
    values = upper.astype(np.uint16) * 256 + lower
    pixels, levels = to_8_bit(values[..., :3], 16, value_range)
    return Image.fromarray(np.concatenate([pixels, upper[..., 3:]], axis=-1)), levels


def _with_form(tile: Any, form: str) -> Any:
    arguments = (form, *tile[3][1:]) if isinstance(tile[3], tuple) else form
    return tile._replace(args=arguments)


def upright(image: Image.Image, source: Image.Image) -> Image.Image:
    """The image as its source's EXIF data say that it is to be seen."""
    try:
        orientation = source.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata (struct.error, SyntaxError, ...) do not cost a picture that decoded
        return image
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """The same picture in mode L, RGB or RGBa."""
    if image.has_transparency_data:  # an alpha channel, or a palette index or colour that means transparent
        # RGBa, not RGBA: colours weighted by alpha, so that what is invisible does not bleed into edges.
        return image.convert("RGBA").convert("RGBa")
    if image.mode in ("L", "RGB"):
        return image  # `convert` would copy it
    return image.convert("L" if image.mode == "1" else "RGB")


def _enlarge_pixels(image: Image.Image, box: Box, width: int, height: int) -> Image.Image:
    """A box of an image with every pixel as a square of one size: the mean over the area of each new pixel.

    Nearest would make some of the squares a pixel wider than others; where the ratio is whole, this is nearest.
    """
    left, top, right, bottom = box
    outer = math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom)
    cut = image.crop(outer)
    columns = _overlap(cut.width, left - outer[0], right - left, width)
    rows = _overlap(cut.height, top - outer[1], bottom - top, height)
    pixels = np.asarray(cut).reshape(cut.height, cut.width, -1).astype(np.float64)
    enlarged = np.einsum("ij,kl,jlc->ikc", rows, columns, pixels, optimize=True)
    data = np.rint(enlarged).astype(np.uint8).tobytes()
    return Image.frombytes(image.mode, (width, height), data)


def _overlap(count: int, start: float, length: float, target: int) -> np.ndarray:
    """Shares (target, count) of old pixels in new ones, of which `target` cover `length` old ones from `start` on."""
    edges = (np.arange(count + 1) - start) * (target / length)  # of the old pixels, in new ones
    new = np.arange(target)[:, None]
    return np.clip(np.minimum(new + 1, edges[1:]) - np.maximum(new, edges[:-1]), 0, None)


def _to_array(image: Image.Image, channels: str) -> np.ndarray:
    if channels == "rgba":
        return np.array(image.convert("RGBA"))
    if image.mode == "RGBa":
        pixels = np.asarray(image).astype(np.uint16)
        over_white = pixels[..., :3] + (255 - pixels[..., 3:])
        image = Image.fromarray(np.minimum(over_white, 255).astype(np.uint8))  # Lanczos may overshoot
    converted = np.array(image.convert("L" if channels == "grey" else "RGB"))
    return converted.reshape(*converted.shape[:2], _CHANNELS[channels])
