"""One training run from settings to exports: puts data, GAN, folder, callbacks and loop together."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras

from sle_gan import engine, weights
from sle_gan.config import TrainConfig
from sle_gan.data import Dataset, MixIn
from sle_gan.errors import TrainingStopped, UserError, counted
from sle_gan.gans.base import GAN, make_gan
from sle_gan.hub import open_model
from sle_gan.models.network import Network
from sle_gan.pictures import save_png
from sle_gan.runs.checkpoints import CheckpointFolder
from sle_gan.runs.folder import RunFolder
from sle_gan.training import transfer
from sle_gan.training.callbacks import Callback, Callbacks, Console, JsonLines, Messages, PictureFiles, TensorBoard
from sle_gan.training.conclusion import conclude
from sle_gan.training.curves import draw_curves
from sle_gan.training.evaluation import Best, Evaluation, draw_fid
from sle_gan.training.exports import renew_exports
from sle_gan.training.labels import with_classes, write_clusters
from sle_gan.training.loop import Outcome, Trainer
from sle_gan.training.neighbours import draw_neighbours
from sle_gan.training.optional import is_installed, left_out
from sle_gan.training.precision import with_precision
from sle_gan.training.previews import draw_augmentation
from sle_gan.training.sets import check_batches, load_mix_in, load_pictures
from sle_gan.training.signals import Signals
from sle_gan.training.workers import read_workers


def train(config: TrainConfig, resume: bool = False, override: bool = False, share: float = 1.0) -> Outcome:
    """Trains to the end of the run, or until a signal.

    Args:
        config: validated settings.
        resume: go on from the newest checkpoint of the run's folder.
        override: delete a run of this name first.
        share: stop and save after this share of the steps, 0 to 1; the run's schedules are those of all its steps.

    A run that is complete is not trained: its exports are brought up to its checkpoints.

    Raises:
        UserError: for anything that the user can mend; no run was made or deleted then.
        TrainingStopped: see `Trainer.run`; or where the exports cannot be written at the end.
    """
    devices = _open_devices(config)
    if devices.process > 0:
        return _help_to_train(config, devices, resume)
    datasets = load_pictures(config)
    mix_in = load_mix_in(config)
    check_batches(config, datasets)
    config, datasets = with_classes(config, datasets, started=resume)
    config = with_precision(config, devices, started=resume)
    gan = _make(config, devices, started=resume)
    last = _schedule(gan, datasets)
    end = max(1, math.ceil(share * last))
    to_do = not resume or _steps_done(config) < end
    evaluation = Evaluation(config, datasets, gan) if config.fid and to_do else None
    with Signals() as signals, _open_folder(config, resume, override) as folder:
        checkpoints = CheckpointFolder(folder.checkpoints, config.keep_checkpoints)
        restored = _restore(gan, devices, datasets, checkpoints, last, mix_in) if resume else Restored()
        first, best, worse, new = restored
        if resume and evaluation:
            best = evaluation.take_over(best, folder.log)
            worse = worse if best else 0  # scores of another protocol do not count for --patience
        outcome = Outcome(first, None, 0.0, 0.0)
        with contextlib.closing(_make_callbacks(gan, folder, first, end)) as callbacks:
            if missing := left_out():
                callbacks.on_message(missing)
            callbacks.attempt(str(folder.labels), lambda: write_clusters(config, datasets[0], folder))
            if first < end:
                if resume:
                    callbacks.attempt(str(folder.config), lambda: folder.write_config(config))
                    callbacks.attempt(str(folder.path), lambda: _renew_exports(gan, folder, checkpoints, callbacks))
                callbacks.on_message(
                    f"training {_describe(gan)} on {devices.description}, steps {first + 1:,} to {end:,}"
                )
                trainer = Trainer(
                    gan, devices, datasets, folder, checkpoints, callbacks, evaluation, best, worse, mix_in
                )
                outcome = trainer.run(first, end, new, signals)
            _finish_exports(gan, folder, checkpoints, callbacks)
            if is_installed("matplotlib"):
                callbacks.attempt(str(folder.curves), lambda: draw_curves(folder.log, folder.curves, gan.panels))
                callbacks.attempt(str(folder.fid), lambda: draw_fid(folder.log, folder.fid))
            if evaluation and not outcome.interrupted_by:
                callbacks.attempt(str(folder.path), lambda: _look_for_copies(gan, evaluation, datasets, folder))
        conclude(gan, folder, checkpoints, outcome, last)
    return outcome


def _open_folder(config: TrainConfig, resume: bool, override: bool) -> RunFolder:
    return RunFolder.open(config.run_folder) if resume else RunFolder.create(config, override)


def _steps_done(config: TrainConfig) -> int:
    """Steps of the run's newest checkpoint; 0 without one."""
    newest = CheckpointFolder(RunFolder(config.run_folder).checkpoints, 1).newest()
    return newest.step if newest else 0


