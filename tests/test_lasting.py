"""A run that must not die: signals, consoles that close, disks that fill up, exports that were left behind."""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sle_gan import DCGANConfig, weights
from sle_gan.cli.common import lasting_console
from sle_gan.errors import TrainingStopped
from sle_gan.gans.base import make_gan
from sle_gan.runs.checkpoints import CheckpointFolder, read_meta
from sle_gan.runs.folder import RunFolder
from sle_gan.runs.log import read_log
from sle_gan.storage import atomic
from sle_gan.storage.atomic import AppendedFile, new_hdf5
from sle_gan.training import callbacks, exports, run
from sle_gan.training.callbacks import Callback, Callbacks, JsonLines, PictureFiles, TensorBoard
from sle_gan.training.evaluation import Best
from sle_gan.training.signals import STOPPING, Signals, exit_code

FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="needs Linux's /dev/full")
PICTURE = np.zeros((8, 8, 3), np.uint8)


def full_disk(*arguments: object, **keywords: object) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def default_signals():
    before = {number: signal.signal(number, signal.SIG_DFL) for number in STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", STOPPING)
def test_a_signal_is_noted_and_the_first_one_counts(default_signals, number: signal.Signals) -> None:
    with Signals() as signals:
        assert signals.received is None
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGHUP)
        assert signals.received is number
    assert all(signal.getsignal(each) == signal.SIG_DFL for each in STOPPING)
    assert exit_code(number) == {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}[number.name]


def test_a_second_ctrl_c_ends_at_once(default_signals) -> None:
    with pytest.raises(KeyboardInterrupt), Signals():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_what_nohup_ignores_stays_ignored(default_signals) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Signals() as signals:
        signal.raise_signal(signal.SIGHUP)
        assert signals.received is None


@pytest.mark.parametrize("place", ("a closed pipe", pytest.param("a full disk", marks=needs_full)))
def test_a_console_that_fails_is_told_once_on_the_other(place: str, monkeypatch, tmp_path: Path) -> None:
    if place == "a full disk":
        stdout: Any = FULL.open("w")
    else:
        reading, writing = os.pipe()
        os.close(reading)
        stdout = os.fdopen(writing, "w")
    with (tmp_path / "err").open("w") as stderr:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", stderr)
        with lasting_console("sle-gan train"):
            for _ in range(3):
                print("x" * 10_000)
            print("still here", file=sys.stderr)
        assert (sys.stdout, sys.stderr) == (stdout, stderr)
        stdout.close()  # what the interpreter does at its end
    lines = (tmp_path / "err").read_text().splitlines()
    assert len(lines) == 2 and "stdout cannot be written" in lines[0] and lines[1] == "still here"


class Heard(Callback):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_message(self, text: str) -> None:
        self.messages.append(text)


def test_no_callback_ends_a_run_and_each_cause_is_told_once(tmp_path: Path, monkeypatch) -> None:
    heard = Heard()

    class Broken(Callback):
        def on_step(self, step: int, logs: Any) -> None:
            raise ValueError(f"step {step}")

    samples = tmp_path / "samples"
    makers = {
        "the console": lambda: heard,
        "log.jsonl": lambda: JsonLines(tmp_path / "log.jsonl", 0),
        "events": lambda: TensorBoard(tmp_path, 0),
        "nowhere": lambda: TensorBoard(tmp_path / "no" / "where", 0),
        "samples": lambda: PictureFiles(samples),
        "broken": Broken,
    }
    every = Callbacks(makers)
    assert len(heard.messages) == 1 and "nowhere cannot be written" in heard.messages[0]
    every.on_step(1, {"a": 1.0})
    every.on_picture(1, "a", PICTURE)
    for path in samples.iterdir():
        path.unlink()
    samples.rmdir()  # a folder that was removed for its size comes back
    every.on_picture(2, "a", PICTURE)
    assert [path.name for path in samples.iterdir()] == ["a_00000002.png"]
    monkeypatch.setattr(atomic.os, "fsync", full_disk)
    with monkeypatch.context() as patch:
        patch.setattr(AppendedFile, "write", full_disk)
        for step in (3, 4):
            every.on_step(step, {"a": 1.0})
            every.on_picture(step, "a", PICTURE)
    every.on_step(5, {"a": 1.0})
    every.close()
    for name in ("log.jsonl", "events", "samples"):
        assert sum(f"warning: {name} cannot be written" in text for text in heard.messages) == 1
    assert sum("broken" in text and "ValueError: step 1" in text for text in heard.messages) == 1
    assert len(heard.messages) == 5
    assert [line["step"] for line in read_log(tmp_path / "log.jsonl")] == [1, 5]
    assert [path.name for path in samples.iterdir()] == ["a_00000002.png"]


@needs_full
def test_records_are_whole_after_a_disk_was_full(tmp_path: Path) -> None:
    """The disk takes a part of a record, then nothing, then all; here as the system says it: /dev/full."""
    appended = AppendedFile(tmp_path / "log")
    raw = appended._file

    class Partly:
        def write(self, data: bytearray) -> int:
            appended._file = full
            return raw.write(data[:3])

    with FULL.open("ab", buffering=0) as full:
        appended._file = Partly()  # type: ignore[assignment]
        for record in (b"first\n", b"second\n"):
            with pytest.raises(OSError, match="No space"):
                appended.write(record)
        assert (tmp_path / "log").read_bytes() == b"fir"
        appended._waiting += b"x" * AppendedFile.waiting_bytes
        with pytest.raises(OSError, match="No space"):
            appended.write(b"dropped\n")
    appended._file = raw
    appended.write(b"dropped\n")  # what waits is written, with no room left beside it
    appended.write(b"last\n")
    appended.close()
    assert (tmp_path / "log").read_bytes().replace(b"x", b"") == b"first\nsecond\nlast\n"


