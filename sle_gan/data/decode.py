"""One picture file -> one square uint8 array, whatever its mode, orientation and shape."""

import os
from dataclasses import asdict, dataclass
from operator import index
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from sle_gan.errors import UserError

MIN_SIDE = 8
MAX_ASPECT = 16
# Pillow's own limit, 8 bytes a pixel at worst while decoding. Checked here rather than by
# `Image.MAX_IMAGE_PIXELS`, which is global (and which another library may have lifted).
MAX_PIXELS = 89_478_485

# What is tried, whatever the file is called. Left open, Pillow would start Ghostscript on a mislabelled .eps.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
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


@dataclass(frozen=True)
class PixelSettings:
    """What every image becomes: `resolution` pixels square, `channels` "rgb", "grey" or "rgba".

    A smaller picture is enlarged "smooth", by Lanczos, or as "pixels", each of which stays a square.
    """

    resolution: int = 256
    channels: str = "rgb"
    enlarge: str = "smooth"

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

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.resolution, self.resolution, _CHANNELS[self.channels])

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def cover_box(width: int, height: int) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the largest centred square: what a cover-resize and centre crop keep."""
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


def decode_image(
    path: str | os.PathLike[str], resolution: int = 256, channels: str = "rgb", enlarge: str = "smooth"
) -> np.ndarray:
    """Reads one picture as uint8 of shape (resolution, resolution, C), C = 3, 1 ("grey") or 4 ("rgba").

    EXIF orientation is honoured; the largest centred square is cut and resized with Lanczos (antialiased):
    nothing is squashed. Where that square is smaller than the resolution, `enlarge` "pixels" keeps the pixels
    of pixel art as squares of one size, which Lanczos would blur. Any mode is converted: alpha over white
    (kept by "rgba"), palettes, CMYK, 1-bit; 16-bit grey is divided by 257; 32-bit and float grey are taken as
    0..1, 0..255 or 0..65535, whichever is the first to hold all values, else stretched from their minimum and
    maximum. An animation gives its first frame.

    Raises an exception whose message is the reason when the file is no picture (of any format named in
    `IMAGE_SUFFIXES`), is damaged, has a side under `MIN_SIDE` pixels (nothing to learn from when enlarged),
    is more than `MAX_ASPECT` times longer than wide (a centre crop would show a scrap of it), or has more
    than `MAX_PIXELS` pixels (a decompression bomb, or as dangerous). Pillow has no closed list of
    exceptions; expect any.
    """
    settings = PixelSettings(resolution, channels, enlarge)
    with _open(path) as image:
        image.draft(None, (_DRAFT * settings.resolution, _DRAFT * settings.resolution))
        image.load()
        whole = _to_8_bit(_upright(image))
        box = cover_box(*whole.size)
        if settings.enlarge == "pixels" and box[2] - box[0] < settings.resolution:
            return _to_array(_enlarge_pixels(whole.crop(box), settings.resolution), settings.channels)
        size = (settings.resolution, settings.resolution)
        return _to_array(whole.resize(size, Image.Resampling.LANCZOS, box=box), settings.channels)


def decode_whole(path: str | os.PathLike[str], channels: str = "rgb") -> np.ndarray:
    """Reads one picture as uint8 (H, W, C) at its own size, upright; otherwise, and raising, as `decode_image`."""
    with _open(path) as image:
        image.load()
        return _to_array(_to_8_bit(_upright(image)), channels)


def _open(path: str | os.PathLike[str]) -> Image.Image:
    try:
        image = Image.open(path, formats=FORMATS)
    except UnidentifiedImageError:
        raise ValueError("not a picture: its content is no JPEG, PNG, WebP, BMP, GIF or TIFF") from None
    try:
        _check_size(*image.size)
    except ValueError:
        image.close()
        raise
    return image


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


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(f"refused: {width}x{height} is over {MAX_PIXELS:,} pixels, a decompression bomb")
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"too small: {width}x{height}, both sides must have at least {MIN_SIDE} pixels")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(f"too narrow: {width}x{height}, one side is over {MAX_ASPECT} times the other")


def _upright(image: Image.Image) -> Image.Image:
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # damaged metadata (struct.error, SyntaxError, ...) do not cost a picture that decoded
        return image
    method = _UPRIGHT.get(orientation)
    return image if method is None else image.transpose(method)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """The same picture in mode L, RGB or RGBa."""
    if image.mode.startswith("I;16"):
        return _rescaled(image, full=65535.0)
    if image.mode in ("I", "F"):
        return _rescaled(image, full=None)
    if image.has_transparency_data:  # an alpha channel, or a palette index or colour that means transparent
        # RGBa, not RGBA: colours weighted by alpha, so that what is invisible does not bleed into edges.
        return image.convert("RGBA").convert("RGBa")
    if image.mode in ("L", "RGB"):
        return image  # `convert` would copy it
    return image.convert("L" if image.mode == "1" else "RGB")


def _rescaled(image: Image.Image, full: float | None) -> Image.Image:
    """Grey values of any range as mode L; Pillow's own conversion would clip all above 255 to white."""
    values = np.asarray(image).astype(np.float32)
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise ValueError("no finite pixel value")
    low, high = float(finite.min()), float(finite.max())
    if full is None:
        full = next((f for f in (1.0, 255.0, 65535.0) if low >= 0 and high <= f), None)
        # An integer picture of zeros and ones is almost black: only floats are ever stored as 0..1.
        full = 255.0 if full == 1.0 and image.mode == "I" else full
    if full is None:  # no convention fits: stretch
        values, full = values - low, max(high - low, 1e-30)
    values = np.nan_to_num(values, nan=0.0, posinf=full, neginf=0.0)
    return Image.fromarray(np.rint(np.clip(values / full, 0, 1) * 255).astype(np.uint8))


def _enlarge_pixels(image: Image.Image, resolution: int) -> Image.Image:
    """A square image with every pixel as a square of resolution / side: the mean over the area of each new pixel.

    Nearest would make some of the squares a pixel wider than others; where the ratio is whole, this is nearest.
    """
    side = image.width
    edges = np.arange(side + 1) * (resolution / side)  # of the old pixels, in new ones
    new = np.arange(resolution)[:, None]
    overlap = np.clip(np.minimum(new + 1, edges[1:]) - np.maximum(new, edges[:-1]), 0, None)  # (resolution, side)
    pixels = np.asarray(image).reshape(side, side, -1).astype(np.float64)
    enlarged = np.einsum("ij,kl,jlc->ikc", overlap, overlap, pixels, optimize=True)
    data = np.rint(enlarged).astype(np.uint8).tobytes()
    return Image.frombytes(image.mode, (resolution, resolution), data)


def _to_array(image: Image.Image, channels: str) -> np.ndarray:
    if channels == "rgba":
        return np.array(image.convert("RGBA"))
    if image.mode == "RGBa":
        pixels = np.asarray(image).astype(np.uint16)
        over_white = pixels[..., :3] + (255 - pixels[..., 3:])
        image = Image.fromarray(np.minimum(over_white, 255).astype(np.uint8))  # Lanczos may overshoot
    converted = np.array(image.convert("L" if channels == "grey" else "RGB"))
    return converted.reshape(*converted.shape[:2], _CHANNELS[channels])
