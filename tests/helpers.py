"""What tests of the commands share: where the repository is, and how to run it as a user would."""

from __future__ import annotations

import atexit
import json
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
TINY = ("--resolution", "64", "--width", "8", "--latent", "16", "--batch-size", "4")
# The GAN whose step compiles in the shortest time, for what a run does whichever GAN it trains.
TINIEST = ("--model", "dcgan", "--resolution", "32", "--width", "8", "--latent", "16", "--batch-size", "4")


# What a test started; the fixture `nothing_is_left_running` ends it where the test did not.
STARTED: list[subprocess.Popen[str]] = []


def start(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """Starts `sle-gan ARGUMENTS` of the repository, from any folder; stdout and stderr are pipes."""
    command = [sys.executable, str(REPOSITORY / "sle_gan"), *map(str, arguments)]
    process = subprocess.Popen(  # type: ignore[call-overload]
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )
    STARTED.append(process)
    return process


def run_anew(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs `sle-gan ARGUMENTS` to its end in a new interpreter, however long a busy machine takes."""
    process = start(*arguments, **options)
    out, err = process.communicate()
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def run(
    *arguments: object, cwd: Path | None = None, env: Mapping[str, str] | None = None, **options: object
) -> subprocess.CompletedProcess[str]:
    """As `run_anew`, in a process that is forked from one which has imported TensorFlow: 4 seconds less.

    What asks for another engine or other modules, or has other options, and every system but Linux, gets a new one.
    """
    words = [str(argument) for argument in arguments]
    environment = dict(os.environ if env is None else env)
    another = environment.get("KERAS_BACKEND", "tensorflow") != "tensorflow" or "--engine" in words
    another |= environment.get("PYTHONPATH") not in (os.environ.get("PYTHONPATH"), str(REPOSITORY))
    if sys.platform != "linux" or another or options:
        return run_anew(*words, cwd=cwd, env=environment, **options)
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        streams = [DupFd(file.fileno()) for file in (out, err)]
        process = fork_server().Process(target=_command, args=(words, str(cwd or Path.cwd()), environment, streams))
        process.start()
        process.join()
        for file in (out, err):
            file.seek(0)
        texts = [file.read() for file in (out, err)]
    return subprocess.CompletedProcess(words, process.exitcode or 0, *texts)


def fork_server() -> Any:
    """What makes processes by forking one that has imported TensorFlow and Keras, and that starts when first asked."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tensorflow", "keras"])
    return context


def _command(words: list[str], cwd: str, environment: dict[str, str], streams: list[Any]) -> None:
    """The command line, in a process of its own: `python PATH/sle_gan WORDS` once the interpreter has started."""
    null = os.open(os.devnull, os.O_RDONLY)
    for number, descriptor in enumerate((null, *(stream.detach() for stream in streams))):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [str(REPOSITORY / "sle_gan"), *words]

    from sle_gan.cli.main import entry

    try:
        entry()
    finally:
        atexit._run_exitfuncs()  # which a forked process leaves out


def cpu_seconds(*arguments: object) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Runs a command: the processor time that it took, which other work hardly changes, and how it ended."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = run_anew(*arguments)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime, result


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[str]) -> float:
    """Waits until a run has logged a step, or fails with its output if it ends before; seconds that a step takes."""
    while True:
        ended = process.poll() is not None
        log = folder / "log.jsonl"
        lines = log.read_text().splitlines(keepends=True) if log.exists() else []
        times = {line["step"]: line["time"] for line in (json.loads(text) for text in lines if text.endswith("\n"))}
        if step in times:
            return max(0.0, times[step] - times.get(step - 1, times[step]))
        assert not ended, process.communicate()
        time.sleep(0.05)


def kill_after(folder: Path, step: int, process: subprocess.Popen[str]) -> None:
    """Kills a run at a random moment of the step that follows the given one, whatever a step takes here."""
    time.sleep(random.random() * wait_for_step(folder, step, process))
    process.kill()
    process.communicate()


def assert_refused(result: subprocess.CompletedProcess[str], *words: str) -> None:
    """A user's mistake: exit code 2, and one line on stderr that holds the words; no traceback."""
    assert result.returncode == 2, result.stderr
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in lines[0]


@contextmanager
def as_another_user(folder: Path, modes: dict[str, int]) -> Iterator[None]:
    """Within it `folder` belongs to somebody else: what `modes` names has that mode, all the rest is open to everyone.

    folder: one that everyone can get to; the fixture `public` is.
    modes: by path below the folder; "." is the folder itself. 0o555 and 0o444 can be read and not written.
    """
    paths = [folder, *folder.rglob("*")]
    for path in paths:
        path.chmod(0o777 if path.is_dir() else 0o666)
    for name, mode in modes.items():
        (folder / name).chmod(mode)
    root = os.geteuid() == 0  # who may do everything
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in paths:
            if path.exists():
                path.chmod(0o777 if path.is_dir() else 0o666)
