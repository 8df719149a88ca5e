"""What tests of the commands share: where the repository is, and how to run it as a user would."""

from __future__ import annotations

import subprocess
import sys
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
