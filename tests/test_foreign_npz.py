"""Checkpoints, statistics and settings of strangers: sizes are compared before anything is read or built."""

from __future__ import annotations

import contextlib
import io
import json
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sle_gan import Discriminator, Generator, SLEGANConfig
from sle_gan.config import read_config_file
from sle_gan.errors import UserError
from sle_gan.gans.slegan.to_fastgan import save_fastgan
from sle_gan.metrics.statistics import FeatureStatistics
from sle_gan.runs import checkpoints
from sle_gan.storage.json_objects import parse_object, read_config
from sle_gan.training.fastgan_runs import read_exported
from sle_gan.training.transfer import read_source, source_settings
from sle_gan.weights import variables_by_path


def statistics(dimension: int = 3) -> FeatureStatistics:
    mean, covariance = np.zeros(dimension), np.eye(dimension)
    return FeatureStatistics("mobilenet", "1", 2, mean, covariance, np.zeros((2, dimension), np.float32))


def write(path: Path, entries: dict[str, bytes], packed: bool = False) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def npy(array: Any, claimed: str | None = None) -> bytes:
    """The bytes of an array's entry; `claimed` is put in the place of its shape, in as many bytes."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array))
    content, shape = buffer.getvalue(), f"'shape': {np.asarray(array).shape}, ".encode()
    if claimed is None:
        return content
    return content.replace(shape + b"}", f"'shape': {claimed}, ".encode() + b"}").replace(
        b" " * (len(claimed) - len(shape) + 11) + b"\n", b"\n"
    )


META = json.dumps({"format": checkpoints.FORMAT, "step": 1}).encode()


def refused(path: Path, words: str) -> None:
    tracemalloc.start()
    for read in (checkpoints.read, checkpoints.read_shapes, FeatureStatistics.load):
        with pytest.raises(UserError, match=words) as caught:
            read(path)
        assert path.name in str(caught.value) and str(caught.value).isprintable()
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_an_archive_that_unpacks_to_a_gigabyte(tmp_path: Path) -> None:
    """The zeros are packed in pieces here, so that this test takes no gigabyte either."""
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("meta.json", META)
        archive.writestr("format.npy", npy("sle_gan.statistics/1"))
        with archive.open("generator/kernel.npy", "w") as member:
            member.write(npy(np.zeros(0, np.float32)))
            for _ in range(64):
                member.write(bytes(1 << 24))
    assert path.stat().st_size < 2_000_000
    refused(path, "packed")


@pytest.mark.parametrize("claimed", ["(1000000000000,)", "(3, 1000000000)", "(-3,)", "(True,)", "(1000000,)"])
def test_an_array_that_claims_another_size(claimed: str, tmp_path: Path) -> None:
    content = npy(np.zeros(3, np.float32), claimed)
    entries = {"meta.json": META, "format.npy": npy("sle_gan.statistics/1"), "extractor.npy": content}
    path = write(tmp_path / "claim.npz", entries)
    refused(path, "damaged")


def test_entries_that_overlap(tmp_path: Path) -> None:
    """Many names for the same bytes: the directory's entries are made to point to the first one."""
    array = npy(np.zeros(100_000, np.float32))
    path = write(tmp_path / "overlap.npz", {"meta.json": META, "format.npy": npy("x"), "a.npy": array})
    with zipfile.ZipFile(path, "a") as archive:
        first = archive.getinfo("a.npy")
        for i in range(1000):
            again = zipfile.ZipInfo(f"{i}.npy")
            for field in ("header_offset", "CRC", "compress_size", "file_size"):
                setattr(again, field, getattr(first, field))
            archive.filelist.append(again)
        archive._didModify = True  # type: ignore[attr-defined]
    assert path.stat().st_size < 600_000
    with pytest.raises(UserError, match="would take more than its bytes"):
        checkpoints.read(path)


def test_statistics_whose_parts_do_not_go_together(tmp_path: Path) -> None:
    whole = statistics()
    for name, changed in {
        "covariance": FeatureStatistics("m", "1", 2, whole.mean, np.eye(2)),
        "mean": FeatureStatistics("m", "1", 2, np.zeros((3, 1)), np.eye(3)),
        "features": FeatureStatistics("m", "1", 5, whole.mean, whole.covariance, np.zeros((2, 3))),
    }.items():
        changed.save(tmp_path / f"{name}.npz")
        with pytest.raises(UserError, match=rf"{name}\.npz is damaged.*expected"):
            FeatureStatistics.load(tmp_path / f"{name}.npz")
    whole.save(tmp_path / "whole.npz")
    assert FeatureStatistics.load(tmp_path / "whole.npz").count == 2


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_changed_archive_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "changed.npz"
    checkpoints.write(path, [("generator/kernel", np.ones((2, 3), np.float32))], {"step": 1})
    if data.draw(st.booleans()):
        statistics().save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    for read in (checkpoints.read, checkpoints.read_shapes, FeatureStatistics.load):
        try:
            read(path)
        except UserError as error:
            assert str(error).isprintable()


@given(st.text() | st.binary() | st.integers(0, 300_000).map(lambda depth: "[" * depth))
def test_any_text_is_an_object_or_no_object(text: str | bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_object(text), dict)


def test_settings_that_are_none(tmp_path: Path) -> None:
    for i, text in enumerate(
        ("[1]", "[" * 90_000, '{"a":' * 90_000, " " * 2_000_000, '{"model": [1]}', '{"model": {}}')
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match=r"config\.json"):
            read_config_file(tmp_path / "config.json")
        if i < 4:
            with pytest.raises(UserError, match=r"config\.json is damaged"):
                read_config(tmp_path)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run of 64 px and width 8, as far as it can be read by others."""
    folder = tmp_path / "runs" / "small"
    (folder / "checkpoints").mkdir(parents=True)
    config = SLEGANConfig(name="small", output_folder=str(tmp_path / "runs"), resolution=64, width=8, latent=4)
    (folder / "config.json").write_text(config.to_json())
    networks = {"generator": Generator(64, width=8, latent=4), "discriminator": Discriminator(64, width=8)}
    networks["generator_ema"] = networks["generator"]
    arrays = [
        (f"{key}/{path}", variable.numpy())
        for key, network in networks.items()
        for path, variable in variables_by_path(network).items()
    ]
    checkpoints.write(checkpoints.path_of(folder / "checkpoints", 1), arrays, {"step": 1})
    return folder


def test_a_run_whose_settings_are_not_those_of_its_weights(run_folder: Path) -> None:
    """--init-from and --to-fastgan: the settings would make networks of any size."""
    assert read_source(str(run_folder)).settings["width"] == 8
    config = json.loads((run_folder / "config.json").read_text())
    (run_folder / "config.json").write_text(json.dumps({**config, "width": 40_000}))
    for read in (lambda: source_settings(str(run_folder), None), lambda: read_exported(run_folder)):
        with pytest.raises(UserError, match=r"width=40000.*project/kernel is \(4, 4, 4, 256\) in the file"):
            read()
    checkpoints.write(checkpoints.path_of(run_folder / "checkpoints", 2), [], {"step": 2})
    with pytest.raises(UserError, match=r"project/kernel is nothing in the file"):
        source_settings(str(run_folder), None)


def test_a_run_without_its_optimizers_is_not_exported(run_folder: Path) -> None:
    with pytest.raises(UserError, match=r"no whole state of Adam|256, 512, 1024"):
        exported = read_exported(run_folder)
        save_fastgan(run_folder / "a.pth", exported.networks)
