"""What the metric tests share: golden files, pseudo-weights, real features."""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from helpers import SHARED

from sle_gan.metrics import FeatureExtractor, ImageFolder, load_extractor


@pytest.fixture(scope="session", autouse=True)
def keras_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or fills the user's own cache, and none sees the user's weights."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("keras_home")
        patch.setenv("KERAS_HOME", str(home))
        patch.delenv("SLE_GAN_FEATURES_WEIGHTS", raising=False)
        yield home


@pytest.fixture(scope="session")
def shared() -> Path:
    if not SHARED.is_dir():
        pytest.skip("needs ../shared, beside the checkout")
    return SHARED


@pytest.fixture(scope="session")
def mobilenet_weights(shared: Path) -> Path:
    return shared / "data" / "mobilenet_v1_imagenet_conv_pw_12.weights.h5"


@pytest.fixture(scope="session")
def mobilenet(mobilenet_weights: Path) -> FeatureExtractor:
    return load_extractor("mobilenet", mobilenet_weights)


@pytest.fixture(scope="session")
def flowers(shared: Path) -> ImageFolder:
    """1360 pictures, 80 of each class in the order of their names."""
    return ImageFolder(shared / "data" / "flowers17")


@pytest.fixture(scope="session")
def flower_features(mobilenet: FeatureExtractor, flowers: ImageFolder) -> np.ndarray:
    features = np.concatenate(list(mobilenet.stream(flowers.names, flowers.load)))
    assert features.shape == (1360, 1024)
    return features


@pytest.fixture(scope="session")
def torch_tensors(shared: Path) -> dict[str, np.ndarray]:
    """The FID Inception under the pseudo-weights of golden/README.md, named and laid out as in PyTorch."""
    shapes = json.loads((shared / "golden" / "inception_names.json").read_text())
    return {name: _pseudo_weight(name, shape) for name, shape in shapes.items()}


def _pseudo_weight(name: str, shape: list[int]) -> np.ndarray:
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        values = 0.5 + random.random(shape)
    elif name.endswith(("running_mean", ".bias")):
        values = 0.1 * random.standard_normal(shape)
    elif name.endswith("bn.weight"):
        values = 0.8 + 0.4 * random.random(shape)
    else:
        values = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:] or shape))
    return values.astype(np.float32)
