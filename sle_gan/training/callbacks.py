"""Callbacks of the training loop: console, log file, TensorBoard, pictures."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan.errors import counted
from sle_gan.pictures import save_png
from sle_gan.runs.log import read_log
from sle_gan.storage.atomic import AppendedFile, atomic_path


class Callback:
    """Called at a run's events. Every method may be left out."""

    def on_step(self, step: int, logs: Mapping[str, float]) -> None:
        """After step number `step` (1, 2, ...): the named losses and `images_per_second`."""

    def on_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        """A grid (H, W, C) uint8, named "samples" or "reconstructions"."""

    def on_score(self, step: int, fid: float, protocol: Mapping[str, Any]) -> None:
        """A FID, with `extractor`, `count` (of generated images) and further scores among its protocol."""

    def on_message(self, text: str) -> None:
        """One line for the user."""

    def close(self) -> None:
        """After the run, also where it failed."""


class Callbacks(Callback):
    """Several callbacks as one. An exception in one of them does not end the run: it is reported once for each cause.

    Args:
        makers: functions that make the callbacks, by what these write. The first one should print messages.
    """

    def __init__(self, makers: Mapping[str, Callable[[], Callback]]):
        self._members: dict[str, Callback] = {}
        self._reported: set[tuple[str, object]] = set()
        for name, make in makers.items():
            self.attempt(name, lambda name=name, make=make: self._members.__setitem__(name, make()))

    def attempt(self, name: str, action: Callable[[], object]) -> None:
        """Runs an action that is not essential to the run; reports a failure once for each cause."""
        try:
            action()
        except Exception as error:  # whatever it is: hours of training are worth more
            system = isinstance(error, OSError) and error.errno
            cause = (name, system or type(error))
            if cause in self._reported:
                return
            self._reported.add(cause)
            why = str(error) if system else f"{type(error).__name__}: {error}"
            self.on_message(f"warning: {name} cannot be written ({why}); the run goes on without it")

    def _each(self, action: Callable[[Callback], None]) -> None:
        for name, member in self._members.items():
            self.attempt(name, lambda member=member: action(member))

    def on_step(self, step: int, logs: Mapping[str, float]) -> None:
        self._each(lambda member: member.on_step(step, logs))

    def on_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        self._each(lambda member: member.on_picture(step, name, picture))

    def on_score(self, step: int, fid: float, protocol: Mapping[str, Any]) -> None:
        self._each(lambda member: member.on_score(step, fid, protocol))

    def on_message(self, text: str) -> None:
        self._each(lambda member: member.on_message(text))

    def close(self) -> None:
        self._each(lambda member: member.close())


class Console(Callback):
    """A progress bar with images/s, ETA and losses; messages above it.

    Args:
        first_step, last_step: where this run starts and where it ends.
        batch_size: images of a step.
        totals: see `GAN.totals`.
    """

    def __init__(self, first_step: int, last_step: int, batch_size: int, totals: Mapping[str, tuple[str, ...]]):
        from tqdm import tqdm

        self._totals = totals
        self._batch_size = batch_size
        self._fid = ""
        self._bar = tqdm(
            total=last_step * batch_size,
            initial=first_step * batch_size,
            unit="img",
            dynamic_ncols=True,
            smoothing=0.1,
        )

    def on_step(self, step: int, logs: Mapping[str, float]) -> None:
        losses = {title: [logs[key] for key in logs if key.startswith(names)] for title, names in self._totals.items()}
        text = " ".join(f"{title} {sum(values):.2f}" for title, values in losses.items() if values)
        self._bar.set_postfix_str(f"step {step:,} {text}{self._fid}", refresh=False)
        self._bar.update(step * self._batch_size - self._bar.n)

    def on_score(self, step: int, fid: float, protocol: Mapping[str, Any]) -> None:
        self._fid = f" FID {fid:.1f}"
        self._bar.write(
            f"step {step:,}: FID {fid:.3f} ({counted(protocol['count'], 'image')}, {protocol['extractor']} features)"
        )

    def on_message(self, text: str) -> None:
        self._bar.write(text)

    def close(self) -> None:
        self._bar.close()


class Messages(Callback):
    """The messages alone, on stdout."""

    def on_message(self, text: str) -> None:
        print(text)


class JsonLines(Callback):
    """log.jsonl: one object per step. Lines of steps after `first_step` are dropped when resuming."""

    def __init__(self, path: Path, first_step: int):
        if path.exists():
            kept = [line for line in read_log(path) if line["step"] <= first_step]
            with atomic_path(path) as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        self._file = AppendedFile(path)

    def _write(self, step: int, values: Mapping[str, Any]) -> None:
        line = json.dumps({"step": step, "time": round(time.time(), 3), **values}) + "\n"
        self._file.write(line.encode())

    def on_step(self, step: int, logs: Mapping[str, float]) -> None:
        self._write(step, {key: float(f"{value:.6g}") for key, value in logs.items()})

    def on_score(self, step: int, fid: float, protocol: Mapping[str, Any]) -> None:
        self._write(step, {"fid": fid, **protocol})

    def close(self) -> None:
        self._file.close()


class TensorBoard(Callback):
    """An event file. Records and messages are the tensorboard package's, so that no engine needs TensorFlow for it.

    Its EventFileWriter is not used: it writes in a thread, which ends with a traceback when a write fails.
    """

    def __init__(self, folder: Path, first_step: int):
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event = Event
        now = time.time()
        folder.mkdir(exist_ok=True)
        self._file = AppendedFile(folder / f"events.out.tfevents.{now:.0f}.{socket.gethostname()}.{os.getpid()}")
        self._records = RecordWriter(self._file)
        self._write(Event(wall_time=now, file_version="brain.Event:2"))
        if first_step:  # tells TensorBoard to drop what a killed process wrote after the checkpoint
            session = SessionLog(status=SessionLog.START)
            self._write(Event(wall_time=now, step=first_step + 1, session_log=session))

    def _write(self, event: Any) -> None:
        self._records.write(event.SerializeToString())

    def _add(self, step: int, **value: Any) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        summary = Summary(value=[Summary.Value(**value)])
        self._write(self._event(wall_time=time.time(), step=step, summary=summary))

    def on_step(self, step: int, logs: Mapping[str, float]) -> None:
        for key, value in logs.items():
            self._add(step, tag=key if key == "images_per_second" else f"loss/{key}", simple_value=value)

    def on_score(self, step: int, fid: float, protocol: Mapping[str, Any]) -> None:
        self._add(step, tag=f"fid/{protocol['extractor']}", simple_value=fid)

    def on_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        import io

        from tensorboard.compat.proto.summary_pb2 import Summary

        from sle_gan.pictures import to_pillow

        encoded = io.BytesIO()
        to_pillow(picture).save(encoded, format="PNG")
        height, width, channels = picture.shape
        image = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=encoded.getvalue())
        self._add(step, tag=name, image=image)

    def close(self) -> None:
        self._file.close()


class PictureFiles(Callback):
    """samples/samples_00001000.png and so on."""

    def __init__(self, folder: Path):
        self._folder = folder

    def on_picture(self, step: int, name: str, picture: np.ndarray) -> None:
        self._folder.mkdir(exist_ok=True)  # it may have been removed for its size
        save_png(picture, self._folder / f"{name}_{step:08d}.png")


def all_finite(logs: Mapping[str, float]) -> bool:
    """Whether no loss is NaN or Inf."""
    return all(math.isfinite(value) for value in logs.values())
