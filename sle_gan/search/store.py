"""The memory of a search: an SQLite file that several processes share, and a lock for each trial that runs.

All of a trial's settings are written in one transaction with the trial itself. A trial that runs is owned by the
process that holds its lock; a process that dies lets go of it, and the next one that looks goes on with the trial.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import optuna
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from sle_gan.errors import UserError, shown
from sle_gan.search.sampling import distribution, sample
from sle_gan.search.space import Space
from sle_gan.search.tasks import Score
from sle_gan.storage.atomic import temporary_beside
from sle_gan.storage.locks import lock as take_lock
from sle_gan.storage.locks import wait_for_lock
from sle_gan.storage.paths import check_output_file, reason

STUDY = "sle-gan search"
FORMAT = "sle_gan.search/1"
_WAIT_S = 120  # for another process that writes
DONE = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)


class Store:
    """One search in its SQLite file.

    Args:
        path: of the file.
        folder: where the trials are; the locks are in `.search` below it.

    `open_new` and `open_existing` make it.
    """

    def __init__(self, path: Path, folder: Path, study: Study):
        self.path, self.folder, self._study = path, folder, study
        self._locks = folder / ".search"

    @classmethod
    def open_new(cls, path: Path, folder: Path, identity: Mapping[str, Any], maximize: bool) -> Store:
        """Opens the search of these settings, and begins it where there is none.

        Args:
            identity: JSON values that follow from the settings: a search that goes on must have the same.

        Raises:
            UserError: if the file is no storage of ours, or of a search with other settings.
        """
        locks = folder / ".search"
        locks.mkdir(parents=True, exist_ok=True)
        with _locked(locks / "lock"), _clear_errors(path):
            if not path.exists():
                check_output_file("--storage", path)
                _create(path, {"format": FORMAT, **identity}, maximize)
            _check_file(path)
            storage = _storage(path)
            names = optuna.study.get_all_study_names(storage)
            if not names:  # Optuna's, and empty
                _create_study(storage, {"format": FORMAT, **identity}, maximize)
            else:
                _check_names(path, names)
            store = cls(path, folder, optuna.load_study(storage=storage, study_name=STUDY))
        _check_same(path, store.identity, {"format": FORMAT, **identity})
        return store

    @classmethod
    def open_existing(cls, path: Path, folder: Path) -> Store:
        """Opens a search to look at it.

        Raises:
            UserError: if there is none.
        """
        if not path.exists():
            raise UserError(f"--storage {path}: there is no such file; sle-gan search makes it")
        _check_file(path)
        with _clear_errors(path):
            storage = _storage(path)
            _check_names(path, optuna.study.get_all_study_names(storage))
            return cls(path, folder, optuna.load_study(storage=storage, study_name=STUDY))

    @property
    def study(self) -> Study:
        return self._study

    @property
    def identity(self) -> dict[str, Any]:
        """What `open_new` was given when the search began."""
        return self._study.user_attrs.get("search", {})

    @property
    def maximizes(self) -> bool:
        return self._study.direction is StudyDirection.MAXIMIZE

    def trials(self) -> list[FrozenTrial]:
        """All trials in the order of their numbers, as they are now."""
        with _clear_errors(self.path):
            return self._study.get_trials(deepcopy=False)

    @contextlib.contextmanager
    def claim(self, limit: int, space: Space, seed: int, base: dict[str, Any]) -> Iterator[FrozenTrial | None]:
        """Within it a trial belongs to this process: one that was left in its middle, else a new one.

        None where `limit` trials were begun and other processes have those that are not done.
        """
        lock = None
        with _locked(self._locks / "lock"):
            trials = self.trials()
            trial = None
            for trial in (each for each in trials if each.state is TrialState.RUNNING):
                lock = self._take(trial.number)
                if lock and self.trials()[trial.number].state is TrialState.RUNNING:
                    break
                if lock:  # another process ended it after the list was read
                    lock.close()
                    lock = None
            if not lock and len(trials) < limit:
                lock = self._take(len(trials))
                trial = self._begin(sample(self._study, len(trials), space, seed, base), space)
        if lock is None:
            yield None
            return
        with lock:
            yield trial

    def _begin(self, values: dict[str, Any], space: Space) -> FrozenTrial:
        distributions = {name: distribution(dimension) for name, dimension in space.items()}
        with _clear_errors(self.path):
            self._study.add_trial(create_trial(state=TrialState.RUNNING, params=values, distributions=distributions))
            return self._study.get_trials(deepcopy=False)[-1]

    def _take(self, number: int) -> IO[str] | None:
        """The lock of a trial; None where another process has it."""
        file = (self._locks / f"{number:04d}.lock").open("w")
        try:
            take_lock(file)
        except BlockingIOError:
            file.close()
            return None
        except OSError as error:
            file.close()
            raise _no_locks(self.folder, error) from error
        return file

    def notes(self, number: int) -> Path:
        """The folder for what is to be known of a trial beside its run: its task, its output, its clock and scores."""
        return self._locks / f"{number:04d}"

    def report(self, trial: FrozenTrial, rung: int, score: Score) -> None:
        """Writes a rung's score: the value last, so that a rung with a value has all the rest."""
        with _clear_errors(self.path):
            handle = optuna.trial.Trial(self._study, trial._trial_id)
            handle.set_user_attr(f"rung_{rung}", {**score._asdict(), "value": None})
            handle.report(score.value, rung)

    def rung_scores(self, trial: FrozenTrial) -> dict[int, Score]:
        """What `report` wrote, by rung."""
        (fresh,) = (each for each in self.trials() if each.number == trial.number)
        return scores_of(fresh)

    def at_rung(self, rung: int, without: int) -> list[float]:
        """The values of all other trials at a rung."""
        trials = (each for each in self.trials() if each.number != without)
        return [each.intermediate_values[rung] for each in trials if rung in each.intermediate_values]

    def complete(self, trial: FrozenTrial, value: float) -> None:
        self._tell(trial, TrialState.COMPLETE, value)

    def prune(self, trial: FrozenTrial) -> None:
        self._tell(trial, TrialState.PRUNED)

    def diverge(self, trial: FrozenTrial, message: str) -> None:
        """A result too, the worst there is: the sampler keeps away from it."""
        self._tell(trial, TrialState.COMPLETE, -math.inf if self.maximizes else math.inf, diverged=message)

    def fail(self, trial: FrozenTrial, message: str) -> None:
        self._tell(trial, TrialState.FAIL, failed=message)

    def _tell(self, trial: FrozenTrial, state: TrialState, value: float | None = None, **notes: str) -> None:
        with _clear_errors(self.path):
            for name, note in notes.items():
                optuna.trial.Trial(self._study, trial._trial_id).set_user_attr(name, note)
            self._study.tell(trial.number, value, state=state)


