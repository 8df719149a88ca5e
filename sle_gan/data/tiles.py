"""A sheet of equal tiles (sprites, contact prints) -> one picture each."""

import os
from pathlib import Path

from PIL import Image

from sle_gan.data.decode import decode_failure, upright
from sle_gan.data.numbered import write_numbered
from sle_gan.data.opening import open_picture
from sle_gan.errors import UserError, printable
from sle_gan.storage.paths import expanded


def cut_sheet(
    sheet: str | os.PathLike[str], tile: tuple[int, int], folder: str | os.PathLike[str], progress: bool = True
) -> tuple[int, int]:
    """Cuts a sheet into tiles of (width, height) pixels, written as PNGs into `folder` (made when missing).

    Tile k, counted row by row, becomes SHEET_000k.png in the sheet's own mode: transparency and palettes stay.
    Tiles without a single visible pixel are left out. Returns how many were written and how many left out.

    Raises `UserError` for a sheet that cannot be read or that the tiles do not divide, and for a folder that
    holds something else or cannot be written.
    """
    path = Path(expanded(os.fspath(sheet)))
    picture = _read(path)
    width, height = tile
    if width < 1 or height < 1:
        raise UserError(f"a tile of {width}x{height} pixels: expected at least 1x1")
    columns, rows = picture.width // width, picture.height // height
    if picture.width % width or picture.height % height:
        raise UserError(
            f"tiles of {width}x{height} do not divide {printable(path.name)!r}, which is {picture.width}x"
            f"{picture.height}: {picture.width % width} columns and {picture.height % height} rows of pixels are left"
        )

    def cut(number: int) -> Image.Image | None:
        left, top = number % columns * width, number // columns * height
        piece = picture.crop((left, top, left + width, top + height))
        return piece if _is_visible(piece) else None

    written = write_numbered(folder, path.stem, rows * columns, cut, "the tiles", progress)
    return written, rows * columns - written


def _read(path: Path) -> Image.Image:
    shown = printable(str(path))
    try:
        with open_picture(path, any_shape=True) as image:
            image.load()
            return upright(image, image).copy()
    except Exception as error:  # Pillow has no closed list of what a damaged file makes it raise
        raise UserError(f"the sheet {shown!r} cannot be read: {decode_failure(error)}") from error


def _is_visible(piece: Image.Image) -> bool:
    return not piece.has_transparency_data or piece.convert("RGBA").getchannel("A").getbbox() is not None
