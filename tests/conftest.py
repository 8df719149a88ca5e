"""Fixtures and helpers that several test modules share."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared"
TINY = ("--resolution", "64", "--width", "8", "--latent", "16", "--batch-size", "4")


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder with real pictures and other implementations' numbers, beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 small drawn flowers."""
    from sle_gan.data import draw_demo_set

    folder = tmp_path_factory.mktemp("pictures") / "flowers"
    draw_demo_set(folder, count=24, resolution=64, seed=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("SLE_GAN_CACHE", str(cache_folder))


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
