"""PyTorch files of strangers: nothing runs, and no tensor is larger than what its file holds."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastgan_files import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sle_gan
from sle_gan.convert import read_torch
from sle_gan.convert.checkpoint import Converted
from sle_gan.convert.torch_reader import load_torch_file
from sle_gan.gans.cyclegan.huggan import convert_cyclegan
from sle_gan.gans.slegan.from_fastgan import read_fastgan
from sle_gan.gans.slegan.to_fastgan import save_fastgan
from sle_gan.training.transfer import source_settings
from sle_gan.weights import variables_by_path

READERS = (
    sle_gan.load_generator,
    read_torch,
    read_fastgan,
    convert_cyclegan,
    lambda path: source_settings(str(path), None),
)


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    """The generator of a small FastGAN."""
    import tempfile

    network = sle_gan.Generator(256, width=8, latent=4, tanh=False)
    arrays = {path: variable.numpy() for path, variable in variables_by_path(network).items()}
    with tempfile.TemporaryDirectory() as folder:
        save_fastgan(Path(folder) / "g.pth", {"generator": Converted("Generator", network.architecture, arrays)})
        return torch.load(Path(folder) / "g.pth", weights_only=True)["g"]


def refused(path: Path, words: str) -> None:
    tracemalloc.start()
    for read in READERS:
        with pytest.raises(sle_gan.UserError, match=words) as caught:
            read(path)
        assert path.name in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 1000
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_a_tensor_that_claims_terabytes(state: dict[str, Any], tmp_path: Path) -> None:
    name = "feat_8.1.weight_orig"
    for tensor in (torch.zeros(1).expand(10**12), torch.zeros(3, 1).expand(3, 10**11), torch.zeros(4)[:1].expand(9, 9)):
        for content in (
            {"g": {**state, name: tensor}},
            {"optimizer": [{"state": (tensor,)}], "model.1.weight": tensor},
        ):
            torch.save(content, tmp_path / "expanded.pth")
            assert (tmp_path / "expanded.pth").stat().st_size < 4_000_000
            refused(tmp_path / "expanded.pth", "bytes are too few")


def test_many_tensors_of_the_same_numbers(state: dict[str, Any], tmp_path: Path) -> None:
    """Two names for a network are usual; a thousand views of one storage are not."""
    numbers = torch.zeros(1000, dtype=torch.float16)
    torch.save({"g": {**state, **{f"more.{i}": numbers for i in range(10)}}}, tmp_path / "few.pth")
    read_fastgan(tmp_path / "few.pth")
    large = torch.zeros(100_000)
    torch.save({f"model.{i}.weight": large for i in range(100)}, tmp_path / "many.pth")
    refused(tmp_path / "many.pth", "share their numbers")


@pytest.mark.filterwarnings("ignore:torch.quantize")
@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.zeros(3, 3).to_sparse(),
        lambda: torch.zeros(10**6, 10**6, device="meta"),
        lambda: torch.zeros(3, dtype=torch.complex64),
        lambda: torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.qint8),
    ],
)
def test_tensors_of_other_kinds(make: Any, state: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"g": {**state, "feat_8.1.weight_orig": make()}}, tmp_path / "other.pth")
    refused(tmp_path / "other.pth", "is not read|Python objects|damaged")


def test_containers_that_hold_themselves_or_are_deep(state: dict[str, Any], tmp_path: Path) -> None:
    circle: dict[str, Any] = {"g": {"a": torch.zeros(1)}}
    circle["state_dict"] = circle
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep, deep]  # 2**200 lists to a reader that does not notice
    torch.save(circle, tmp_path / "circle.pth")
    torch.save({"g": {"a": torch.zeros(1)}, "deep": deep}, tmp_path / "deep.pth")
    torch.save({"a\n\x1b[2J" * 1000: torch.zeros(1), 3: torch.zeros(1), (1, 2): 5}, tmp_path / "names.pth")
    for name in ("circle.pth", "deep.pth", "names.pth"):
        refused(tmp_path / name, name)


def test_a_packed_archive(state: dict[str, Any], tmp_path: Path) -> None:
    torch.save({"g": state}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    refused(tmp_path / "packed.pth", "is packed")


@pytest.mark.parametrize(
    ("version", "safe"), [("2.5.1", False), ("1.13.0+cu117", False), ("2.6.0", True), ("10.0", True)]
)
def test_a_pytorch_that_cannot_read_safely(version: str, safe: bool, tmp_path: Path, monkeypatch: Any) -> None:
    """Before 2.6 `weights_only=True` could be made to run a program."""
    torch.save({"a": torch.zeros(1)}, tmp_path / "a.pth")
    monkeypatch.setattr(torch, "__version__", version)
    if safe:
        load_torch_file(tmp_path / "a.pth")
        return
    monkeypatch.setattr(torch, "load", None)
    refused(tmp_path / "a.pth", rf"needs PyTorch 2\.6 or later, and {version[:4]}.*pip install --upgrade")


def test_few_tensors_that_tell_a_wide_network(state: dict[str, Any], tmp_path: Path) -> None:
    """The widths follow from single tensors: the others are compared before the network is built."""
    wide = torch.zeros(1, 32 * 4096, 4, 4)
    torch.save({"g": {**state, "init.init.0.weight_orig": wide}}, tmp_path / "wide.pth")
    for read in (sle_gan.load_generator, lambda path: source_settings(str(path), None)):
        with pytest.raises(sle_gan.UserError, match=r"width=4096.*up_8/up/kernel is \(3, 3, 128, 128\) in the file"):
            read(tmp_path / "wide.pth")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_shapes_are_read_or_refused(state: dict[str, Any], tmp_path: Path, data: st.DataObject) -> None:
    changed = dict(state)
    for _ in range(data.draw(st.integers(1, 2))):
        name = data.draw(st.sampled_from(sorted(state)))
        shape = data.draw(st.lists(st.integers(0, 4), max_size=5))
        kind = data.draw(st.sampled_from([torch.float32, torch.float16, torch.int64, torch.bool]))
        changed[name] = data.draw(st.sampled_from([torch.zeros(shape, dtype=kind), "text", None, 3, {}, [state[name]]]))
    torch.save({"g": changed}, tmp_path / "changed.pth")
    for read in READERS[1:]:
        try:
            read(tmp_path / "changed.pth")
        except sle_gan.UserError as error:
            assert str(error).isprintable()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_changed_bytes_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    torch.save(
        {"g": {"init.init.0.weight_orig": torch.zeros(2, 3), "a": [1, "b"]}, "n": 1},
        tmp_path / "bytes.pth",
        _use_new_zipfile_serialization=data.draw(st.booleans()),
    )
    content = bytearray((tmp_path / "bytes.pth").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "bytes.pth").write_bytes(content)
    with pytest.raises(sle_gan.UserError) as caught:
        read_torch(tmp_path / "bytes.pth")
    assert str(caught.value).isprintable()


def test_numbers_stay_what_they_are(state: dict[str, Any], tmp_path: Path) -> None:
    """A transposed tensor and a part of a larger one are plain: all of their numbers are in the file."""
    name = "feat_8.1.weight_orig"
    turned = state[name].permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)
    torch.save(
        {"g": {**state, name: turned, "to_big.weight_orig": torch.cat([state["to_big.weight_orig"]] * 2)[:3]}},
        tmp_path / "a.pth",
    )
    torch.save({"g": state}, tmp_path / "b.pth")
    one, other = (read_fastgan(tmp_path / file).networks["generator"].arrays for file in ("a.pth", "b.pth"))
    np.testing.assert_equal(one, other)
