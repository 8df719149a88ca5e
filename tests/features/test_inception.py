"""The FID Inception equals the reference, from every file its weights come in."""

import importlib.util
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from sle_gan.errors import UserError
from sle_gan.features import FeatureExtractor, inception_weights, load_extractor
from sle_gan.features.download import HashMismatch, download
from sle_gan.features.inception_files import SCOPES
from sle_gan.metrics import frechet_distance

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs the extra torch")


def graph_constants(torch_tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same tensors under the names of the original archive's graph: kernels as (h, w, in, out)."""
    constants = {}
    for layer, scope in SCOPES.items():
        constants[f"{scope}/conv2d_params"] = torch_tensors[f"{layer}.conv.weight"].transpose(2, 3, 1, 0)
        for ours, theirs in [
            ("weight", "gamma"),
            ("bias", "beta"),
            ("running_mean", "moving_mean"),
            ("running_var", "moving_variance"),
        ]:
            constants[f"{scope}/batchnorm/{theirs}"] = torch_tensors[f"{layer}.bn.{ours}"]
    constants["softmax/weights"] = torch_tensors["fc.weight"].T
    return constants


def graph_file(constants: dict[str, np.ndarray]) -> bytes:
    """A frozen graph: constants among other nodes."""
    from tensorboard.compat.proto import graph_pb2, types_pb2

    graph = graph_pb2.GraphDef()
    graph.node.add(name="DecodeJpeg/contents", op="Placeholder")
    for name, values in constants.items():
        node = graph.node.add(name=name, op="Const")
        tensor = node.attr["value"].tensor
        tensor.dtype = types_pb2.DT_FLOAT
        for size in values.shape:
            tensor.tensor_shape.dim.add(size=size)
        tensor.tensor_content = np.ascontiguousarray(values, "<f4").tobytes()
    graph.node.add(name="pool_3", op="AvgPool", input=["mixed_10/join"])
    return graph.SerializeToString()


@pytest.fixture(scope="session")
def graph_path(torch_tensors: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "classify_image_graph_def.pb"
    path.write_bytes(graph_file(graph_constants(torch_tensors)))
    return path


@pytest.fixture(scope="session")
def torch_path(torch_tensors: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    path = tmp_path_factory.mktemp("torch") / "pt_inception-2015-12-05-6726825d.pth"
    torch.save({name: torch.from_numpy(values) for name, values in torch_tensors.items()}, path)
    return path


@pytest.fixture(scope="session")
def inception(graph_path: Path) -> FeatureExtractor:
    return load_extractor("inception", graph_path)


def check_golden(extractor: FeatureExtractor, shared_folder: Path) -> None:
    golden = np.load(shared_folder / "golden" / "inception_fid.npz")
    features = extractor(golden["images"])
    assert features.dtype == np.float32 and features.shape == (16, 2048)
    error = np.abs(features - golden["features"]).max() / np.abs(golden["features"]).max()
    assert error < 1e-5  # asked for: 1e-3
    expected = float(golden["fid_first8_last8"])
    assert frechet_distance(features[:8], features[8:]) == pytest.approx(expected, rel=1e-4)


def test_equals_the_reference_from_the_frozen_graph(inception: FeatureExtractor, shared_folder: Path):
    check_golden(inception, shared_folder)


def test_equals_the_reference_from_the_pytorch_port(torch_path: Path, inception: FeatureExtractor, shared_folder: Path):
    extractor = load_extractor("inception", torch_path)
    check_golden(extractor, shared_folder)
    assert extractor.version == inception.version  # the same weights, whichever file they came from


def test_equals_the_reference_on_jax(
    inception: FeatureExtractor, keras_home: Path, shared_folder: Path, tmp_path: Path
):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("needs the extra jax")
    converted = next(keras_home.glob("models/sle_gan_inception_*.h5"))  # made by the fixture
    code = (
        "import sys, numpy as np\n"
        "from sle_gan.features import load_extractor\n"
        "images = np.load(sys.argv[2])['images']\n"
        "np.save(sys.argv[3], load_extractor('inception', sys.argv[1])(images))\n"
    )
    golden = shared_folder / "golden" / "inception_fid.npz"
    environment = {**os.environ, "KERAS_BACKEND": "jax"}
    command = [sys.executable, "-c", code, str(converted), str(golden), str(tmp_path / "features.npy")]
    subprocess.run(command, env=environment, check=True)
    features, expected = np.load(tmp_path / "features.npy"), np.load(golden)["features"]
    assert np.abs(features - expected).max() / np.abs(expected).max() < 1e-5


def test_a_file_is_converted_once(
    graph_path: Path, inception: FeatureExtractor, keras_home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(inception_weights, "read_foreign", lambda path: pytest.fail("read again"))
    shapes = {}
    tensors = inception_weights.load_tensors(graph_path, shapes)
    assert inception_weights.tensors_digest(tensors) in inception.version
    converted = next(keras_home.glob("models/sle_gan_inception_*.h5"))
    assert inception_weights.load_tensors(converted, shapes).keys() == tensors.keys()


def test_the_archive_is_read_as_it_is_downloaded(graph_path: Path, inception: FeatureExtractor, tmp_path: Path):
    archive = tmp_path / "inception-2015-12-05.tgz"
    with tarfile.open(archive, "w:gz", compresslevel=0) as file:
        file.add(graph_path, "./classify_image_graph_def.pb")
    tensors = inception_weights.load_tensors(archive, {})
    assert inception_weights.tensors_digest(tensors) in inception.version


def test_what_is_missing_to_read_a_file_is_said(graph_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))  # nothing was converted there
    for module in ("torch", "tensorboard", "tensorboard.compat.proto"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=r"classify_image_graph_def\.pb needs the package tensorboard: pip"):
        inception_weights.load_tensors(graph_path, {})
    monkeypatch.setattr(inception_weights, "download", lambda *_: pytest.fail("90 MB for nothing"))
    with pytest.raises(UserError, match=r"pip install tensorboard\) or PyTorch"):
        inception_weights.load_tensors(None, {})


def test_wrong_files_are_refused(torch_tensors: dict[str, np.ndarray], tmp_path: Path):
    constants = graph_constants({name: values[:1] for name, values in torch_tensors.items()})
    content = {
        "words.pb": (b"no graph at all", "none of the files with the FID Inception"),
        "empty.pb": (b"", "470 of 470 tensors are missing, the first is conv/conv2d_params"),
        "words.tgz": (b"\x1f\x8b no archive", "damaged or no .tgz"),
        "words.pth": (b"PK no checkpoint", "words.pth"),
        "words.h5": (b"\x89HDF no hdf5", "damaged"),
        "thin.pb": (graph_file(constants), "kernel of Conv2d_1a_3x3 has the shape"),
    }
    for name, (data, message) in content.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=message):
            inception_weights.load_tensors(tmp_path / name, {"Conv2d_1a_3x3": (3, 3, 3, 32)})
    with tarfile.open(tmp_path / "other.tgz", "w:gz") as file:
        file.addfile(tarfile.TarInfo("LICENSE"), io.BytesIO())
    with pytest.raises(UserError, match="holds no classify_image_graph_def"):
        inception_weights.load_tensors(tmp_path / "other.tgz", {})
    with pytest.raises(UserError, match="no file with features weights"):
        load_extractor("inception", tmp_path / "missing.pth")


def test_a_damaged_conversion_is_noticed(inception: FeatureExtractor, keras_home: Path, tmp_path: Path):
    import h5py

    converted = next(keras_home.glob("models/sle_gan_inception_*.h5"))
    copy = tmp_path / "copy.h5"
    copy.write_bytes(converted.read_bytes())
    with h5py.File(copy, "r+") as file:
        file["Mixed_7c.branch1x1/mean"][0] += 1
    with pytest.raises(UserError, match="damaged"):
        inception_weights.read_h5(copy, {})


def test_without_weights_and_network_the_ways_to_get_them_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(inception_weights, "TORCH_URL", (tmp_path / "a.pth").as_uri())
    monkeypatch.setattr(inception_weights, "ARCHIVE_URL", (tmp_path / "b.tgz").as_uri())
    with pytest.raises(UserError, match=r"go online.*--features-weights PATH.*SLE_GAN_FEATURES_WEIGHTS"):
        load_extractor("inception")


@needs_torch
def test_a_download_is_checked_and_converted(
    torch_path: Path, inception: FeatureExtractor, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(inception_weights, "TORCH_URL", torch_path.as_uri())
    with pytest.raises(HashMismatch, match="expected 6726825d"):
        inception_weights.load_tensors(None, {})
    assert not list((tmp_path / "models").iterdir())  # nothing half-done stays
    monkeypatch.setattr(inception_weights, "TORCH_SHA256_PREFIX", None)
    tensors = inception_weights.load_tensors(None, {})
    assert inception_weights.tensors_digest(tensors) in inception.version
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["sle_gan_inception_2015_12_05.h5"]


def test_downloads_are_whole_or_absent(tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "cache" / "target"
    source.write_bytes(b"weights")
    with pytest.raises(HashMismatch):
        download(source.as_uri(), target, "0000")
    assert not list(target.parent.iterdir())
    assert download(source.as_uri(), target).read_bytes() == b"weights"
