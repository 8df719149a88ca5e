"""Checkpoints: one file with the whole state of training, written so that it is never incomplete.

A checkpoint is a NumPy .npz (a zip of arrays, each with its CRC) with one array per variable and
`meta.json`. Random numbers and batches are functions of the seed and the step, so the step is all that
is stored of them.
"""

from __future__ import annotations

import errno
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sle_gan import weights
from sle_gan.errors import UserError, shown
from sle_gan.storage import npz
from sle_gan.storage.atomic import atomic_path
from sle_gan.storage.json_objects import parse_object

if TYPE_CHECKING:
    import keras

FORMAT = "sle_gan.checkpoint/1"
META = "meta.json"

# Running statistics of settings that may change when a run is resumed (`sle_gan.gans.overfitting`). Where a checkpoint
# has none, they start at their initial values.
OPTIONAL = ("buffer/augmentation", "buffer/lecam")


class Checkpoint(NamedTuple):
    """Where a checkpoint is and how far training had come."""

    path: Path
    step: int


def save(path: Path, state: Mapping[str, keras.Variable], meta: Mapping[str, Any]) -> None:
    """Writes the state of a GAN; see `write`."""
    from keras import ops

    write(path, ((name, ops.convert_to_numpy(variable.value)) for name, variable in state.items()), meta)


def write(path: Path, arrays: Iterable[tuple[str, np.ndarray]], meta: Mapping[str, Any]) -> None:
    """Writes named arrays under a temporary name, one after the other, syncs the file to disk and renames it.

    Raises:
        FloatingPointError: if an array holds NaN or Inf; nothing is written then.
        OSError: if it cannot be written; what stood at `path` is untouched.
    """
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(META, json.dumps({"format": FORMAT, **meta}))
        for name, values in arrays:
            array = np.asarray(values)
            if array.dtype.kind == "f" and not np.isfinite(array).all():
                raise FloatingPointError(f"{name} holds NaN or Inf")
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def load(path: Path, state: Mapping[str, keras.Variable]) -> dict[str, Any]:
    """Reads the whole file, checks it against the state, then assigns all of it. Returns the meta data.

    State of `OPTIONAL` names that only one of the two has is left as it is.

    Raises:
        UserError: if the file is damaged, foreign or of other networks; nothing is assigned then.
    """
    meta, arrays = read(path)
    apart = {name for name in state.keys() ^ arrays.keys() if name.startswith(OPTIONAL)}
    weights.assign(
        {name: variable for name, variable in state.items() if name not in apart},
        {name: array for name, array in arrays.items() if name not in apart},
        f"the checkpoint {path} is of other networks",
    )
    return meta


def read(path: Path, prefix: str = "") -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The meta data of a checkpoint, and its arrays, or those whose names begin with `prefix`.

    Raises:
        UserError: if the file is damaged or foreign.
    """
    meta = read_meta(path)
    try:
        with npz.opened(path) as archive:
            return meta, {name: archive.array(name) for name in archive.arrays if name.startswith(prefix)}
    except npz.ERRORS as error:
        raise UserError(f"the checkpoint {path} is damaged ({shown(error, 200)})") from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shapes of all arrays of a checkpoint, by name; none of them is read.

    Raises:
        UserError: if the file is damaged.
    """
    try:
        with npz.opened(path) as archive:
            return {name: archive.shape(name) for name in archive.arrays}
    except npz.ERRORS as error:
        raise UserError(f"the checkpoint {path} is damaged ({shown(error, 200)})") from error


def read_meta(path: Path) -> dict[str, Any]:
    """The meta data of a checkpoint: format, step, and what the run wrote with it.

    Raises:
        UserError: if the file is truncated or no checkpoint of ours.
    """
    try:
        with npz.opened(path) as archive:
            meta = parse_object(archive.content(META))
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise UserError(f"the checkpoint {path} is truncated or no checkpoint ({shown(error, 200)})") from error
    except npz.ERRORS as error:
        raise UserError(f"{path} is not a checkpoint of this project ({shown(error, 200)})") from error
    if meta.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of this project; expected the format {FORMAT!r}")
    return meta


def path_of(folder: Path, step: int) -> Path:
    """Where a run's checkpoint of this step is."""
    return folder / f"step_{step:08d}.npz"


class CheckpointFolder:
    """The checkpoints of one run: `step_00001000.npz` and so on; the newest `keep` stay."""

    def __init__(self, folder: Path, keep: int):
        self.folder, self.keep = folder, keep
        self.best = folder / "best.npz"

    def all(self) -> list[Checkpoint]:
        """Checkpoints by step, oldest first."""
        found = []
        for path in self.folder.glob("step_*.npz"):
            digits = path.stem.removeprefix("step_")
            if digits.isdigit():
                found.append(Checkpoint(path, int(digits)))
        return sorted(found, key=lambda checkpoint: checkpoint.step)

    def newest(self) -> Checkpoint | None:
        found = self.all()
        return found[-1] if found else None

    def save(self, step: int, state: Mapping[str, keras.Variable], meta: Mapping[str, Any]) -> Path:
        """Writes the checkpoint of this step, then deletes those beyond the newest `keep`.

        Where the disk is full, all but the newest of the others make room for it first: its steps are worth more.
        """
        path = path_of(self.folder, step)
        try:
            self._save(path, step, state, meta)
        except OSError as error:
            spare = self.all()[:-1]
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or not spare:
                raise
            for old in spare:
                old.path.unlink(missing_ok=True)
            self._save(path, step, state, meta)
        for old in self.all()[: -self.keep]:
            old.path.unlink(missing_ok=True)
        return path

    def save_best(self, step: int, state: Mapping[str, keras.Variable], meta: Mapping[str, Any]) -> Path:
        """Writes the checkpoint of the best score, which is kept beside the newest ones."""
        self._save(self.best, step, state, meta)
        return self.best

    def _save(self, path: Path, step: int, state: Mapping[str, keras.Variable], meta: Mapping[str, Any]) -> None:
        self.folder.mkdir(exist_ok=True)  # it may have been removed for its size
        save(path, state, {"step": step, **meta})

    def best_meta(self) -> dict[str, Any] | None:
        """The meta data of the best score's checkpoint, if there is a whole one."""
        try:
            return read_meta(self.best)
        except UserError:
            return None

    def load_newest(self, state: Mapping[str, keras.Variable]) -> dict[str, Any]:
        """Loads the newest checkpoint.

        Raises:
            UserError: if there is none, or if it is damaged; the one before it is then offered by name.
        """
        found = self.all()
        if not found:
            raise UserError(f"{self.folder} holds no checkpoint to resume from; train again with --override")
        try:
            return load(found[-1].path, state)
        except UserError as error:
            raise UserError(f"{error}. {self._offer(found[:-1])}") from error

    @staticmethod
    def _offer(older: list[Checkpoint]) -> str:
        for path, step in reversed(older):
            try:
                read_meta(path)
            except UserError:
                continue
            return f"The one before it, {path.name} (step {step}), is whole: delete the bad file to resume there"
        return "There is no other checkpoint: train again with --override"