def _make_callbacks(gan: GAN, folder: RunFolder, first: int, last: int) -> Callbacks:
    """The callbacks of a run; of a complete one, only that which prints messages."""
    if first >= last:
        return Callbacks({"the console": Messages})
    makers: dict[str, Callable[[], Callback]] = {
        "the console": lambda: Console(first, last, gan.config.batch_size, gan.totals),
        str(folder.log): lambda: JsonLines(folder.log, first),
        str(folder.samples): lambda: PictureFiles(folder.samples),
    }
    if is_installed("tensorboard"):
        makers[str(folder.tensorboard)] = lambda: TensorBoard(folder.tensorboard, first)
    return Callbacks(makers)


def _renew_exports(gan: GAN, folder: RunFolder, saved: CheckpointFolder, callbacks: Callback) -> None:
    """Brings the exports up to the checkpoints, and says which were behind. Raises OSError where that fails."""
    for path in renew_exports(gan, folder, saved):
        callbacks.on_message(f"wrote {path} again: it was not that of its checkpoint")


def _finish_exports(gan: GAN, folder: RunFolder, saved: CheckpointFolder, callbacks: Callback) -> None:
    """At the end of a run the exports must be there: raises TrainingStopped where they cannot be written."""
    try:
        _renew_exports(gan, folder, saved, callbacks)
    except OSError as error:
        newest = saved.newest()
        raise TrainingStopped(
            f"the exports in {folder.path} could not be written ({error.strerror or error}); "
            f"{newest.path if newest else 'the checkpoint'} is whole: --resume writes them"
        ) from error


def _help_to_train(config: TrainConfig, devices: engine.Devices, resume: bool) -> Outcome:
    """Trains as a process that is not the first of a distributed run; its files are temporary and not kept."""
    with tempfile.TemporaryDirectory() as place, contextlib.redirect_stdout(None):
        datasets, mix_in = load_pictures(config), load_mix_in(config)
        check_batches(config, datasets)
        config, datasets = with_classes(config, datasets, started=resume)
        config = with_precision(config, devices, started=resume)
        gan = _make(config, devices, started=resume)
        last = _schedule(gan, datasets)
        saved = CheckpointFolder(RunFolder(config.run_folder).checkpoints, config.keep_checkpoints)
        first, _, _, new = _restore(gan, devices, datasets, saved, last, mix_in) if resume else Restored()
        if first >= last:
            return Outcome(first, None, 0.0, 0.0)
        with (
            Signals() as signals,
            RunFolder.create(dataclasses.replace(config, output_folder=place), override=False) as folder,
        ):
            checkpoints = CheckpointFolder(folder.checkpoints, 1)
            trainer = Trainer(gan, devices, datasets, folder, checkpoints, Callback(), mix_in=mix_in)
            return trainer.run(first, last, new, signals)


def dry_run(config: TrainConfig) -> None:
    """Checks everything that `train` would, writes no run, and prints what a run would do."""
    devices = _open_devices(config)
    datasets = load_pictures(config)
    load_mix_in(config)
    check_batches(config, datasets)
    config, datasets = with_classes(config, datasets, started=False)
    config = with_precision(config, devices, started=False)
    gan = _make(config, devices, started=False)
    if config.fid:
        Evaluation(config, datasets, gan)  # its weights are among what can be missing
    last = _schedule(gan, datasets)
    print(config.to_json(), end="")
    print(f"would train {_describe(gan)} on {devices.description}")
    passes = last * config.batch_size / _largest(datasets)
    print(f"would make {counted(last, 'step')} = {passes:,.1f} passes over the pictures")
    print(
        f"a checkpoint would take {4 * _size(gan.state().values()) / 1e6:,.0f} MB, {config.keep_checkpoints} are kept"
    )
    print(f"would write to {config.run_folder}; nothing was written there")
    if missing := left_out():
        print(missing)


def preview_augmentation(config: TrainConfig, file: str | Path) -> None:
    """Writes a grid of training pictures, each followed by what augmentation makes of it; trains nothing."""
    devices = _open_devices(config)
    datasets = load_pictures(config)
    config, datasets = with_classes(config, datasets, started=False)
    config = dataclasses.replace(config, mixed_precision="float32")  # networks compute nothing here
    gan = _make(config, devices, started=False)
    save_png(draw_augmentation(gan, datasets[0].images), file)
    print(f"wrote {file}: in each row a picture, then what augmentation makes of it")


def _largest(datasets: Sequence[Dataset]) -> int:
    """Pictures in an epoch: those of the largest domain."""
    return max(len(dataset) for dataset in datasets)


def _schedule(gan: GAN, datasets: Sequence[Dataset]) -> int:
    """Tells the GAN how long it will be trained; returns the last step."""
    last = gan.config.total_steps(_largest(datasets))
    gan.schedule(_largest(datasets) / gan.config.batch_size, last)
    return last


