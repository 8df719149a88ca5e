"""The process of a trial: an ordinary run up to a rung, and its score. Started by `process.ProcessRunner`."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from sle_gan.errors import Diverged
from sle_gan.runs.checkpoints import CheckpointFolder
from sle_gan.search.clock import Clock
from sle_gan.search.tasks import Result, Score, Task, clock_file, write_result

STOPPED = 128 + signal.SIGTERM
_TOLD_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG


def follow(parent: int) -> None:
    """Sees to it that this process gets SIGTERM when its parent ends, also by -9: then it saves and ends too.

    Only Linux tells children so; elsewhere the rung is trained to its end, and the next search waits for that.
    """
    signal.signal(signal.SIGTERM, _stop)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_TOLD_OF_PARENTS_DEATH, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before this process could ask
            _stop(signal.SIGTERM, None)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    raise SystemExit(STOPPED)


def carry_out(task: Task) -> None:
    """Trains the task's run to its rung and writes the result.

    Raises:
        UserError: if settings, pictures or weights are wrong; no result is written.
        SystemExit: if it was told to stop; the run is saved.
    """
    from sle_gan.features import load_extractor

    # What can be missing first; and what a trial's clock is not to count.
    extractor = load_extractor(task.objective.features, task.objective.features_weights)
    limit_s = None if task.minutes is None else 60 * task.minutes * task.share
    clock = Clock(clock_file(task), limit_s)
    try:
        reason = _train(task, clock)
    except Diverged as error:
        write_result(task, Result("diverged", reason=str(error)))
        return
    newest = _newest_step(task)
    if newest is None:
        write_result(task, Result("failed", reason=reason or "the run has no checkpoint"))
        return
    value, spread = _score(task, extractor)
    write_result(task, Result("scored", Score(value, spread, newest, round(clock.cpu_s, 1))))


def _train(task: Task, clock: Clock) -> str:
    """Trains until the rung; returns why there may be nothing of it."""
    from sle_gan.training.run import train

    run = task.config.run_folder
    begun = _newest_step(task) is not None
    if clock.over:  # it was killed after that
        return "its processor time was used up before its first step"
    if not begun and run.exists():  # killed before its first checkpoint
        shutil.rmtree(run)
    share = task.share if task.minutes is None else 1.0
    try:
        with clock:
            outcome = train(task.config, resume=begun, share=share)
    except SystemExit:
        if clock.over:
            return f"{task.minutes} processor minutes were used up before its first step; give more"
        raise
    if outcome.interrupted_by and not clock.over:
        raise SystemExit(STOPPED)
    return ""


def _newest_step(task: Task) -> int | None:
    newest = CheckpointFolder(task.config.run_folder / "checkpoints", 1).newest()
    return newest.step if newest else None


def _score(task: Task, extractor: Any) -> tuple[float, float | None]:
    """The objective's mean over sets of generated pictures, and its standard deviation."""
    from sle_gan.data import cache_place
    from sle_gan.gans import GANS
    from sle_gan.metrics import Scorer
    from sle_gan.metrics.repeated import score_sets, seed_sets, spreads
    from sle_gan.training.sets import load_pictures

    objective, config = task.objective, task.config
    domains = load_pictures(config)
    real = domains[-1]  # of a CycleGAN the domain that it translates to
    metric = "pr" if objective.maximize else objective.metric
    scorer = Scorer(extractor, real.images, real.digest, cache_place(config.cache_folder), (metric,))
    sets = seed_sets(0, objective.count, objective.sets)
    if len(domains) > 1:
        sets = [range(min(objective.count, len(domains[0])))]
    images = _images(config.run_folder, domains[0].images, GANS[config.model].translates)
    scores = score_sets(scorer.real, extractor, images, sets, (metric,), progress="Scoring")
    found = spreads([each.metrics for each in scores])[objective.metric]
    return found.mean, found.std


def _images(run: Path, sources: Any, translates: bool) -> Any:
    """seeds -> the pictures of a run's newest generator; of a translator those of the sources of these numbers."""
    from sle_gan.generation import generate_images
    from sle_gan.hub import open_model
    from sle_gan.models.building import build_network, fold_network

    model = open_model(str(run), "the trial")
    if not translates:
        generator = fold_network(model.generator())
        return lambda seeds: generate_images(generator, seeds)

    from sle_gan.translation import translate_batches

    translator: Any = build_network(model.translator("AB"))

    def translations(numbers: Iterable[int]) -> Iterator[Any]:
        return translate_batches(translator, sources[list(numbers)])

    return translations
