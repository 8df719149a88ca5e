"""The training loop: batches, steps, checkpoints, pictures; for any GAN."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sle_gan import engine
from sle_gan.data import BatchLoader, Dataset, MixIn
from sle_gan.errors import Diverged, TrainingStopped
from sle_gan.gans.base import GAN
from sle_gan.runs.checkpoints import CheckpointFolder
from sle_gan.runs.folder import RunFolder
from sle_gan.training.callbacks import Callback, all_finite
from sle_gan.training.evaluation import Best, Evaluation
from sle_gan.training.exports import write_exports
from sle_gan.training.previews import Previews
from sle_gan.training.signals import Signals
from sle_gan.training.step import compile_step, steps_per_call


class Outcome(NamedTuple):
    """How a run ended.

    interrupted_by: the signal that this process received; SIGTERM where another process of the run received one.
    gave_up: as many measurements as --patience allows brought no better FID.
    """

    step: int
    interrupted_by: signal.Signals | None
    waited_s: float
    elapsed_s: float
    gave_up: bool = False


class Trainer:
    """Runs a GAN's train step over a dataset.

    Args:
        gan: the networks and the step; its variables already hold the state of `first_step`.
        devices: that the GAN's variables were made on.
        datasets: uint8 images, one for each domain that the GAN learns from.
        folder: of the run, locked.
        checkpoints: where the state is saved.
        callback: called after steps, pictures, scores and messages; see `Callbacks` for several.
        evaluation: measures the FID, if it is to be measured.
        best: of the run that is resumed.
        worse: measurements of the run that is resumed since its best.
        mix_in: pictures that take a share of the first domain's batches.
    """

    def __init__(
        self,
        gan: GAN,
        devices: engine.Devices,
        datasets: Sequence[Dataset],
        folder: RunFolder,
        checkpoints: CheckpointFolder,
        callback: Callback,
        evaluation: Evaluation | None = None,
        best: Best | None = None,
        worse: int = 0,
        mix_in: MixIn | None = None,
    ):
        self.gan, self.devices, self.datasets = gan, devices, datasets
        self.folder, self.checkpoints, self.callback = folder, checkpoints, callback
        self.evaluation, self.best, self.worse = evaluation, best, worse
        self.config = gan.config
        self.mix_in = mix_in
        self._saved: int | None = None
        self._step_started = 0.0

    def run(self, first_step: int, last_step: int, show_first: bool, signals: Signals) -> Outcome:
        """Trains from `first_step` (that many steps are done) to `last_step`.

        Args:
            show_first: draw the grids before the first step too.
            signals: one that is received ends the training after the present step.

        Raises:
            TrainingStopped: at NaN or Inf, or when the last checkpoint cannot be written.
        """
        self._saved = first_step if first_step else None
        domains = [dataset.images for dataset in self.datasets]
        labels = self.datasets[0].labels
        further = [self.mix_in.images] if self.mix_in else []
        resident = self.devices.fits(sum(images.nbytes for images in [*domains, *further]))
        kept = [np.concatenate([domains[0], *further]), *domains[1:]] if resident and further else domains
        on_device = kept if labels is None else [*kept, labels]
        train = compile_step(self.gan, self.devices, on_device if resident else None)
        previews = Previews(self.gan, domains)
        started = time.perf_counter()
        step = first_step
        batches = BatchLoader(
            domains,
            self.config.batch_size,
            self.config.seed,
            first_step,
            prefetch=2 * steps_per_call(self.config, self.devices.accelerated),
            gather=not resident,
            drop_last=self.config.drop_last,
            mix_in=self.mix_in,
            labels=labels,
            balance=self.config.balance_classes,
        )
        with batches as loader:
            if show_first:
                self._show(previews, first_step)
            self._step_started = time.perf_counter()
            while step < last_step and not self.devices.any(signals.received is not None) and not self._gives_up():
                count = self._steps_of_a_call(step, last_step)
                logs = train([loader.next()[1] for _ in range(count)], step)
                self._report(step, logs)
                step += count
                if self.evaluation and (step % self.config.fid_frequency == 0 or step == last_step):
                    self._evaluate(self.evaluation, step)
                if step % self.config.sample_every == 0 or step == last_step:
                    self._show(previews, step)
                if step % self.config.checkpoint_every == 0:  # last, after the scores and grids of these steps
                    self._save(step)
        gave_up = step < last_step and self._gives_up() and not signals.received
        interrupted_by = signals.received or (signal.SIGTERM if step < last_step and not gave_up else None)
        if interrupted_by:
            who = interrupted_by.name if signals.received else "another process was told to stop"
            self.callback.on_message(f"{who}: stopping after step {step:,}, saving a checkpoint")
        if self._saved != step:
            self._save(step)
        if self._saved != step:
            raise TrainingStopped(f"the checkpoint of step {step:,}, the last one, could not be written")
        return Outcome(step, interrupted_by, batches.waited_s, time.perf_counter() - started, gave_up)

    def _gives_up(self) -> bool:
        """Whether as many measurements as --patience allows brought no better FID: every process asks the first one."""
        return self.config.patience is not None and self.devices.any(self.worse >= self.config.patience)

    def _steps_of_a_call(self, step: int, last_step: int) -> int:
        """As many as usual, or fewer where that would pass a step after which something is to be done."""
        intervals = [self.config.checkpoint_every, self.config.sample_every]
        if self.evaluation:
            intervals.append(self.config.fid_frequency)
        room = min(last_step - step, *(interval - step % interval for interval in intervals))
        return min(steps_per_call(self.config, self.devices.accelerated), room)

    def _report(self, done: int, all_logs: Sequence[Mapping[str, float]]) -> None:
        """Hands the logs of the steps that follow the `done` ones to the callback."""
        now = time.perf_counter()
        speed = len(all_logs) * self.config.batch_size / (now - self._step_started)
        self._step_started = now
        for step, logs in enumerate(all_logs, start=done + 1):
            if not all_finite(logs):
                bad = [f"{name} = {value}" for name, value in logs.items() if not math.isfinite(value)]
                raise self._diverged(step, ", ".join(bad))
            self.callback.on_step(step, {**logs, "images_per_second": speed})

    def _diverged(self, step: int, what: str) -> Diverged:
        newest = self.checkpoints.newest()
        advice = (
            f"the last good checkpoint is {newest.path}: --resume goes on from there, with a lower learning rate"
            if newest
            else "no checkpoint was written yet: start again with a lower learning rate"
        )
        return Diverged(f"training diverged at step {step:,} ({what}); {advice}")

    def _save(self, step: int) -> None:
        """Writes a checkpoint and then the exports, which are never newer."""
        if self._written(step, lambda: self.checkpoints.save(step, self.gan.state(), self._meta(self.best))):
            self._saved = step
            self._written(step, lambda: write_exports(self.gan, self.folder))

    def _meta(self, best: Best | None) -> dict[str, Any]:
        return {
            "data": [dataset.digest for dataset in self.datasets],
            "pictures": [len(dataset) for dataset in self.datasets],
            "best": best,
            "worse": self.worse,
            "constants": self.gan.constants,
            **({"mix_in": self.mix_in.digest} if self.mix_in else {}),
        }

    def _evaluate(self, evaluation: Evaluation, step: int) -> None:
        """Measures the FID; the best step's checkpoint and export are kept."""
        scores = evaluation.score(self.gan, [dataset.images for dataset in self.datasets], step)
        fid = scores.metrics["fid"]
        protocol = {
            "extractor": scores.protocol["extractor"],
            "count": scores.protocol["fake"]["count"],
            "real_count": scores.protocol["real"]["count"],
            **{name: value for name, value in scores.metrics.items() if name != "fid"},
            "protocol": evaluation.protocol,
        }
        self.callback.on_score(step, fid, protocol)
        if self.best is None or fid < self.best.fid:
            self.worse = 0
            self._save_best(Best(step, fid, evaluation.protocol))
        elif step > self.best.step:  # a run that was killed measures its best step again
            self.worse += 1
            if self.worse >= (self.config.patience or math.inf):
                self.callback.on_message(
                    f"step {step:,}: no FID of the last {self.worse} is better than {self.best.fid:.3f} of step "
                    f"{self.best.step:,} (--patience {self.config.patience})"
                )
        self._step_started = time.perf_counter()

    def _save_best(self, best: Best) -> None:
        """Writes the checkpoint and the export of the best step; the score counts once the first is whole."""
        step = best.step
        if self._written(step, lambda: self.checkpoints.save_best(step, self.gan.state(), self._meta(best))):
            self.best = best
            self._written(step, lambda: self.gan.generator_export.save_weights(self.folder.best_generator))

    def _written(self, step: int, write: Callable[[], Path | None]) -> bool:
        """Writes and reports it. After a failure the run goes on with the older files: the disk may be freed later."""
        try:
            path = write()
        except FloatingPointError as error:
            raise self._diverged(step, str(error)) from error
        except OSError as error:
            newest = self.checkpoints.newest()
            kept = f"{newest.path} is whole" if newest else "there is no checkpoint yet"
            self.callback.on_message(
                f"step {step:,}: saving to {self.folder.path} failed: {error.strerror or error}; {kept}"
            )
            return False
        finally:
            self._step_started = time.perf_counter()
        if path:
            self.callback.on_message(f"step {step:,}: saved {path}")
        return True

    def _show(self, previews: Previews, step: int) -> None:
        for name, picture in previews.draw().items():
            self.callback.on_picture(step, name, picture)
        self._step_started = time.perf_counter()
