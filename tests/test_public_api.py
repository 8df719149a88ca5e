"""The docstrings of what `sle_gan` exports: complete, with examples that run."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import REPOSITORY
from hub_server import TOKEN, running_hub

import sle_gan
from sle_gan.demo import draw_demo_set

RUN = """
import doctest, sle_gan
(test,) = doctest.DocTestFinder(recurse=False).find(getattr(sle_gan, {name!r}), {name!r}, globs={{}})
print(doctest.DocTestRunner().run(test))
"""


@pytest.mark.parametrize("name", sle_gan.__all__)
def test_docstrings_are_complete(name: str) -> None:
    public = getattr(sle_gan, name)
    text = inspect.getdoc(public) or ""
    assert len(text.splitlines()[0]) > 20 and "\n\nArgs:\n" in text and "\n\nExample:\n" in text
    is_error = inspect.isclass(public) and issubclass(public, Exception)
    assert is_error or "\n\nRaises:\n" in text
    if inspect.isfunction(public):
        assert "\n\nReturns:\n" in text or "\n\nYields:\n" in text
        arguments = text.partition("\n\nArgs:\n")[2].partition("\n\n")[0]
        for parameter in inspect.signature(public).parameters:
            assert parameter in arguments.replace(",", ":"), f"{name} does not say what {parameter} is"


@pytest.mark.parametrize("name", sorted({*sle_gan.__all__} - {"push_to_hub"}))
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "convert_fastgan":
        pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")
        sle_gan.Generator(256, width=8, latent=16).save_weights(tmp_path / "g.h5")
        from sle_gan.cli.convert import main

        main(["--input", str(tmp_path / "g.h5"), "--to-fastgan", str(tmp_path / "fastgan_256.pth")])
    if name == "load_dataset":
        draw_demo_set(tmp_path / "flowers", count=2, resolution=64, progress=False)
    monkeypatch.chdir(tmp_path)
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(sle_gan, name), name, globs={})
    assert test.examples
    runner = doctest.DocTestRunner()
    runner.run(test)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.skipif(importlib.util.find_spec("huggingface_hub") is None, reason="needs the extra `hub`")
def test_the_example_of_the_hub_runs(tmp_path: Path) -> None:
    """Against a hub on loopback, in a process of its own: the client reads its settings once."""
    with running_hub() as hub:
        theirs = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING"))}
        ours = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1", "HF_TOKEN": TOKEN}
        result = subprocess.run(
            [sys.executable, "-c", RUN.format(name="push_to_hub")],
            env={**theirs, **ours, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
        )
    assert "TestResults(failed=0, attempted=4)" in result.stdout, result.stdout + result.stderr
