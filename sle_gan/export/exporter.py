"""Writing a folded generator in one of the formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sle_gan import engine
from sle_gan.errors import UserError
from sle_gan.export.formats import Format, Output, check
from sle_gan.gans.slegan.generator import fixed_noise
from sle_gan.models.folded import Folded


def export(folded: Any, format_: Format, path: str | Path, output: Output = "uint8") -> None:
    """Writes a generator for other programs.

    Input `latents` (B, latent) float32 from N(0, 1), any B; output `images` (B, H, W, C) in RGB order. A generator of
    classes has the input `classes` (B,) int32 too, the number of each image's class; the names are in the properties
    of the file (`onnx`) or in classes.json (`saved_model`).

    Args:
        folded: what `load_folded` or a network's `fold` gives.
        format_: see above.
        path: of the folder (`saved_model`) or file (`onnx`); must not exist.
        output: what the images are: "uint8", 0 to 255, or "float32", -1 to 1.

    Raises:
        UserError: as `check` says, for a generator that has no folded form, and where the place cannot be written to.
    """
    check(format_, path, engine.name)
    if not isinstance(folded, Folded):
        raise UserError(
            f"--export {format_} takes a generator of SLE-GAN or DCGAN; this one is a {type(folded).__name__}"
        )
    noise = fixed_noise(folded.noise_sizes)
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        if format_ == "onnx":
            from sle_gan.export.onnx_file import write_onnx

            write_onnx(folded, noise, path, output)
        else:
            from sle_gan.export.saved_model import write_saved_model

            write_saved_model(folded, noise, path, output)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error
