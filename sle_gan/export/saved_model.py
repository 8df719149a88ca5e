"""A folded generator as a TensorFlow SavedModel."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan import engine, pixels
from sle_gan.atomic_files import temporary_beside
from sle_gan.models.folded import Folded, TensorOperations, run


def write_saved_model(folded: Folded, noise: Sequence[np.ndarray], path: str | Path, output: str) -> None:
    """See `sle_gan.export.export`. Plain TensorFlow operations: no XLA, which not every server has."""
    operations = TensorOperations(fuse=False)

    def images(arrays: Any, latents: Any, noise: Any) -> Any:
        y, _ = run(operations, folded.stages, arrays, latents, noise)
        return pixels.to_uint8(y) if output == "uint8" else y

    path = Path(path)
    temporary = temporary_beside(path)
    try:
        engine.save_model(images, folded.arrays, list(noise), folded.latent, temporary)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
