"""Many small pictures, numbered, into a folder of their own."""

import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from PIL import Image
from tqdm import tqdm

from sle_gan.data.parallel import ordered_map, worker_count
from sle_gan.errors import UserError, printable
from sle_gan.storage.paths import expanded


def write_numbered(
    folder: str | os.PathLike[str],
    stem: str,
    count: int,
    draw: Callable[[int], Image.Image | None],
    what: str,
    progress: bool = True,
) -> int:
    """Writes `draw(0)` ... `draw(count - 1)` as STEM_0000.png ... into `folder`, made when missing; None is left out.

    `draw` is called from threads. `what` names the pictures in messages, as in "the demo pictures". Returns how many
    were written. Raises `UserError` when the folder holds anything but pictures that this very call would
    write, and when it cannot be written.
    """
    target = Path(expanded(os.fspath(folder)))
    digits = max(4, len(str(count - 1)))
    _check_target(target, stem, count, digits, what)
    paths = (target / f"{stem}_{number:0{digits}}.png" for number in range(count))
    try:
        target.mkdir(parents=True, exist_ok=True)
        saved = ordered_map(partial(_save, draw), enumerate(paths), worker_count(None))
        return sum(tqdm(saved, f"Writing {what}", count, unit="image", delay=1, disable=not progress))
    except OSError as error:
        raise UserError(
            f"cannot write {what} to {printable(str(target))!r}: {error.strerror or error}; "
            "give a folder that can be written and has space"
        ) from error


def _check_target(target: Path, stem: str, count: int, digits: int, what: str) -> None:
    shown = printable(str(target))
    if target.exists() and not target.is_dir():
        raise UserError(f"{shown!r} is a file; give a new or empty folder for {what}")
    for path in sorted(target.iterdir()) if target.exists() else ():
        match = re.fullmatch(rf"{re.escape(stem)}_(\d{{{digits},}})\.png(\.tmp)?", path.name)  # .tmp: a run was killed
        if path.name.startswith("."):  # what a file manager leaves
            continue
        if match is None or int(match[1]) >= count:
            raise UserError(
                f"the folder {shown!r} already holds {printable(path.name)!r}, which is none of {what}; "
                "give a new or empty folder"
            )


def _save(draw: Callable[[int], Image.Image | None], numbered: tuple[int, Path]) -> bool:
    number, path = numbered
    picture = draw(number)
    if picture is None:
        return False
    temporary = path.with_suffix(".png.tmp")
    picture.save(temporary, format="PNG", compress_level=3)
    temporary.replace(path)  # a run that is stopped leaves no half a picture
    return True
