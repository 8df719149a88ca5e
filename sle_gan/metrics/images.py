"""The two ways to read pictures for scoring: pictures as they are, or as training sees them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from sle_gan.data import (
    Levels,
    PixelSettings,
    SkippedFile,
    decode_failure,
    describe,
    open_source,
    read_cut,
    read_whole,
)
from sle_gan.errors import UserError, counted
from sle_gan.shapes import SQUARE


class ImageFolder:
    """The pictures of a folder, archive or data set, each decoded when it is asked for: more than memory holds is fine.

    At their own size by default. This is how pytorch-fid reads a folder: the extractor then resizes, so that
    nothing is resized twice. Unlike there, EXIF orientation is honoured, alpha lies over white, and 16-bit
    grey is scaled: the decoder is training's. With a resolution, exactly as training reads them
    (`sle_gan.data.decode_image`: cut to a square or an aspect, antialiased), which is what a generator's images
    have to be compared with. A file that cannot be decoded is left out and listed in `skipped`; `unread` names what
    else was found and is not used.

    Raises:
        UserError: for a source that is missing or holds no picture.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        count: int | None = None,
        seed: int = 0,
        resolution: int | None = None,
        channels: str = "rgb",
        enlarge: str = "smooth",
        value_range: tuple[float, float] | None = None,
        image_column: str | None = None,
        aspect: str = SQUARE,
    ) -> None:
        """count: at most so many, drawn at random without repeats by `seed`; None for all.

        channels, enlarge: with a resolution, as in training; "grey" is repeated to three channels.
        value_range: values that are black and white in pictures of 16 bits and more, as in training.
        image_column: of a data set with several.
        aspect: with a resolution, as in training.
        """
        if resolution is not None and not 8 <= resolution <= 4096:
            raise UserError(f"resolution {resolution}: expected 8 to 4096 pixels")
        self._source = open_source(folder, image_column)
        self.folder = Path(self._source.where)
        self._cut = None if resolution is None else PixelSettings(resolution, channels, enlarge, value_range, aspect)
        self._value_range = value_range
        names, self.unread = list(self._source.names), list(self._source.left_out)
        self.found = len(names)
        if count is not None and count < len(names):
            chosen = np.random.default_rng(seed).choice(len(names), count, replace=False)
            names = [names[i] for i in sorted(chosen)]
        self.names = names
        self.skipped: list[SkippedFile] = []
        self._levels: dict[str, Levels] = {}

    def load(self, name: str) -> np.ndarray | None:
        """uint8 (H, W, 3), or None where the file gives no picture. May be called from several threads."""
        cut = self._cut
        try:
            file = self._source.picture(name)
            image, levels = read_cut(file, cut) if cut else read_whole(file, "rgb", self._value_range)
        except Exception as error:  # Pillow has no closed list of what a hostile file makes it raise
            self.skipped.append(SkippedFile(name, decode_failure(error)))
            return None
        if levels:
            self._levels[name] = levels
        return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image

    @property
    def notes(self) -> list[str]:
        """After reading: what is to be known of how pictures of more than 8 bits a channel were read."""
        return describe(self._levels, chosen=self._value_range is not None)

    def check(self) -> None:
        """After reading: raises UserError when more than half of the files were skipped."""
        if 2 * len(self.skipped) > len(self.names):
            raise UserError(
                f"{len(self.skipped)} of {counted(len(self.names), 'picture')} in {str(self.folder)!r} cannot be "
                f"decoded ({'; '.join(map(str, sorted(self.skipped)[:3]))}); at least half must be good"
            )
