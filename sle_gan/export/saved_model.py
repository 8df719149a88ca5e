"""A folded generator as a TensorFlow SavedModel."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from sle_gan import engine
from sle_gan.models.folded import Folded, TensorOperations, run
from sle_gan.pictures import pixels
from sle_gan.storage.atomic import temporary_beside


def write_saved_model(folded: Folded, noise: Sequence[np.ndarray], path: str | Path, output: str) -> None:
    """See `sle_gan.export.export`. Plain TensorFlow operations: no XLA, which not every server has."""
    operations = TensorOperations(fuse=False)

    def images(arrays: Any, latents: Any, noise: Any, classes: Any = None) -> Any:
        if classes is not None:
            *arrays, vectors = arrays
            latents = ops.concatenate([latents, ops.take(vectors["vectors"], classes, axis=0)], 1)
        y, _ = run(operations, folded.stages, arrays, latents, noise)
        return pixels.to_uint8(y) if output == "uint8" else y

    path = Path(path)
    temporary = temporary_beside(path)
    try:
        vectors = folded.class_vectors
        arrays = [*folded.arrays, {"vectors": vectors.vectors}] if vectors else folded.arrays
        engine.save_model(images, arrays, list(noise), folded.latent, temporary, classes=bool(vectors))
        if vectors:
            names = json.dumps(folded.classes, ensure_ascii=False)
            (temporary / "classes.json").write_text(names + "\n", encoding="utf-8")
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
