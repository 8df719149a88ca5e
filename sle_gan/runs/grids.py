"""The grids of pictures that a run drew while it trained: `samples/NAME_STEP.png`."""

from __future__ import annotations

import re
from pathlib import Path

_FILE = re.compile(r"(.+)_(\d{8,})\.png")


def find_grids(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    """Steps and files of each kind of grid in a run's folder `samples`, the first step first; samples before others."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.iterdir():
        if match := _FILE.fullmatch(path.name):
            found.setdefault(match[1], []).append((int(match[2]), path))
    names = sorted(found, key=lambda name: (name != "samples", name))
    return {name: sorted(found[name]) for name in names}
