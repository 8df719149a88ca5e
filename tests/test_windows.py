"""The package imports and trains without what Windows has not. No Windows was at hand: Linux without that stands in."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import REPOSITORY, TINIEST

# Other packages have their own ways on Windows: they are imported as they are on Linux, before it is made poorer.
AS_ON_WINDOWS = """
import ctypes, mmap, os, signal, sys
import h5py, keras, matplotlib.pyplot, numpy, PIL.Image, tensorboard, tqdm
from tensorboard.compat.proto import event_pb2
from tensorboard.summary.writer import event_file_writer

sys.path.insert(0, {repository!r})
assert not [name for name in sys.modules if name.split(".")[0] == "sle_gan"]
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog"):
    sys.modules[name] = None
absent = {{
    os: ("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "seteuid", "setsid", "killpg", "chown", "fchmod",
         "sched_getaffinity", "sched_setaffinity", "pread", "preadv", "pwrite", "posix_fadvise", "sendfile", "mkfifo",
         "uname", "nice", "statvfs", "getloadavg", "sysconf", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK"),
    signal: ("SIGHUP", "SIGKILL", "SIGALRM", "SIGUSR1", "SIGPIPE", "SIGQUIT", "alarm", "setitimer", "pthread_sigmask"),
    mmap: ("MADV_DONTNEED", "MAP_SHARED", "MAP_PRIVATE", "PROT_READ"),
}}
for module, names in absent.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
library = ctypes.CDLL

def load(name, *arguments, **options):
    if name is None:
        raise TypeError("LoadLibrary() argument 1 must be str, not None")
    return library(name, *arguments, **options)

ctypes.CDLL = load
"""
IMPORT_ALL = """
import importlib, pkgutil, sle_gan
for module in pkgutil.walk_packages(sle_gan.__path__, "sle_gan."):
    if not module.name.startswith({others!r}):
        importlib.import_module(module.name)
"""
COMMAND = "from sle_gan.cli.main import entry\nentry()\n"


def run_as_on_windows(code: str, *arguments: object, engine: str = "torch") -> subprocess.CompletedProcess[str]:
    code = AS_ON_WINDOWS.format(repository=str(REPOSITORY)) + code
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, "KERAS_BACKEND": engine, "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra `torch`")
def test_every_module_imports() -> None:
    others = ("sle_gan.engine.tensorflow", "sle_gan.engine.jax")
    result = run_as_on_windows(IMPORT_ALL.format(others=others))
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.parametrize("engine", ["torch", pytest.param("tensorflow", marks=pytest.mark.slow)])
def test_training_resuming_and_archives(engine: str, pictures: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec(engine) is None:
        pytest.skip(f"needs the extra `{engine}`")
    import shutil

    archive = shutil.make_archive(str(tmp_path / "flowers"), "zip", pictures)
    output = ("train", "--output-folder", tmp_path, "--name", "a", "--engine", engine)
    result = run_as_on_windows(COMMAND, *output, "--data-folder", archive, *TINIEST, "--steps", 2, engine=engine)
    assert result.returncode == 0, result.stderr[-3000:]
    assert "without locks" in result.stdout  # msvcrt, which Windows has for that, is not here
    result = run_as_on_windows(COMMAND, *output, "--resume", "--steps", 3, engine=engine)
    assert result.returncode == 0, result.stderr[-3000:]
    with np.load(tmp_path / "a" / "checkpoints" / "step_00000003.npz") as state:
        assert all(np.isfinite(state[name]).all() for name in state.files if name != "meta.json")


def test_positions_are_read_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from sle_gan.data.sources.archive import open_descriptor, pread_all

    monkeypatch.delattr(os, "pread", raising=False)
    content = np.random.default_rng(0).integers(0, 256, 100_000, dtype=np.uint8).tobytes()
    (tmp_path / "a").write_bytes(content)
    descriptor = open_descriptor(tmp_path / "a")
    try:
        with ThreadPoolExecutor(8) as pool:
            places = [(7 * i % 90_000, 100 + i) for i in range(2000)]
            found = pool.map(lambda place: pread_all(descriptor, place[1], place[0]), places)
            assert all(each == content[at : at + count] for each, (at, count) in zip(found, places))
    finally:
        os.close(descriptor)