def test_a_network_file_meets_a_full_disk_as_any_other(tmp_path: Path, monkeypatch) -> None:
    """HDF5 on such a disk prints a traceback for each dataset and crashes the process."""
    with new_hdf5(tmp_path / "x.h5") as file:
        file["a"] = np.zeros(3)
    before = (tmp_path / "x.h5").read_bytes()
    monkeypatch.setattr(atomic.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"), new_hdf5(tmp_path / "x.h5") as file:
        for i in range(1000):
            file[f"b{i}"] = np.zeros(100)
    assert (tmp_path / "x.h5").read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_on_a_full_disk_an_old_checkpoint_makes_room(tmp_path: Path, monkeypatch) -> None:
    saved = CheckpointFolder(tmp_path / "checkpoints", keep=3)
    for step in (1, 2, 3):
        saved.save(step, {}, {})
    sync = os.fsync

    def room_for_two(number: int) -> None:
        if len(saved.all()) > 1 and stat.S_ISREG(os.fstat(number).st_mode):
            full_disk()
        sync(number)

    monkeypatch.setattr(atomic.os, "fsync", room_for_two)
    saved.save(4, {}, {})
    assert [checkpoint.step for checkpoint in saved.all()] == [3, 4]
    monkeypatch.setattr(atomic.os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        saved.save(5, {}, {})
    assert [checkpoint.step for checkpoint in saved.all()][-1] == 4, "the newest whole one is never given up"


def tiny(pictures: Path, tmp_path: Path, **settings: Any) -> DCGANConfig:
    size: dict[str, Any] = {"resolution": 32, "width": 8, "latent": 16, "batch_size": 4, "steps": 3}
    return DCGANConfig(data_folder=str(pictures), output_folder=str(tmp_path), **{**size, **settings}).validated()


def test_a_run_whose_log_and_pictures_fail_is_saved(pictures: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(AppendedFile, "write", full_disk)
    monkeypatch.setattr(callbacks, "save_png", full_disk)
    monkeypatch.setattr(run, "draw_curves", full_disk)
    config = tiny(pictures, tmp_path, sample_every=1)
    outcome = run.train(config)
    assert outcome.step == 3 and outcome.interrupted_by is None
    saved = CheckpointFolder(config.run_folder / "checkpoints", 2)
    assert [checkpoint.step for checkpoint in saved.all()] == [3]
    printed = capsys.readouterr().out
    for name in ("log.jsonl", "tensorboard", "samples", "curves.png"):
        assert printed.count(f"{config.run_folder / name} cannot be written") == 1
    monkeypatch.setattr(weights, "new_hdf5", full_disk)
    (config.run_folder / "generator_weights.h5").unlink()
    with pytest.raises(TrainingStopped, match=r"step_00000003.npz is whole: --resume writes them"):
        run.train(config, resume=True)


def test_exports_follow_their_checkpoints(pictures: Path, tmp_path: Path) -> None:
    config = tiny(pictures, tmp_path)
    gan = make_gan(config)
    with RunFolder.create(config, override=False) as folder:
        saved = CheckpointFolder(folder.checkpoints, 2)
        averaged = gan.generator_export
        best = weights.arrays_by_path(averaged)
        identity = ("DCGANGenerator", averaged.architecture)
        saved.save_best(1, gan.state(), {"best": Best(1, 9.0), "data": []})
        averaged.to_image.kernel.assign(averaged.to_image.kernel + 1.0)
        saved.save(2, gan.state(), {"best": None, "data": []})
        written = exports.renew_exports(gan, folder, saved)
        names = ["generator_weights.h5", "discriminator_weights.h5", "best_generator_weights.h5"]
        assert [path.name for path in written] == names
        assert exports.renew_exports(gan, folder, saved) == []
        assert weights.holds(folder.best_generator, *identity, best)
        assert not weights.holds(folder.path / names[0], *identity, best)

        averaged.save_weights(folder.best_generator)  # the export of another step
        (folder.path / names[1]).write_bytes((folder.path / names[1]).read_bytes()[:1000])
        assert [path.name for path in exports.renew_exports(gan, folder, saved)] == names[1:]
        assert weights.holds(folder.best_generator, *identity, best)

        # A resumed run takes the best score from the file that holds it: it was killed before step 2 could name it.
        first, score, _, _ = run._restore(gan, run._open_devices(config), [], saved, last=3, mix_in=None)
        assert (first, score) == (2, Best(1, 9.0))
        saved.best.write_bytes(saved.best.read_bytes()[:1000])
        assert exports.renew_exports(gan, folder, saved) == []
        assert run._restore(gan, run._open_devices(config), [], saved, last=3, mix_in=None)[1] is None
        assert read_meta(saved.all()[-1].path)["step"] == 2
