"""Checkpoint files: whole or not there, and refused by name when they are wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sle_gan.errors import UserError
from sle_gan.runs import checkpoints
from sle_gan.runs.checkpoints import CheckpointFolder


def state(value: float = 0.0) -> dict[str, keras.Variable]:
    return {
        "net/kernel": keras.Variable(np.full((50, 4), value, np.float32)),
        "optimizer/net/iteration": keras.Variable(int(value), dtype="int64"),
    }


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    folder = CheckpointFolder(tmp_path, keep=2)
    folder.save(1, state(1), {})
    folder.save(2, state(2), {"data": "abc"})
    return folder


def test_round_trip_and_retention(folder: CheckpointFolder) -> None:
    folder.save(3, state(3), {"data": "abc"})
    assert [checkpoint.step for checkpoint in folder.all()] == [2, 3]
    target = state()
    meta = folder.load_newest(target)
    assert meta["step"] == 3 and meta["data"] == "abc"
    np.testing.assert_array_equal(target["net/kernel"].value, state(3)["net/kernel"].value)
    assert int(target["optimizer/net/iteration"].value) == 3


def test_nothing_to_resume_from(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no checkpoint to resume from"):
        CheckpointFolder(tmp_path, 2).load_newest(state())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_truncation_is_noticed_and_the_one_before_is_offered(tmp_path_factory, data) -> None:
    folder = CheckpointFolder(tmp_path_factory.mktemp("run"), keep=2)
    folder.save(1, state(1), {})
    path = folder.save(2, state(2), {})
    size = data.draw(st.integers(0, path.stat().st_size - 1))
    path.write_bytes(path.read_bytes()[:size])
    target = state(7)
    with pytest.raises(UserError) as caught:
        folder.load_newest(target)
    assert path.name in str(caught.value)
    assert "step_00000001.npz (step 1), is whole" in str(caught.value)
    np.testing.assert_array_equal(target["net/kernel"].value, state(7)["net/kernel"].value)
    path.unlink()  # what the message says to do
    assert folder.load_newest(target)["step"] == 1


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_changed_byte_of_an_array_is_noticed(tmp_path_factory, data) -> None:
    folder = CheckpointFolder(tmp_path_factory.mktemp("run"), keep=2)
    path = folder.save(2, state(2), {})
    content = bytearray(path.read_bytes())
    start = content.find(np.full(50, 2, np.float32).tobytes())
    index = data.draw(st.integers(start, start + 799))
    content[index] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(content)
    with pytest.raises(UserError, match="is damaged"):
        folder.load_newest(state())


def test_foreign_files_are_refused_by_name(folder: CheckpointFolder, tmp_path: Path) -> None:
    np.savez(tmp_path / "step_00000009.npz", kernel=np.zeros(3))
    with pytest.raises(UserError, match=r"step_00000009.npz is not a checkpoint of this project.*step_00000002"):
        folder.load_newest(state())


def test_other_networks_are_refused(folder: CheckpointFolder) -> None:
    other = {**state(), "net/bias": keras.Variable([0.0])}
    with pytest.raises(UserError, match=r"of other networks: net/bias is nothing in the file, \(1,\) in the network"):
        folder.load_newest(other)


def test_running_numbers_of_settings_that_changed_start_anew(folder: CheckpointFolder) -> None:
    """On a resumed run --augment-probability or --lecam may be new, or gone."""
    path, extra = folder.folder / "step_00000003.npz", {"buffer/lecam/averages": keras.Variable([4.0])}
    checkpoints.save(path, {**state(3), **extra}, {"step": 3})
    target = state()
    assert folder.load_newest(target)["step"] == 3
    np.testing.assert_array_equal(target["net/kernel"].value, state(3)["net/kernel"].value)
    new = {"buffer/augmentation_A/probability": keras.Variable(0.5), "buffer/lecam/averages": keras.Variable([0.0])}
    folder.load_newest({**state(), **new})
    assert [float(variable.value[...]) for variable in (new["buffer/augmentation_A/probability"],)] == [0.5]
    np.testing.assert_array_equal(new["buffer/lecam/averages"].value, [4.0])


def test_nan_is_not_saved(folder: CheckpointFolder) -> None:
    before = folder.newest()
    with pytest.raises(FloatingPointError, match="net/kernel"):
        folder.save(3, {"net/kernel": keras.Variable([1.0, float("nan")])}, {})
    assert folder.newest() == before
    assert sorted(path.name for path in folder.folder.iterdir()) == ["step_00000001.npz", "step_00000002.npz"]


def test_a_crash_while_writing_leaves_the_old_file(folder: CheckpointFolder, monkeypatch) -> None:
    copy = folder.folder / "copy"
    shutil.copy(folder.folder / "step_00000002.npz", copy)

    def crash(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints.np.lib.format, "write_array", crash)
    with pytest.raises(OSError, match="No space"):
        folder.save(2, state(5), {})
    monkeypatch.undo()
    assert (folder.folder / "step_00000002.npz").read_bytes() == copy.read_bytes()
    assert not list(folder.folder.glob(".*.tmp"))
