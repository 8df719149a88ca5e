"""Programs trained for equal processor time, one at a time, each in processes and a folder of its own.

The clock is the processor time (user and system) of the training process and its children, read from /proc while it
runs and from the operating system's account when it has ended: what else the machine does moves it little. A training
runs in one piece: it is not stopped to be scored, it only writes what it writes anyway, and what it has written is
copied away when the clock passes a mark. Stopping and resuming at each mark would cost imports and tracing every time.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

POLL_S = 0.2
_SAVE_S = 5.0
_PATIENCE_S = 300  # for a program that has been asked to end
WORKING = ".paused"


@dataclass
class Kept:
    """What an entrant had made at a time: a generator's file or a folder of pictures, as a path in its own folder."""

    path: str
    cpu_s: float
    step: int | None = None


@dataclass
class State:
    """race.json: how far an entrant is.

    ended: why no more is to come; None while it is not at its end.
    """

    settings: dict[str, Any]
    cpu_s: float = 0.0
    kept: list[Kept] = field(default_factory=list)
    ended: str | None = None

    @classmethod
    def read(cls, file: Path) -> State | None:
        if not file.exists():
            return None
        values = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{**values, "kept": [Kept(**kept) for kept in values["kept"]]})

    def write(self, file: Path) -> None:
        temporary = file.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        temporary.replace(file)


class Entrant:
    """A program to be trained: its folder, its command, and what of its work is to be kept.

    label: names it in results. settings: what a race that goes on must have in common with the one that began.
    goes_on: whether a program that was stopped goes on where it was.
    """

    goes_on = False

    def __init__(self, label: str, number: int, folder: Path, settings: dict[str, Any]):
        self.label, self.round, self.folder, self.settings = label, number, folder, settings

    @property
    def file(self) -> Path:
        return self.folder / "race.json"

    def command(self) -> list[str] | str:
        """What starts it, or goes on with it; a string is for the shell."""
        raise NotImplementedError

    def made(self) -> Iterator[tuple[str, int | None]]:
        """What is new since the last call, in the order in which it was made: a path in the folder, and its step."""
        raise NotImplementedError

    def keep(self, made: Kept) -> Kept:
        """Sees to it that it stays; returns it with the path where it does."""
        return made

    def paused(self) -> bool:
        """Whether it is busy with what the clock does not count."""
        return False


class Run(Entrant):
    """An ordinary run of `sle-gan train`, which goes on exactly where it was stopped."""

    goes_on = True

    def __init__(self, label: str, number: int, folder: Path, program: Sequence[str], flags: Sequence[str]):
        super().__init__(label, number, folder, {"flags": list(flags)})
        self._start = [*program, *flags, "--output-folder", str(folder), "--name", "run"]
        self._export = folder / "run" / "generator_weights.h5"
        self._seen = self._stamp()

    def command(self) -> list[str]:
        begun = any((self.folder / "run" / "checkpoints").glob("step_*.npz"))
        return [*self._start, "--resume" if begun else "--override"]

    def made(self) -> Iterator[tuple[str, int | None]]:
        stamp = self._stamp()
        if stamp != self._seen:
            self._seen = stamp
            steps = (self.folder / "run" / "checkpoints").glob("step_*.npz")  # written just before the export
            yield "run/generator_weights.h5", max((int(file.stem[5:]) for file in steps), default=None)

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = self._export.stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def keep(self, made: Kept) -> Kept:
        kept = self.folder / "kept" / f"{made.cpu_s:09.1f}s.h5"
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(self.folder / made.path, kept)  # exports are replaced as a whole, never written into
        return Kept(str(kept.relative_to(self.folder)), made.cpu_s, made.step)


class Peer(Entrant):
    """Another program, started anew if it was stopped; see `quality.py` for what is asked of it."""

    def __init__(self, label: str, number: int, folder: Path, command: str):
        super().__init__(label, number, folder, {"command": command})
        self._command, self._out = command, folder / "out"
        self._seen: set[str] = set()

    def command(self) -> str:
        shutil.rmtree(self._out, ignore_errors=True)
        self._out.mkdir(parents=True)
        return self._command

    def made(self) -> Iterator[tuple[str, int | None]]:
        found = [path for path in self._out.iterdir() if path.is_dir() and not path.name.startswith(".")]
        for path in sorted(found, key=lambda path: path.stat().st_mtime_ns):
            if path.name not in self._seen:
                self._seen.add(path.name)
                yield f"out/{path.name}", int(path.name) if path.name.isdecimal() else None

    def paused(self) -> bool:
        return (self._out / WORKING).exists()


