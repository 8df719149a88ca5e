"""CLIP (Radford et al., arXiv 2103.00020) by keras-hub: pictures and texts in one space, compared by their cosine.

The network, the tokenizer and what is done to pictures before come from keras-hub's preset, which is downloaded or a
folder. It is no extractor of `sle_gan.features`, for it has two sides; `ClipModel.image` is one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sle_gan.errors import UserError, shown
from sle_gan.features.base import FeatureExtractor, plain_keras
from sle_gan.storage.paths import expanded

DEFAULT_PRESET = "clip_vit_base_patch32"


def check_library() -> None:
    """Raises a UserError where keras-hub is missing."""
    if importlib.util.find_spec("keras_hub") is None:
        raise UserError("CLIP needs the library keras-hub: pip install 'sle-gan[clip]'")


class ClipModel:
    """Both sides of a CLIP.

    preset: a name that keras-hub knows, such as clip_vit_base_patch32, a handle (kaggle://, hf://), or a folder.

    Raises:
        UserError: without keras-hub, and where the preset is missing or no CLIP.
    """

    def __init__(self, preset: str = DEFAULT_PRESET) -> None:
        check_library()
        import keras_hub

        place = expanded(preset)
        place = place if Path(place).is_dir() else preset
        try:
            with plain_keras():
                self._backbone: Any = keras_hub.models.CLIPBackbone.from_preset(place)
                self._preprocessor: Any = keras_hub.models.CLIPPreprocessor.from_preset(place)
        except Exception as error:  # of keras-hub, of the hubs' clients, of the network: no common class
            why = shown(" ".join(str(error).split()), 160) or type(error).__name__
            raise UserError(
                f"--clip {preset}: no CLIP can be loaded from it ({why}). Three ways to go on: (1) go online once, for "
                f"{DEFAULT_PRESET} is a download; (2) give the folder of a preset that was downloaded elsewhere; "
                "(3) rank by pictures instead of words, with --like FOLDER"
            ) from error
        self.image = ClipImages(self._backbone, self._preprocessor, preset)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings float32 (T, D) of texts; what is longer than the network's 77 tokens is cut off."""
        tokens = self._preprocessor({"prompts": list(texts), "images": None})["token_ids"]
        return np.asarray(self._backbone.get_text_embeddings(tokens), np.float32)


class ClipImages(FeatureExtractor):
    """Embeddings of pictures, as the preset prepares them."""

    def __init__(self, backbone: Any, preprocessor: Any, preset: str) -> None:
        self.name = "clip"
        self.version = f"clip/{preset}"
        self.dimension = int(backbone.projection_dim)
        self.side = int(backbone.vision_encoder.image_shape[0])
        self._backbone, self._converter = backbone, preprocessor.image_converter

    @property
    def describe(self) -> str:
        return f"cut square and resized to {self.side}x{self.side} as the preset says"

    def prepare(self, image: np.ndarray) -> np.ndarray:
        return np.asarray(self._converter(image.astype(np.float32)[None])[0], np.float32)

    def _forward(self, images: np.ndarray) -> np.ndarray:
        import keras

        tensor = keras.ops.convert_to_tensor(images)
        return np.asarray(keras.ops.convert_to_numpy(self._backbone.get_vision_embeddings(tensor)), np.float32)
