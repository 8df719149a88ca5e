"""The notebook `examples/quickstart.ipynb`, run from top to bottom."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from helpers import REPOSITORY

NOTEBOOK = REPOSITORY / "examples" / "quickstart.ipynb"


def test_the_notebook_is_committed_without_outputs() -> None:
    nbformat = pytest.importorskip("nbformat", reason="pip install nbclient")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbformat = pytest.importorskip("nbformat", reason="pip install nbclient")
    nbclient = pytest.importorskip("nbclient", reason="pip install nbclient")
    pytest.importorskip("ipykernel", reason="pip install ipykernel")
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("QUICKSTART_STEPS", "60")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    client = nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(tmp_path)}})
    client.create_kernel_manager()
    client.km.kernel_spec.argv = command  # this environment's, whatever kernels are registered
    client.execute()
    made = {path.name for path in (tmp_path / "quickstart").iterdir()}
    assert {"pictures", "runs", "film.gif", "directions.png", "mix.png", "walk.gif"} <= made
    shown = [cell for cell in notebook.cells if any("image/" in str(output) for output in cell.get("outputs", []))]
    assert len(shown) >= 6
    printed = "".join(output.get("text", "") for cell in notebook.cells for output in cell.get("outputs", []))
    assert "error" not in printed.lower()
