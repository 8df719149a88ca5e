"""What tests of the commands share: where the repository is, and how to run it as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
TINY = ("--resolution", "64", "--width", "8", "--latent", "16", "--batch-size", "4")


def start(script: str, *arguments: object, **options: object) -> subprocess.Popen[str]:
    """Starts a command of the repository as a user would; stdout and stderr are pipes."""
    command = [sys.executable, str(REPOSITORY / script), *map(str, arguments)]
    return subprocess.Popen(  # type: ignore[call-overload]
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )


def run(script: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Runs a command of the repository to its end."""
    process = start(script, *arguments, **options)
    out, err = process.communicate(timeout=300)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


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
