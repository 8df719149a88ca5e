"""Shared models as folders: what is in them, what is not, what the card says, and what is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import TINY, assert_refused, run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import sle_gan
from sle_gan import Discriminator, Generator, SLEGANConfig, weights
from sle_gan.errors import UserError
from sle_gan.generation import generate_images
from sle_gan.hub import local_folder, open_model
from sle_gan.hub.card import Shared, make_card, quoted
from sle_gan.hub.loading import load_folded, load_generator
from sle_gan.hub.save import save_pretrained
from sle_gan.hub.training_facts import Score, TrainingFacts, read_training, run_files, shareable_settings
from sle_gan.pictures import make_grid
from sle_gan.runs.checkpoints import CheckpointFolder
from sle_gan.training.callbacks import JsonLines

SECRETS = ("anna", "portraits of my children", "/home/", "pretrained by bob")
CONFIG = SLEGANConfig(
    data_folder="/home/anna/portraits of my children",
    output_folder="/home/anna/runs",
    name="anna",
    generator_weights="/home/anna/pretrained by bob.h5",
    resolution=64,
    width=8,
    latent=16,
    batch_size=4,
    diff_augment=True,
    flip=False,
    fid=True,
    fid_features="mobilenet",
    fid_features_weights="/home/anna/mobilenet.h5",
)


def small(seed: int) -> Generator:
    import keras

    keras.utils.set_random_seed(seed)
    return Generator(64, width=8, latent=16)


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 40 steps whose best score was at step 20, as training leaves it; made of its parts, in a second."""
    folder = tmp_path_factory.mktemp("runs") / "anna"
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "samples").mkdir()
    (folder / "config.json").write_text(CONFIG.to_json())
    small(1).save_weights(folder / "best_generator_weights.h5")
    small(2).save_weights(folder / "generator_weights.h5")
    Discriminator(64, width=8).save_weights(folder / "discriminator_weights.h5")
    Image.new("RGB", (8, 8), "red").save(folder / "samples" / "reconstructions_00000040.png")
    log = JsonLines(folder / "log.jsonl", 0)
    for step in range(1, 41):
        log.on_step(step, {"generator": 0.1, "images_per_second": 8.0})
        if step % 20 == 0:
            log.on_score(step, 30.5 + step, {"extractor": "mobilenet", "count": 512, "real_count": 1360})
    log.close()
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in lines:
        line["time"] = 1000.0 + 2 * line["step"]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    checkpoints = CheckpointFolder(folder / "checkpoints", 2)
    meta = {"data": ["0"], "pictures": [1360], "best": [20, 50.5]}
    checkpoints.save_best(20, {}, meta)
    checkpoints.save(40, {}, meta)
    return folder


