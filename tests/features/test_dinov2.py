"""DINOv2: features, tokens and positions are the reference's, on both engines; its files are read with care."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import REPOSITORY
from hub_server import running_hub
from pseudo_weights import pseudo_weight

from sle_gan.errors import UserError
from sle_gan.features import FeatureExtractor, dinov2, load_extractor
from sle_gan.features.safetensors_file import read_safetensors
from sle_gan.metrics import frechet_distance

Arrays = dict[str, np.ndarray]


def pseudo_dinov2(name: str, shape: list[int]) -> np.ndarray:
    """The additions of golden/README.md for dinov2.npz."""
    if re.search(r"(norm1|norm2|layernorm)\.weight$|lambda1$", name):
        return pseudo_weight(name, shape, "scale")
    if re.fullmatch(r"embeddings\.(cls_token|mask_token|position_embeddings)", name):
        return pseudo_weight(name, shape, "half")
    return pseudo_weight(name, shape)


@pytest.fixture(scope="module")
def tensors(shared_folder: Path) -> Arrays:
    shapes = json.loads((shared_folder / "golden" / "dinov2_names.json").read_text())
    return {name: pseudo_dinov2(name, shape) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def weights(tensors: Arrays, tmp_path_factory: pytest.TempPathFactory) -> Path:
    safetensors = pytest.importorskip("safetensors.numpy", reason="needs the extra torch")
    path = tmp_path_factory.mktemp("dinov2") / "model.safetensors"
    safetensors.save_file(tensors, path, metadata={"format": "pt"})
    return path


@pytest.fixture(scope="module")
def golden(shared_folder: Path) -> Arrays:
    with np.load(shared_folder / "golden" / "dinov2.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def extractor(weights: Path) -> FeatureExtractor:
    return load_extractor("dinov2_s", weights, batch_size=12)


def images(golden: Arrays) -> list[np.ndarray]:
    return [golden[f"image{i}"] for i in range(4)]


def check_features(features: np.ndarray, crops: np.ndarray, golden: Arrays) -> None:
    assert features.shape == (4, 384) and features.dtype == np.float32
    np.testing.assert_allclose(features, golden["features"], rtol=0, atol=1e-4)
    np.testing.assert_allclose(crops, golden["crop_features"], rtol=0, atol=1e-4)
    distance = frechet_distance(crops[:16], crops[16:])
    for way in ("", "_eig", "_exact"):
        assert distance == pytest.approx(float(golden[f"fd_first16_last16{way}"]), abs=0.01)


def test_features_are_the_reference_s(extractor: FeatureExtractor, golden: Arrays) -> None:
    check_features(extractor(images(golden)), extractor(golden["crops"]), golden)
    assert extractor.dimension == 384 and extractor.name == "dinov2_s"
    assert re.fullmatch(r"dinov2-vits14/class-token/pillow-bicubic-224/[0-9a-f]{12}", extractor.version)


def test_features_are_the_reference_s_on_jax(weights: Path, golden: Arrays, shared_folder: Path, tmp_path: Path):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("needs the extra jax")
    code = (
        "import sys, numpy as np\n"
        "from sle_gan.features import load_extractor\n"
        "golden = np.load(sys.argv[2])\n"
        "extractor = load_extractor('dinov2_s', sys.argv[1], batch_size=12)\n"
        "features = extractor([golden[f'image{i}'] for i in range(4)])\n"
        "np.savez(sys.argv[3], features=features, crops=extractor(golden['crops']))\n"
    )
    command = [sys.executable, "-c", code, weights, shared_folder / "golden" / "dinov2.npz", tmp_path / "out.npz"]
    subprocess.run(command, env={**os.environ, "KERAS_BACKEND": "jax"}, check=True, cwd=REPOSITORY)
    with np.load(tmp_path / "out.npz") as received:
        check_features(received["features"], received["crops"], golden)


def test_pictures_are_prepared_as_the_reference_does(extractor: FeatureExtractor, golden: Arrays) -> None:
    for image, expected in zip(images(golden), golden["resized"]):
        pixels = extractor.prepare(image) * [0.229, 0.224, 0.225] + [0.485, 0.456, 0.406]
        np.testing.assert_allclose(255 * pixels[::4, ::4], expected, rtol=0, atol=1e-3)


def test_positions_are_the_reference_s(tensors: Arrays, golden: Arrays) -> None:
    trained = tensors["embeddings.position_embeddings"][0, 1:].reshape(37, 37, 384)
    np.testing.assert_allclose(dinov2.position_map(trained), golden["position_map"], rtol=0, atol=1e-4)


def test_every_block_is_the_reference_s(tensors: Arrays, extractor: FeatureExtractor, golden: Arrays) -> None:
    import keras

    network = dinov2.build_network("s", class_token_only=False)
    dinov2.load(network, tensors, "s")
    names = ["positions", *(f"block_{i}" for i in range(12)), "norm"]
    probe = keras.Model(network.input, [network.get_layer(name).output for name in names])
    prepared = np.stack([extractor.prepare(image) for image in images(golden)])
    embedded, *blocks, normed = (np.asarray(tokens) for tokens in probe(prepared))
    np.testing.assert_allclose(embedded[:, :18], golden["tokens_embed"], rtol=0, atol=1e-4)
    received = np.stack([tokens[:, 0] for tokens in blocks], axis=1)
    np.testing.assert_allclose(received, golden["cls_after_block"], rtol=0, atol=2e-4)
    np.testing.assert_allclose(normed[:, 1::32], golden["patch_after_last"], rtol=0, atol=1e-4)


def test_the_sizes_are_the_published_ones() -> None:
    """Parameters of the released files: 22.1, 86.6 and 304.4 million, less the mask token."""
    counts = {}
    for size, (_, width, _) in dinov2.SIZES.items():
        counts[size] = sum(int(np.prod(shape)) for shape in dinov2._shapes(size).values()) + width
    assert counts == {"s": 22_056_576, "b": 86_580_480, "l": 304_368_640}


def header_and(data: bytes, **entries: object) -> bytes:
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + data


def entry(dtype: str = "F32", shape: object = (2,), data_offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": data_offsets}


def test_number_types_are_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    save_file = pytest.importorskip("safetensors.torch", reason="needs the extra torch").save_file
    values = torch.tensor([[1.5, -2.0, 3.140625], [0.0, 256.0, -0.125]])  # exact in all of them
    kinds = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}
    save_file({name: values.to(kind) for name, kind in kinds.items()} | {"empty": torch.zeros(0, 3)}, tmp_path / "a")
    received = read_safetensors(tmp_path / "a")
    assert received.keys() == {*kinds, "empty"} and received["empty"].shape == (0, 3)
    for name in kinds:
        np.testing.assert_array_equal(received[name], values.numpy())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 8,
        b"\xff" * 40,  # a header of 16 exabytes
        header_and(b"")[:-1],
        (5).to_bytes(8, "little") + b"[1,2]",
        header_and(bytes(8), a=[1]),
        header_and(bytes(8), a=entry("I8")),
        header_and(bytes(8), a=entry(shape=[3])),
        header_and(bytes(8), a=entry(shape=[-2])),
        header_and(bytes(8), a=entry(shape=[True, 2])),
        header_and(bytes(8), a=entry(shape=[2] + [1] * 99)),
        header_and(bytes(8), a=entry(shape="2")),
        header_and(bytes(8), a=entry(data_offsets=[8, 16])),
        header_and(bytes(8), a=entry(data_offsets=[-8, 0])),
        header_and(bytes(8), a=entry(data_offsets=[0])),
        header_and(bytes(4), a=entry()),
        b"PK\x03\x04 a zip archive of PyTorch",
    ],
)
def test_damaged_files_are_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors is damaged or no safetensors file") as caught:
        read_safetensors(path)
    assert "\n" not in str(caught.value)


def test_files_of_other_networks_are_refused(tensors: Arrays, weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"does not hold dinov2_b: embeddings.cls_token is of shape \(1, 1, 384\)"):
        load_extractor("dinov2_b", weights)
    changed = {
        "registers": ({"embeddings.register_tokens": np.zeros((1, 4, 384), np.float32)}, "a DINOv2 with registers"),
        "norm": ({"layernorm.bias": np.zeros(3, np.float32)}, r"layernorm.bias is of shape \(3,\)"),
    }
    from safetensors.numpy import save_file

    for name, (change, message) in changed.items():
        save_file({**tensors, **change}, tmp_path / name)
        with pytest.raises(UserError, match=f"{message}.*expected model.safetensors of facebook/dinov2-small"):
            load_extractor("dinov2_s", tmp_path / name)
    save_file({"other": np.zeros(3, np.float32)}, tmp_path / "other")
    with pytest.raises(UserError, match=r"embeddings\.cls_token is missing"):
        load_extractor("dinov2_s", tmp_path / "other")


# In a process of its own: the hub's client reads its settings once.
ASK = """
from sle_gan.errors import UserError
from sle_gan.hub import repository_file
try:
    print(repository_file("facebook/dinov2-small", "model.safetensors"))