def train(entrant: Entrant, seconds: float, points: int, cpus: Sequence[int]) -> State:
    """Trains until `seconds` of processor time are used, or its program ends; goes on where it was stopped.

    What is made first after each of `points` equal parts of the time is kept, and what is made last.
    """
    state = State.read(entrant.file) or State(entrant.settings)
    if state.settings != entrant.settings:
        raise SystemExit(
            f"{entrant.folder} was begun with {state.settings}, not {entrant.settings}; give another --output-folder"
        )
    if (state.ended and state.cpu_s >= seconds) or state.ended not in (None, "time"):
        return state
    entrant.folder.mkdir(parents=True, exist_ok=True)
    state = State(entrant.settings, state.cpu_s, state.kept) if entrant.goes_on else State(entrant.settings)
    marks = [seconds * (i + 1) / points for i in range(points)]
    with (entrant.folder / "output.txt").open("a", encoding="utf-8") as output:
        process = _start(entrant.command(), cpus, output)
    try:
        code = _watch(entrant, state, process, seconds, marks)
    except BaseException:
        _end(process)
        raise
    finally:
        state.write(entrant.file)
    over = state.cpu_s >= seconds
    state.ended = "time" if over else f"exit code {code}" if code else "finished"
    state.write(entrant.file)
    return state


def end_when_asked() -> None:
    """SIGTERM and SIGHUP end this process as an exception does: what it trains must not go on without it."""

    def stop(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, stop)


def _start(command: list[str] | str, cpus: Sequence[int], output: Any) -> subprocess.Popen[str]:
    """The program on these processors, in a process group of its own."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"), str(len(cpus)))
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)  # the child inherits it
    try:
        return subprocess.Popen(
            command,
            shell=isinstance(command, str),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **threads, "PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
    finally:
        os.sched_setaffinity(0, before)


def _watch(
    entrant: Entrant, state: State, process: subprocess.Popen[str], seconds: float, marks: Sequence[float]
) -> int:
    """Waits for the program's end, asks for it when the time is over, keeps what is made; returns the exit code."""
    before, used, not_counted, asked, saved = state.cpu_s, 0.0, 0.0, None, time.monotonic()
    last: Kept | None = None
    ended, code = False, 0
    while not ended:
        time.sleep(POLL_S)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        ended = pid != 0
        now = usage.ru_utime + usage.ru_stime if ended else cpu_seconds(process.pid)
        if entrant.paused():
            not_counted += max(0.0, now - used)
        used = max(used, now)
        state.cpu_s = before + used - not_counted
        for path, step in entrant.made():
            last = Kept(path, state.cpu_s, step)
            done = state.kept[-1].cpu_s if state.kept else 0.0
            if asked is None and state.cpu_s >= next((mark for mark in marks if mark > done), seconds):
                state.kept.append(entrant.keep(last))
                last = None
        if asked is None and state.cpu_s >= seconds and not ended:
            os.killpg(process.pid, signal.SIGTERM)
            asked = time.monotonic()
        if asked and time.monotonic() - asked > _PATIENCE_S and not ended:
            os.killpg(process.pid, signal.SIGKILL)
        if time.monotonic() - saved > _SAVE_S:
            state.write(entrant.file)
            saved = time.monotonic()
        if ended:
            code = process.returncode = os.waitstatus_to_exitcode(status)
    if last:
        state.kept.append(entrant.keep(last))
    return code


def _end(process: subprocess.Popen[str]) -> None:
    """Asks the program to end, and waits until it has saved what it has."""
    if process.returncode is not None:
        return
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(_PATIENCE_S)
    except (ProcessLookupError, subprocess.TimeoutExpired):
        process.kill()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads and all of its descendants, ended ones too; 0 if it is gone."""
    try:
        # After the name in parentheses, which may hold spaces: state is field 3, utime to cstime are 14 to 17.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text(encoding="utf-8").split()
        ]
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_seconds, children))


def check_system() -> None:
    if not sys.platform.startswith("linux"):
        raise SystemExit("the clock reads /proc, which only Linux has")
