"""The lightweight GAN's step: what each loss is and which variables it moves; and the commands that take its files."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from descent import assert_same_updates, descend, use_sgd
from helpers import kill_after, run, start
from keras import ops
from PIL import Image
from state import moved, numbers

import sle_gan
from sle_gan import LightweightConfig, augment, engine, losses
from sle_gan.cli import convert, generate, train
from sle_gan.convert.layouts import read_torch
from sle_gan.engine import RandomStream
from sle_gan.errors import UserError
from sle_gan.gans.base import make_gan
from sle_gan.gans.lightweight.layers import to_unit
from sle_gan.gans.lightweight.networks import decoder_target
from sle_gan.pictures import pixels
from sle_gan.runs.log import read_log
from sle_gan.training import transfer

SMALL: dict[str, Any] = {"resolution": 32, "latent": 8, "fmap_max": 8, "attn_res_layers": "16", "batch_size": 4}
TINY = tuple(x for key, value in SMALL.items() for x in (f"--{key.replace('_', '-')}", value))
CONFIG = LightweightConfig(**SMALL, flip=False)
BATCH = (np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8),)
RANDOM, SECOND = RandomStream(0, 0, step=0), RandomStream(0, 1, step=1)  # the second step has no penalty


def make(**changes: Any) -> Any:
    keras.utils.set_random_seed(0)
    return make_gan(dataclasses.replace(CONFIG, **changes).validated())


def test_each_loss_moves_its_own_variables_only() -> None:
    gan = make()
    discriminator, generator = gan.phases
    assert (discriminator.updates, generator.updates) == (("discriminator",), ("generator",))
    assert moved(gan, lambda: discriminator.run(BATCH, RANDOM)) == {
        "discriminator",
        "optimizer/discriminator",
        "generator statistics",  # it made the fakes
    }
    assert moved(gan, lambda: generator.run(BATCH, SECOND)) == {
        "generator",
        "generator statistics",
        "optimizer/generator",
    }
    assert moved(gan, lambda: gan.end_step(RANDOM)) == {"generator_ema", "generator_ema statistics"}


def test_every_variable_is_trained() -> None:
    """Gates, attention and decoder included: at 128 pixels all but the second decoder exist."""
    gan = make(resolution=128, attn_res_layers="4,64", batch_size=2)
    networks = [gan.generator, gan.discriminator]
    before = [np.array(ops.convert_to_numpy(v)) for network in networks for v in network.trainable_variables]
    gan.train_step((np.random.default_rng(0).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8),), SECOND)
    variables = [v for network in networks for v in network.trainable_variables]
    for old, variable in zip(before, variables):
        # No loss changes with what batch norm subtracts, nor with what is added before a softmax over the pixels; nor,
        # within the hinge's margins, with all logits alike.
        idle = variable.path.endswith(("conv/bias", "project/bias", "to_out/bias", "logits/bias", "to_k/bias"))
        assert idle or (ops.convert_to_numpy(variable) != old).mean() > 0.9, variable.path
    assert not any("cosines" in v.path for v in variables)


def test_a_step_is_its_phases_with_one_forward_pass_of_the_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = make(diff_augment=True), make(diff_augment=True)
    passes = []
    forward = type(whole.generator).call
    monkeypatch.setattr(type(whole.generator), "call", lambda *a, **k: passes.append(a[0].name) or forward(*a, **k))
    logs = whole.train_step(BATCH, RANDOM)
    assert passes == ["generator"]
    expected: dict[str, Any] = {}
    for phase in pieces.phases:
        expected.update(phase.run(BATCH, RANDOM))
    assert {name: float(v) for name, v in logs.items()} == pytest.approx(
        {name: float(v) for name, v in expected.items()}, rel=1e-4
    )


@pytest.mark.parametrize("contrast", (False, True))
def test_the_losses_by_their_definition(contrast: bool) -> None:
    """Hinge: real logits are low. D's on both batches before its update, G's by the discriminator after it."""
    gan, before = make(dual_contrast_loss=contrast), make(dual_contrast_loss=contrast)
    latents = keras.random.normal((4, 8), seed=SECOND.fold("latents"))
    fakes, real = before.generator(latents, training=True), pixels.to_model(BATCH[0])
    seen, fake = before.discriminator(real, reconstruct=True), before.discriminator(fakes)
    logs = {name: float(value) for name, value in gan.train_step(BATCH, SECOND).items()}
    after = [gan.discriminator(images) for images in (fakes, real)]
    scales = ("logits", "small_logits")
    if contrast:
        expected = {"real_fake": sum(losses.dual_contrastive(seen[key], fake[key]) for key in scales)}
        generator = sum(losses.dual_contrastive(after[0][key], after[1][key]) for key in scales)
    else:
        expected = {
            "real": sum(np.maximum(0, 1 + np.array(seen[key])).mean() for key in scales),
            "fake": sum(np.maximum(0, 1 - np.array(fake[key])).mean() for key in scales),
        }
        expected["D_sign"] = np.mean([np.sign(-np.array(seen[key])).mean() for key in scales])
        generator = sum(np.array(after[0][key]).mean() for key in scales)
    expected["reconstruct_full"] = losses.mse(to_unit(seen["full"]), to_unit(decoder_target(real, "full")))
    assert logs == pytest.approx(
        {**{name: float(value) for name, value in expected.items()}, "generator": float(generator), "penalty": 0.0},
        rel=1e-4,
    )


def test_the_updates_are_the_gradients_of_all_losses() -> None:
    """In the first step, whose penalty of the slope is a gradient of a gradient."""
    gan, expected = make(diff_augment=True), make(diff_augment=True)
    for each in (gan, expected):
        use_sgd(each)
    before, plain, judge = numbers(expected), pixels.to_model(BATCH[0]), expected.discriminator
    latents = keras.random.normal((4, 8), seed=RANDOM.fold("latents"))

    def augmented(images: Any, kind: str) -> Any:
        return augment.diff_augment([images], gan.config.policy_names, RANDOM.fold(f"augment {kind}"))[0]

    def generated() -> Any:
        return augmented(expected.generator(latents, training=True), "fake")

    real, fakes = augmented(plain, "real"), generated()

    def scales(images: Any, **options: Any) -> tuple[dict[str, Any], list[Any]]:
        seen = judge(images, training=True, **options)
        return seen, [seen["logits"], seen["small_logits"]]

    def d_losses() -> dict[str, Any]:
        seen, real_logits = scales(real, reconstruct=True)
        total, pull = engine.vjp(
            lambda images: sum(ops.sum(logits) for logits in scales(augmented(images, "real"))[1]), (), [plain]
        )
        slope = 2.0 * pull(ops.ones_like(total))[1][0]  # black to white is 2 here, and 1 there
        return {
            "real": sum(ops.mean(ops.relu(1.0 + logits)) for logits in real_logits),
            "fake": sum(ops.mean(ops.relu(1.0 - logits)) for logits in scales(fakes)[1]),
            "reconstruct_full": ops.mean(ops.square(seen["full"] - decoder_target(real, "full"))) / 4.0,
            "penalty": 10.0 * ops.mean(ops.square(ops.sqrt(ops.sum(ops.square(slope), (1, 2, 3))) - 1.0)),
        }

    found = {name: float(value) for name, value in descend(judge, d_losses).items()}
    descend(
        expected.generator,
        lambda: {"generator": sum(ops.mean(logits) for logits in scales(generated())[1])},
    )
    logs = {name: float(value) for name, value in gan.train_step(BATCH, RANDOM).items()}
    assert {name: logs[name] for name in found} == pytest.approx(found, rel=1e-4)
    assert_same_updates(gan, expected, before)


def test_dual_contrast_by_hand() -> None:
    """r = (1, 2), f = (0,): mean of -log(e^r / (e^r + 1)), and -log(1 / (1 + e^-1 + e^-2))."""
    value = losses.dual_contrastive(np.array([[1.0], [2.0]], np.float32), np.array([[0.0]], np.float32))
    expected = (np.log1p(np.exp(-1)) + np.log1p(np.exp(-2))) / 2 + np.log(1 + np.exp(-1) + np.exp(-2))
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_the_penalty_of_a_discriminator_with_a_known_slope(monkeypatch: pytest.MonkeyPatch) -> None:
    """Logits of 3 and 1 times the sum of an image's values in 0..1: a slope of 4 at each of 32 * 32 * 3 values."""
    gan = make()

    def linear(images: Any, training: bool) -> dict[str, Any]:
        total = ops.sum(to_unit(images), (1, 2, 3))
        return {"logits": 3.0 * total, "small_logits": total}

    monkeypatch.setattr(gan, "discriminator", linear)
    length = 4.0 * np.sqrt(32 * 32 * 3)
    assert float(gan._penalty(to_unit(pixels.to_model(BATCH[0])), RANDOM)) == pytest.approx(10 * (length - 1) ** 2)