except UserError as error:
    print("refused:", error)
"""


def ask(home: Path, **settings: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment = {**inherited, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", **settings}
    command = [sys.executable, "-c", ASK]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=REPOSITORY)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_a_hub_s_file_is_checked_and_cached(tmp_path: Path) -> None:
    pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    config = json.dumps({"transformers_version": "4.32", "model_type": "dinov2"}).encode()
    with running_hub() as hub:
        repo = hub.add("facebook/dinov2-small", {"config.json": config, "model.safetensors": b"numbers" * 100})
        found = Path(ask(tmp_path, HF_ENDPOINT=hub.url))
        assert found.read_bytes() == b"numbers" * 100
        repo.commit({"config.json": config})
        assert "holds no model.safetensors" in ask(tmp_path / "other", HF_ENDPOINT=hub.url)
    assert ask(tmp_path, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1") == str(found)
    assert ask(tmp_path, HF_ENDPOINT="http://127.0.0.1:9") == str(found)
    missing = ask(tmp_path / "empty", HF_ENDPOINT="http://127.0.0.1:9")
    assert missing.startswith("refused:") and "not in the cache of this machine" in missing
    found.resolve().write_bytes(b"changed")
    assert "deleted from the cache" in ask(tmp_path, HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="1")


def test_weights_come_from_the_hub_or_the_ways_to_get_them_are_named(
    extractor: FeatureExtractor, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr("sle_gan.hub.repository_file", lambda *names: asked.append(names) or weights)
    assert load_extractor("dinov2_s").version == extractor.version
    assert asked == [("facebook/dinov2-small", "model.safetensors")]

    def refuse(*names: str) -> Path:
        raise UserError("no answer")

    monkeypatch.setattr("sle_gan.hub.repository_file", refuse)
    with pytest.raises(
        UserError, match=r"dinov2_l: no answer.*\(1\).*hub.*\(2\) .*PATH.*dinov2-large; \(3\) set SLE_GAN"
    ):
        load_extractor("dinov2_l")
