"""The folder of one training run: its files, its lock, and the checks before it is made, replaced or used."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import IO

from sle_gan.config import TrainConfig, config_from_dict, read_config_file
from sle_gan.errors import UserError
from sle_gan.runs.checkpoints import CheckpointFolder
from sle_gan.storage.atomic import TEMPORARY, atomic_path
from sle_gan.storage.locks import lock as take_lock
from sle_gan.storage.paths import check_output_folder, check_text, reason

_NOT_YOURS = "does the run belong to another user? train from a copy of it, or as that user"


class RunFolder:
    """A run's files by name. Holds the run's lock until closed; use as a context manager.

    | path | what |
    |---|---|
    | config.json | the resolved settings |
    | log.jsonl | one line of losses and speed per step |
    | tensorboard/ | the same for TensorBoard, with the grids |
    | samples/ | grids of generated and reconstructed images |
    | checkpoints/ | everything that `--resume` needs |
    | generator_weights.h5, discriminator_weights.h5 | the exports |
    | curves.png | losses and speed, drawn at the end |
    | labels.csv, clusters.png | with --labels clusters: which picture is in which, and some of each |
    | best_generator_weights.h5, fid.png | with --fid: the export of the best step, and the curve |
    | neighbours.png | with --fid: generated pictures beside their nearest training pictures |
    """

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.json"
        self.log = path / "log.jsonl"
        self.tensorboard = path / "tensorboard"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self.curves = path / "curves.png"
        self.labels = path / "labels.csv"
        self.clusters = path / "clusters.png"
        self.fid = path / "fid.png"
        self.neighbours = path / "neighbours.png"
        self.best_generator = path / "best_generator_weights.h5"
        self._lock_file = path / ".lock"
        self._lock: IO[str] | None = None

    @classmethod
    def create(cls, config: TrainConfig, override: bool) -> RunFolder:
        """Makes the folder of a new run and writes its config.json; on an error the folder is removed.

        Raises:
            UserError: if the folder exists and may not be replaced, or it cannot be made.
        """
        folder = cls(config.run_folder)
        check_new(config, override)
        if folder.path.exists():
            folder._acquire(warn=False)  # a run that is still going must not lose its folder
            folder.close()
            _delete(folder.path)
        try:
            folder.path.mkdir(parents=True)  # fails where another process has just made it: that one is not ours
        except OSError as error:
            raise UserError(f"the run folder {folder.path} cannot be made: {reason(error)}") from error
        try:
            for path in folder._places:
                path.mkdir()
            folder._acquire()
            folder.write_config(config)
        except BaseException as error:
            folder.close()
            shutil.rmtree(folder.path, ignore_errors=True)
            if isinstance(error, OSError):
                raise UserError(f"the run folder {folder.path} cannot be made: {reason(error)}") from error
            raise
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Opens the folder of a run to go on with it.

        Raises:
            UserError: if it is none, another process is training in it, or it cannot be written.
        """
        check_existing(path)
        check_usable(path)
        folder = cls(path)
        for place in folder._places:
            place.mkdir(exist_ok=True)
        folder._acquire()
        for left_by_a_killed_process in path.rglob(TEMPORARY):
            with contextlib.suppress(OSError):  # a file that stays does no harm
                left_by_a_killed_process.unlink()
        return folder

    @property
    def _places(self) -> tuple[Path, ...]:
        """The folders in every run; what writes others makes them."""
        return self.samples, self.checkpoints

    def write_config(self, config: TrainConfig) -> None:
        with atomic_path(self.config) as temporary:
            temporary.write_text(config.to_json(), encoding="utf-8")

    def _acquire(self, warn: bool = True) -> None:
        """Takes the run's lock.

        Args:
            warn: say so where the file system has no locks; the run goes on without.

        Raises:
            UserError: if another process has it, or its file cannot be written.
        """
        try:
            lock = self._lock_file.open("w")
        except OSError as error:
            raise UserError(f"{self._lock_file} cannot be written: {reason(error)}; {_NOT_YOURS}") from error
        try:
            take_lock(lock)
        except BlockingIOError as error:  # the one answer that means another process
            lock.close()
            raise UserError(
                f"another process is training in {self.path}; wait for it, stop it, or use another --name"
            ) from error
        except OSError as error:  # some Lustre, NFS and FUSE: ENOSYS, ENOLCK, ENOTSUP
            if warn:
                print(
                    f"note: {self.path} is on a file system without locks ({reason(error)}): "
                    "take care that no other process trains in it"
                )
        self._lock = lock

    def close(self) -> None:
        if self._lock:
            self._lock.close()  # releases the lock
            self._lock = None

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def check_new(config: TrainConfig, override: bool) -> None:
    """Raises a UserError unless the run's folder is free and can be made, or is a run that may be overridden."""
    path = config.run_folder
    check_text("the run folder", path)
    if not os.path.lexists(path):
        check_output_folder("the run folder", path)
        return
    if not override:
        raise UserError(
            f"the experiment {path} exists; go on with it (--resume), replace it (--override) or choose a new --name"
        )
    cause = "it is a link" if path.is_symlink() else _why_no_run(path)
    if cause:
        raise UserError(
            f"--override deletes only training runs, and {path} is none ({cause}); delete it yourself, "
            "or choose a new --name"
        )
    for folder in (path.parent, path, *(each for each in path.rglob("*") if each.is_dir() and not each.is_symlink())):
        check_output_folder("--override deletes the old run, and", folder)


