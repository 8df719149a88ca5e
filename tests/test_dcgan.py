"""DCGAN's step: what each loss is and which variables it moves; and the command that trains it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from descent import assert_same_updates, descend, use_sgd
from helpers import SHARED, assert_refused, kill_after, run, start
from keras import ops
from PIL import Image
from state import assert_each_phase_moves_its_own, numbers

import sle_gan
from sle_gan import DCGANConfig, augment, losses
from sle_gan.engine import RandomStream
from sle_gan.errors import UserError
from sle_gan.gans.base import make_gan
from sle_gan.pictures import pixels
from sle_gan.runs.log import read_log

TINY = ("--model", "dcgan", "--resolution", 32, "--width", 8, "--latent", 16, "--batch-size", 4)
CONFIG = DCGANConfig(resolution=32, width=8, latent=16, batch_size=4, flip=False)
BATCH = (np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),)
RANDOM = RandomStream(0, 0)


def make(**changes: Any) -> Any:
    keras.utils.set_random_seed(0)
    return make_gan(dataclasses.replace(CONFIG, **changes).validated())


def test_each_loss_moves_its_own_variables_only() -> None:
    gan = make()
    assert_each_phase_moves_its_own(gan, BATCH, RANDOM)


@pytest.mark.parametrize("network", ("generator", "discriminator"))
def test_every_variable_of_a_network_is_trained(network: str) -> None:
    gan = make()
    before = [np.array(ops.convert_to_numpy(v)) for v in gan.networks[network].trainable_variables]
    gan.train_step(BATCH, RANDOM)
    for old, variable in zip(before, gan.networks[network].trainable_variables):
        assert (ops.convert_to_numpy(variable) != old).mean() > 0.9, variable.path


def test_a_step_is_its_phases_with_one_forward_pass_of_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = make(instance_noise=0.1, diff_augment=True), make(instance_noise=0.1, diff_augment=True)
    passes = []
    forward = type(whole.generator).call
    monkeypatch.setattr(type(whole.generator), "call", lambda *a, **k: passes.append(a[0].name) or forward(*a, **k))
    logs = whole.train_step(BATCH, RANDOM)
    assert passes == ["generator"]
    expected: dict[str, Any] = {}
    for phase in pieces.phases:
        expected.update(phase.run(BATCH, RANDOM))
    assert {name: float(v) for name, v in logs.items()} == pytest.approx({n: float(v) for n, v in expected.items()})
    for name in ("generator", "discriminator"):
        for one, other in zip(getattr(whole, name).trainable_variables, getattr(pieces, name).trainable_variables):
            np.testing.assert_allclose(one, other, atol=1e-6, err_msg=one.path)


def test_losses_and_updates_by_their_definition() -> None:
    """D's on the real and the generated batch, judged apart; G's by the discriminator after its update."""
    settings: dict[str, Any] = {"label_smoothing": 0.1, "label_smoothing_sides": "two"}
    settings |= {"diff_augment": True, "instance_noise": 0.2, "instance_noise_steps": 100}
    gan, expected = make(**settings), make(**settings)
    for each in (gan, expected):
        use_sgd(each)
    before, random = numbers(expected), RandomStream(0, 25, step=25)
    latents = keras.random.normal((4, 16), seed=random.fold("latents"))

    def seen(images: Any, kind: str) -> Any:
        """Augmented, then with three quarters of the noise."""
        stream = random.fold(kind)
        (images,) = augment.diff_augment([images], gan.config.policy_names, stream.fold("augment"))
        return images + 0.15 * keras.random.normal(images.shape, seed=stream.fold("instance noise"))

    def judged(images: Any, target: float) -> Any:
        return losses.cross_entropy(expected.discriminator(images, training=True), target)

    real = seen(pixels.to_model(BATCH[0]), "real")
    fakes = seen(expected.generator(latents, training=True), "fake")
    found = descend(expected.discriminator, lambda: {"real": judged(real, 0.9), "fake": judged(fakes, 0.1)})
    found |= descend(
        expected.generator,
        lambda: {"generator": judged(seen(expected.generator(latents, training=True), "fake"), 1.0)},
    )
    logs = {name: float(value) for name, value in gan.train_step(BATCH, random).items()}
    assert {name: logs[name] for name in found} == pytest.approx({k: float(v) for k, v in found.items()}, rel=1e-4)
    assert_same_updates(gan, expected, before)


@pytest.mark.parametrize(("sides", "targets"), [("one", (0.8, 0.0)), ("two", (0.8, 0.2))])
def test_smoothed_targets(sides: str, targets: tuple[float, float]) -> None:
    gan = make(label_smoothing=0.2, label_smoothing_sides=sides)
    assert (gan.real_target, gan.fake_target) == pytest.approx(targets)


@pytest.mark.parametrize(("step", "deviation"), [(0, 0.5), (50, 0.25), (75, 0.125), (100, 0.0), (1000, 0.0)])
def test_instance_noise_falls_linearly(step: int, deviation: float) -> None:
    gan = make(instance_noise=0.5, instance_noise_steps=100)
    images = ops.zeros((4, 32, 32, 3))
    noise = ops.convert_to_numpy(gan._add_noise(images, RandomStream(0, step, step=step)))
    assert noise.std() == pytest.approx(deviation, rel=0.03)
    assert deviation == 0 or np.abs(np.corrcoef(noise.reshape(4, -1)) - np.eye(4)).max() < 0.1  # each has its own


@pytest.mark.parametrize("precision", ("bfloat16", "float16"))
def test_mixed_precision_trains_float32_variables(precision: str) -> None:
    """float16 leaves out updates until its loss scale has fallen far enough: a few of the first steps."""
    exact, mixed = make(instance_noise=0.1), make(instance_noise=0.1, mixed_precision=precision)
    before = numbers(mixed)
    logs = [gan.train_step(BATCH, RANDOM) for gan in (exact, mixed)]
    for name in ("real", "fake"):  # judged before the first update
        assert float(logs[1][name]) == pytest.approx(float(logs[0][name]), abs=0.02)
        assert float(logs[1][name]) != float(logs[0][name])
    for step in range(1, 6):
        mixed.train_step(BATCH, RandomStream(0, step, step=step))
    assert mixed.generator.to_image.compute_dtype == precision and mixed.averaged.to_image.compute_dtype == "float32"
    after = numbers(mixed)
    for name, value in before.items():
        if not name.startswith("optimizer"):
            assert after[name].dtype == np.float32 and np.isfinite(after[name]).all(), name
            assert (after[name] != value).mean() > 0.9, name


def test_without_an_average_the_export_is_the_generator_itself() -> None:
    gan = make(ema_decay=0.0)
    gan.train_step(BATCH, RANDOM)
    gan.end_step(RANDOM)
    for average, variable in zip(gan.averaged.variables, gan.generator.variables):
        np.testing.assert_allclose(average, variable, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resolution": 256}, ("--resolution is 256", "32 to 128")),
        ({"label_smoothing": 0.5}, ("--label-smoothing is 0.5", "0 to 0.49")),
        ({"instance_noise": float("inf")}, ("--instance-noise is inf", "at least 0")),
        ({"instance_noise_steps": 0}, ("--instance-noise-steps is 0",)),
        ({"rotation": -1.0}, ("--rotation is -1.0", "0 to 180")),
        ({"shear": 60.0}, ("--shear is 60.0", "0 to 45")),
        ({"zoom": 1.2}, ("--zoom is 1.2", "0.1 to 1")),
        ({"zoom": 80.0}, ("--zoom is 80.0",)),
        ({"brightness": float("nan")}, ("--brightness is nan",)),
        ({"contrast": 2.0}, ("--contrast is 2.0",)),
        ({"width": 0}, ("--width is 0",)),
        ({"latent": 0}, ("--latent is 0",)),
    ],
)
def test_wrong_values_are_named(change: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        dataclasses.replace(DCGANConfig(), **change).validated()
    assert all(word in str(caught.value) for word in words)


def test_an_epoch_drops_what_is_left() -> None:
    assert DCGANConfig(epochs=3, batch_size=8).total_steps(20) == 6
    assert DCGANConfig(epochs=3, batch_size=8, drop_last=False).total_steps(20) == 8  # ceil(60 / 8)


FEATURES = SHARED / "data" / "mobilenet_v1_imagenet_conv_pw_12.weights.h5"


@pytest.fixture(scope="module")
def small(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn flowers at 24 pixels."""
    folder = tmp_path_factory.mktemp("small")
    for path in pictures.iterdir():
        with Image.open(path) as image:
            image.resize((24, 24)).save(folder / path.name)
    return folder


