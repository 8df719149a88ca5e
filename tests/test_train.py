"""`sle-gan train` as a user runs it: a whole run, its refusals, its ends."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import REPOSITORY, TINIEST, TINY, assert_refused, run, start, wait_for_step
from PIL import Image

import sle_gan
from sle_gan import SLEGANConfig
from sle_gan.config import config_from_dict
from sle_gan.runs.checkpoints import read_meta
from sle_gan.runs.log import read_log
from sle_gan.training.signals import STOPPING

RUN_FILES = {
    "config.json",
    "log.jsonl",
    "tensorboard",
    "samples",
    "checkpoints",
    "generator_weights.h5",
    "discriminator_weights.h5",
    "curves.png",
}


@pytest.fixture(scope="module")
def finished(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A run of 6 steps, and what it printed. No test writes into it."""
    output = tmp_path_factory.mktemp("runs")
    arguments = ("--steps", 6, "--checkpoint-every", 2, "--sample-every", 3, "--diff-augment", "--crop", "random")
    result = run("train", "--data-folder", pictures, "--output-folder", output, "--name", "flowers", *TINY, *arguments)
    assert result.returncode == 0, result.stderr
    return output / "flowers", result.stdout + result.stderr


def test_a_run_leaves_what_the_readme_says(finished) -> None:
    folder, printed = finished
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == RUN_FILES
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == [
        "step_00000004.npz",
        "step_00000006.npz",
    ]
    names = [f"{name}_{step:08d}.png" for name in ("reconstructions", "samples") for step in (0, 3, 6)]
    assert sorted(path.name for path in (folder / "samples").iterdir()) == names
    for word in ("24 pictures", "img/s", "generator_weights.h5", "curves.png", "generate --weights"):
        assert word in printed


