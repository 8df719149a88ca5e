"""Animations: .gif and .webp, which Pillow writes, and .mp4, which takes PyAV (the extra `video`)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan.errors import UserError
from sle_gan.pictures.writing import save_gif, to_pillow
from sle_gan.storage.atomic import atomic_path

_FASTEST_GIF = 50  # a GIF counts in hundredths of a second, and programs play one hundredth as ten


def check_video(flag: str, file: str | Path, frames_per_second: int) -> None:
    """Raises a UserError unless the name says a format that `save_video` can write, at that speed."""
    suffix = Path(file).suffix.lower()
    if suffix not in WRITERS:
        raise UserError(f"{flag} {file}: expected a name that ends in {', '.join(WRITERS)}, such as walk.gif")
    if suffix == ".mp4" and importlib.util.find_spec("av") is None:
        raise UserError(f'{flag} {file}: an .mp4 takes PyAV: pip install "sle-gan[video]", or write a .gif or .webp')
    if suffix == ".gif" and frames_per_second > _FASTEST_GIF:
        raise UserError(f"{flag} {file}: a .gif has at most {_FASTEST_GIF} frames a second, not {frames_per_second}")


def save_video(frames: Iterable[np.ndarray], path: str | Path, frames_per_second: int = 25) -> int:
    """Writes uint8 frames (H, W, C) of one size as an animation; .gif and .webp loop for ever.

    Returns:
        How many frames there were.

    Raises:
        UserError: see `check_video`.
        ValueError: if there is no frame.
    """
    check_video("the animation", path, frames_per_second)
    source = iter(frames)
    first = next(source, None)
    if first is None:
        raise ValueError("an animation needs at least one frame")
    return WRITERS[Path(path).suffix.lower()](chain([first], source), path, frames_per_second)


def _save_webp(frames: Iterable[np.ndarray], path: str | Path, frames_per_second: int) -> int:
    pictures = [to_pillow(frame) for frame in frames]
    pictures = [picture.convert("RGB") if picture.mode == "L" else picture for picture in pictures]
    ends = [round(1000 * (i + 1) / frames_per_second) for i in range(len(pictures))]
    durations = [end - start for start, end in zip([0, *ends], ends)]
    options: Any = {"append_images": pictures[1:], "duration": durations, "loop": 0, "quality": 90, "method": 3}
    with atomic_path(path) as temporary:
        pictures[0].save(temporary, format="WEBP", save_all=True, **options)
    return len(pictures)


def _save_mp4(frames: Iterable[np.ndarray], path: str | Path, frames_per_second: int) -> int:
    import av

    count = 0
    source = iter(frames)
    first = _even(next(source))
    with atomic_path(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=frames_per_second, options={"crf": "18"})
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"  # what browsers and phones play
        for frame in chain([first], map(_even, source)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            count += 1
        container.mux(stream.encode())
    return count


def _even(frame: np.ndarray) -> np.ndarray:
    """RGB with sides that are even, as the format's half-size colours need; the last row or column is repeated."""
    rgb = np.asarray(to_pillow(frame).convert("RGB"))
    return np.pad(rgb, ((0, rgb.shape[0] % 2), (0, rgb.shape[1] % 2), (0, 0)), mode="edge")


WRITERS: dict[str, Callable[[Iterable[np.ndarray], str | Path, int], int]] = {
    ".gif": save_gif,
    ".webp": _save_webp,
    ".mp4": _save_mp4,
}
