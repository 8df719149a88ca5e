"""The procedural demo set: pictures of single flowers, for a first run without any data."""

import os
import re
from functools import partial
from pathlib import Path

from tqdm import tqdm

from sle_gan.data.files import printable
from sle_gan.data.flowers import draw_flower
from sle_gan.data.parallel import ordered_map, worker_count
from sle_gan.errors import UserError


def draw_demo_set(
    folder: str | os.PathLike[str],
    count: int = 400,
    resolution: int = 128,
    seed: int = 0,
    progress: bool = True,
) -> Path:
    """Draws `count` flowers as flower_0000.png ... into `folder` (made when missing) and returns its path.

    Each is RGB, `resolution` pixels square, a function of (seed, its number) alone. Raises `UserError`
    when the folder holds anything but pictures that this call would draw or cannot be written, and for
    arguments out of range.
    """
    for name, value, low in (("count", count, 1), ("resolution", resolution, 16), ("seed", seed, 0)):
        if value < low:
            raise UserError(f"{name} {value!r}: expected at least {low}")
    target = Path(folder).expanduser()
    _check_target(target, count)
    drawn = ordered_map(partial(_save, target, resolution, seed), range(count), worker_count(None))
    try:
        target.mkdir(parents=True, exist_ok=True)
        for _ in tqdm(drawn, "Drawing flowers", count, unit="image", delay=1, disable=not progress):
            pass
    except OSError as error:
        raise UserError(
            f"cannot write the demo pictures to {printable(str(target))!r}: {error.strerror or error}; "
            "give a folder that can be written and has space"
        ) from error
    return target


def _check_target(target: Path, count: int) -> None:
    shown = printable(str(target))
    if target.exists() and not target.is_dir():
        raise UserError(f"{shown!r} is a file; give a new or empty folder for the demo pictures")
    for path in sorted(target.iterdir()) if target.exists() else ():
        match = re.fullmatch(r"flower_(\d{4,})\.png(\.tmp)?", path.name)  # .tmp: a run was killed
        if path.name.startswith("."):  # what a file manager leaves
            continue
        if match is None or int(match[1]) >= count:
            raise UserError(
                f"the folder {shown!r} already holds {printable(path.name)!r}, which is no part of this "
                "demo set; give a new or empty folder"
            )


def _save(target: Path, resolution: int, seed: int, number: int) -> None:
    path = target / f"flower_{number:04}.png"
    temporary = path.with_suffix(".png.tmp")
    draw_flower(resolution, seed, number).save(temporary, format="PNG", compress_level=3)
    temporary.replace(path)  # a run that is stopped leaves no half a picture
