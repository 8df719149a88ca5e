"""The search itself: claims a trial, has it trained to each rung, decides, and so on until none is left."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sle_gan.config import TrainConfig
from sle_gan.errors import UserError
from sle_gan.search.halving import goes_on, rung_shares
from sle_gan.search.space import Space
from sle_gan.search.store import DONE, Store
from sle_gan.search.tasks import Objective, Result, Score, Task

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


# Settings that may differ between processes that work on one search. Pictures are compared by their content.
_OF_THE_MACHINE = ("output_folder", "name", "cache_folder", "devices", "data_folder", "target_folder")


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a trial is trained: to the end of its own steps, or for `minutes` of processor time if that is less.

    rungs: how often it is scored, at shares that grow `reduction`-fold up to the whole.
    """

    minutes: float | None = None
    rungs: int = 3
    reduction: int = 2

    @property
    def shares(self) -> tuple[float, ...]:
        return rung_shares(self.rungs, self.reduction)


class Runner(Protocol):
    """Trains and scores; called again with a task that was stopped or killed it goes on."""

    def __call__(self, task: Task) -> Result: ...


class Listener:
    """Told what happens. Every method may be left out."""

    def on_start(self, trial: FrozenTrial, again: bool) -> None:
        """A trial begins, or goes on."""

    def on_score(self, trial: FrozenTrial, rung: int, score: Score) -> None:
        """It was scored at a rung."""

    def on_end(self, trial: FrozenTrial, ended: str, reason: str) -> None:
        """It ended: complete, pruned, diverged or failed."""


@dataclasses.dataclass(frozen=True)
class Search:
    """A search and everything that follows from its settings.

    Args:
        base: settings of all trials, but for what the space holds.
        seed: of what is tried; with the same one, and one process, a search of steps tries the same.
        pictures: the digests of all pictures, as `sle_gan.data.Dataset` has them.
    """

    base: TrainConfig
    space: Space
    objective: Objective
    length: Length
    seed: int = 0
    pictures: tuple[str, ...] = ()

    @property
    def identity(self) -> dict[str, Any]:
        """What two processes must share to work on one search, as JSON."""
        base = {"model": self.base.model, **dataclasses.asdict(self.base)}
        for name in _OF_THE_MACHINE:
            base.pop(name, None)
        weights = {"features_weights": None}  # where a file lies differs between machines
        return {
            "base": base,
            "space": {name: dimension.to_json() for name, dimension in self.space.items()},
            "objective": {**dataclasses.asdict(self.objective), **weights},
            "length": dataclasses.asdict(self.length),
            "seed": self.seed,
            "pictures": list(self.pictures),
        }

    def open(self, storage: Path, folder: Path) -> Store:
        return Store.open_new(storage, folder, self.identity, self.objective.maximize)

    def run(
        self,
        store: Store,
        trials: int,
        runner: Runner,
        listener: Listener | None = None,
        until: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Works on trials until so many were begun and none is left in its middle by a process that is gone.

        Args:
            until: asked before each rung; True ends the search there.

        Returns:
            Whether it came to its end, and was not stopped.

        Raises:
            UserError: where a trial is refused before any trial was scored: then it is not the trial's fault. It is not
                done; the next start goes on with it.
        """
        listener = listener or Listener()
        base = dataclasses.asdict(self.base)
        while not until():
            with store.claim(trials, self.space, self.seed, base) as trial:
                if trial is None:
                    return True
                if not self._carry_out(store, trial, runner, listener, until):
                    return False
        return False

    def config_of(self, store: Store, trial: FrozenTrial) -> TrainConfig:
        """The settings of a trial's run."""
        return dataclasses.replace(
            self.base,
            **trial.params,
            name=f"trial_{trial.number:04d}",
            output_folder=str(store.folder),
            fid=False,  # scored by the objective instead
            patience=None,
        )

    def _carry_out(
        self, store: Store, trial: FrozenTrial, runner: Runner, listener: Listener, until: Callable[[], bool]
    ) -> bool:
        """A trial from where it is to its end; False where it was stopped on the way."""
        listener.on_start(trial, again=store.notes(trial.number).exists())
        store.notes(trial.number).mkdir(exist_ok=True)
        config = self.config_of(store, trial)
        known = store.rung_scores(trial)
        shares = self.length.shares
        for rung, share in enumerate(shares):
            if rung not in known:
                if until():
                    return False
                task = Task(
                    trial.number, config, store.notes(trial.number), rung, share, self.length.minutes, self.objective
                )
                result = self._result(task, runner)
                if result.ended == "stopped":
                    return False
                if result.ended == "refused" and not any(each.state in DONE for each in store.trials()):
                    raise UserError(result.reason)
                if result.score is None:
                    self._end(store, trial, result, listener)
                    return True
                known[rung] = result.score
                store.report(trial, rung, result.score)
            listener.on_score(trial, rung, known[rung])
            value = known[rung].value
            if rung == len(shares) - 1:
                store.complete(trial, value)
                listener.on_end(trial, "complete", "")
            elif not goes_on(value, store.at_rung(rung, trial.number), self.length.reduction, store.maximizes):
                store.prune(trial)
                listener.on_end(trial, "pruned", "")
                return True
        return True

    @staticmethod
    def _result(task: Task, runner: Runner) -> Result:
        try:
            task.config.validated()
        except UserError as error:
            return Result("refused", reason=str(error))
        return runner(task)

    @staticmethod
    def _end(store: Store, trial: FrozenTrial, result: Result, listener: Listener) -> None:
        if result.ended == "diverged":
            store.diverge(trial, result.reason)
        else:
            store.fail(trial, result.reason)
        listener.on_end(trial, result.ended, result.reason)


def timer(minutes: float | None) -> Callable[[], bool]:
    """True once so many minutes have passed since it was made."""
    end = None if minutes is None else time.monotonic() + 60 * minutes
    return lambda: end is not None and time.monotonic() >= end
