"""The summary at the end of a run: how it ended, and where its files are."""

from __future__ import annotations

from sle_gan import engine
from sle_gan.commands import command_line, resume_line, tensorboard_line
from sle_gan.errors import counted
from sle_gan.gans.base import GAN
from sle_gan.runs.checkpoints import CheckpointFolder
from sle_gan.runs.folder import RunFolder
from sle_gan.training.loop import Outcome
from sle_gan.training.optional import is_installed


def conclude(gan: GAN, folder: RunFolder, checkpoints: CheckpointFolder, outcome: Outcome, last: int) -> None:
    """Prints how the run ended and where its files are."""
    newest = checkpoints.newest()
    minutes, seconds = divmod(round(outcome.elapsed_s), 60)
    ending = f"stopped by {outcome.interrupted_by.name}" if outcome.interrupted_by else "finished"
    if outcome.gave_up:
        ending = f"stopped for want of a better FID in {counted(gan.config.patience or 0, 'measurement')}"
    if outcome.elapsed_s:
        waited = 100 * outcome.waited_s / outcome.elapsed_s
        print(
            f"{ending} at step {outcome.step:,} of {last:,} after {minutes} min {seconds} s, "
            f"{waited:.1f} % of it waiting for pictures"
        )
    else:
        print(f"complete: all {last:,} steps were done before; give a larger --steps or --epochs to go on")
    places = {
        "generator": folder.path / next(iter(gan.exports)),
        **({"best one": folder.best_generator, "FID": folder.fid} if folder.fid.exists() else {}),
        **({"copies?": folder.neighbours} if folder.neighbours.exists() else {}),
        "samples": folder.samples,
        **({"curves": folder.curves} if folder.curves.exists() else {}),
        "log": folder.log,
        **({"TensorBoard": tensorboard_line(folder.tensorboard)} if is_installed("tensorboard") else {}),
        "checkpoint": newest.path if newest else "none",
    }
    name, flags = gan.usage(folder.path)
    places["new images"] = command_line(name, **flags, engine=engine.name)
    if outcome.step < last:
        more = {"patience": 2 * (gan.config.patience or 0)} if outcome.gave_up else {}
        places["go on"] = resume_line(folder.path, engine.name, **more)
    for what, where in places.items():
        print(f"  {what:12} {where}")
