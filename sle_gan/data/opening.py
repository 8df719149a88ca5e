"""A file -> an open Pillow image of a kind, form and size that may be decoded."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from PIL import Image, JpegImagePlugin, UnidentifiedImageError, features

from sle_gan.data import png
from sle_gan.data.picture_files import check_file
from sle_gan.data.unread import content_reason

MIN_SIDE = 8
MAX_ASPECT = 16
# Pillow's own limit, 8 bytes a pixel at worst while decoding. Checked here rather than by
# `Image.MAX_IMAGE_PIXELS`, which is global (and which another library may have lifted).
MAX_PIXELS = 89_478_485

# In Pillow 11.3 or newer, where it was built with it.
AVIF = "avif" in features.modules and features.check_module("avif")
# What is tried, whatever the file is called. Left open, Pillow would start Ghostscript on a mislabelled .eps.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", *(["AVIF"] if AVIF else []))
Source = str | os.PathLike[str] | IO[bytes]


@contextmanager
def open_picture(source: Source, at_least: int | None = None, any_shape: bool = False) -> Iterator[Image.Image]:
    """A picture that is identified and not yet decoded.

    source: a path, or a file that is open.
    at_least: sides of at least so many pixels will do: a JPEG is then decoded at 1/2, 1/4 or 1/8 where it may.
    any_shape: small and narrow ones too.

    Raises what `decode_image` says for a file that is no picture, or too small, narrow or large.
    """
    with _opened(source) as file:
        image = _identified(file)
        with image:
            size = image.size
            if at_least is not None:
                image.draft(None, (at_least, at_least))
            if not any_shape:
                _check_shape(*size)
            _check_size(size, image)
            yield image


def stated_size(source: Source) -> tuple[int, int]:
    """Width and height as a picture's file states them, of any size; nothing is decoded.

    Raises what `decode_image` says for a file that is no picture.
    """
    with _opened(source) as file, _identified(file) as image:
        return image.size


@contextmanager
def _opened(source: Source) -> Iterator[IO[bytes]]:
    if isinstance(source, (str, os.PathLike)):
        check_file(Path(source))
        with Path(source).open("rb") as file:
            yield file
    else:
        source.seek(0)
        yield source


def _identified(file: IO[bytes]) -> Image.Image:
    head = file.read(16)
    file.seek(0)
    try:
        if head.startswith(b"\xff\xd8\xff"):
            # Not by `Image.open`, which refuses by the size of the file's picture: what counts is what is decoded.
            return JpegImagePlugin.jpeg_factory(file)
        return Image.open(png.without_metadata(file) if head.startswith(png.SIGNATURE) else file, formats=FORMATS)
    except (UnidentifiedImageError, SyntaxError, IndexError, TypeError, struct.error):
        raise ValueError(content_reason(head, AVIF)) from None


def _check_shape(width: int, height: int) -> None:
    if min(width, height) < MIN_SIDE:
        raise ValueError(f"too small: {width}x{height}, both sides must have at least {MIN_SIDE} pixels")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ValueError(f"too narrow: {width}x{height}, one side is over {MAX_ASPECT} times the other")


def _check_size(size: tuple[int, int], image: Image.Image) -> None:
    """size: of the picture in the file; image: as it will be decoded."""
    width, height = size
    decoded = image.width * image.height
    if image.info.get("progressive"):  # all coefficients of the whole picture are kept, 6 bytes a pixel
        decoded = max(decoded, width * height * 3 // 4)
    if decoded > MAX_PIXELS:
        smaller = f", decoded at {image.width}x{image.height}," if image.size != size else ""
        way = ", unless it is read at a lower --resolution" if image.format in ("JPEG", "MPO") else ""
        raise ValueError(f"refused: {width}x{height}{smaller} is over {MAX_PIXELS:,} pixels, a decompression bomb{way}")
