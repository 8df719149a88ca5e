"""What a search says while it runs: what is best, what runs, how long it will take."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from tqdm import tqdm

from sle_gan.search.report import best
from sle_gan.search.search import Listener
from sle_gan.search.store import DONE, Store
from sle_gan.search.tasks import Score, Task

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


class Progress(Listener):
    """A line for each event, and below them a bar that says where the search is.

    Args:
        store: of the search.
        trials: how many there are to be.
        rungs: of a trial.
    """

    def __init__(self, store: Store, trials: int, rungs: int):
        self._store, self._trials, self._rungs = store, trials, rungs
        self._started = time.monotonic()
        self._best = ""
        self._here = ""
        self._bar = tqdm(
            total=trials, unit="trial", bar_format="{n_fmt} of {total_fmt} trials{desc}", dynamic_ncols=True
        )
        self._renew()

    def on_start(self, trial: FrozenTrial, again: bool) -> None:
        settings = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in trial.params.items()
        )
        self._bar.write(f"trial {trial.number} {'goes on' if again else 'begins'}: {settings}")
        self._renew()

    def on_score(self, trial: FrozenTrial, rung: int, score: Score) -> None:
        spread = "" if score.spread is None else f" +- {score.spread:.3g}"
        metric = self._store.identity["objective"]["metric"]
        where = f"step {score.step:,}, {score.cpu_s / 60:.1f} CPU min"
        self._bar.write(
            f"trial {trial.number}, rung {rung + 1} of {self._rungs}: {metric} {score.value:.5g}{spread} ({where})"
        )

    def on_end(self, trial: FrozenTrial, ended: str, reason: str) -> None:
        self._bar.write(f"trial {trial.number} {ended}{f': {reason}' if reason else ''}")
        self._renew()

    def watch(self, task: Task, step: int) -> None:
        """Called while a trial's process runs."""
        self._here = f"; trial {task.number}, rung {task.rung + 1} of {self._rungs}: step {step:,}"
        self._show()

    def _renew(self) -> None:
        """Looks at the storage: other processes may have done something too."""
        trials = self._store.trials()
        self._bar.n = sum(trial.state in DONE for trial in trials)
        found = best(self._store)
        self._best = "" if found is None else f"; best {found.value:.5g} (trial {found.number})"
        durations = [trial.duration.total_seconds() for trial in trials if trial.state in DONE and trial.duration]
        self._seconds_each = sum(durations) / len(durations) if durations else None
        self._at_once = max(1, sum(trial.state not in DONE for trial in trials))
        self._renewed = time.monotonic()
        self._show()

    def _show(self) -> None:
        left = ""
        if self._seconds_each is not None and self._bar.n < self._trials:
            seconds = (self._trials - self._bar.n) * self._seconds_each / self._at_once
            left = f"; about {_duration(max(0.0, seconds - (time.monotonic() - self._renewed)))} left"
        self._bar.set_description_str(f"{self._best}{self._here}{left}", refresh=False)
        self._bar.update(0)

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{round(seconds)} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"
