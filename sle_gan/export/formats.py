"""What can be exported, and whether it can be here; imports no backend, so that a command can ask first."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Literal, get_args

from sle_gan.errors import UserError
from sle_gan.storage.paths import check_text

Format = Literal["saved_model", "onnx"]
FORMATS: tuple[str, ...] = get_args(Format)
Output = Literal["uint8", "float32"]


def check(format_: str, path: str | Path, engine: str) -> None:
    """Raises a UserError if a format cannot be written here, or not to this place; imports no backend."""
    path = Path(path)
    if format_ not in FORMATS:
        raise UserError(f"the export format {format_!r} does not exist; choose one of {', '.join(FORMATS)}")
    if format_ == "onnx" and importlib.util.find_spec("onnx") is None:
        raise UserError("--export onnx needs the package onnx: pip install 'sle-gan[onnx]'")
    if format_ == "saved_model" and engine != "tensorflow":
        raise UserError(f"--export saved_model is TensorFlow's format, and the engine is {engine}: --engine tensorflow")
    if format_ == "saved_model":
        check_text("--output", path)
    if path.exists():
        raise UserError(f"{path} exists; remove it, or choose another place for --output")
    if format_ == "onnx" and path.suffix != ".onnx":
        raise UserError(f"--output {path} is no .onnx file; expected a name such as generator.onnx")
