"""What a run's folder tells about its training: for the model card, and without a path or a name in it."""

from __future__ import annotations

import dataclasses
import shlex
import typing
from pathlib import Path
from typing import Any, Literal, NamedTuple

from sle_gan.config import TrainConfig, config_from_dict, flag
from sle_gan.data.labels import AUTO, FOLDERS, NONE, asks_for_clusters
from sle_gan.errors import UserError
from sle_gan.hub.model_files import GENERATOR, is_ours
from sle_gan.storage.json_objects import CONFIG, read_object

BEST_GENERATOR = "best_generator_weights.h5"
_STARTS = ("generator_weights", "discriminator_weights", "init_from")


class RunFiles(NamedTuple):
    """The weights files of a run that are shared, by the names that they get.

    best: the generator is that of the best score, not of the end.
    """

    run: Path
    weights: dict[str, Path]
    best: bool


class Score(NamedTuple):
    """A Fréchet distance with its protocol."""

    value: float
    extractor: str
    count: int
    real_count: int


class TrainingFacts(NamedTuple):
    """What a card says of a training; None where the run did not record it.

    Attributes:
        model: "slegan" and so on.
        settings: those that name no file, folder or person.
        command: the flags of sle-gan train that differ from its defaults.
        pictures: training pictures, one count for each domain.
        step: of the generator.
        last_step: of everything else that is shared.
        step_seconds: spent in training steps.
        clock_seconds: from the first step to the generator's, with everything that was between.
        score: of the generator that is shared.
        from_weights: whether the training started from other weights than random ones.
    """

    model: str
    settings: dict[str, Any]
    command: str
    pictures: list[int] | None
    step: int | None
    last_step: int | None
    step_seconds: float | None
    clock_seconds: float | None
    score: Score | None
    from_weights: bool


def run_files(run: Path, last: bool = False, discriminator: bool = False) -> RunFiles:
    """The files of a run to share: its best generator where a score was measured, unless `last` is asked for.

    Raises:
        UserError: if this is no run, or it has no such export yet.
    """
    _read_config(run)
    kinds = ("generator", "discriminator") if discriminator else ("generator",)
    names = sorted(path.name for path in run.iterdir() if is_ours(path.name))
    weights = {name: run / name for kind in kinds for name in names if name.startswith(kind)}
    for kind in kinds:
        if not any(name.startswith(kind) for name in weights):
            raise UserError(f"{run} has no {kind}_weights.h5 yet; it is written with the first checkpoint")
    best = not last and GENERATOR in weights and (run / BEST_GENERATOR).is_file()
    if best:
        weights[GENERATOR] = run / BEST_GENERATOR
    return RunFiles(run, weights, best)


def is_run_like(path: Path) -> bool:
    """Whether a folder looks like a training run: settings and an export, checkpoints or not."""
    return (path / CONFIG).is_file() and any(is_ours(file.name) for file in path.iterdir())


def _read_config(run: Path) -> TrainConfig:
    try:
        values = read_object(run / CONFIG)
    except (OSError, ValueError) as error:
        raise UserError(f"{run} is no training run ({CONFIG}: {error}); check --name and --output-folder") from error
    return config_from_dict(values, str(run / CONFIG))


def read_training(files: RunFiles) -> TrainingFacts:
    """Reads settings, log and the checkpoints' headers of a run."""
    from sle_gan.runs.log import of_one_protocol, read_log

    config = _read_config(files.run)
    log = files.run / "log.jsonl"
    lines = read_log(log) if log.is_file() else []
    newest, best = _checkpoint_metas(files.run / "checkpoints")
    last_step = newest.get("step") or max((line["step"] for line in lines), default=None)
    scores = {line["step"]: line for line in lines if "fid" in line}
    step = last_step
    if files.best:
        comparable = of_one_protocol(list(scores.values()))
        step = best.get("step") or min(comparable, key=lambda line: line["fid"], default={}).get("step")
    seconds = _seconds([line for line in lines if "images_per_second" in line and line["step"] <= (step or 0)], config)
    score = scores.get(step) if step is not None else None
    settings = shareable_settings(config)
    return TrainingFacts(
        model=config.model,
        settings=settings,
        command=command(config, settings),
        pictures=newest.get("pictures") or best.get("pictures") or _scored_pictures(scores),
        step=step,
        last_step=last_step,
        step_seconds=seconds[0],
        clock_seconds=seconds[1],
        score=Score(score["fid"], score["extractor"], score["count"], score["real_count"]) if score else None,
        from_weights=any(getattr(config, name, None) for name in _STARTS),
    )


def _checkpoint_metas(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The headers of the newest and of the best checkpoint; empty for those that are gone or damaged."""
    from sle_gan.runs.checkpoints import CheckpointFolder, read_meta

    newest = CheckpointFolder(folder, keep=1).newest()
    metas: list[dict[str, Any]] = []
    for path in (newest.path if newest else None, folder / "best.npz"):
        try:
            metas.append(read_meta(path) if path else {})
        except UserError:
            metas.append({})
    return metas[0], metas[1]


def _scored_pictures(scores: dict[int, dict[str, Any]]) -> list[int] | None:
    """Scores are measured against all training pictures, so they tell their number too."""
    counts = [line["real_count"] for line in scores.values()]
    return counts[-1:] or None


def _seconds(lines: list[dict[str, Any]], config: TrainConfig) -> tuple[float | None, float | None]:
    if not lines:
        return None, None
    durations = [config.batch_size / line["images_per_second"] for line in lines]
    return sum(durations), lines[-1]["time"] - lines[0]["time"] + durations[0]


# Settings of words that are none of the user's.
_WORDS = ("aspect", "augment_policy", "augment_probability", "value_range")


def shareable_settings(config: TrainConfig) -> dict[str, Any]:
    """Numbers, switches and choices among given words: no text of the user's, such as a path or a name."""
    hints = typing.get_type_hints(type(config))
    settings = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        chosen = typing.get_origin(hints[field.name]) is Literal
        if isinstance(value, (bool, int, float)) or chosen or field.name in _WORDS:
            settings[field.name] = value
    return settings


def command(config: TrainConfig, settings: dict[str, Any]) -> str:
    """The command that trains as this run was trained."""
    words = ["sle-gan", "train", "--model", config.model]
    for name in config.folders:
        words += [name, "YOUR_PICTURES"]
    for name in config.further_sources:
        words += [name, "OTHER_PICTURES"]
    default = next(field.default for field in dataclasses.fields(config) if field.name == "labels")
    if config.labels in (FOLDERS, NONE, AUTO) or asks_for_clusters(config.labels):
        words += ["--labels", config.labels] if config.labels != default else []
    else:
        words += ["--labels", "YOUR_LABELS"]
    for field in dataclasses.fields(config):
        if field.name not in settings or settings[field.name] == field.default:
            continue
        name, value = flag(field.name), settings[field.name]
        if isinstance(value, bool):
            words.append(name if value else f"--no-{name[2:]}")
        else:
            words += [name, str(value)]
    return shlex.join(words)
