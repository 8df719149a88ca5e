"""`sle-gan explore film`: the grids that a run drew while it trained, as a film."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sle_gan.cli import explore_model as shared
from sle_gan.cli.common import user_path
from sle_gan.errors import UserError, counted
from sle_gan.runs.grids import find_grids

if TYPE_CHECKING:
    import numpy as np

_STRIP = 24  # pixels under each picture, for the step


def add_flags(parser: Any) -> None:
    parser.add_argument("--run", type=user_path, required=True, metavar="DIR", help="a run's folder, runs/NAME")
    parser.add_argument(
        "--grid", metavar="NAME", help="which of its grids, such as samples or reconstructions (default: the first)"
    )
    shared.add_video_flags(parser)
    parser.add_argument(
        "--side",
        type=shared.number(64, 4096, True),
        default=1024,
        metavar="N",
        help="larger grids are reduced to so many pixels (default %(default)s)",
    )


def main(arguments: argparse.Namespace) -> None:
    shared.check_video_flags(arguments)
    files = _grids(arguments)
    from tqdm import tqdm

    from sle_gan.pictures.videos import save_video

    total = shared.frame_count(arguments)
    shown = [files[min(i * len(files) // total, len(files) - 1)] for i in range(total - 1)] + [files[-1]]
    frames = tqdm(_frames(shown, arguments.side), total=total, unit="frame", delay=2)
    save_video(frames, shared.made_folder(arguments.video), arguments.fps)
    print(f"wrote {counted(len(dict(shown)), 'grid')} in {counted(total, 'frame')} to {arguments.video}")


def _grids(arguments: argparse.Namespace) -> list[tuple[int, Path]]:
    """Steps and files of the grids that are meant, the first step first.

    Raises:
        UserError: if the folder has none.
    """
    folder = Path(arguments.run) / "samples"
    if not folder.is_dir():
        raise UserError(f"--run {arguments.run} has no folder samples; expected a run of sle-gan train")
    found = find_grids(folder)
    if not found:
        raise UserError(f"--run {arguments.run} has no grids in its folder samples yet")
    name = arguments.grid or next(iter(found))
    if name not in found:
        raise UserError(f"--grid {name}: this run has {', '.join(found)}")
    return found[name]


def _frames(files: list[tuple[int, Path]], side: int) -> Iterator[np.ndarray]:
    from sle_gan.data import decode_failure, decode_whole, quiet_pillow

    before, size, frame = None, None, None
    for step, path in files:
        if step != before:
            try:
                with quiet_pillow():
                    picture = decode_whole(path)
            except Exception as error:  # Pillow has no closed list of what a damaged file makes it raise
                raise UserError(f"{path} cannot be read: {decode_failure(error)}") from error
            frame = _captioned(picture, side, f"step {step:,}")
            size = size or frame.shape
            if frame.shape != size:
                raise UserError(f"{path} is of another size than the grids before it; was the run's data changed?")
        before = step
        assert frame is not None
        yield frame


def _captioned(picture: np.ndarray, side: int, caption: str) -> np.ndarray:
    """The picture, reduced where it is larger, over a strip with a caption."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    frame = Image.new("RGB", (image.width, image.height + _STRIP), "white")
    frame.paste(image)
    ImageDraw.Draw(frame).text((6, image.height + 4), caption, "black", ImageFont.load_default(14))
    return np.asarray(frame)
