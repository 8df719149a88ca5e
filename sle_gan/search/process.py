"""Each rung of a trial in a fresh process, watched until it has its result."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import sle_gan
from sle_gan.runs.folder import RunFolder
from sle_gan.search.tasks import Result, Task, output_file, read_result, write_task
from sle_gan.storage.locks import lock as take_lock

_LOOK_S = 0.2
_PACKAGE = Path(sle_gan.__file__).resolve().parent


class ProcessRunner:
    """A `Runner` whose trials are runs of their own processes.

    Args:
        engine: tensorflow, jax or torch.
        stop: asked all the time; once True the process is told to save and end.
        watch: called all the time with the task, and the run's step as its log has it.
    """

    def __init__(
        self,
        engine: str,
        stop: Callable[[], bool] = lambda: False,
        watch: Callable[[Task, int], None] = lambda task, step: None,
    ):
        self._engine, self._stop, self._watch = engine, stop, watch

    def __call__(self, task: Task) -> Result:
        if result := read_result(task):  # the search was killed before it knew
            return result
        if not self._free(task.config.run_folder):
            return Result("stopped")
        file = write_task(task, engine=self._engine, parent=os.getpid())
        with output_file(task).open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, str(_PACKAGE), "search", "trial", str(file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the search, which tells its process to stop. Bars go to a file here.
                start_new_session=True,
                env={**os.environ, "TQDM_MININTERVAL": "60", "PYTHONUNBUFFERED": "1"},
            )
        try:
            code = self._wait(process, task)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        return read_result(task) or self._without_result(task, code)

    def _wait(self, process: subprocess.Popen[bytes], task: Task) -> int:
        told = False
        log = RunFolder(task.config.run_folder).log
        while process.poll() is None:
            time.sleep(_LOOK_S)
            if self._stop() and not told:
                process.terminate()
                told = True
            self._watch(task, _last_step(log))
        return process.returncode

    def _without_result(self, task: Task, code: int) -> Result:
        output = output_file(task)
        if self._stop() and code in (-signal.SIGTERM, 128 + signal.SIGTERM):
            return Result("stopped")
        line = _last_line(output)
        if code == 2:
            return Result("refused", reason=line.split(": error: ", 1)[-1])
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return Result("failed", reason=f"{how}; its output is in {output} and ends: {line}")

    def _free(self, run: Path) -> bool:
        """Waits until no other process trains in the run; False if the search was told to stop before."""
        lock = run / ".lock"
        while lock.exists():
            with lock.open("a") as file:
                try:
                    take_lock(file)
                    return True
                except BlockingIOError:  # the process of a search that was killed is saving
                    if self._stop():
                        return False
            time.sleep(_LOOK_S)
        return True


def _last_step(log: Path) -> int:
    """The step of the last whole line of a log.jsonl; 0 where there is none."""
    for line in reversed(_tail(log).split(b"\n")):
        try:
            return int(json.loads(line)["step"])
        except (ValueError, KeyError, TypeError):
            continue
    return 0


def _last_line(file: Path) -> str:
    lines = [line.strip() for line in _tail(file).decode(errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "nothing")


def _tail(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - 4000))
            return opened.read()
    except OSError:
        return b""
