"""The two ways to read a folder for scoring: pictures as they are, or as training sees them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sle_gan.data import decode_image, find_images
from sle_gan.errors import UserError

_DEEP_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")


class ImageFolder:
    """The pictures under a folder, each decoded when it is asked for: a folder larger than memory is fine.

    At their own size by default. This is how pytorch-fid reads a folder: the extractor then resizes, so that
    nothing is resized twice. Unlike there, EXIF orientation is honoured, alpha lies over white, and 16-bit
    grey is scaled. With a resolution, exactly as training reads them (`sle_gan.data.decode_image`: cut
    square, antialiased), which is what a generator's images have to be compared with. A file that cannot be
    decoded is left out and listed in `skipped`.

    Raises:
        UserError: for a folder that is missing or holds no picture.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        count: int | None = None,
        seed: int = 0,
        resolution: int | None = None,
        channels: str = "rgb",
        enlarge: str = "smooth",
    ) -> None:
        """count: at most so many, drawn at random without repeats by `seed`; None for all.

        channels, enlarge: with a resolution, as in training; "grey" is repeated to three channels.
        """
        if resolution is not None and not 8 <= resolution <= 4096:
            raise UserError(f"resolution {resolution}: expected 8 to 4096 pixels")
        self.folder = Path(folder).expanduser()
        self.resolution, self.channels, self.enlarge = resolution, channels, enlarge
        names, _ = find_images(self.folder)
        self.found = len(names)
        if count is not None and count < len(names):
            chosen = np.random.default_rng(seed).choice(len(names), count, replace=False)
            names = [names[i] for i in sorted(chosen)]
        self.names = names
        self.skipped: list[str] = []

    def load(self, name: str) -> np.ndarray | None:
        """uint8 (H, W, 3), or None where the file gives no picture. May be called from several threads."""
        try:
            if self.resolution is not None:
                image = decode_image(self.folder / name, self.resolution, self.channels, self.enlarge)
                return np.repeat(image, 3, axis=2) if self.channels == "grey" else image
            return decode_rgb(self.folder / name)
        except Exception as error:  # Pillow has no closed list of what a hostile file makes it raise
            self.skipped.append(f"{name}: {' '.join(str(error).split()) or type(error).__name__}")
            return None

    def check(self) -> None:
        """After reading: raises UserError when more than half of the files were skipped."""
        if 2 * len(self.skipped) > len(self.names):
            raise UserError(
                f"{len(self.skipped)} of {len(self.names)} pictures in {str(self.folder)!r} cannot be "
                f"decoded ({'; '.join(sorted(self.skipped)[:3])}); at least half must be good"
            )


def decode_rgb(path: Path) -> np.ndarray:
    """One picture upright as uint8 (H, W, 3) at its own size; the first frame of an animation."""
    with Image.open(path, formats=("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP_GREY:  # Pillow's conversion would clip all above 255 to white
        values = np.asarray(upright, np.float32)
        full = 255.0 if upright.mode in ("I", "F") and values.max() <= 255 else 65535.0
        grey = np.rint(np.clip(values / full, 0, 1) * 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        white = Image.new("RGBA", upright.size, "white")
        upright = Image.alpha_composite(white, upright)
    return np.asarray(upright.convert("RGB"))