def test_the_penalty_acts_in_every_fourth_step() -> None:
    gan = make()
    penalties = {step: gan._penalty_and_gradients(BATCH[0], RandomStream(0, step, step=step)) for step in (0, 3, 4)}
    assert [float(penalties[step][0]["penalty"]) > 0 for step in (0, 3, 4)] == [True, False, True]
    assert not any(np.any(gradient) for gradient in penalties[3][1])
    assert any(np.any(gradient) for gradient in penalties[4][1])
    assert "penalty" not in make(gradient_penalty=0.0).phases[0].run(BATCH, RANDOM)


@pytest.mark.parametrize("precision", ("bfloat16", pytest.param("float16", marks=pytest.mark.slow)))
def test_mixed_precision_trains_float32_variables(precision: str) -> None:
    exact, mixed = make(), make(mixed_precision=precision)
    logs = [gan.train_step(BATCH, RANDOM) for gan in (exact, mixed)]
    for name in ("real", "fake", "penalty"):  # judged before the first update
        assert float(logs[1][name]) == pytest.approx(float(logs[0][name]), rel=0.05)
        assert float(logs[1][name]) != float(logs[0][name])
    assert mixed.generator.to_image.compute_dtype == precision and mixed.averaged.to_image.compute_dtype == "float32"
    for name, value in numbers(mixed).items():
        if not name.startswith("optimizer"):
            assert value.dtype == np.float32 and np.isfinite(value).all(), name


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"resolution": 2048}, ("--resolution is 2048", "32 to 1024")),
        ({"fmap_max": 20}, ("--fmap-max is 20", "multiple of 8")),
        ({"fmap_inverse_coef": 30}, ("--fmap-inverse-coef is 30", "8 to 20")),
        ({"attn_res_layers": "32,48"}, ("--attn-res-layers is 32,48", "16,32,64")),
        ({"attn_res_layers": "32;64"}, ("--attn-res-layers is 32;64", "32,64")),
        ({"attn_res_layers": "512"}, ("--attn-res-layers is 512",)),
        ({"disc_output_size": 3}, ("--disc-output-size is 3", "1 or 5")),
        ({"disc_output_size": 5, "dual_contrast_loss": True}, ("--dual-contrast-loss", "--disc-output-size is 5")),
        ({"gradient_penalty": -1.0}, ("--gradient-penalty is -1.0",)),
        ({"latent": 0}, ("--latent is 0",)),
    ],
)
def test_wrong_values_are_named(change: dict, words: tuple[str, ...]) -> None:
    with pytest.raises(UserError) as caught:
        dataclasses.replace(LightweightConfig(), **change).validated()
    assert all(word in str(caught.value) for word in words)


