"""The models that are shown: loaded when they are asked for, and again when their files have changed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sle_gan.errors import UserError
from sle_gan.hub import open_model
from sle_gan.hub.model_files import GENERATOR
from sle_gan.runs.folder import is_run, read_run_config
from sle_gan.shapes import SQUARE
from sle_gan.weights import StoredNetwork

# Networks that are kept in memory, of those that were used last. One of 256 pixels and width 64 takes 0.12 GB.
KEPT = 3
DIRECTIONS = ("AB", "BA")


class Entry(NamedTuple):
    """A model by the name that the page has for it.

    Attributes:
        reference: what `sle_gan.hub.open_model` takes.
        directions: of a CycleGAN: those that it translates in. Empty for what makes pictures from latents.
        of_class: of a generator of classes, the one that this entry makes; None for all: each picture is then of the
            class of its seed.
    """

    name: str
    reference: str
    directions: tuple[str, ...] = ()
    of_class: str | None = None


class Loaded(NamedTuple):
    """A network that is ready.

    Attributes:
        network: a `Folded`, or a network that has no such form; of a CycleGAN the generator.
        stored: where it is from.
        version: of the file, as `_version` gives it.
        found: directions by method, made when they are first asked for.
        class_weights: of an entry of one class, the weights (classes,) of all classes of its generator.
    """

    network: Any
    stored: StoredNetwork
    version: object
    found: dict[str, Any]
    class_weights: Any = None

    @property
    def resolution(self) -> int:
        """Shorter side of the pictures in pixels."""
        return self.stored.architecture["output_resolution"]

    @property
    def aspect(self) -> str:
        """W:H of the pictures."""
        return self.stored.architecture.get("aspect", SQUARE)


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
            directions, classes = _what_it_makes(reference)
            for entry in _entries(name, reference, directions, classes):
                self._given[entry.name] = entry
        self._loaded: dict[tuple[Entry, str], Loaded] = {}
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
                for entry in _entries(name, str(folder), directions, _classes_of_run(folder)):
                    found[entry.name] = entry
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
        key = (entry, direction)
        with self._lock:
            known = self._loaded.pop(key, None)  # a broken file leaves nothing behind
            if known is None or known.version is None or _version(known.stored.source) != known.version:
                known = None  # its memory goes before the next one's is taken
                known = _load(entry, direction)
            self._loaded[key] = known
            for old in list(self._loaded)[:-KEPT]:
                del self._loaded[old]
            return known


def _entries(name: str, reference: str, directions: tuple[str, ...], classes: Sequence[str]) -> list[Entry]:
    """One for a model, and one for each class that its generator was taught."""
    return [
        Entry(name, reference, directions),
        *(Entry(f"{name}: {each}", reference, directions, each) for each in classes),
    ]


def _classes_of_run(folder: Path) -> tuple[str, ...]:
    try:
        return read_run_config(folder).class_names or ()
    except UserError:  # a run of another version, or one that is being deleted
        return ()


def _what_it_makes(reference: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The directions of a CycleGAN, none for what makes pictures from latents, and the classes of that.

    Raises:
        UserError: for what is neither.
    """
    model = open_model(reference, "--model")
    try:
        stored = model.generator()
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
        return tuple(found), ()
    return (), tuple(stored.architecture.get("classes", ()))


def _version(source: str | Path) -> tuple[int, ...] | None:
    """What changes with a file's content."""
    try:
        stat = Path(source).stat()
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _load(entry: Entry, direction: str) -> Loaded:
    from sle_gan.generation import one_class
    from sle_gan.models.building import build_network, fold_network

    model = open_model(entry.reference)
    stored = model.translator(direction) if direction else model.generator()
    version = _version(stored.source)  # before it is read: what replaces it meanwhile is seen the next time
    if direction:
        return Loaded(build_network(stored), stored, version, {})
    network, weights = fold_network(stored), None
    classes = list(stored.architecture.get("classes", ()))
    if entry.of_class is not None:
        if entry.of_class not in classes:
            raise UserError(f"{entry.reference} makes the class {entry.of_class} no more; open the page again")
        weights = one_class(classes.index(entry.of_class), len(classes))
        network = network.of_class(weights)
    if hasattr(network, "on_device"):
        network.on_device()
    return Loaded(network, stored, version, {}, weights)
