"""The kept pictures as a folder of links or copies."""

from __future__ import annotations

from pathlib import Path

from tqdm import tqdm

from sle_gan.curation.decide import Decision
from sle_gan.curation.gather import Gathered
from sle_gan.data import PictureSource
from sle_gan.data.picture_files import IMAGE_SUFFIXES
from sle_gan.errors import UserError, printable
from sle_gan.storage.atomic import atomic_path
from sle_gan.storage.paths import check_output_folder

_KINDS = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp"}
_KINDS |= {b"II*\0": ".tif", b"MM\0*": ".tif"}


def check_keep(flag: str, folder: str | Path, source: PictureSource | None = None) -> None:
    """Raises a UserError unless a folder is new or empty, can be written, and lies outside the source."""
    path = Path(folder)
    check_output_folder(flag, folder)
    if path.is_dir() and any(path.iterdir()):
        raise UserError(f"{flag} {folder} is not empty; give a new folder, for nothing in it is to be replaced")
    own = source.folder if source else None
    if own is not None and path.resolve().is_relative_to(own.resolve()):
        raise UserError(f"{flag} {folder} lies within the pictures' own folder, which stays as it is; give another one")


def keep(gathered: Gathered, decision: Decision, folder: str | Path, links: bool) -> int:
    """Puts the kept pictures into a folder under their own names; returns how many.

    links: symbolic links to the files. What has no file of its own (in an archive or a data set) is copied.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    kept = [name for name, rule in zip(gathered.names, decision.rule) if not rule]
    for name in tqdm(kept, "Keeping", unit="picture", delay=2, leave=False):
        path = gathered.source.path(name)
        if links and path is not None:
            place = target / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(path.resolve())
        else:
            _copy(gathered.source.read(name), target, name)
    return len(kept)


def _copy(data: bytes, target: Path, name: str) -> None:
    place = target / (name if Path(name).suffix.lower() in IMAGE_SUFFIXES else name + _suffix(data, name))
    place.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(place) as temporary:
        temporary.write_bytes(data)


def _suffix(data: bytes, name: str) -> str:
    """For rows without a file's name, which would not be found as pictures."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return ".webp"
    found = next((suffix for start, suffix in _KINDS.items() if data.startswith(start)), None)
    if found is None:
        raise UserError(f"{printable(name)} is of no kind that pictures are kept in")
    return found