def test_the_log_has_every_step_and_loss(finished) -> None:
    lines = [json.loads(line) for line in (finished[0] / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert set(lines[0]) == {
        "step",
        "time",
        "images_per_second",
        "generator",
        "real",
        "fake",
        "reconstruct_full",
        "reconstruct_small",
        "reconstruct_part",
        "D_sign",
    }


def test_the_config_makes_the_run_again(finished, pictures: Path) -> None:
    values = json.loads((finished[0] / "config.json").read_text())
    config = config_from_dict(values, "test")
    assert config.steps == 6 and config.width == 8 and config.crop == "random" and config.diff_augment
    assert config.data_folder == str(pictures)


def test_tensorboard_reads_the_events(finished) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(finished[0] / "tensorboard")).Reload()
    assert [event.step for event in events.Scalars("loss/generator")] == [1, 2, 3, 4, 5, 6]
    assert [event.step for event in events.Images("samples")] == [0, 3, 6]
    lines = [json.loads(line) for line in (finished[0] / "log.jsonl").read_text().splitlines()]
    assert events.Scalars("loss/real")[-1].value == pytest.approx(lines[-1]["real"], rel=1e-4)


def test_the_export_is_the_averaged_generator_of_the_checkpoint(finished) -> None:
    folder, _ = finished
    generator = sle_gan.load_generator(folder / "generator_weights.h5")
    with np.load(folder / "checkpoints" / "step_00000006.npz") as checkpoint:
        ema, raw = checkpoint["generator_ema/to_image/kernel"], checkpoint["generator/to_image/kernel"]
    np.testing.assert_array_equal(generator.to_image.kernel, ema)
    assert np.abs(ema - raw).max() > 0
    samples = np.concatenate(list(sle_gan.generate_images(generator, range(16))))
    with Image.open(folder / "samples" / "samples_00000006.png") as image:
        np.testing.assert_array_equal(np.asarray(image)[2:66, 2:66], samples[0])


def test_refusals_before_anything_is_made(pictures: Path, finished, tmp_path: Path) -> None:
    output = ("--output-folder", tmp_path / "runs")
    assert_refused(run("train", *output), "--data-folder is missing")
    assert_refused(run("train", *output, "--data-folder", tmp_path / "nowhere"), "nowhere", "--data-folder")
    data = ("--data-folder", pictures)
    assert_refused(run("train", *output, *data, "--resolution", 300), "--resolution is 300", "64 to 1024")
    assert_refused(run("train", *output, *data, "--batch-size", "eight"), "--batch-size", "'eight'")
    assert_refused(run("train", *output, *data, "--resolutoin", 64), "did you mean --resolution")
    assert_refused(run("train", *output, *data, "--crop", "left"), "--crop", "'left'")
    assert_refused(run("train", *output, *data, "--name", "none", "--resume"), "no training run")
    there = ("--output-folder", finished[0].parent, "--name", "flowers")
    before = sorted(finished[0].rglob("*"))
    assert_refused(run("train", *there, *data), "--resume", "--override")
    assert_refused(run("train", *there, "--resume", "--width", 16), "--width is 16", "trained with 8")
    assert_refused(run("train", *there, "--resume", "--override"), "not allowed with")
    assert sorted(finished[0].rglob("*")) == before
    assert not (tmp_path / "runs").exists()


def test_one_picture_is_counted_and_not_measured(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    shutil.copy(next(iter(sorted(pictures.iterdir()))), tmp_path / "one")
    result = run("train", "--data-folder", tmp_path / "one", *TINY, "--fid", "--dry-run", cwd=tmp_path)
    assert_refused(result, "--fid compares sets of pictures", "has 1 picture;", "leave --fid out")
    assert "1 picture of 64x64" in result.stdout


def test_refusals_after_the_pictures_were_read(pictures: Path, finished, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    runs = tmp_path / "runs"
    output = ("--output-folder", runs, *TINY)
    assert_refused(run("train", *output, "--data-folder", empty), "empty")
    wrong = run("train", *output, "--data-folder", pictures, "--generator-weights",
                finished[0] / "discriminator_weights.h5")  # fmt: skip
    assert_refused(wrong, "discriminator_weights.h5", "Generator(")
    missing = run("train", *output, "--data-folder", pictures, "--reconstruction-loss", "perceptual",
                  "--perceptual-weights", tmp_path / "vgg.h5")  # fmt: skip
    assert_refused(missing, "--perceptual-weights", "there is no file", "vgg.h5")
    done = run("train", "--output-folder", finished[0].parent, "--name", "flowers", "--resume", "--steps", 5)
    assert_refused(done, "has done 6 steps", "--steps is 5")
    fewer = run("train", "--output-folder", finished[0].parent, "--name", "flowers", "--resume", "--epochs", 1)
    assert fewer.returncode == 0 and "complete: all 6 steps" in fewer.stdout  # an epoch of 24 pictures is 6 steps
    assert not runs.exists()


def test_dry_run_writes_no_run(pictures: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    result = run("train", "--data-folder", pictures, "--output-folder", tmp_path / "runs", *TINY, "--dry-run",
                 "--cache-folder", cache)  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]
    assert '"resolution": 64' in result.stdout and "would train SLEGAN" in result.stdout
    without = run("train", "--data-folder", pictures, "--output-folder", tmp_path / "runs", *TINY, "--dry-run",
                  "--fid", "--fid-features-weights", tmp_path / "none.pth")  # fmt: skip
    assert_refused(without, "none.pth")
    assert not (tmp_path / "runs").exists()


def test_weights_are_really_loaded(finished, pictures: Path) -> None:
    """Both exports, into a fresh GAN; with a learning rate of almost nothing a step leaves them as they are."""
    folder, _ = finished
    exports = ("generator", "discriminator")
    weights = [x for name in exports for x in (f"--{name}-weights", folder / f"{name}_weights.h5")]
    slow = ("--G-learning-rate", 1e-12, "--D-learning-rate", 1e-12, "--steps", 1, "--seed", 5)
    output = ("--output-folder", folder.parent.parent / "started")
    result = run("train", "--data-folder", pictures, *output, *TINY, *weights, *slow)
    assert result.returncode == 0, result.stderr
    for name, key in (("generator", "to_image/kernel"), ("discriminator", "to_logits/kernel")):
        with np.load(output[1] / "experiment" / "checkpoints" / "step_00000001.npz") as checkpoint:
            trained = checkpoint[f"{name}/{key}"]
        loaded = sle_gan.weights.read(folder / f"{name}_weights.h5")[2][key]
        np.testing.assert_allclose(trained, loaded, atol=1e-6)


def test_divergence_stops_the_run_and_names_the_last_good_checkpoint(pictures: Path, tmp_path: Path) -> None:
    output = ("--output-folder", tmp_path, "--name", "a")
    first = run("train", "--data-folder", pictures, *output, *TINIEST, "--steps", 1)
    assert first.returncode == 0, first.stderr
    result = run("train", *output, "--resume", "--steps", 9, "--G-learning-rate", 1e30, "--D-learning-rate", 1e30)
    assert result.returncode == 1
    line = result.stderr.strip().splitlines()[-1]
    assert "diverged at step" in line and "= nan" in line and "step_00000001.npz" in line
    assert [path.name for path in (tmp_path / "a" / "checkpoints").iterdir()] == ["step_00000001.npz"]


def obey_signals() -> None:
    """A shell lets what it runs in its background ignore SIGINT, and nohup SIGHUP; this process does not."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_DFL)


@pytest.mark.parametrize("number", STOPPING)
def test_signals_save_a_checkpoint_and_the_printed_command_goes_on(pictures: Path, tmp_path: Path, number) -> None:
    output = ("--output-folder", "my runs", "--name", "it's")
    folder = tmp_path / "my runs" / "it's"
    long = ("--steps", 1_000_000)
    process = start("train", "--data-folder", pictures, *output, *TINIEST, *long, cwd=tmp_path, preexec_fn=obey_signals)
    wait_for_step(folder, 2, process)
    if number == signal.SIGINT:
        assert_refused(run("train", *output, "--resume", cwd=tmp_path), "another process is training")
        refused = run("train", "--data-folder", pictures, *output, *TINIEST, "--override", cwd=tmp_path)
        assert_refused(refused, "another process")
    process.send_signal(number)
    if number != signal.SIGINT:
        process.send_signal(number)  # the end of a session sends more than one
    out, err = process.communicate()
    assert process.returncode == 128 + number, err
    assert number.name in out + err
    (checkpoint,) = (folder / "checkpoints").iterdir()
    assert f"saved {checkpoint.relative_to(tmp_path)}" in out + err
    assert (folder / "generator_weights.h5").exists()
    if number == signal.SIGHUP:
        (line,) = (line.strip().removeprefix("go on").strip() for line in out.splitlines() if "go on" in line)
        steps = int(checkpoint.stem.removeprefix("step_")) + 1
        again = subprocess.run(["/bin/sh", "-c", f"{line} --steps {steps}"], cwd=tmp_path, capture_output=True)
        assert again.returncode == 0, again.stderr
        assert (folder / "checkpoints" / f"step_{steps:08d}.npz").exists()


def test_a_run_goes_on_without_a_console_and_what_is_complete_ends_well(pictures: Path, tmp_path: Path) -> None:
    """`sle-gan train 2>&1 | head -1`; then a kill between the last checkpoint and the exports; then --resume."""
    output = ("--output-folder", tmp_path, "--name", "a")
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [
            sys.executable,
            str(REPOSITORY / "sle_gan"),
            "train",
            "--data-folder",
            pictures,
            *output,
            *TINY,
            "--steps",
            "3",
        ],
        stdout=writing,
        stderr=writing,
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.readline()
    assert process.wait() == 0
    folder = tmp_path / "a"
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == RUN_FILES

    export = folder / "generator_weights.h5"
    content = export.read_bytes()
    sle_gan.Generator(64, width=8, latent=16).save_weights(export)  # as of another step
    (folder / "discriminator_weights.h5").unlink()
    (folder / "curves.png").unlink()
    again = run("train", *output, "--resume")
    assert again.returncode == 0, again.stderr
    assert "complete: all 3 steps" in again.stdout and f"wrote {export} again" in again.stdout
    assert export.read_bytes() == content
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == RUN_FILES
    assert len(read_log(folder / "log.jsonl")) == 3


def limit_file_size() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))


def test_a_full_disk_leaves_the_checkpoint_before_whole(finished, pictures: Path, tmp_path: Path) -> None:
    """A limit on the size of files makes writes fail as a full disk does."""
    output = ("--output-folder", tmp_path, "--name", "a")
    wide = (*TINIEST, "--width", 32)  # of a checkpoint that is larger than all other files
    assert run("train", "--data-folder", pictures, *output, *wide, "--steps", 1).returncode == 0
    checkpoint = tmp_path / "a" / "checkpoints" / "step_00000001.npz"
    content = checkpoint.read_bytes()
    assert len(content) > 2_000_000
    result = run("train", *output, "--resume", "--steps", 3, "--checkpoint-every", 1, preexec_fn=limit_file_size)
    assert result.returncode == 1
    assert (
        "saving to" in result.stderr + result.stdout and "step_00000001.npz is whole" in result.stderr + result.stdout
    )
    assert "the last one, could not be written" in result.stderr.strip().splitlines()[-1]
    assert [path.name for path in checkpoint.parent.iterdir()] == ["step_00000001.npz"]
    assert checkpoint.read_bytes() == content
    assert sle_gan.load_generator(tmp_path / "a" / "generator_weights.h5") is not None


def test_any_kind_of_picture(tmp_path: Path) -> None:
    """A folder of hostile files among good ones: each is named and skipped, the run goes on."""
    folder = tmp_path / "blümchen 花"
    folder.mkdir()
    for i in range(6):
        Image.effect_noise((80, 64 + i), 50).convert("CMYK" if i == 1 else "RGB").save(folder / f"good {i}.jpg")
    (folder / "zero.jpg").touch()
    (folder / "text.png").write_text("not a picture")
    (folder / "cut.jpg").write_bytes((folder / "good 0.jpg").read_bytes()[:300])
    Image.new("L", (1, 1)).save(folder / "dot.png")
    (folder / "broken.png").symlink_to(folder / "nowhere.png")
    result = run("train", "--data-folder", folder, "--output-folder", tmp_path / "runs", *TINY, "--dry-run")
    assert result.returncode == 0, result.stderr
    for name in ("zero.jpg", "text.png", "cut.jpg", "dot.png", "broken.png"):
        assert f"skipped {name}: " in result.stdout
    assert "6 pictures of 64x64" in result.stdout


def test_the_trained_networks_see_colour_and_grey(pictures: Path, tmp_path: Path) -> None:
    config = dataclasses.replace(SLEGANConfig(), channels="grey")
    assert config.validated().channels == "grey"
    output = ("--output-folder", tmp_path, "--name", "a")
    result = run("train", "--data-folder", pictures, *output, *TINY, "--channels", "grey", "--steps", 1)
    assert result.returncode == 0, result.stderr
    with Image.open(tmp_path / "a" / "samples" / "samples_00000001.png") as image:
        assert image.mode == "L"


def test_fid_while_training_keeps_the_best(pictures: Path, shared_folder: Path, tmp_path: Path) -> None:
    """The best export, scored again by `evaluate`, gives the logged number; a resumed run remembers its best."""
    weights = ("--fid-features-weights", shared_folder / "data" / "mobilenet_v1_imagenet_conv_pw_12.weights.h5")
    fid = ("--fid", "--fid-features", "mobilenet", *weights, "--fid-frequency", 2, "--fid-number-of-images", 12)
    output = ("--output-folder", tmp_path, "--name", "a")
    result = run("train", "--data-folder", pictures, *output, *TINIEST, *fid, "--steps", 4, "--checkpoint-every", 2,
                 "--cache-folder", tmp_path / "cache")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert sorted(path.suffix for path in (tmp_path / "cache").iterdir()) == [".json", ".npy", ".npz"]
    folder = tmp_path / "a"
    scored = [line for line in read_log(folder / "log.jsonl") if "fid" in line]
    assert [line["step"] for line in scored] == [2, 4]
    assert scored[0]["extractor"] == "mobilenet" and scored[0]["count"] == 12 and scored[0]["real_count"] == 24
    best = min(scored, key=lambda line: line["fid"])
    with Image.open(folder / "neighbours.png") as sheet:  # a row for each of the 12, in two columns
        assert sheet.height > 6 * 128 and "of 12 generated pictures are as near" in result.stdout
    assert (folder / "fid.png").exists() and f"FID {best['fid']:.3f}" in result.stderr + result.stdout
    with np.load(folder / "checkpoints" / "best.npz") as checkpoint:
        kernel = checkpoint["generator_ema/to_image/kernel"]
    generator = sle_gan.load_generator(folder / "best_generator_weights.h5")
    np.testing.assert_array_equal(generator.to_image.kernel, kernel)
    score = ("--real", pictures, "--fake", folder / "best_generator_weights.h5", "--count", 12, "--seed", 0)
    again = run("evaluate", "score", *score, "--features", "mobilenet", "--features-weights", weights[1],
                "--json", tmp_path / "score.json")  # fmt: skip
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "score.json").read_text())["metrics"]["fid"] == pytest.approx(best["fid"], rel=1e-6)

    resumed = run("train", *output, "--resume", "--steps", 5)
    assert resumed.returncode == 0, resumed.stderr
    assert [line["step"] for line in read_log(folder / "log.jsonl") if "fid" in line] == [2, 4, 5]
    meta = read_meta(folder / "checkpoints" / "step_00000005.npz")
    fids = {line["step"]: line["fid"] for line in read_log(folder / "log.jsonl") if "fid" in line}
    assert meta["best"][:2] == [min(fids, key=fids.__getitem__), min(fids.values())]

    otherwise = run("train", *output, "--resume", "--steps", 6, "--fid-number-of-images", 10)
    assert otherwise.returncode == 0, otherwise.stderr
    assert "another number of generated images: it does not compare, and the best starts anew" in otherwise.stdout
    meta = read_meta(folder / "checkpoints" / "step_00000006.npz")
    assert meta["best"][0] == 6 and meta["best"][2]["count"] == 10
    assert read_meta(folder / "checkpoints" / "best.npz")["step"] == 6


def test_fid_without_weights_stops_before_the_first_step(pictures: Path, tmp_path: Path) -> None:
    result = run("train", "--data-folder", pictures, "--output-folder", tmp_path / "runs", *TINY, "--fid",
                 "--fid-features-weights", tmp_path / "none.pth")  # fmt: skip
    assert_refused(result, "none.pth")
    environment = {**os.environ, "KERAS_HOME": str(tmp_path / "keras"), "https_proxy": "http://127.0.0.1:9"}
    offline = run(
        "train", "--data-folder", pictures, "--output-folder", tmp_path / "runs", *TINY, "--fid", env=environment
    )
    assert_refused(offline, "pt_inception-2015-12-05", "SLE_GAN_FEATURES_WEIGHTS")
    assert not (tmp_path / "runs").exists()
