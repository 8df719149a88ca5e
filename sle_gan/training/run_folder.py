"""The folder of one training run: who may make it, delete it and write to it."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path
from typing import IO

from sle_gan.config import TrainConfig, config_from_dict, read_config_file
from sle_gan.errors import UserError
from sle_gan.files import TEMPORARY, atomic_path
from sle_gan.training.checkpoints import CheckpointFolder


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
        self.fid = path / "fid.png"
        self.neighbours = path / "neighbours.png"
        self.best_generator = path / "best_generator_weights.h5"
        self._lock: IO[str] | None = None

    @classmethod
    def create(cls, config: TrainConfig, override: bool) -> RunFolder:
        """Makes the folder of a new run and writes its config.json.

        Raises:
            UserError: if the folder exists and may not be replaced.
        """
        folder = cls(config.run_folder)
        check_new(config, override)
        if folder.path.exists():
            folder._acquire()  # a run that is still going must not lose its folder
            folder.close()
            shutil.rmtree(folder.path)
        try:
            for path in (folder.path, folder.samples, folder.checkpoints, folder.tensorboard):
                path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"the run folder {folder.path} cannot be made: {error.strerror}") from error
        folder._acquire()
        folder.write_config(config)
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Opens the folder of a run to go on with it.

        Raises:
            UserError: if it is none, or another process is training in it.
        """
        check_existing(path)
        folder = cls(path)
        folder._acquire()
        for left_by_a_killed_process in path.rglob(TEMPORARY):
            left_by_a_killed_process.unlink()
        return folder

    def write_config(self, config: TrainConfig) -> None:
        with atomic_path(self.config) as temporary:
            temporary.write_text(config.to_json(), encoding="utf-8")

    def _acquire(self) -> None:
        lock = (self.path / ".lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.close()
            raise UserError(
                f"another process is training in {self.path}; wait for it, stop it, or use another --name"
            ) from error
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
    """Raises a UserError unless the run's folder is free, or is a run and may be overridden."""
    path = config.run_folder
    if not path.exists() and not path.is_symlink():
        return
    if not override:
        raise UserError(
            f"the experiment {path} exists; go on with it (--resume), replace it (--override) or choose a new --name"
        )
    if not is_run(path):
        raise UserError(f"--override deletes only training runs, and {path} is none; choose a new --name")


def read_run(path: Path) -> tuple[TrainConfig, Path]:
    """The settings of a run and the file of a checkpoint.

    Args:
        path: a run's folder, whose newest checkpoint is taken, or one checkpoint in it, such as best.npz.

    Raises:
        UserError: if it is no run, or a run without a checkpoint.
    """
    folder = RunFolder(path.parent.parent if path.is_file() else path)
    if not is_run(folder.path):
        raise UserError(f"{folder.path} is no training run; expected a folder with config.json and checkpoints/")
    config = config_from_dict(read_config_file(folder.config), str(folder.config))
    if path.is_file():
        return config, path
    newest = CheckpointFolder(folder.checkpoints, config.keep_checkpoints).newest()
    if newest is None:
        raise UserError(f"the run {path} holds no checkpoint yet")
    return config, newest.path


def check_existing(path: Path) -> None:
    """Raises a UserError unless the path is the folder of a run."""
    if not is_run(path):
        raise UserError(f"--resume: {path} is no training run; check --name and --output-folder, or leave --resume out")


def is_run(path: Path) -> bool:
    """Whether a folder is a training run: it has our config.json and our folders, and is no link."""
    if path.is_symlink() or not (path / "checkpoints").is_dir():
        return False
    try:
        values = json.loads((path / "config.json").read_text(encoding="utf-8"))
        config_from_dict(values, "config.json")
    except (OSError, ValueError, TypeError, AttributeError):
        return False
    return True