@pytest.fixture(scope="module")
def finished(small: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A grey run of 4 steps with everything on, and what it printed. No test writes into it."""
    output = tmp_path_factory.mktemp("runs")
    fid = ("--fid", "--fid-features", "mobilenet", "--fid-features-weights", FEATURES, "--fid-number-of-images", 12)
    result = run(
        "train", "--data-folder", small, "--output-folder", output, "--name", "flowers", *TINY, "--steps", 4,
        "--channels", "grey", "--enlarge", "pixels", "--label-smoothing", 0.1, "--instance-noise", 0.1,
        "--rotation", 15, "--shear", 5, "--zoom", 0.8, "--brightness", 0.1, "--contrast", 0.2, "--diff-augment",
        *(fid if FEATURES.exists() else ()),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return output / "flowers", result.stdout + result.stderr


def test_a_run_and_its_pictures(finished: tuple[Path, str], tmp_path: Path) -> None:
    folder, printed = finished
    assert "training DCGAN" in printed and " rec " not in printed
    log = [line for line in read_log(folder / "log.jsonl") if "fid" not in line]
    assert [line["step"] for line in log] == [1, 2, 3, 4]
    assert set(log[0]) == {"step", "time", "images_per_second", "generator", "real", "fake", "D_sign"}
    assert (folder / "curves.png").stat().st_size > 1000
    generator = sle_gan.load_generator(folder / "generator_weights.h5")
    samples = np.concatenate(list(sle_gan.generate_images(generator, range(3))))
    assert samples.shape == (3, 32, 32, 1)
    with Image.open(folder / "samples" / "samples_00000004.png") as image:
        np.testing.assert_array_equal(np.asarray(image)[2:34, 2:34], samples[0, :, :, 0])
    made = run("generate", "--weights", folder / "generator_weights.h5", "--count", 3, "--output-folder", tmp_path)
    assert made.returncode == 0, made.stderr
    with Image.open(tmp_path / "000002.png") as image:
        np.testing.assert_array_equal(np.asarray(image), samples[2, :, :, 0])


def test_its_score_while_training_is_that_of_the_command(
    finished: tuple[Path, str], small: Path, shared_folder: Path, tmp_path: Path
) -> None:
    """Grey and enlarged as pixels on both sides."""
    del shared_folder  # skips where the features' weights are not there
    (logged,) = (line["fid"] for line in read_log(finished[0] / "log.jsonl") if "fid" in line)
    best = finished[0] / "best_generator_weights.h5"
    command = ("evaluate", "score", "--real", small, "--fake", best, "--count", 12, "--features",
               "mobilenet", "--features-weights", FEATURES, "--json", tmp_path / "a.json")  # fmt: skip
    scored = run(*command, "--enlarge", "pixels")
    assert scored.returncode == 0, scored.stderr
    result = json.loads((tmp_path / "a.json").read_text())
    assert result["protocol"]["real"]["preparation"] == "32x32 grey as trained on, small ones enlarged as pixels"
    assert result["metrics"]["fid"] == pytest.approx(logged, rel=1e-6)
    assert_refused(run(*command, "--channels", "rgb"), "--channels rgb", "generates pictures with grey")


def test_a_resumed_run_is_bit_equal(pictures: Path, tmp_path: Path) -> None:
    settings = ("--data-folder", pictures, "--output-folder", tmp_path, *TINY, "--rotation", 9, "--instance-noise", 0.2)
    every = ("--steps", 8, "--checkpoint-every", 1, "--sample-every", 100)
    assert run("train", *settings, *every, "--name", "straight").returncode == 0
    process = start("train", *settings, *every, "--name", "killed")
    kill_after(tmp_path / "killed", 3, process)
    resumed = run("train", "--output-folder", tmp_path, "--name", "killed", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    states = [np.load(tmp_path / name / "checkpoints" / "step_00000008.npz") for name in ("straight", "killed")]
    assert states[0].files == states[1].files and len(states[0].files) > 80
    for name in states[0].files:
        if name != "meta.json":
            np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)


def test_what_does_not_fit_is_refused(finished: tuple[Path, str], pictures: Path, tmp_path: Path) -> None:
    """A message names what was given and what was expected."""
    folder, _ = finished
    export = folder / "generator_weights.h5"
    new = ("--data-folder", pictures, "--output-folder", tmp_path / "runs")
    given = run("train", *new, "--resolution", 64, "--width", 8, "--generator-weights", export)
    assert_refused(given, "DCGANGenerator(output_resolution=32", "Generator(output_resolution=64")
    there = ("--output-folder", folder.parent, "--name", folder.name, "--resume")
    assert_refused(run("train", *there, "--model", "slegan"), "--model is slegan", "trained with dcgan")
    assert_refused(run("train", *there, "--channels", "rgb"), "--channels is rgb", "trained with grey")
    with pytest.raises(UserError, match=r"channels=1\), which does not fit DCGANGenerator\(.*channels=3\)"):
        make().generator.load_weights(export)
    with pytest.raises(UserError, match="holds DCGANDiscriminator"):
        sle_gan.load_generator(folder / "discriminator_weights.h5")
    few = run("train", *new, *TINY, "--batch-size", 25)
    assert_refused(few, "--batch-size is 25", "24 pictures", "--no-drop-last")
    other = run("train", *new, "--resolution", 64, "--batch-size", 25, "--drop-last")
    assert_refused(other, "--batch-size is 25", "leave out --drop-last")
    assert not (tmp_path / "runs").exists()


def test_preview_of_the_augmentation(pictures: Path, tmp_path: Path) -> None:
    command = ("train", "--data-folder", pictures, "--output-folder", tmp_path / "runs", *TINY)
    preview = ("--preview-augmentation", tmp_path / "preview.png")
    # The default batch size is more than there are pictures: that matters to training alone.
    result = run(*command, "--batch-size", 128, "--rotation", 15, "--zoom", 0.8, "--no-flip", *preview)
    assert result.returncode == 0, result.stderr
    grid = np.asarray(Image.open(tmp_path / "preview.png"))
    assert grid.shape == (8 * 34 + 2, 8 * 34 + 2, 3)
    cells = grid[2:, 2:].reshape(8, 34, 8, 34, 3)[:, :32, :, :32].transpose(0, 2, 1, 3, 4).astype(float)
    originals = sle_gan.load_dataset(pictures, 32, progress=False).images[[0, 3, 6, 9, 13, 16, 19, 23]]
    np.testing.assert_array_equal(cells[:, 0], originals)
    versions = cells[:, 1:]
    assert len({cell.tobytes() for cell in versions.reshape(56, -1)}) == 56
    assert np.abs(versions - originals[:, None]).mean() < 60  # varied, and not other pictures

    assert_refused(run(*command, "--preview-augmentation", tmp_path / "a.jpg"), "a.jpg is no .png")
    assert_refused(run(*command, "--preview-augmentation", tmp_path / "none" / "a.png"), "does not exist")
    assert_refused(run(*command, *preview, "--dry-run"), "not allowed with")
    assert not (tmp_path / "runs").exists()
