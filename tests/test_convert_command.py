"""`sle-gan convert` as a user runs it: golden numbers out of a golden file, runs that go on, and back to PyTorch."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastgan_files import torch, trained_checkpoint
from helpers import REPOSITORY, assert_refused, run
from keras import ops
from PIL import Image

import sle_gan
from sle_gan import Discriminator, Generator
from sle_gan.convert.checkpoint import AdamState, Converted
from sle_gan.gans.base import make_gan
from sle_gan.gans.slegan.from_fastgan import read_fastgan
from sle_gan.gans.slegan.to_fastgan import save_fastgan, trained_paths
from sle_gan.pictures import make_grid
from sle_gan.runs import checkpoints
from sle_gan.runs.folder import read_run
from sle_gan.runs.log import read_log
from sle_gan.training.fastgan_runs import import_run, read_exported
from sle_gan.weights import variables_by_path


@pytest.fixture(scope="module")
def golden_file(shared_folder: Path) -> Path:
    return shared_folder / "golden" / "fastgan_256.pth"


@pytest.fixture(scope="module")
def training_file(golden_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """all_3.pth around the golden networks."""
    path = tmp_path_factory.mktemp("fastgan") / "all_3.pth"
    trained_checkpoint(torch.load(golden_file, weights_only=True), path)
    return path


def test_golden_checkpoint_in_numbers_out(golden_file: Path, tmp_path: Path) -> None:
    result = run("convert", "--input", golden_file, "--output-folder", tmp_path / "out")
    assert result.returncode == 0, result.stderr
    for words in ("FastGAN at 256 px, width 8, latent 32", "generator_weights.h5", "discriminator_weights.h5"):
        assert words in result.stdout
    golden = dict(np.load(golden_file.with_suffix(".npz")))
    images = {key: array.transpose(0, 2, 3, 1) for key, array in golden.items() if array.ndim == 4}
    generator = sle_gan.load_generator(tmp_path / "out" / "generator_weights.h5")
    big, small = generator(golden["z"], both_scales=True)
    np.testing.assert_allclose(big, images["g_eval_big"], atol=1e-4)
    np.testing.assert_allclose(small, images["g_eval_128"], atol=1e-4)
    discriminator = Discriminator(256, width=8)
    discriminator.load_weights(tmp_path / "out" / "discriminator_weights.h5")
    seen = discriminator(images["x"], reconstruct=True)
    logits = np.concatenate(
        [ops.convert_to_numpy(seen["logits"])[:, half].ravel() for half in (slice(25), slice(25, 50))]
    )
    np.testing.assert_allclose(logits, golden["d_eval_logits"].ravel(), atol=1e-4)
    for ours, theirs in (("full", "d_eval_all"), ("small", "d_eval_small")):
        np.testing.assert_allclose(seen[ours], images[theirs], atol=1e-4)

    again = run("convert", "--input", golden_file, "--output-folder", tmp_path / "out")
    assert_refused(again, "generator_weights.h5 exists and is not overwritten")


def test_a_run_holds_everything_and_gives_it_back(training_file: Path, tmp_path: Path) -> None:
    """.pth -> run -> .pth: a run that the training code takes, and every tensor bit for bit at the end."""
    read = read_fastgan(training_file)
    config, step = import_run(read, tmp_path / "runs" / "a", "all_3.pth")
    assert step == 3 and not config.tanh and config.width == 8 and config.latent == 32
    saved, file = read_run(tmp_path / "runs" / "a")
    assert saved == config
    gan = make_gan(config)
    checkpoints.load(file, gan.state())
    for key in ("generator", "discriminator"):
        first, *_ = gan.networks[key].trainable_variables
        path = next(path for path, variable in variables_by_path(gan.networks[key]).items() if variable is first)
        optimizer: Any = gan.optimizers[key]
        slots = {v.name.rpartition("_")[2]: v for v in optimizer.variables if path.replace("/", "_") in v.path}
        np.testing.assert_array_equal(slots["momentum"].value, read.optimizers[key].first[path])
        np.testing.assert_array_equal(slots["velocity"].value, read.optimizers[key].second[path])
        assert int(optimizer.iterations) == 3
    averaged = sle_gan.load_generator(training_file)
    seeds = range(2)
    expected = np.concatenate(list(sle_gan.generate_images(averaged, seeds)))
    np.testing.assert_array_equal(np.concatenate(list(gan.generate(seeds))), expected)
    with pytest.raises(sle_gan.UserError, match="exists"):
        import_run(read, tmp_path / "runs" / "a", "all_3.pth")

    exported = read_exported(tmp_path / "runs" / "a")
    save_fastgan(tmp_path / "back.pth", exported.networks, exported.optimizers)
    back, there = (torch.load(path, weights_only=True) for path in (tmp_path / "back.pth", training_file))
    for key in ("g", "d"):
        names = [name for name in there[key] if not name.endswith("num_batches_tracked")]
        assert list(back[key]) == list(there[key])
        assert all(torch.equal(back[key][name], there[key][name]) for name in names)
        slots, theirs = back[f"opt_{key}"]["state"], there[f"opt_{key}"]["state"]
        assert all(torch.equal(slots[i][name], theirs[i][name]) for i in theirs for name in theirs[i])
        assert back[f"opt_{key}"]["param_groups"] == there[f"opt_{key}"]["param_groups"]
    assert all(torch.equal(one, other) for one, other in zip(back["g_ema"], there["g_ema"]))


def test_a_checkpoint_without_training_state_starts_a_run(golden_file: Path, tmp_path: Path) -> None:
    _, step = import_run(read_fastgan(golden_file), tmp_path / "a", "x.pth")
    _, arrays = checkpoints.read(read_run(tmp_path / "a")[1])
    assert step == 0 and not any(np.any(a) for name, a in arrays.items() if name.startswith("optimizer/"))
    for name, array in arrays.items():
        if name.startswith("generator_ema/"):
            np.testing.assert_array_equal(array, arrays[name.replace("generator_ema/", "generator/")])


def test_a_bad_checkpoint_leaves_no_run(training_file: Path, tmp_path: Path) -> None:
    read = read_fastgan(training_file)
    moments = {path: array * np.float32("nan") for path, array in read.optimizers["generator"].first.items()}
    broken = replace(read, optimizers={"generator": read.optimizers["generator"]._replace(first=moments)})
    alone = replace(read, networks={"generator": read.networks["generator"]})
    wide = Converted("Discriminator", {"input_resolution": 256, "width": 16, "channels": 3}, {})
    mixed = replace(read, networks={**read.networks, "discriminator": wide})
    for checkpoint, words in ((broken, "NaN"), (alone, "needs both networks"), (mixed, "width 8 and 16")):
        with pytest.raises(sle_gan.UserError, match=words):
            import_run(checkpoint, tmp_path / "a", "x.pth")
        assert not list(tmp_path.iterdir())


def test_weights_files_to_fastgan(tmp_path: Path) -> None:
    Generator(256, width=8, latent=16).save_weights(tmp_path / "generator_weights.h5")
    one = run("convert", "--input", tmp_path / "generator_weights.h5", "--to-fastgan", tmp_path / "g.pth")
    assert one.returncode == 0, one.stderr
    assert "no discriminator" in one.stdout and "tanh(g(z)[0])" in one.stdout
    assert torch.load(tmp_path / "g.pth", weights_only=True).keys() == {"g", "sle_gan"}
    Discriminator(256, width=8).save_weights(tmp_path / "discriminator_weights.h5")
    exported = read_exported(tmp_path)
    assert exported.networks.keys() == {"generator", "discriminator"} and not exported.optimizers


def test_refusals(golden_file: Path, tmp_path: Path) -> None:
    """Each in one line and before a backend is started."""
    output = ("--output-folder", tmp_path / "out")
    torch.save({"g": torch.zeros(3), "d": print}, tmp_path / "evil.pth")
    (tmp_path / "text.txt").touch()
    (tmp_path / "empty").mkdir()
    cases = [
        (("--input", tmp_path / "none.pth", *output), ("none.pth", "no such file")),
        (("--input", tmp_path / "text.txt", *output), ("text.txt", "no PyTorch file")),
        (("--input", tmp_path / "evil.pth", *output), ("evil.pth", "could run")),
        (("--input", golden_file), ("one of the arguments", "--to-fastgan")),
        (("--input", golden_file, *output, "--run-folder", tmp_path / "a"), ("not allowed with",)),
        (("--input", golden_file, "--run-folder", tmp_path), ("exists",)),
        (("--input", tmp_path / "empty", "--to-fastgan", tmp_path / "a.pth"), ("neither a training run",)),
        (("--input", tmp_path, "--to-fastgan", tmp_path / "a.h5"), ("a.h5", ".pth")),
    ]
    for arguments, words in cases:
        assert_refused(run("convert", *arguments), *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "evil.pth", "text.txt"]


@pytest.mark.slow
def test_training_goes_on_at_the_checkpoints_quality(golden_file: Path, shared_folder: Path, tmp_path: Path) -> None:
    """The first grid is the checkpoint's pictures, and after two steps the Frechet distance is within 2 % of before."""
    theirs = tmp_path / "all_5000.pth"
    trained_checkpoint(torch.load(golden_file, weights_only=True), theirs, step=5000)
    flowers = shared_folder / "data" / "flowers17"
    few = tmp_path / "flowers"
    few.mkdir()
    for path in sorted(flowers.glob("*.jpg"))[::20]:
        (few / path.name).symlink_to(path)
    weights = shared_folder / "data" / "mobilenet_v1_imagenet_conv_pw_12.weights.h5"
    features = ("--features", "mobilenet", "--features-weights", weights)
    score = run("evaluate", "score", "--real", few, "--fake", theirs, "--count", 32, "--seed", 0, *features,
                "--json", tmp_path / "score.json")  # fmt: skip
    assert score.returncode == 0, score.stderr
    before = json.loads((tmp_path / "score.json").read_text())["metrics"]["fid"]

    place = ("--output-folder", tmp_path, "--name", "a", "--data-folder", few, "--batch-size", 4)
    measured = ("--fid", "--fid-features", "mobilenet", "--fid-features-weights", weights, "--fid-frequency", 1,
                "--fid-number-of-images", 32)  # fmt: skip
    converted = run("convert", "--input", theirs, "--run-folder", tmp_path / "a")
    assert converted.returncode == 0, converted.stderr
    assert f"train --name a --output-folder {tmp_path} --resume" in converted.stdout
    resumed = run("train", *place, "--resume", "--steps", 5002, *measured)
    assert resumed.returncode == 0, resumed.stderr
    after = [line["fid"] for line in read_log(tmp_path / "a" / "log.jsonl") if "fid" in line]
    assert after == pytest.approx([before, before], rel=0.02)
    images = np.concatenate(list(sle_gan.generate_images(sle_gan.load_generator(theirs), range(16))))
    with Image.open(tmp_path / "a" / "samples" / "samples_00005000.png") as grid:
        np.testing.assert_array_equal(np.asarray(grid), make_grid(images))

    started = run("train", *place[:2], "--name", "b", *place[4:], "--init-from", theirs, "--steps", 1)
    assert started.returncode == 0, started.stderr
    with Image.open(tmp_path / "b" / "samples" / "samples_00000000.png") as grid:
        np.testing.assert_array_equal(np.asarray(grid), make_grid(images))