@pytest.fixture(scope="module")
def shared(run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "flowers"
    return sle_gan.save_pretrained(run_folder, folder, license="cc-by-4.0")


def images(generator: Any, count: int = 16) -> np.ndarray:
    return np.concatenate(list(sle_gan.generate_images(generator, range(count))))


def test_the_folder_of_a_run(shared: Path, run_folder: Path) -> None:
    assert sorted(path.name for path in shared.iterdir()) == [
        "README.md", "config.json", "generator_weights.h5", "samples.png"
    ]  # fmt: skip
    best = (run_folder / "best_generator_weights.h5").read_bytes()
    assert (shared / "generator_weights.h5").read_bytes() == best
    config = json.loads((shared / "config.json").read_text())
    assert config["library_name"] == "sle-gan" and config["model_type"] == "slegan"
    assert config["architecture"] == small(1).architecture
    assert config["files"]["generator_weights.h5"]["sha256"] == hashlib.sha256(best).hexdigest()
    assert config["training"]["step"] == 20 and config["training"]["batch_size"] == 4


def test_it_generates_what_the_run_does(shared: Path, run_folder: Path) -> None:
    expected = images(sle_gan.load_generator(run_folder / "best_generator_weights.h5"))
    np.testing.assert_array_equal(images(sle_gan.from_pretrained(shared)), expected)
    with Image.open(shared / "samples.png") as grid:  # and the grid shows these and nothing else
        np.testing.assert_array_equal(np.asarray(grid), make_grid(expected))


def test_no_path_name_or_training_picture_leaves(shared: Path, run_folder: Path) -> None:
    for path in shared.iterdir():
        content = path.read_bytes()
        for secret in (*SECRETS, run_folder.parent.name):
            assert secret.encode() not in content, (path.name, secret)
    texts = [value for value in shareable_settings(CONFIG).values() if isinstance(value, str)]
    assert {"rgb", "mobilenet"} <= set(texts)
    assert not [text for text in texts if "/" in text or " " in text or "anna" in text]


def test_the_card_says_what_the_run_recorded(shared: Path) -> None:
    card = (shared / "README.md").read_text()
    for text in (
        "# flowers",
        "new pictures in colour of 64x64 pixels",
        "| training pictures | 1,360 |",
        "20 of 4 images = 0.1 passes",
        "10 s in training steps; 38 s by the clock",  # 20 steps of 0.5 s; from time 1002 to 1040, and the first step
        "differentiable: color,translation",
        "other weights, whose licence may bind these",
        "--data-folder YOUR_PICTURES --resolution 64 --batch-size 4 --no-flip --fid",
        "50.50 | 512 generated pictures against all 1,360 training pictures",
        "not comparable with FID",
        "generator; 0.4 million numbers, after step 20",
        "as their author states it: `cc-by-4.0`",
        "--model FOLDER --count 16",
    ):
        assert text in card, text


def test_the_cards_header_is_what_hubs_read(shared: Path, tmp_path: Path) -> None:
    cards = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    data = cards.ModelCard.load(shared / "README.md").data
    assert data.license == "cc-by-4.0" and data.library_name == "sle-gan"
    (result,) = data.eval_results
    assert result.metric_value == 50.5 and result.metric_type == "frechet-distance-mobilenet"
    odd = tmp_path / "yes: [no] \"#' \\ 1.0"  # a name that YAML could take for something else
    card = cards.ModelCard.load(sle_gan.save_pretrained(small(1), odd) / "README.md")
    assert card.data.license == "unknown" and "# " + odd.name in card.text
    assert "shared from a weights file alone" in card.text and "None was given" in card.text


def test_the_newest_generator_and_the_discriminator_on_request(run_folder: Path, tmp_path: Path) -> None:
    folder = sle_gan.save_pretrained(run_folder, tmp_path / "all", last=True, discriminator=True)
    for name in ("generator_weights.h5", "discriminator_weights.h5"):
        assert (folder / name).read_bytes() == (run_folder / name).read_bytes()
    card = (folder / "README.md").read_text()
    assert card.count("after step 40") == 2 and "70.50" in card and "50.50" not in card

    sle_gan.save_pretrained(run_folder, folder, override=True)  # without a discriminator: the old one must go
    assert not (folder / "discriminator_weights.h5").exists()
    assert "50.50" in (folder / "README.md").read_text()


def test_half_the_bytes_on_request_and_nearly_the_same_pictures(tmp_path: Path) -> None:
    generator = Generator(64, width=8, latent=16)
    whole, half = (save_pretrained(generator, tmp_path / name, half=name == "half") for name in ("whole", "half"))
    sizes = [(folder / "generator_weights.h5").stat().st_size for folder in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    _, _, arrays = weights.read(half / "generator_weights.h5")
    assert {array.dtype for array in arrays.values()} == {np.dtype("float32")}
    pictures = []
    for folder in (whole, half):
        for load in (load_folded, load_generator):
            (batch,) = generate_images(load(folder), range(2))
            pictures.append(batch.astype(int))
    assert np.abs(pictures[0] - pictures[2]).max() <= 2 and np.abs(pictures[1] - pictures[3]).max() <= 2
    variable = weights.variables_by_path(generator)["to_image/kernel"]
    variable.assign(variable.value * 1e9)
    with pytest.raises(UserError, match=r"to_image/kernel holds values beyond 65504"):
        save_pretrained(generator, tmp_path / "large", half=True)
    assert not (tmp_path / "large").exists()


def test_a_run_that_recorded_little(run_folder: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "generator_weights.h5"):
        shutil.copy(run_folder / name, bare)
    facts = read_training(run_files(bare))
    assert (facts.step, facts.pictures, facts.score, facts.step_seconds) == (None, None, None, None)
    card = (sle_gan.save_pretrained(bare, tmp_path / "shared") / "README.md").read_text()
    assert "not recorded" in card and "No metric was measured" in card and "None" not in card.replace("None was", "")
    shutil.copy(run_folder / "log.jsonl", bare)  # checkpoints were deleted, the log was not
    facts = read_training(run_files(bare))
    assert facts.step == 40 and facts.pictures == [1360] and facts.score.value == 70.5


def test_networks_that_translate_have_no_samples(run_folder: Path, tmp_path: Path) -> None:
    pair = tmp_path / "pair"
    pair.mkdir()
    shutil.copy(run_folder / "config.json", pair)
    for name in ("generator_AB", "generator_BA"):
        small(3).save_weights(pair / f"{name}_weights.h5")
    folder = sle_gan.save_pretrained(pair, tmp_path / "shared")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md", "config.json", "generator_AB_weights.h5", "generator_BA_weights.h5"
    ]  # fmt: skip
    card = (folder / "README.md").read_text()
    assert "sle-gan translate --weights FOLDER/generator_AB_weights.h5" in card and "image-to-image" in card
    with pytest.raises(UserError, match=r"generator_BA_weights\.h5 but no generator_weights\.h5"):
        sle_gan.from_pretrained(folder)


def test_targets_that_are_refused(run_folder: Path, shared: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "diary.txt").write_text("dear diary")
    cases: list[tuple[Any, Path, dict[str, Any], str]] = [
        (run_folder, kept, {}, "not empty"),
        (run_folder, kept, {"override": True}, "holds none"),
        (run_folder, kept / "diary.txt", {}, "is a file"),
        (run_folder, tmp_path / "new", {"license": "Do what you want"}, "licence identifier"),
        (tmp_path / "nothing", tmp_path / "new", {}, "no such file"),
        (kept, tmp_path / "new", {}, "neither a training run"),
        (shared, tmp_path / "new", {}, "a shared model already"),
        (run_folder, kept / "diary.txt" / "new", {}, "cannot be written"),
        (kept / "diary.txt", tmp_path / "new", {}, "damaged or no HDF5"),
        (run_folder / "discriminator_weights.h5", tmp_path / "new", {}, "not a generator"),
        (small(1), tmp_path / "new", {"discriminator": True}, "of a training run only"),
    ]
    for source, folder, options, words in cases:
        with pytest.raises(UserError, match=words):
            sle_gan.save_pretrained(source, folder, **options)
    assert sorted(os.listdir(tmp_path)) == ["kept"] and os.listdir(kept) == ["diary.txt"]  # noqa: PTH208


def test_folders_that_are_refused(shared: Path, run_folder: Path, tmp_path: Path) -> None:
    assert open_model(run_folder).generator().source == run_folder / "generator_weights.h5"
    changed = tmp_path / "changed"
    shutil.copytree(shared, changed)
    shutil.copy(run_folder / "generator_weights.h5", changed)
    with pytest.raises(UserError, match=r"SHA256.*config\.json says"):
        sle_gan.from_pretrained(changed)
    (changed / "generator_weights.h5").unlink()
    with pytest.raises(UserError, match="no weights that we read"):
        sle_gan.from_pretrained(changed)
    for path in (shared, run_folder):
        assert local_folder(path) == local_folder(str(path)) == path


def test_the_same_settings_give_the_same_command() -> None:
    """The command on a card is read back by the command's own parser."""
    from sle_gan.cli.train import make_parser
    from sle_gan.hub.training_facts import command

    words = command(CONFIG, shareable_settings(CONFIG)).split()
    assert words[:2] == ["sle-gan", "train"]
    given = vars(make_parser().parse_args(words[2:]))
    trained = {field.name: given.get(field.name, field.default) for field in dataclasses.fields(SLEGANConfig)}
    for name, value in shareable_settings(CONFIG).items():
        assert trained[name] == value, name


@pytest.mark.slow
def test_train_share_generate(pictures: Path, tmp_path: Path) -> None:
    where = ("--output-folder", tmp_path / "runs", "--name", "flowers")
    result = run("train", "--data-folder", pictures, *TINY, "--steps", 3, *where)
    assert result.returncode == 0, result.stderr
    result = run("share", *where, "--folder", tmp_path / "shared")
    assert result.returncode == 0, result.stderr
    card = (tmp_path / "shared" / "README.md").read_text()
    assert "| training pictures | 24 |" in card and "3 of 4 images = 0.5 passes" in card
    assert_refused(run("share", *where, "--folder", tmp_path / "shared"), "--override")
    assert run("share", *where, "--folder", tmp_path / "shared", "--override").returncode == 0
    grids = [tmp_path / "a.png", tmp_path / "b.png"]
    weights = tmp_path / "runs" / "flowers" / "generator_weights.h5"
    for source, grid in ((("--model", tmp_path / "shared"), grids[0]), (("--weights", weights), grids[1])):
        assert run("generate", *source, "--grid", grid).returncode == 0
    assert grids[0].read_bytes() == grids[1].read_bytes() == (tmp_path / "shared" / "samples.png").read_bytes()


@pytest.mark.parametrize(
    "name", ["🌻 sunflowers", 'a "quoted" \\ name', "two\nlines", "\x7f\x85\u2028\ufeff", "caf\udce9", "é: # - |"]
)
def test_any_folder_name_makes_a_card(name: str, tmp_path: Path) -> None:
    """Emoji were written as JSON writes them, which YAML reads as two broken characters."""
    yaml = pytest.importorskip("yaml")
    facts = TrainingFacts(
        "slegan", {"resolution": 64}, "", None, 1, 1, None, None, Score(1.0, "mobilenet", 2, 2), False
    )
    small(1).save_weights(tmp_path / "generator_weights.h5")
    folder = save_pretrained(tmp_path / "generator_weights.h5", tmp_path / name)
    assert (folder / "README.md").read_text(encoding="utf-8").count("\n# ") == 1
    text = make_card(Shared(name, "slegan", {}, {"generator_weights.h5": 1}, 16, "mit", None, facts))
    header = yaml.safe_load(text.encode("utf-8").decode("utf-8").split("---\n")[1])
    assert header["model-index"][0]["name"] == " ".join(name.replace("\udce9", "\ufffd").split())
    assert f"# {header['model-index'][0]['name']}\n" in text


@given(st.text(st.characters(codec="utf-8")))
def test_any_text_is_a_scalar_that_yaml_reads_back(text: str) -> None:
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(f"name: {quoted(text)}\nother: 1") == {"name": text, "other": 1}
