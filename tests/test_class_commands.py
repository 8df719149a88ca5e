"""Commands on a run of classes, within this process: generate, evaluate, explore, share, resume."""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sle_gan import UserError
from sle_gan.cli import evaluate, explore, generate, share, train
from sle_gan.generation import generate_images
from sle_gan.hub import open_model
from sle_gan.hub.loading import load_folded
from sle_gan.latents.points import images_of, points_of, with_classes
from sle_gan.latents.walks import walk
from sle_gan.runs.folder import read_run_config

NAMES = ("big daisy", "rose", "tulip")
COUNTS = (5, 3, 4)


def settings_of(place: Path) -> str:
    return (
        f"--data-folder {place}/set --labels folders --balance-classes --resolution 64 --width 8 --latent 16 "
        f"--batch-size 2 --cache-folder {place}/cache"
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `set`, pictures of three classes, and `runs/a`, a run of one step. No test writes into them."""
    place = tmp_path_factory.mktemp("classes")
    random = np.random.default_rng(0)
    for name, count in zip(NAMES, COUNTS):
        (place / "set" / name).mkdir(parents=True)
        for k in range(count):
            pixels = random.integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(place / "set" / name / f"{k}.png")
    train.main(f"{settings_of(place)} --steps 1 --output-folder {place}/runs --name a".split())
    return place


def test_a_run_says_its_classes_everywhere(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = trained / "runs" / "a"
    config = json.loads((run / "config.json").read_text())
    assert (config["class_names"], config["class_pictures"]) == (list(NAMES), list(COUNTS))
    assert read_run_config(run).class_names == NAMES
    for reference in (run, run / "generator_weights.h5", next((run / "checkpoints").iterdir())):
        architecture = open_model(reference).generator().architecture
        assert (architecture["classes"], architecture["class_pictures"]) == (list(NAMES), list(COUNTS))
    grid = Image.open(run / "samples" / "samples_00000001.png")
    assert grid.height == 3 * 66 + 2 and grid.width > 8 * 66 + 2


def test_generate_a_class(trained: Path, tmp_path: Path) -> None:
    model, common = f"--model {trained}/runs/a", "--count 2 --seed 3"
    for name, text in (("named", "rose"), ("numbered", "1")):
        generate.main([*model.split(), *common.split(), "--class", text, "--output-folder", str(tmp_path / name)])
    generate.main([*model.split(), *common.split(), "--class", "all", "--output-folder", str(tmp_path / "all"),
                   "--grid", str(tmp_path / "all.png")])  # fmt: skip
    generate.main(
        [*model.split(), *common.split(), "--class", "big daisy:tulip", "--output-folder", str(tmp_path / "way")]
    )
    read: Callable[..., np.ndarray] = lambda *parts: np.asarray(Image.open(tmp_path.joinpath(*parts))).astype(int)  # noqa: E731
    for seed in ("000003.png", "000004.png"):
        np.testing.assert_array_equal(read("named", seed), read("numbered", seed))
        assert np.abs(read("named", seed) - read("all", "rose", seed)).max() <= 1
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == sorted(NAMES)
    assert read("all.png").shape[0] == 3 * 66 + 2
    assert np.abs(read("way", "000000.png") - read("all", "big daisy", "000003.png")).max() <= 1
    assert np.abs(read("way", "000001.png") - read("all", "tulip", "000003.png")).max() <= 1


def test_a_loop_through_classes_and_back(trained: Path, tmp_path: Path) -> None:
    loop = tmp_path / "loop.gif"
    generate.main(f"--model {trained}/runs/a --class rose:tulip --interpolate 2 --frames 2 --video {loop}".split())
    with Image.open(loop) as opened:
        assert opened.n_frames == 4  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            "--class roze --grid g.png",
            "there is no class 'roze' (did you mean rose?); expected a name or number of: 0 big",
        ),
        ("--class 3 --grid g.png", "there is no class '3'"),
        ("--class rose:lily --grid g.png", "there is no class 'lily'"),
        ("--class all --interpolate 2 --video l.gif", "takes no --video"),
        ("--class rose:tulip --export onnx --output o.onnx", "takes no --export"),
        ("--direction 1:+2 --grid g.png", "--direction takes one class, and none is named"),
    ],
)
def test_generate_refuses(
    trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flags: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        generate.main(["--model", f"{trained}/runs/a", *flags.split()])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_explore_takes_a_class(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = [
        "mix",
        "--model",
        f"{trained}/runs/a",
        "--contents",
        "0",
        "--styles",
        "1",
        "--sheet",
        str(tmp_path / "m.png"),
    ]
    with pytest.raises(UserError, match="takes one class, and 2 are named"):
        explore.main([*flags, "--class", "rose:tulip"])
    explore.main(flags)
    every = (tmp_path / "m.png").read_bytes()
    explore.main([*flags, "--class", "rose"])
    assert (tmp_path / "m.png").read_bytes() != every
    assert "has most pictures" not in capsys.readouterr().out


def test_a_walk_goes_through_the_classes_of_its_seeds(trained: Path, tmp_path: Path) -> None:
    generator = load_folded(trained / "runs" / "a" / "generator_weights.h5")
    ends = list(with_classes(generator, points_of("0,1", 16, "--through")))
    assert not np.array_equal(ends[0].classes, ends[1].classes)  # seeds of two classes
    way = list(walk(ends, 3, "once"))
    np.testing.assert_array_equal(way[1].classes, (ends[0].classes + ends[1].classes) / 2)
    first, _, last = images_of(generator, way)
    made = np.concatenate(list(generate_images(generator, [0, 1])))
    np.testing.assert_array_equal(first, made[0])
    noiseless = last.astype(int) - made[1]  # the noise is the first one's all the way
    assert np.abs(noiseless).mean() < np.abs(made[0].astype(int) - made[1]).mean()
    explore.main(["walk", "--model", f"{trained}/runs/a", "--through", "0,1,2", "--seconds", "0.2", "--video",
                  str(tmp_path / "walk.gif")])  # fmt: skip
    assert (tmp_path / "walk.gif").exists()


def test_saved_latents_know_their_class(trained: Path, tmp_path: Path) -> None:
    model, file = f"--model {trained}/runs/a", str(tmp_path / "m.npz")
    explore.main(f"mix {model} --contents 0-1 --styles 5 --class tulip --save".split() + [file])
    made = {}
    for name, more in (("kept", ""), ("tulip", "--class tulip"), ("rose", "--class rose")):
        grid = str(tmp_path / f"{name}.png")
        generate.main([*f"{model} {more} --latents".split(), file, "--grid", grid])
        made[name] = np.asarray(Image.open(grid)).astype(int)
    # Of a run of one step the classes differ little: how many numbers differ, but for what rounding does.
    assert (made["kept"] != made["tulip"]).mean() < (made["kept"] != made["rose"]).mean() / 4
    saved = dict(np.load(file))
    np.testing.assert_array_equal(saved["classes"], [[0, 0, 1]] * 2)
    np.savez(file, **{**saved, "classes": saved["classes"][:, :2]})
    with pytest.raises(UserError, match="--latents: weights of 2 classes; this generator has 3"):
        generate.main([*f"{model} --latents".split(), file, "--grid", str(tmp_path / "no.png")])


def test_project_takes_the_class_with_most_pictures(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sle_gan.cli import explore_model

    arguments = argparse.Namespace(model=f"{trained}/runs/a", revision=None, class_=None)
    explore_model.open_generator(arguments, one_class=True)
    assert arguments.class_ == "big daisy"
    assert "of 3 classes this is big daisy, which has most pictures" in capsys.readouterr().out


def test_evaluate_each_class(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    from tiny_extractor import TinyExtractor

    monkeypatch.setattr("sle_gan.features.load_extractor", lambda *_: TinyExtractor())
    common = ["score", "--real", f"{trained}/set", "--fake", f"{trained}/runs/a", "--count", "12"]
    evaluate.main([*common, "--labels", "folders", "--json", str(tmp_path / "s.json")])
    written = json.loads((tmp_path / "s.json").read_text())["classes"]
    assert {name: each["real"] for name, each in written.items()} == dict(zip(NAMES, COUNTS))
    assert sum(each["fake"] for each in written.values()) == 12
    assert all(each["fid"] > 0 for each in written.values())
    assert "big daisy" in capsys.readouterr().out
    (tmp_path / "other.csv").write_text("".join(
        f"{name}/{k}.png,{name.upper()}\n" for name, count in zip(NAMES, COUNTS) for k in range(count)
    ))  # fmt: skip
    with pytest.raises(UserError, match="give the labels that it was trained with"):
        evaluate.main([*common, "--labels", str(tmp_path / "other.csv")])
    with pytest.raises(UserError, match="no generator that was taught classes"):
        evaluate.main(["score", "--real", f"{trained}/set", "--fake", f"{trained}/set", "--labels", "folders"])


def test_share_names_the_classes(trained: Path, tmp_path: Path) -> None:
    share.main(["--name", "a", "--output-folder", f"{trained}/runs", "--folder", str(tmp_path / "shared")])
    card = (tmp_path / "shared" / "README.md").read_text()
    assert "3 classes (training pictures): big daisy (5), rose (3), tulip (4)" in card
    assert "--class all" in card and "one of 3 classes, but no text" in card and "--labels folders" in card
    described = json.loads((tmp_path / "shared" / "config.json").read_text())
    assert described["architecture"]["classes"] == list(NAMES)
    assert str(trained) not in card


def test_onnx_has_an_input_for_classes(trained: Path, tmp_path: Path) -> None:
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from sle_gan.hub.loading import load_folded

    for name, flags in (("all", []), ("one", ["--class", "tulip"])):
        generate.main(
            ["--model", f"{trained}/runs/a", "--export", "onnx", "--output", str(tmp_path / f"{name}.onnx"), *flags]
        )
    properties = {each.key: each.value for each in onnx.load(tmp_path / "all.onnx").metadata_props}
    assert json.loads(properties["classes"]) == list(NAMES)
    latents = np.random.default_rng(0).standard_normal((3, 16)).astype(np.float32)
    every, one = (runtime.InferenceSession(tmp_path / f"{name}.onnx") for name in ("all", "one"))
    mixed = every.run(None, {"latents": latents, "classes": np.array([0, 2, 2], np.int32)})[0].astype(int)
    tulips = one.run(None, {"latents": latents})[0].astype(int)
    assert np.abs(mixed[1:] - tulips[1:]).max() <= 1 and not np.array_equal(mixed[0], tulips[0])
    assert load_folded(trained / "runs" / "a").classes == NAMES


def test_saved_model_has_an_input_for_classes(trained: Path, tmp_path: Path) -> None:
    from sle_gan import engine

    if engine.name != "tensorflow":
        pytest.skip("a SavedModel is written by TensorFlow")
    import tensorflow as tf

    path = tmp_path / "saved"
    generate.main(["--model", f"{trained}/runs/a", "--export", "saved_model", "--output", str(path)])
    assert json.loads((path / "classes.json").read_text()) == list(NAMES)
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    latents = tf.random.stateless_normal((2, 16), (0, 0))
    made = [serve(latents=latents, classes=tf.constant(labels))["images"].numpy() for labels in ([0, 1], [2, 1])]
    assert np.array_equal(made[0][1], made[1][1]) and not np.array_equal(made[0][0], made[1][0])


def test_a_resumed_run_is_bit_equal(trained: Path, tmp_path: Path) -> None:
    train.main(f"{settings_of(trained)} --steps 3 --output-folder {tmp_path} --name straight".split())
    shutil.copytree(trained / "runs" / "a", tmp_path / "stopped")
    train.main(f"--resume --output-folder {tmp_path} --name stopped --steps 3".split())
    straight, stopped = (
        np.load(tmp_path / name / "checkpoints" / "step_00000003.npz") for name in ("straight", "stopped")
    )
    arrays = {name for name in straight.files if isinstance(straight[name], np.ndarray)}
    assert set(straight.files) == set(stopped.files) and any("class_embedding" in name for name in arrays)
    for name in arrays:
        np.testing.assert_array_equal(straight[name], stopped[name], err_msg=name)


def test_a_run_goes_on_with_its_own_classes_only(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "runs", tmp_path / "runs")
    resume = ["--resume", "--name", "a", "--output-folder", str(tmp_path / "runs"), "--steps", "2"]
    shutil.copytree(trained / "set", tmp_path / "set")
    (tmp_path / "set" / "tulip").rename(tmp_path / "set" / "lily")
    with pytest.raises(
        UserError, match=r"was trained with 3 classes \(big daisy, rose, tulip\), and the pictures are now"
    ):
        train.main([*resume, "--data-folder", str(tmp_path / "set")])
    with pytest.raises(UserError, match="the pictures are now without classes"):
        train.main([*resume, "--labels", "none", "--no-balance-classes"])


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--labels folders --model dcgan", "dcgan has no classes; leave it out, or give --model slegan or"),
        ("--labels folders --model cyclegan --target-folder .", "cyclegan has no classes"),
        ("--labels classes", "--labels is classes; expected none, auto, folders, clusters, or a .csv or .json file"),
        ("--balance-classes", "--balance-classes is given; expected --labels beside it"),
        ("--labels folders --balance-classes --drop-last", "no --drop-last"),
        ("--labels gone.csv", "--labels gone.csv: there is no such file, on disk or in"),
    ],
)
def test_train_refuses(trained: Path, tmp_path: Path, flags: str, message: str) -> None:
    with pytest.raises(UserError) as error:
        train.main(
            [*flags.split(), "--data-folder", f"{trained}/set", "--resolution", "64", "--output-folder", str(tmp_path)]
        )
    assert message in str(error.value) and "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())
