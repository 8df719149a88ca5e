"""The models that are shown: loaded when they are asked for, and again when their files have changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sle_gan.errors import UserError
from sle_gan.hub import open_model
from sle_gan.hub.model_files import GENERATOR
from sle_gan.runs.folder import is_run
from sle_gan.weights import StoredNetwork

# Networks that are kept in memory, of those that were used last. One of 256 pixels and width 64 takes 0.12 GB.
KEPT = 3
DIRECTIONS = ("AB", "BA")


class Entry(NamedTuple):
    """A model by the name that the page has for it.

    Attributes:
        reference: what `sle_gan.hub.open_model` takes.
        directions: of a CycleGAN: those that it translates in. Empty for what makes pictures from latents.
    """

    name: str
    reference: str
    directions: tuple[str, ...] = ()


class Loaded(NamedTuple):
    """A network that is ready.

    Attributes:
        network: a `Folded`, or a network that has no such form; of a CycleGAN the generator.
        stored: where it is from.
        version: of the file, as `_version` gives it.
        found: directions by method, made when they are first asked for.
    """

    network: Any
    stored: StoredNetwork
    version: object
    found: dict[str, Any]

    @property
    def resolution(self) -> int:
        """Side of the pictures in pixels."""
        return self.stored.architecture["output_resolution"]


class Shelf:
    """Models of references, and of the runs in a folder, by name. Safe to use from several threads.

    Args:
        references: of models, as `sle_gan.hub.open_model` takes them.
        runs: a folder whose runs are shown too, also those that begin later.

    Raises:
        UserError: if a reference is no model that makes or translates pictures; no backend is started.
    """

    def __init__(self, references: Sequence[str] = (), runs: str | Path | None = None):
        self.runs = Path(runs) if runs is not None else None
        if self.runs is not None and not self.runs.is_dir():
            raise UserError(f"--runs {runs}: there is no such folder; expected the one with the folders of runs")
        self._given: dict[str, Entry] = {}
        for reference in references:
            name = Path(reference).name or reference
            name = reference if name in self._given else name
            self._given[name] = Entry(name, reference, _directions(reference))
        self._loaded: dict[tuple[str, str], Loaded] = {}
        self._lock = threading.RLock()

    def entries(self) -> dict[str, Entry]:
        """All models by name, as they are at this moment."""
        found = dict(self._given)
        references = {Path(entry.reference).absolute() for entry in found.values()}
        for folder in self.run_folders().values():
            if folder.absolute() in references:
                continue
            directions = tuple(way for way in DIRECTIONS if (folder / f"generator_{way}_weights.h5").is_file())
            if directions or (folder / GENERATOR).is_file():
                name = str(folder) if folder.name in found else folder.name
                found[name] = Entry(name, str(folder), directions)
        return found

    def generators(self) -> list[str]:
        """The names of those that make pictures from latents."""
        return [entry.name for entry in self.entries().values() if not entry.directions]

    def translators(self) -> list[str]:
        """The names of those that translate pictures."""
        return [entry.name for entry in self.entries().values() if entry.directions]

    def run_folders(self) -> dict[str, Path]:
        """The folders of runs, by their names: those in the folder of runs, and those that were given as models."""
        folders = [Path(entry.reference) for entry in self._given.values()]
        if self.runs is not None:
            folders += sorted(path for path in self.runs.iterdir() if not path.name.startswith("."))
        return {path.name: path for path in folders if is_run(path)}

    def entry(self, name: str) -> Entry:
        """The model of that name.

        Raises:
            UserError: if there is none: nothing but what is shown can be opened.
        """
        found = self.entries()
        if name not in found:
            raise UserError(f"there is no model {name!r} here; choose one of the list")
        return found[name]

    def generator(self, name: str) -> Loaded:
        """The generator of a model, as its file is now.

        Raises:
            UserError: if the file is damaged, of another kind or gone.
        """
        return self._get(self.entry(name), "")

    def translator(self, name: str, direction: str) -> Loaded:
        """The generator of a CycleGAN that goes in a direction, as its file is now; raises as `generator`."""
        entry = self.entry(name)
        if direction not in entry.directions:
            raise UserError(f"{name} translates {' and '.join(entry.directions) or 'nothing'}, not {direction!r}")
        return self._get(entry, direction)

    def _get(self, entry: Entry, direction: str) -> Loaded:
        key = (entry.reference, direction)
        with self._lock:
            known = self._loaded.pop(key, None)  # a broken file leaves nothing behind
            if known is None or known.version is None or _version(known.stored.source) != known.version:
                known = None  # its memory goes before the next one's is taken
                known = _load(entry, direction)
            self._loaded[key] = known
            for old in list(self._loaded)[:-KEPT]:
                del self._loaded[old]
            return known


def _directions(reference: str) -> tuple[str, ...]:
    """Those of a CycleGAN; none for what makes pictures from latents.

    Raises:
        UserError: for what is neither.
    """
    model = open_model(reference, "--model")
    try:
        model.generator()
    except UserError as error:
        found = []
        for direction in DIRECTIONS:
            try:
                model.translator(direction)
            except UserError:
                continue
            found.append(direction)
        if not found:
            raise error
        return tuple(found)
    return ()


def _version(source: str | Path) -> tuple[int, ...] | None:
    """What changes with a file's content."""
    try:
        stat = Path(source).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _load(entry: Entry, direction: str) -> Loaded:
    from sle_gan.models.building import build_network, fold_network

    model = open_model(entry.reference)
    stored = model.translator(direction) if direction else model.generator()
    version = _version(stored.source)  # before it is read: what replaces it meanwhile is seen the next time
    if direction:
        return Loaded(build_network(stored), stored, version, {})
    network = fold_network(stored)
    if hasattr(network, "on_device"):
        network.on_device()
    return Loaded(network, stored, version, {})
