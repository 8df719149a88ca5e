"""CLIP's two sides against keras-hub's own outputs, on a tiny preset with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_clip import write_preset

from sle_gan.errors import UserError
from sle_gan.features.clip import ClipModel

pytest.importorskip("keras_hub")
TEXTS = ["one red flower", "a drawing"]


@pytest.fixture(scope="module")
def preset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_preset(tmp_path_factory.mktemp("clip"))


def _logits(preset: Path, images: np.ndarray, texts: list[str]) -> np.ndarray:
    """(N, T): what keras-hub's whole model says of every picture and text."""
    import keras
    import keras_hub

    backbone: Any = keras_hub.models.CLIPBackbone.from_preset(str(preset))
    preprocessor: Any = keras_hub.models.CLIPPreprocessor.from_preset(str(preset))
    made = preprocessor({"prompts": texts, "images": images.astype(np.float32)})
    outputs = backbone({"images": made["images"], "token_ids": made["token_ids"]})
    return np.asarray(keras.ops.convert_to_numpy(outputs["vision_logits"]))


def test_cosines_are_those_of_keras_hub(preset: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3), np.uint8)
    model = ClipModel(str(preset))
    pictures, texts = model.image(images), model.texts(TEXTS)
    assert pictures.shape == texts.shape == (2, 12) and pictures.dtype == np.float32
    cosines = _units(pictures) @ _units(texts).T
    expected = _logits(preset, images, TEXTS)
    scale = expected[0, 0] / cosines[0, 0]  # the network's own factor: one number, which no order depends on
    assert scale > 0
    np.testing.assert_allclose(expected, scale * cosines, rtol=1e-4, atol=1e-4)
    assert abs(cosines[0, 0] - cosines[1, 1]) > 1e-3  # the pictures and texts differ at all


def test_features_do_not_depend_on_the_batch(preset: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    model = ClipModel(str(preset))
    np.testing.assert_allclose(model.image(images)[2], model.image(images[2:])[0], rtol=1e-5, atol=1e-6)


def test_what_is_no_preset_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--clip .*no CLIP can be loaded from it .*--like FOLDER") as error:
        ClipModel(str(tmp_path))
    assert "\n" not in str(error.value)


def test_the_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'sle-gan\[clip\]'"):
        ClipModel()


def _units(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