@pytest.fixture(scope="module")
def checkpoint(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hub repository's folder as huggan makes it: config.json and model.pt, with GE unlike G."""
    torch = pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")
    folder = tmp_path_factory.mktemp("butterflies")
    content = torch.load(shared_folder / "golden" / "lightweight_a.pt", weights_only=True)
    state = content["GAN"]
    state.update({f"GE.{key[2:]}": value for key, value in list(state.items()) if key.startswith("G.")})
    state["GE.out_conv.bias"] = state["G.out_conv.bias"] + 0.25
    torch.save(content, folder / "model.pt")
    (folder / "config.json").write_text('{"latent_dim": 64, "image_size": 128, "fmap_max": 64}')
    return folder


def test_a_start_from_a_checkpoint_has_all_of_it(checkpoint: Path) -> None:
    for source in (checkpoint, checkpoint / "model.pt"):
        model, settings = transfer.source_settings(str(source), None)
        assert model == "lightweight"
        assert settings == {
            "resolution": 128, "latent": 64, "channels": "rgb", "fmap_max": 64, "fmap_inverse_coef": 12,
            "attn_res_layers": "32", "freq_chan_attn": False, "antialias": False, "disc_output_size": 5,
        }  # fmt: skip
    gan = make_gan(LightweightConfig(**settings))
    loaded = transfer.start_from(gan, transfer.read_source(str(checkpoint)))
    assert all(one.loaded == one.total and not one.unused for one in loaded) and len(loaded) == 3
    bias, averaged = (ops.convert_to_numpy(g.to_image.bias) for g in (gan.generator, gan.averaged))
    np.testing.assert_allclose(averaged, bias + 0.25, atol=1e-3)  # float16 there
    assert transfer.freeze_discriminators(gan, 2) == [
        "down_64", "small_stem", "down_32", "small_attend_32"
    ]  # fmt: skip
    with pytest.raises(UserError, match="is a model of lightweight, but --model is slegan"):
        transfer.source_settings(str(checkpoint), "slegan")


def test_a_safetensors_file_is_the_same_model(checkpoint: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    save_file = pytest.importorskip("safetensors.torch").save_file
    state = torch.load(checkpoint / "model.pt", weights_only=True)["GAN"]
    save_file({name: tensor.clone().contiguous() for name, tensor in state.items()}, tmp_path / "model.safetensors")
    expected, found = (read_torch(path) for path in (checkpoint / "model.pt", tmp_path / "model.safetensors"))
    assert found.networks.keys() == expected.networks.keys()
    for key, network in expected.networks.items():
        for name, array in network.arrays.items():
            np.testing.assert_array_equal(found.networks[key].arrays[name], array, err_msg=name)
    (tmp_path / "bad.safetensors").write_bytes(b"\x08" + bytes(20))
    with pytest.raises(UserError, match="damaged or no safetensors file"):
        read_torch(tmp_path / "bad.safetensors")


def test_the_commands_take_its_files(
    checkpoint: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Within this process, where a backend runs already."""
    file = str(checkpoint / "model.pt")
    convert.main(["--input", file, "--output-folder", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert "lightweight GAN at 128 px, fmap_max 64, latent 64" in printed and "averaged generator of GE" in printed
    generate.main(["--model", str(checkpoint), "--count", "2", "--output-folder", str(tmp_path / "pictures")])
    generator = sle_gan.load_generator(tmp_path / "out" / "generator_weights.h5")
    (expected,) = sle_gan.generate_images(generator, range(2))
    for picture, path in zip(expected, sorted((tmp_path / "pictures").iterdir())):
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image), picture)
    with pytest.raises(UserError, match="takes a generator of SLE-GAN or DCGAN; this one is a LightweightGenerator"):
        generate.main(["--weights", file, "--export", "onnx", "--output", str(tmp_path / "generator.onnx")])
    with pytest.raises(UserError, match=r"model.pt, of a lightweight GAN, holds none.*train --init-from"):
        convert.main(["--input", file, "--run-folder", str(tmp_path / "run")])
    slegan = ["--data-folder", str(pictures), "--output-folder", str(tmp_path / "runs"), "--resolution", "64"]
    with pytest.raises(UserError, match=r"LightweightGenerator\(output_resolution=128.* fit Generator\(output_resol"):
        train.main([*slegan, "--width", "8", "--generator-weights", file])
    with pytest.raises(UserError, match="is a model of lightweight, but --model is slegan"):
        train.main([*slegan, "--model", "slegan", "--init-from", file])
    assert not (tmp_path / "runs").exists() and not (tmp_path / "run").exists()


def test_a_file_of_another_gan_is_refused(shared_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")
    fastgan = shared_folder / "golden" / "fastgan_256.pth"
    with pytest.raises(UserError, match="is a model of slegan, but --model is lightweight"):
        transfer.source_settings(str(fastgan), "lightweight")
    make().generator.save_weights(tmp_path / "generator_weights.h5")
    assert transfer.source_settings(str(tmp_path), None)[0] == "lightweight"
    with pytest.raises(UserError, match="is a model of lightweight, but --model is dcgan"):
        transfer.source_settings(str(tmp_path / "generator_weights.h5"), "dcgan")
    with pytest.raises(UserError, match=r"holds LightweightGenerator.* does not fit Generator"):
        sle_gan.Generator(64, width=8).load_weights(tmp_path / "generator_weights.h5")


@pytest.mark.slow
def test_a_checkpoint_is_trained_on(checkpoint: Path, pictures: Path, tmp_path: Path) -> None:
    result = run(
        "train", "--data-folder", pictures, "--output-folder", tmp_path, "--name", "more", "--init-from", checkpoint,
        "--steps", 2, "--batch-size", 2,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert "training LightweightGAN" in result.stdout and "generator_ema: 21 of 21 layers" in result.stdout
    samples = sorted(path.name for path in (tmp_path / "more" / "samples").iterdir())
    assert {"samples_00000002.png", "reconstructions_00000002.png"} <= set(samples)


@pytest.mark.slow
def test_a_resumed_run_is_bit_equal_without_the_penalty(pictures: Path, tmp_path: Path) -> None:
    """With it TensorFlow rounds differently from call to call: see `LightweightGAN._penalty_and_gradients`."""
    settings = ("--model", "lightweight", "--data-folder", pictures, "--output-folder", tmp_path, *TINY)
    every = ("--steps", 8, "--checkpoint-every", 1, "--sample-every", 100, "--diff-augment", "--gradient-penalty", 0)
    assert run("train", *settings, *every, "--name", "straight").returncode == 0
    process = start("train", *settings, *every, "--name", "killed")
    kill_after(tmp_path / "killed", 3, process)
    resumed = run("train", "--output-folder", tmp_path, "--name", "killed", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    assert "penalty" not in read_log(tmp_path / "straight" / "log.jsonl")[0]
    states = [np.load(tmp_path / name / "checkpoints" / "step_00000008.npz") for name in ("straight", "killed")]
    assert states[0].files == states[1].files and len(states[0].files) > 200
    for name in states[0].files:
        if name != "meta.json":
            np.testing.assert_array_equal(states[0][name], states[1][name], err_msg=name)
