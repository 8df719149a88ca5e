"""CycleGAN's commands as a user runs them: two folders in, translations out, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_refused, run
from PIL import Image

from sle_gan import Generator, translation
from sle_gan.cli.translate import main
from sle_gan.data import decode_whole
from sle_gan.gans.cyclegan.networks import PatchDiscriminator, ResNetGenerator
from sle_gan.generation import generate_images
from sle_gan.hub.loading import load_translator
from sle_gan.runs.log import read_log

TINY = ("--model", "cyclegan", "--resolution", 64, "--width", 4, "--blocks", 1, "--batch-size", 4)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second, smaller domain: seven dark pictures of odd shapes."""
    folder = tmp_path_factory.mktemp("other")
    random = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(random.integers(0, 99, (70 + 9 * i, 80, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator, random = ResNetGenerator(blocks=1, width=4), np.random.default_rng(0)
    for variable in generator.variables:
        variable.assign(random.standard_normal(variable.shape) * 0.2)
    path = tmp_path_factory.mktemp("weights") / "translator.h5"
    generator.save_weights(path)
    return path


def test_train_and_translate(pictures: Path, other: Path, shared_folder: Path, tmp_path: Path) -> None:
    features = shared_folder / "data" / "mobilenet_v1_imagenet_conv_pw_12.weights.h5"
    fid = ("--fid", "--fid-features", "mobilenet", "--fid-features-weights", features, "--fid-number-of-images", 10)
    output = ("--output-folder", tmp_path, "--name", "a")
    folders = ("--data-folder", pictures, "--target-folder", other)
    result = run("train", *folders, *output, *TINY, *fid, "--steps", 2, "--diff-augment")
    assert result.returncode == 0, result.stderr
    assert "24 pictures of 64x64" in result.stdout and "7 pictures of 64x64" in result.stdout
    folder = tmp_path / "a"
    lines = read_log(folder / "log.jsonl")
    scores = next(line for line in lines if "fid" in line)
    assert scores["count"] == 10 and scores["real_count"] == 7
    assert scores["mifid"] >= scores["fid"] and 0 < scores["memorization_distance"] <= 1
    assert json.loads((folder / "config.json").read_text())["model"] == "cyclegan"
    for name in ("A_to_B", "B_to_A"):
        with Image.open(folder / "samples" / f"{name}_00000002.png") as grid:
            assert grid.size == (6 * 66 + 2, 3 * 66 + 2)

    assert f"translate --weights {folder}" in result.stdout
    for direction in ("AB", "BA"):
        out = tmp_path / direction
        arguments = ("--direction", direction, "--input", other / "6.png", "--output-folder", out)
        done = run("translate", "--weights", folder, *arguments)
        assert done.returncode == 0, done.stderr
        expected = translation.translate(
            load_translator(folder / f"generator_{direction}_weights.h5"), decode_whole(other / "6.png")
        )
        with Image.open(out / "6.png") as image:
            np.testing.assert_array_equal(np.asarray(image), expected)


def test_names_sizes_and_orientation_are_kept(translator: Path, tmp_path: Path) -> None:
    source = tmp_path / "in"
    (source / "deep").mkdir(parents=True)
    random = np.random.default_rng(1)
    picture = Image.fromarray(random.integers(0, 256, (41, 30, 3), dtype=np.uint8))
    picture.save(source / "a.png")
    picture.save(source / "deep" / "b.webp", lossless=True)
    picture.convert("RGBA").save(source / "c.tiff")
    turned = picture.transpose(Image.Transpose.ROTATE_90)  # 41 wide, and EXIF says to turn it back
    exif = Image.Exif()
    exif[0x0112] = 6
    turned.save(source / "d.png", exif=exif)
    picture.save(source / "d.bmp")
    (source / "e.jpg").write_text("no picture")
    grid = tmp_path / "grid.png"
    result = run(
        "translate", "--weights", translator, "--input", source, "--output-folder", tmp_path / "out", "--grid", grid
    )
    assert result.returncode == 0, result.stderr
    assert "skipped e.jpg" in result.stdout + result.stderr
    found = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png")}
    assert found == {"a.png", "deep/b.png", "c.png", "d.png.png", "d.bmp.png"}
    expected = translation.translate(load_translator(translator), np.asarray(picture))
    for name in found:
        with Image.open(tmp_path / "out" / name) as image:
            assert image.size == (30, 41) and image.mode == "RGB"
            np.testing.assert_array_equal(np.asarray(image), expected, err_msg=name)
    with Image.open(grid) as image:
        assert image.size == (4 * 258 + 2, 3 * 258 + 2)


def test_strips_give_the_same_file(translator: Path, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8)).save(tmp_path / "a.png")
    arrays = []
    for out, more in (("whole", ()), ("strips", ("--whole-pixels", 2000))):
        arguments = ("--input", tmp_path / "a.png", "--output-folder", tmp_path / out, *more)
        main([str(argument) for argument in ("--weights", translator, *arguments)])
        with Image.open(tmp_path / out / "a.png") as image:
            arrays.append(np.asarray(image).astype(int))
    assert np.abs(arrays[0] - arrays[1]).max() <= 1


def test_what_a_generator_makes_is_translated(translator: Path, tmp_path: Path) -> None:
    generator = Generator(64, width=8, latent=16)
    generator.save_weights(tmp_path / "generator_weights.h5")
    source = ("--source", tmp_path / "generator_weights.h5", "--count", 3, "--seed", 5)
    out = tmp_path / "out"
    arguments = ("--weights", translator, *source, "--output-folder", out, "--grid", tmp_path / "g.png")
    main([str(argument) for argument in arguments])
    assert sorted(path.name for path in out.iterdir()) == ["000005.png", "000006.png", "000007.png"]
    with Image.open(tmp_path / "g.png") as opened:
        grid = np.asarray(opened)
        np.testing.assert_array_equal(grid[2:66, 2:66], next(generate_images(generator, range(5, 6)))[0])
        with Image.open(out / "000005.png") as translated:
            np.testing.assert_array_equal(grid[2:66, 68:132], np.asarray(translated))


def test_bad_requests_are_refused(pictures: Path, translator: Path, tmp_path: Path) -> None:
    grid = ("--grid", tmp_path / "g.png")
    grey = tmp_path / "grey.h5"
    Generator(64, width=8, latent=16, channels=1).save_weights(grey)
    judge = tmp_path / "discriminator.h5"
    PatchDiscriminator(width=4).save_weights(judge)
    run_folder = tmp_path / "run"
    (run_folder / "checkpoints").mkdir(parents=True)
    (run_folder / "config.json").write_text("{}")
    for arguments, words in (
        ((translator, "--source", grey, *grid), ("grey.h5", "1 channel,", "translator.h5", "3")),
        ((judge, "--input", pictures, *grid), ("PatchDiscriminator", "ResNetGenerator")),
        ((run_folder, "--input", pictures, *grid), ("generator_AB_weights.h5",)),
        ((translator, "--input", pictures), ("nowhere to write to",)),
        ((translator, "--input", tmp_path / "none", *grid), ("--input", "none")),
        ((translator, "--input", pictures, "--count", 3, *grid), ("--count", "--source")),
        ((translator, "--input", pictures, "--output-folder", pictures), ("--output-folder", "own folder")),
    ):
        assert_refused(run("translate", "--weights", *arguments), *words)


def test_bad_domains_are_refused(pictures: Path, tmp_path: Path) -> None:
    settings = ("--data-folder", pictures, "--output-folder", tmp_path / "runs", *TINY)
    empty, single = tmp_path / "empty", tmp_path / "single"
    for folder in (empty, single):
        folder.mkdir()
    Image.new("RGB", (64, 64)).save(single / "a.png")
    assert_refused(run("train", *settings), "--target-folder is missing")
    assert_refused(run("train", *settings, "--target-folder", empty), "--target-folder", str(empty), str(pictures))
    few = run("train", *settings, "--target-folder", single)
    assert_refused(few, "at least two pictures", f"{pictures} has 24", f"{single} has 1")
    assert_refused(run("train", "--data-folder", pictures, "--target-folder", single), "--target-folder")
    wrong = ("--target-folder", pictures, "--generator-AB-weights", tmp_path / "grey.h5")
    ResNetGenerator(blocks=1, width=4, channels=1).save_weights(tmp_path / "grey.h5")
    assert_refused(run("train", *settings, *wrong), "grey.h5", "channels=1", "channels=3")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_generators_start_from_given_weights(pictures: Path, translator: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")
    from test_cyclegan_models import load, torch_state

    folder = tmp_path / "repository"
    folder.mkdir()
    torch.save(torch_state(True, width=4, blocks=1), folder / "pytorch_model.bin")
    start = ("--generator-AB-weights", translator, "--generator-BA-weights", folder)
    rates = ("--G-learning-rate", 1e-30, "--D-learning-rate", 1e-30)
    output = ("--data-folder", pictures, "--target-folder", pictures, "--output-folder", tmp_path, "--name", "a")
    result = run("train", *output, *TINY, *start, *rates, "--steps", 1)
    assert result.returncode == 0, result.stderr
    for key, expected in (("AB", load_translator(translator)), ("BA", load(folder))):
        found = load_translator(tmp_path / "a" / f"generator_{key}_weights.h5")
        for mine, theirs in zip(found.variables, expected.variables):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
