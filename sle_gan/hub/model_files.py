"""Which files a shared model consists of, and what is checked before one of them is used.

A repository's listing is written by strangers. Nothing is fetched but names on the list below, nothing
larger than its limit, and nothing is used whose content differs from the hash that the listing gives.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sle_gan.errors import UserError, shown
from sle_gan.storage.json_objects import CONFIG, MOST_BYTES, read_config
from sle_gan.storage.torch_files import HUB_NAMES, is_torch_file

LIBRARY = "sle-gan"
CARD = "README.md"
SAMPLES = "samples.png"
GENERATOR = "generator_weights.h5"
DISCRIMINATOR = "discriminator_weights.h5"
PYTORCH = HUB_NAMES  # of other projects that we read

_OURS = re.compile(r"(generator|discriminator)(_[A-Za-z0-9]{1,16}){0,2}_weights\.h5")
_MB = 1_000_000
_CONFIG_BYTES = MOST_BYTES
_WEIGHTS_BYTES = 4000 * _MB  # the networks at width 64 take 120 MB
_CHUNK = 1 << 20
# What other libraries write into their config.json, and we do not.
_FOREIGN_KEYS = {"architectures": "Transformers", "transformers_version": "Transformers", "_class_name": "Diffusers"}


class Listed(NamedTuple):
    """One file of a repository as its listing describes it; sizes in bytes, hashes in hex or None."""

    name: str
    size: int | None
    sha256: str | None
    git_sha1: str | None


def is_weights(name: str) -> bool:
    """Whether a file of this name may hold weights that we read."""
    return name in PYTORCH or bool(_OURS.fullmatch(name))


def is_ours(name: str) -> bool:
    """Whether this is the name of a weights file that a training run of ours exports."""
    return bool(_OURS.fullmatch(name))


def check_listing(files: Iterable[Listed], source: str) -> dict[str, Listed]:
    """The files on our list, by name.

    Raises:
        UserError: if any name leads out of a folder, or a file on our list is too large or has no hash.
    """
    known = {}
    for file in files:
        if _escapes(file.name):
            raise UserError(
                f"{source} lists a file {file.name!r}, which leads out of its folder; nothing was downloaded from it"
            )
        if file.name == CONFIG or is_weights(file.name):
            known[file.name] = _checked(file, source)
    return known


def _checked(file: Listed, source: str) -> Listed:
    limit = _CONFIG_BYTES if file.name == CONFIG else _WEIGHTS_BYTES
    if file.size is None or not (file.sha256 or file.git_sha1):
        raise UserError(f"{source} lists {file.name} without size and hash, so it cannot be checked; it was not used")
    if file.size > limit:
        raise UserError(
            f"{source} lists {file.name} with {file.size / _MB:,.1f} MB, more than the {limit / _MB:,.0f} MB "
            "that such a file may have; nothing was downloaded"
        )
    return file


def _escapes(name: str) -> bool:
    parts = re.split(r"[/\\]", name)
    return not name.isprintable() or any(part in ("", ".", "..") for part in parts) or parts[0].endswith(":")


def weights_names(names: Iterable[str], config: Mapping[str, Any], source: str) -> list[str]:
    """Those of the names whose weights make the model; never an empty list.

    Raises:
        UserError: if there are none, or config.json says that they are another library's.
    """
    names = sorted(names)
    ours = [name for name in names if is_ours(name)]
    if ours:
        return ours
    library = config.get("library_name") or next((_FOREIGN_KEYS[key] for key in _FOREIGN_KEYS if key in config), None)
    if library and library != LIBRARY:
        kind = config.get("model_type") or config.get("_class_name") or "model"
        raise UserError(
            f"{source} holds a {shown(kind)} of {shown(library)}, which is no model of this project; {_EXPECTED}"
        )
    theirs = [name for name in PYTORCH if name in names]
    if not theirs:
        listed = ", ".join(map(shown, names[:6])) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
        raise UserError(f"{source} holds no weights that we read (its files: {listed or 'none'}); {_EXPECTED}")
    return theirs[:1]


_EXPECTED = f"expected {GENERATOR}, or {CONFIG} with one of {', '.join(PYTORCH)}"


def foreign_file(folder: Path, source: str) -> Path:
    """The file of another project in a folder without weights files of ours.

    Args:
        source: what the folder is called in messages.

    Raises:
        UserError: if there is none, or config.json says that it is another library's.
    """
    files = [path for path in folder.iterdir() if path.is_file()]
    if not any(is_weights(path.name) for path in files):
        torch = [path for path in files if is_torch_file(path)]
        if len(torch) == 1:  # a folder of one's own, where a repository may hold nothing under such a name
            return torch[0]
    return folder / weights_names((path.name for path in files), read_config(folder), source)[0]


def check_stated(file: Path) -> None:
    """Compares a file with the hash that config.json beside it gives for it; most give none.

    Raises:
        UserError: if they differ.
    """
    stated = _stated_sha256(read_config(file.parent), file.name)
    check_content(file, Listed(file.name, None, stated, None), str(file.parent / CONFIG))


def _stated_sha256(config: Mapping[str, Any], name: str) -> str | None:
    """The hash that a shared model's config.json gives for a file; other config.json give none."""
    files = config.get("files")
    entry = files.get(name) if isinstance(files, dict) else None
    stated = entry.get("sha256") if isinstance(entry, dict) else None
    return stated if isinstance(stated, str) else None


def check_content(path: Path, listed: Listed, source: str) -> None:
    """Compares a file's size and hash with those that are given.

    Raises:
        UserError: with both of them, if they differ.
    """
    size = path.stat().st_size
    if listed.size is not None and size != listed.size:
        raise UserError(f"{path.name} has {size:,} bytes, but {source} says {listed.size:,}")
    if listed.sha256:
        algorithm, start, expected = "sha256", b"", listed.sha256
    elif listed.git_sha1:
        algorithm, start, expected = "sha1", b"blob %d\0" % size, listed.git_sha1  # as git names a file
    else:
        return
    found = _hash(path, algorithm, start)
    if found != expected:
        raise UserError(
            f"{path.name} has the {algorithm.upper()} {found[:16]}..., but {source} says {expected[:16]}...: "
            "it was changed or damaged on its way"
        )


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    return _hash(path, "sha256", b"")


def _hash(path: Path, algorithm: str, start: bytes) -> str:
    digest = hashlib.new(algorithm, start, usedforsecurity=algorithm != "sha1")
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
