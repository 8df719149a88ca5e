"""What a run leaves out where a package that only draws or logs is not installed."""

from __future__ import annotations

import importlib.util

_USES = {"matplotlib": "curves.png and fid.png", "tensorboard": "the TensorBoard log"}


def is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def left_out() -> str | None:
    """One line that says what a run will not write and why; None where nothing is missing."""
    missing = [package for package in _USES if not is_installed(package)]
    if not missing:
        return None
    why = " and ".join(f"{_USES[package]} (needs {package})" for package in missing)
    return f"left out: {why}; pip install {' '.join(missing)}"
