"""Fixtures that several test modules share."""

from __future__ import annotations

import ctypes
import gc
import json
import os
import pwd
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import numpy as np
import pytest
from file_processes import FileProcesses
from helpers import SHARED, STARTED
from pseudo_weights import pseudo_weight

if TYPE_CHECKING:
    from sle_gan.features import FeatureExtractor
    from sle_gan.metrics import ImageFolder

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# A busy machine is no failure.
hypothesis.settings.register_profile("patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("patient")

# Workers of pytest-xdist fork a process for each file, which takes what the file compiled with it when it ends.
FORKED = sys.platform == "linux" and "PYTEST_XDIST_WORKER" in os.environ
# The modules that take longest. First: what comes last should not keep one worker while the others have nothing to do.
LONG = [
    *("test_train", "test_engine", "test_step", "test_clean_environments", "test_aspect", "test_projected"),
    *("test_resume", "test_classes", "test_lowering", "test_class_commands", "test_flowers", "test_lightweight"),
    *("test_cyclegan", "test_windows", "test_inception", "test_dcgan", "test_overfitting", "test_projected_models"),
]


def pytest_configure(config: pytest.Config) -> None:
    if FORKED:
        config.pluginmanager.register(FileProcesses(config))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONG.index(item.path.stem) if item.path.stem in LONG else len(LONG))


def pytest_collection_finish() -> None:
    """What the imports and the collection made stays until the end: no search for garbage looks at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def memory_of_modules_is_given_back() -> Iterator[None]:
    """Where a process runs dozens of modules: compiled steps and networks of one are of no use to the next."""
    yield
    if FORKED:
        return
    clearings = {
        "keras": lambda keras: keras.backend.clear_session(free_memory=False),
        "jax": lambda jax: jax.clear_caches(),
        "sle_gan.generation": lambda generation: (  # programs of XLA for the last 16 architectures
            generation._compiled.cache_clear(),
            generation._compiled_gates.cache_clear(),
        ),
    }
    for module, clear in clearings.items():
        if module in sys.modules:
            clear(sys.modules[module])
    give_memory_back()


@pytest.fixture(autouse=True)
def memory_of_tests_is_given_back() -> Iterator[None]:
    """What a test has compiled need not stay beside what the next one compiles."""
    before = resident_bytes()
    yield
    if not FORKED and resident_bytes() > before + 2**25:
        give_memory_back()


def resident_bytes() -> int:
    """Memory of this process; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def give_memory_back() -> None:
    forget_gradients()
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)  # the C library keeps what was freed, a gigabyte of it


def forget_gradients() -> None:
    """Takes TensorFlow's custom gradients out of its registry, where each one holds the graph that it was traced in.

    They are looked up while a gradient is traced, under a name of their own for every call; nothing ever takes them
    out: every compiled step would stay until the process ends (80 MB for the smallest one of SLE-GAN).
    """
    if "tensorflow" not in sys.modules:
        return
    from tensorflow.python.framework.ops import gradient_registry

    registered = gradient_registry._registry
    for name in [name for name in registered if name.startswith("CustomGradient-")]:
        del registered[name]


@pytest.fixture(autouse=True)
def values_without_gradients() -> Iterator[None]:
    """On PyTorch a network's outputs are arrays to NumPy only without what autograd adds; `engine.vjp` turns it on."""
    if os.environ.get("KERAS_BACKEND") != "torch":
        yield
        return
    import torch

    with torch.no_grad():
        yield


@pytest.fixture(scope="session")
def shared_folder() -> Path:
    """The folder with real pictures and other implementations' numbers, beside the checkout."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not beside this checkout")
    return SHARED


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 24 small drawn flowers."""
    from sle_gan.demo import draw_demo_set

    folder = tmp_path_factory.mktemp("pictures") / "flowers"
    draw_demo_set(folder, count=24, resolution=64, seed=1, progress=False)
    return folder


@pytest.fixture(scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_cache(cache_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or fills the user's cache."""
    monkeypatch.setenv("SLE_GAN_CACHE", str(cache_folder))


@pytest.fixture(scope="session", autouse=True)
def keras_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or fills the user's own cache, and none sees the user's weights."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("keras_home")
        patch.setenv("KERAS_HOME", str(home))
        patch.delenv("SLE_GAN_FEATURES_WEIGHTS", raising=False)
        yield home


@pytest.fixture(scope="session")
def mobilenet_weights(shared_folder: Path) -> Path:
    return shared_folder / "data" / "mobilenet_v1_imagenet_conv_pw_12.weights.h5"


@pytest.fixture(scope="session")
def mobilenet(mobilenet_weights: Path) -> FeatureExtractor:
    from sle_gan.features import load_extractor

    return load_extractor("mobilenet", mobilenet_weights)


@pytest.fixture(scope="session")
def flowers(shared_folder: Path) -> ImageFolder:
    """1360 pictures, 80 of each class in the order of their names."""
    from sle_gan.metrics import ImageFolder

    return ImageFolder(shared_folder / "data" / "flowers17")


@pytest.fixture(scope="session")
def flower_features(mobilenet: FeatureExtractor, flowers: ImageFolder) -> np.ndarray:
    features = np.concatenate(list(mobilenet.stream(flowers.names, flowers.load)))
    assert features.shape == (1360, 1024)
    return features


@pytest.fixture(scope="session")
def torch_tensors(shared_folder: Path) -> dict[str, np.ndarray]:
    """The FID Inception under the pseudo-weights of golden/README.md, named and laid out as in PyTorch."""
    shapes = json.loads((shared_folder / "golden" / "inception_names.json").read_text())
    return {name: pseudo_weight(name, shape) for name, shape in shapes.items()}


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every user of this machine can get to; pytest's own are closed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """No HOME and a user without an entry, as in a container that runs under any number."""

    def unknown(user: object) -> None:
        raise KeyError(user)

    for name in ("HOME", "SLE_GAN_CACHE", "XDG_CACHE_HOME", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.setattr(pwd, "getpwnam", unknown)


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """A test that fails beside a run leaves it to nobody."""
    yield
    while STARTED:
        process = STARTED.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()
