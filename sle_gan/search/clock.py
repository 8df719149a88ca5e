"""The clock of a trial: processor time of the process that trains it, kept over its ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from pathlib import Path

from sle_gan.storage.json_objects import read_object

_LOOK_S = 0.2
_WRITE_S = 2.0


class Clock:
    """Counts this process's processor time within `with`, on top of what its file has; asks for the end at a limit.

    What else the machine does moves processor time little. The file is written every two seconds: of a process that is
    killed no more than that is lost, and the steps that it loses stay on the clock.

    Args:
        file: {"cpu_s": seconds}; made where it is missing.
        limit_s: this process gets SIGTERM once the clock is past it, and saves. None for no limit.
    """

    def __init__(self, file: Path, limit_s: float | None = None):
        self._file, self._limit = file, limit_s
        self._before = _read(file)
        self._started: float | None = None
        self._ended = threading.Event()
        self.over = limit_s is not None and self._before >= limit_s

    @property
    def cpu_s(self) -> float:
        used = 0.0 if self._started is None else time.process_time() - self._started
        return self._before + used

    def __enter__(self) -> Clock:
        self._started = time.process_time()
        self._thread = threading.Thread(target=self._watch, name="clock", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._ended.set()
        self._thread.join()
        self._before, self._started = self.cpu_s, None
        self._write()

    def _watch(self) -> None:
        written = time.monotonic()
        while not self._ended.wait(_LOOK_S):
            if self._limit is not None and self.cpu_s >= self._limit and not self.over:
                self.over = True
                os.kill(os.getpid(), signal.SIGTERM)
            if time.monotonic() - written >= _WRITE_S:
                self._write()
                written = time.monotonic()

    def _write(self) -> None:
        temporary = self._file.with_suffix(".tmp")
        with contextlib.suppress(OSError):  # a full disk: the run itself says so
            temporary.write_text(json.dumps({"cpu_s": round(self.cpu_s, 3)}), encoding="utf-8")
            temporary.replace(self._file)


def _read(file: Path) -> float:
    try:
        value = read_object(file).get("cpu_s")
    except (OSError, ValueError):
        return 0.0
    return float(value) if isinstance(value, (int, float)) else 0.0