def _delete(run: Path) -> None:
    try:
        shutil.rmtree(run)
    except OSError as error:
        raise UserError(f"--override cannot delete {run} ({reason(error)}); choose a new --name") from error


def read_run(path: Path) -> tuple[TrainConfig, Path]:
    """The settings of a run and the file of a checkpoint.

    Args:
        path: a run's folder, whose newest checkpoint is taken, or one checkpoint in it, such as best.npz.

    Raises:
        UserError: if it is no run, or a run without a checkpoint.
    """
    folder = RunFolder(path.parent.parent if path.is_file() else path)
    lacking = _lacks(folder.path)
    if lacking:
        raise UserError(f"{folder.path} is no training run: {lacking}")
    config = read_run_config(folder.path)
    if path.is_file():
        return config, path
    newest = CheckpointFolder(folder.checkpoints, config.keep_checkpoints).newest()
    if newest is None:
        raise UserError(f"the run {path} holds no checkpoint yet")
    return config, newest.path


def check_existing(path: Path) -> None:
    """Raises a UserError that names the cause unless the path is the folder of a run, or a link to one."""
    lacking = _lacks(path)
    if lacking:
        raise UserError(
            f"--resume: {path} is no training run: {lacking}; check --name and --output-folder, or leave --resume out"
        )
    read_run_config(path)


def check_usable(path: Path) -> None:
    """Raises a UserError unless this process can go on with a run.

    It must be able to write the run's folders and those files that are not replaced, and to read the last checkpoint.
    """
    check_text("the run folder", path)
    run = RunFolder(path)
    for folder in (run.path, *run._places):
        check_output_folder("the run folder", folder)
    newest = CheckpointFolder(run.checkpoints, keep=1).newest()
    files = [(run._lock_file, "a", "written"), (run.log, "a", "written")]
    files += [(newest.path, "r", "read")] if newest else []
    for file, mode, what in files:
        try:
            if file.exists():
                file.open(mode).close()
        except OSError as error:
            raise UserError(f"{file} cannot be {what}: {reason(error)}; {_NOT_YOURS}") from error


def read_run_config(path: Path) -> TrainConfig:
    """The settings of the run in a folder.

    Raises:
        UserError: if they cannot be read, or hold an unknown name or a wrong value; the file is named.
    """
    source = str(path / "config.json")
    config = config_from_dict(read_config_file(source, source), source)
    try:
        return config.validated()
    except UserError as error:
        raise UserError(f"{source}: {error}") from error


def is_run(path: Path) -> bool:
    """Whether a folder, or what a link leads to, is a training run: it has our config.json and our folders."""
    return _why_no_run(path) is None


def _why_no_run(path: Path) -> str | None:
    lacking = _lacks(path)
    if lacking:
        return lacking
    try:
        read_run_config(path)
    except UserError as error:
        return str(error)
    return None


def _lacks(path: Path) -> str | None:
    """What a folder needs to be a training run and has not, in a few words; None where it has all."""
    try:
        if not path.is_dir():
            return "there is no such folder"
        if not (path / "config.json").exists():
            return "it has no config.json"
        if not (path / "checkpoints").is_dir():
            return "it has no folder checkpoints"
    except OSError as error:
        return reason(error)
    return None
