"""A CLIP preset of keras-hub that is small enough for tests: random weights, letters for words."""

from __future__ import annotations

import string
from pathlib import Path
from typing import Any


def write_preset(folder: Path) -> Path:
    """Writes the preset into the folder, and returns that."""
    import keras
    import keras_hub

    keras.utils.set_random_seed(3)
    letters = [*string.ascii_lowercase, *(letter + "</w>" for letter in string.ascii_lowercase)]
    words = [*letters, "re", "red</w>", "<|startoftext|>", "<|endoftext|>"]
    models: Any = keras_hub.models
    tokenizer = models.CLIPTokenizer(
        vocabulary={word: number for number, word in enumerate(words)}, merges=["r e", "re d</w>"]
    )
    converter: Any = keras_hub.layers.CLIPImageConverter(
        image_size=(32, 32), scale=[1 / 70] * 3, offset=[-1.8, -1.7, -1.6], interpolation="bicubic", antialias=True
    )
    preprocessor = models.CLIPPreprocessor(tokenizer, converter, sequence_length=20)
    vision = models.CLIPVisionEncoder(
        patch_size=8, hidden_dim=16, num_layers=2, num_heads=2, intermediate_dim=32, image_shape=(32, 32, 3)
    )
    text = models.CLIPTextEncoder(
        vocabulary_size=len(words),
        embedding_dim=16,
        hidden_dim=16,
        num_layers=2,
        num_heads=2,
        intermediate_dim=32,
        max_sequence_length=20,
    )
    backbone = models.CLIPBackbone(vision, text, projection_dim=12)
    backbone.save_to_preset(str(folder))
    preprocessor.save_to_preset(str(folder))
    return folder