def scores_of(trial: FrozenTrial) -> dict[int, Score]:
    """A trial's scores by rung."""
    values = sorted(trial.intermediate_values.items())
    return {rung: Score(**{**trial.user_attrs[f"rung_{rung}"], "value": value}) for rung, value in values}


def _storage(path: Path) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.storages.RDBStorage(
            f"sqlite:///{path.absolute()}", engine_kwargs={"connect_args": {"timeout": _WAIT_S}}
        )


def _check_file(path: Path) -> None:
    """Raises a UserError unless the file is an SQLite database that is empty or Optuna's; nothing is written to it."""
    try:
        if path.stat().st_size == 0:
            return
        with contextlib.closing(sqlite3.connect(f"file:{path.absolute()}?mode=ro", uri=True, timeout=_WAIT_S)) as file:
            tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (OSError, sqlite3.Error) as error:
        why = reason(error) if isinstance(error, OSError) else shown(error)
        raise UserError(f"--storage {path} is no search that can be read ({why}); give a name that is free") from error
    if tables and "studies" not in tables:
        raise UserError(f"--storage {path} is a database of another project; give a name that is free")


def _create(path: Path, identity: Mapping[str, Any], maximize: bool) -> None:
    """Makes the file with its tables and its study: whole, or not at all where this process is killed."""
    temporary = temporary_beside(path)
    temporary.unlink(missing_ok=True)
    storage = _storage(temporary)
    _create_study(storage, identity, maximize)
    storage.remove_session()
    storage.engine.dispose()
    temporary.replace(path)


def _create_study(storage: optuna.storages.RDBStorage, identity: Mapping[str, Any], maximize: bool) -> None:
    direction = "maximize" if maximize else "minimize"
    optuna.create_study(storage=storage, study_name=STUDY, direction=direction).set_user_attr("search", dict(identity))


def _check_names(path: Path, names: list[str]) -> None:
    if STUDY not in names:
        found = f"holds {', '.join(shown(name) for name in names[:3])}" if names else "holds no search yet"
        raise UserError(f"--storage {path} {found}, none of sle-gan search; give another file")


def _check_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for name in sorted({*old, *new}):
        before, now = old.get(name), new.get(name)
        if before == now:
            continue
        if isinstance(before, dict) and isinstance(now, dict):
            name = next(f"{name}: {key}" for key in sorted({*before, *now}) if before.get(key) != now.get(key))
            before, now = before.get(name.split(": ")[1]), now.get(name.split(": ")[1])
        raise UserError(
            f"--storage {path} is of a search with other settings: {name} was {shown(before)} and is {shown(now)}; "
            "give the same ones to go on with it, or another --storage"
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Within it no other process is within it: what is looked at and then changed is changed once."""
    with path.open("w") as file:
        try:
            wait_for_lock(file)
        except OSError as error:
            raise _no_locks(path.parent, error) from error
        yield


def _no_locks(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"{folder} has no file locks ({reason(error)}), which a search needs; choose another --output-folder"
    )


@contextlib.contextmanager
def _clear_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = getattr(error.__cause__, "orig", None) or getattr(error, "orig", None) or error
        raise UserError(f"--storage {path} cannot be used: {shown(cause, 200)}") from error