def _open_devices(config: TrainConfig) -> engine.Devices:
    """The devices that the settings ask for; raises a UserError where they cannot do what is asked of them."""
    if config.distributed:
        engine.join_workers(*read_workers())
    devices = engine.Devices(config.devices, workers=config.distributed)
    if unused := engine.unused_gpu():
        print(f"warning: {unused}", file=sys.stderr)
    shares = devices.replicas * config.gradient_accumulation
    if config.batch_size % shares:
        raise UserError(
            f"--batch-size {config.batch_size} cannot be shared by {counted(devices.replicas, 'device')} in "
            f"{counted(config.gradient_accumulation, 'part')}; use a multiple of {shares}"
        )
    if config.mixed_precision == "float16" and not devices.accelerated:
        raise UserError("--mixed-precision float16 needs a GPU, and there is none; use float32 or bfloat16")
    return devices


def _make(config: TrainConfig, devices: engine.Devices, started: bool) -> GAN:
    """The GAN on its devices, with the initial weights that the settings ask for.

    Args:
        started: the run has a checkpoint, which holds all weights.
    """
    # Initial weights come from the seed as all other random numbers do.
    keras.utils.set_random_seed(config.seed)
    with devices.scope():
        gan = make_gan(config)
        loaded = [] if started else _load_initial_weights(gan, config)
        if config.freeze_discriminator_layers:
            frozen = transfer.freeze_discriminators(gan, config.freeze_discriminator_layers, loaded)
            print(f"frozen layers of the discriminator: {', '.join(frozen)}")
    return gan


def _load_initial_weights(gan: GAN, config: TrainConfig) -> list[transfer.Loaded]:
    loaded = []
    if config.init_from:
        loaded = transfer.start_from(gan, transfer.read_source(config.init_from))
        print(f"starting from {config.init_from}:")
        for network in loaded:
            print(f"  {network}")
    for key, network in gan.trained.items():
        if file := getattr(config, f"{key}_weights", None):
            averaged = gan.networks.get(f"{key}_ema")
            _load_weights(file, key, network, *([averaged] if averaged else []))
    return loaded


def _load_weights(file: str, key: str, *networks: Network) -> None:
    """Loads the network of that name of a model into the networks, which are alike."""
    stored = open_model(file, f"--{key.replace('_', '-')}-weights").network(key)
    mine = weights.describe(type(networks[0]).__name__, networks[0].architecture)
    arrays = stored.read()
    for network in networks:
        complaint = f"{stored.source} holds {stored}, which does not fit {mine}"
        weights.assign(weights.variables_by_path(network), arrays, complaint)


class Restored(NamedTuple):
    """The progress of a run; by default that of a new one.

    step: how many are done.
    best, worse: the best score, and how many measurements there were after it.
    new: all steps were done elsewhere.
    """

    step: int = 0
    best: Best | None = None
    worse: int = 0
    new: bool = True


def _restore(
    gan: GAN,
    devices: engine.Devices,
    datasets: Sequence[Dataset],
    checkpoints: CheckpointFolder,
    last: int,
    mix_in: MixIn | None,
) -> Restored:
    """Loads the newest checkpoint into the GAN."""
    with devices.scope():
        meta = checkpoints.load_newest(gan.state())
    _check_constants(gan, meta.get("constants", {}))
    if meta["step"] > last:
        config = gan.config
        length = f"--steps is {last:,}" if config.epochs is None else f"--epochs {config.epochs} are {last:,} steps"
        raise UserError(
            f"{config.run_folder} has done {counted(meta['step'], 'step')}, and {length}; give a larger number"
        )
    elsewhere = meta["data"] is None
    others = meta.get("mix_in") != (mix_in.digest if mix_in else None)
    if not elsewhere and (others or meta["data"] != [dataset.digest for dataset in datasets]):
        print("note: these are not the pictures that the run began with; it goes on with the new ones")
    # The best score is that of the file which holds it: a run may be killed before its next checkpoint names it.
    saved = (checkpoints.best_meta() or meta).get("best")
    best = Best(*saved) if saved else None
    worse = meta.get("worse", 0) if best and best.step <= meta["step"] else 0
    return Restored(meta["step"], best, worse, elsewhere)


def _check_constants(gan: GAN, saved: Mapping[str, str]) -> None:
    """Raises a UserError unless the GAN's constants, which no checkpoint holds, are those of the saved run."""
    for name, version in saved.items():
        if gan.constants.get(name) != version:
            raise UserError(
                f"{gan.config.run_folder} was trained with {name} {version}, and these are {gan.constants.get(name)}; "
                "give the same weights to go on, or start a new run"
            )


def _describe(gan: GAN) -> str:
    counts = [f"{name} {_size(network.trainable_variables) / 1e6:.1f} M" for name, network in gan.trained.items()]
    return f"{type(gan).__name__} ({', '.join(counts)} parameters)"


def _size(variables: Iterable[keras.Variable]) -> int:
    return sum(math.prod(variable.shape) for variable in variables)


def _look_for_copies(gan: GAN, evaluation: Evaluation, datasets: Sequence[Dataset], folder: RunFolder) -> None:
    """Writes neighbours.png and prints its result."""
    drawn = draw_neighbours(gan, evaluation.scorer, datasets, gan.config.fid_number_of_images)
    if drawn:
        save_png(drawn[0], folder.neighbours)
        print(drawn[1])
