"""Training runs as they stand: how far they are, their curves, and the grids that they drew."""

from __future__ import annotations

import importlib
import importlib.util
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

from sle_gan.config import TrainConfig
from sle_gan.data import decode_failure, decode_whole, quiet_pillow
from sle_gan.errors import UserError
from sle_gan.gans import GANS
from sle_gan.runs.folder import read_run_config
from sle_gan.runs.grids import find_grids
from sle_gan.runs.log import of_one_protocol, read_log
from sle_gan.studio.outbox import Outbox
from sle_gan.studio.shelf import Shelf

_LIVE_SECONDS = 120  # a run that has logged nothing for so long is not going on


class Standing(NamedTuple):
    """How a run stands.

    Attributes:
        summary: in a sentence or two.
        curves: the file of a picture of its losses; None where there are none yet, or no matplotlib.
        fid: likewise of its scores.
        steps: of its grids, the first first.
        version: changes when any of this does.
    """

    summary: str
    curves: str | None
    fid: str | None
    steps: list[int]
    version: object


class Runs:
    """The runs of a shelf."""

    def __init__(self, shelf: Shelf, outbox: Outbox):
        self._shelf, self._outbox = shelf, outbox
        self._known: dict[str, Standing] = {}
        self._lock = threading.Lock()  # drawing takes seconds, and two visitors may watch one run

    def names(self) -> list[str]:
        return list(self._shelf.run_folders())

    def standing(self, name: str) -> Standing:
        """How a run stands now; drawn again where its log or its grids have changed.

        Raises:
            UserError: if there is no such run, or its files cannot be read.
        """
        folder = self._folder(name)
        with self._lock:
            version = (_stat(folder / "log.jsonl"), _stat(folder / "samples"))
            known = self._known.get(name)
            if known is None or known.version != version or not _are_there(known):
                known = self._known[name] = self._drawn(folder, version)
            return known

    def grid(self, name: str, number: float) -> tuple[str, str]:
        """The file of a run's grid, a copy, and a caption.

        Args:
            number: from 0 for the first.
        """
        grids = _grids(self._folder(name))
        if not grids:
            raise UserError(f"{name} has drawn no samples yet")
        step, path = grids[min(max(int(number), 0), len(grids) - 1)]
        try:
            with quiet_pillow():
                picture = decode_whole(path)
        except Exception as error:  # Pillow has no closed list of what a damaged file makes it raise
            raise UserError(f"{path.name} cannot be read: {decode_failure(error)}") from error
        return self._outbox.picture(picture, f"{name}_{step:08d}.png"), f"step {step:,}"

    def _folder(self, name: str) -> Path:
        folders = self._shelf.run_folders()
        if name not in folders:
            raise UserError(f"there is no run {name!r} here; choose one of the list")
        return folders[name]

    def _drawn(self, folder: Path, version: object) -> Standing:
        log = folder / "log.jsonl"
        lines = read_log(log) if log.is_file() else []
        config = read_run_config(folder)
        steps = [step for step, _ in _grids(folder)]
        curves = fid = None
        if lines and importlib.util.find_spec("matplotlib"):
            from sle_gan.training.curves import draw_curves
            from sle_gan.training.evaluation import draw_fid

            module, gan = GANS[config.model].gan
            files = [self._outbox.place(f"{folder.name}_{what}.png") for what in ("curves", "fid")]
            draw_curves(log, files[0], getattr(importlib.import_module(module), gan).panels)
            draw_fid(log, files[1])
            curves, fid = (str(file) if file.is_file() else None for file in files)
        return Standing(_summary(folder.name, config, lines, log), curves, fid, steps, version)


def _summary(name: str, config: TrainConfig, lines: list[dict[str, Any]], log: Path) -> str:
    if not lines:
        return f"{name} has made no step yet."
    last = lines[-1]["step"]
    speed = next((line["images_per_second"] for line in reversed(lines) if "images_per_second" in line), None)
    quiet = time.time() - log.stat().st_mtime
    if last >= config.steps:
        state = "complete"
    elif quiet < _LIVE_SECONDS:
        state = "training"
    else:
        state = f"not going on: its last step was {_ago(quiet)} ago"
    text = f"{name}: {config.model}, {config.resolution} px, step {last:,} of {config.steps:,}, {state}."
    if speed:
        text += f" {speed:.1f} images a second."
    scores = of_one_protocol([line for line in lines if "fid" in line])
    if scores:
        best = min(scores, key=lambda line: line["fid"])
        what = "FID" if best["extractor"] == "inception" else f"Fréchet distance ({best['extractor']})"
        text += f" {what} {scores[-1]['fid']:.1f}, at best {best['fid']:.1f} at step {best['step']:,}."
    return text


def _ago(seconds: float) -> str:
    for length, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return "a minute"


def _grids(folder: Path) -> list[tuple[int, Path]]:
    samples = folder / "samples"
    found = find_grids(samples) if samples.is_dir() else {}
    return next(iter(found.values()), [])


def _are_there(standing: Standing) -> bool:
    return all(path is None or Path(path).is_file() for path in (standing.curves, standing.fid))


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_size, stat.st_mtime_ns