# Runs a program, then prints its peak memory. (What getrusage says of a child includes the parent at the fork.)
PEAK_MEMORY = """
import re, runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    print(re.search("VmHWM.*", open("/proc/self/status").read())[0], file=sys.stderr)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_full_size_takes_less_than_30_s_and_2_gb(tmp_path: Path) -> None:
    """A training checkpoint at 1024 px and width 64, 606 MB, to weights, to a run, and back."""
    random = np.random.default_rng(0)
    networks, optimizers = {}, {}
    for key, network in (("generator", Generator(1024)), ("discriminator", Discriminator(1024))):
        arrays = {path: ops.convert_to_numpy(v.value) for path, v in variables_by_path(network).items()}
        networks[key] = Converted(type(network).__name__, network.architecture, arrays)
        moments = {path: random.random(arrays[path].shape, np.float32) for path in trained_paths(networks[key])}
        optimizers[key] = AdamState(7, 2e-4, moments, moments)
    networks["generator_ema"] = networks["generator"]
    source, back = tmp_path / "all_7.pth", tmp_path / "back.pth"
    save_fastgan(source, networks, optimizers)
    del networks, optimizers, arrays, moments, network
    for arguments in (
        ("--input", source, "--output-folder", tmp_path / "weights"),
        ("--input", source, "--run-folder", tmp_path / "run"),
        ("--input", tmp_path / "run", "--to-fastgan", back),
    ):
        started = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-c", PEAK_MEMORY, REPOSITORY / "sle_gan", "convert", *arguments]
        result = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = used.ru_utime + used.ru_stime - started[1].ru_utime - started[1].ru_stime
        peak = 1024 * int(result.stderr.split()[-2])
        print(f"{arguments[2]}: {time.perf_counter() - started[0]:.1f} s, {seconds:.1f} s of CPU, {peak / 1e9:.2f} GB")
        assert seconds < 30 and peak < 2e9  # of CPU: the wall clock is everybody's
    assert back.stat().st_size == pytest.approx(source.stat().st_size, rel=0.01)
