"""Networks and runs for pictures that are no squares."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from double import numbers
from helpers import REPOSITORY, TINY, assert_refused, run
from keras import ops
from PIL import Image
from test_export import needs_tensorflow, onnx_images, saved_model_images
from test_folded import fold_and_run, used
from tiny_gans import SHAPED, make

from sle_gan import Discriminator, Generator, ProjectedConfig, SLEGANConfig, engine, weights
from sle_gan.engine import RandomStream
from sle_gan.errors import UserError
from sle_gan.export.exporter import export
from sle_gan.gans.base import make_gan
from sle_gan.gans.projected.networks import resize
from sle_gan.gans.slegan.discriminator import crop_part
from sle_gan.generation import generate_images
from sle_gan.models.building import build_network, fold_network
from sle_gan.models.layers import pool_to
from sle_gan.seeds import seeded_latents, seeded_noise
from sle_gan.shapes import sides
from sle_gan.training.step import compile_step
from sle_gan.training.transfer import Part, Source, start_from

SIZE: dict[str, Any] = {"width": 8, "latent": 16}
ASPECTS = ("3:2", "2:3", "5:4", "1:2")
SHAPES = {"3:2": (64, 96), "2:3": (96, 64), "5:4": (64, 80), "1:2": (128, 64)}


def as_numbers(x: Any) -> np.ndarray:
    return ops.convert_to_numpy(x)


def noise_of(generator: Generator, batch: int) -> list[np.ndarray]:
    random = np.random.default_rng(4)
    return [random.standard_normal((batch, *sides(size), 1), np.float32) for size in generator.noise_sizes]


@pytest.mark.parametrize("aspect", ASPECTS)
def test_sides_of_all_that_comes_out(aspect: str) -> None:
    height, width = SHAPES[aspect]
    generator, discriminator = Generator(64, aspect=aspect, **SIZE), Discriminator(64, width=8, aspect=aspect)
    z = np.random.default_rng(0).standard_normal((2, 16), np.float32)
    images, small = generator(z, both_scales=True)
    assert images.shape == (2, height, width, 3) and small.shape == (2, height // 2, width // 2, 3)
    seen = discriminator(images, small, reconstruct=True)
    patches = (height // 8 - 3) * (width // 8 - 3)
    assert seen["logits"].shape == (2, 2 * patches) and discriminator.logit_count == 2 * patches
    assert {seen[key].shape for key in ("full", "small", "part")} == {small.shape}


def test_squares_say_what_they_always_said() -> None:
    """Of the aspects that mean a square too: architecture, names and shapes, and with them their files."""
    for make_network, key in ((Generator, "output_resolution"), (Discriminator, "input_resolution")):
        plain, same = make_network(64, width=8), make_network(64, width=8, aspect="7:7")
        assert plain.architecture == same.architecture and "aspect" not in plain.architecture
        assert plain.architecture[key] == 64
        shapes = [{path: v.shape for path, v in weights.variables_by_path(n).items()} for n in (plain, same)]
        assert shapes[0] == shapes[1]
    assert plain.logit_count == 50 and plain.centre == (4, 4)
    assert Generator(64, width=8).noise_sizes == [8, 8, 32, 32]


def test_only_the_first_kernel_knows_the_aspect() -> None:
    square, wide = Generator(64, **SIZE), Generator(64, aspect="3:2", **SIZE)
    shapes = [{path: tuple(v.shape) for path, v in weights.variables_by_path(n).items()} for n in (square, wide)]
    differ = {path for path in shapes[0] if shapes[0][path] != shapes[1][path]}
    assert shapes[0].keys() == shapes[1].keys() and differ == {"project/kernel", "project/v"}
    assert shapes[1]["project/kernel"] == (16, 4, 6, 256)


@pytest.mark.parametrize("aspect", ("5:4", "2:3"))
def test_an_image_is_a_function_of_its_own_inputs(aspect: str) -> None:
    generator = used(Generator(64, aspect=aspect, **SIZE))
    discriminator = Discriminator(64, width=8, aspect=aspect)
    z, noise = np.random.default_rng(0).standard_normal((3, 16), np.float32), noise_of(generator, 3)
    images = as_numbers(generator(z, noise))
    alone = as_numbers(generator(z[1:2], [maps[1:2] for maps in noise]))
    np.testing.assert_allclose(alone[0], images[1], atol=1e-5)
    assert np.abs(images[0] - images[1]).mean() > 0.05
    logits = as_numbers(discriminator(images))
    np.testing.assert_allclose(as_numbers(discriminator(images[1:2]))[0], logits[1], atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 6), (5, 4), (7, 10), (8, 12), (4, 4), (16, 20)])
def test_pooling_is_adaptive_as_in_pytorch(shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).standard_normal((2, *shape, 3)).astype(np.float32)
    expected = np.zeros((2, 4, 4, 3), np.float32)
    for i in range(4):
        for j in range(4):
            rows, columns = (slice(k * n // 4, -(-(k + 1) * n // 4)) for k, n in zip((i, j), shape))
            expected[:, i, j] = x[:, rows, columns].mean((1, 2))
    np.testing.assert_allclose(as_numbers(pool_to(ops.convert_to_tensor(x), 4)), expected, atol=1e-6)


@pytest.mark.parametrize("offset", [(0, 0), (4, 6), (8, 12), (3, 8)])
def test_the_part_is_the_same_region_of_map_and_image(offset: tuple[int, int]) -> None:
    places = np.stack(np.meshgrid(np.arange(64), np.arange(96), indexing="ij"), -1)[None].astype(np.float32)
    part = as_numbers(crop_part(ops.convert_to_tensor(places), offset))
    assert part.shape == (1, 32, 48, 2)
    np.testing.assert_array_equal(part[0, 0, 0], (4 * offset[0], 4 * offset[1]))
    cells = as_numbers(crop_part(ops.convert_to_tensor(places[:, ::4, ::4]), offset))  # the map of size 16: 16x24
    np.testing.assert_array_equal(cells, part[:, ::4, ::4])


def test_random_parts_reach_every_place() -> None:
    config = SLEGANConfig(resolution=64, aspect="5:4", **SIZE)
    gan: Any = make_gan(config)
    drawn = {tuple(int(x) for x in gan.random_offset(RandomStream(0, k, step=k))) for k in range(600)}
    assert {row for row, _ in drawn} == set(range(9)) and {column for _, column in drawn} == set(range(11))


def test_maps_are_resized_in_proportion() -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 6, 3)).astype(np.float32)
    for corners in (False, True):
        both = as_numbers(resize(ops.convert_to_tensor(x), 8, 12, corners))
        turned = as_numbers(resize(ops.convert_to_tensor(x.swapaxes(1, 2)), 12, 8, corners)).swapaxes(1, 2)
        np.testing.assert_allclose(both, turned, atol=1e-6)
        assert both.shape == (2, 8, 12, 3)
    gan = make(SHAPED["shaped"])
    maps = gan.look(ops.zeros((2, 64, 96, 3)))
    assert [tuple(each.shape[1:3]) for each in maps] == [(64, 96), (32, 48), (16, 24), (8, 12)]
    assert gan.heads(*maps).shape == (2, 12)  # 1x3 patches of each head


# The folded form, generation, files, exports


@pytest.mark.parametrize("aspect", ("5:4", "2:3"))
def test_folded(aspect: str) -> None:
    generator = used(Generator(128, aspect=aspect, **SIZE))
    z, noise = np.random.default_rng(0).standard_normal((2, 16), np.float32), noise_of(generator, 2)
    expected = as_numbers(generator(z, noise))
    folded = generator.fold()
    assert expected.std() > 0.05 and folded.noise_sizes == generator.noise_sizes
    assert folded.stages[-1].shape == expected.shape[1:3]
    np.testing.assert_allclose(fold_and_run(folded, z, noise), expected, atol=1e-4)
    # An image of a seed is what the network makes of the seed's latents and noise, whatever comes with it.
    images = np.concatenate(list(generate_images(generator, range(6))))
    (alone,) = generate_images(generator, [5])
    np.testing.assert_array_equal(alone[0], images[5])
    own = [maps[None] for maps in seeded_noise(5, generator.noise_sizes)]
    direct = as_numbers(generator(seeded_latents(5, 16)[None], own))[0]
    assert np.abs(images[5] - (direct + 1) * 127.5).max() < 1


@pytest.mark.parametrize("aspect", ("5:4", "2:3"))
@pytest.mark.parametrize("format_", ("onnx", pytest.param("saved_model", marks=needs_tensorflow)))
def test_exports(aspect: str, format_: Any, tmp_path: Path) -> None:
    if format_ == "onnx":
        pytest.importorskip("onnx")
    generator = used(Generator(64, aspect=aspect, **SIZE))
    z = np.random.default_rng(5).standard_normal((3, 16), np.float32)
    export(generator.fold(), format_, tmp_path / "a.onnx", "float32")
    read = {"onnx": onnx_images, "saved_model": saved_model_images}[format_]
    np.testing.assert_allclose(read(tmp_path / "a.onnx", z), as_numbers(generator(z)), atol=1e-4)


def test_files_keep_the_aspect_and_fit_no_other(tmp_path: Path) -> None:
    generator = used(Generator(64, aspect="3:2", **SIZE))
    generator.save_weights(tmp_path / "a.h5")
    stored = weights.open_network(tmp_path / "a.h5")
    assert stored.architecture["aspect"] == "3:2"
    z = np.random.default_rng(0).standard_normal((1, 16), np.float32)
    np.testing.assert_array_equal(build_network(stored)(z), generator(z))
    assert fold_network(stored).stages[-1].shape == (64, 96)
    with pytest.raises(UserError, match=r"aspect=3:2\), which does not fit .*Generator.*: project/kernel is"):
        Generator(64, **SIZE).load_weights(tmp_path / "a.h5")
    for aspect, words in (("40:1", "cannot build: 40:1; expected W:H"), (3, "aspect must be"), ("2:3", "is damaged")):
        arrays = weights.arrays_by_path(generator)
        weights.save(tmp_path / "b.h5", "Generator", {**generator.architecture, "aspect": aspect}, arrays)
        with pytest.raises(UserError, match=words):
            weights.open_network(tmp_path / "b.h5")


# Steps


def shaped(**settings: Any) -> tuple[engine.Devices, Any, list[Any]]:
    keras.utils.set_random_seed(0)
    devices = engine.Devices()
    with devices.scope():
        gan = make(dataclasses.replace(SHAPED["shaped"], batch_size=4, crop="random", **settings))
    images = np.random.default_rng(0).integers(0, 256, (3, 4, 64, 96, 3), dtype=np.uint8)
    return devices, gan, [(batch,) for batch in images]


def steps_of(devices: engine.Devices, gan: Any, batches: list[Any]) -> list[dict[str, float]]:
    step = compile_step(gan, devices)
    return [step([batch], k)[0] for k, batch in enumerate(batches)]


def test_steps_move_every_network() -> None:
    devices, gan, batches = shaped(augment_policy="color,translation,cutout")
    before = numbers(gan.state())
    logs = steps_of(devices, gan, batches)
    assert all(np.isfinite(value) for log in logs for value in log.values())
    for name, value in numbers(gan.state()).items():
        if name.endswith("kernel"):
            assert np.abs(value - before[name]).max() > 1e-6, name


@pytest.mark.slow
def test_many_steps_in_a_call_change_no_bit() -> None:
    devices, gan, batches = shaped(augment_policy="color,translation,cutout")
    logs, expected = steps_of(devices, gan, batches), numbers(gan.state())
    devices, gan, _ = shaped(augment_policy="color,translation,cutout", steps_per_call=2)
    assert compile_step(gan, devices)(batches, 0) == logs
    for name, value in numbers(gan.state()).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{"mixed_precision": "bfloat16"}, {"gradient_accumulation": 2}])
def test_other_ways_to_run_a_step(settings: dict[str, Any]) -> None:
    logs = {}
    for key, changes in (("plain", {}), ("other", settings)):
        devices, gan, batches = shaped(diff_augment=False, augment_probability=1.0, **changes)
        (logs[key],) = compile_step(gan, devices)(batches[:1], 0)
    for name in ("real", "fake", "generator", "projected_real", "reconstruct_part"):
        assert logs["other"][name] == pytest.approx(logs["plain"][name], abs=0.2), name


# Starting from another aspect


@pytest.mark.parametrize("aspect", ("3:2", "1:2", "4:5"))
def test_a_square_model_starts_one_of_another_shape(aspect: str) -> None:
    square = make_gan(SLEGANConfig(resolution=64, **SIZE))
    parts = [
        Part(key, type(network).__name__, weights.arrays_by_path(network)) for key, network in square.networks.items()
    ]
    gan = make_gan(SLEGANConfig(resolution=64, aspect=aspect, **SIZE, init_from="x"))
    loaded = start_from(gan, Source("x", "slegan", {}, parts))
    assert [str(each) for each in loaded] == [
        "generator: 22 of 22 layers; cut or continued to this shape: project",
        "discriminator: 43 of 43 layers",
        "generator_ema: 22 of 22 layers; cut or continued to this shape: project",
    ]
    old, new = (weights.arrays_by_path(each.networks["generator"]) for each in (square, gan))
    rows, columns = (slice((n - 4) // 2, (n - 4) // 2 + 4) for n in gan.networks["generator"].start)
    np.testing.assert_array_equal(new["project/kernel"][:, rows, columns], old["project/kernel"])
    np.testing.assert_array_equal(new["project/kernel"][:, 0, 0], old["project/kernel"][:, 0, 0])
    assert np.linalg.norm(new["project/v"]) == pytest.approx(1, abs=1e-5)
    # And back: the middle is what it was.
    back = Generator(64, **SIZE).adapted(new)
    np.testing.assert_array_equal(back["project/kernel"], old["project/kernel"])


# Settings and commands


def test_settings() -> None:
    assert SLEGANConfig(resolution=256, aspect="16:9").validated().picture_shape == (256, 448)
    assert SLEGANConfig(resolution=256).picture_shape == (256, 256)
    ProjectedConfig(aspect="5:4", resolution=64, feature_resolution=256).validated()
    with pytest.raises(UserError, match="--feature-resolution is 160; expected a multiple of 128 with --aspect 3:2"):
        ProjectedConfig(aspect="3:2", resolution=64, feature_resolution=160).validated()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--aspect", "1:0"), ("--aspect is 1:0; expected W:H",)),
        (("--aspect", "40:1"), ("--aspect is 40:1", "from 1:4 to 4:1")),
        (("--aspect", "wide"), ("--aspect is wide",)),
        (
            ("--model", "dcgan", "--aspect", "3:2"),
            ("--aspect: --model dcgan makes squares only", "slegan and projected"),
        ),
        (("--model", "cyclegan", "--aspect=3:2"), ("--aspect: --model cyclegan",)),
        (("--model", "lightweight", "--aspect", "3:2"), ("--aspect: --model lightweight",)),
    ],
)
def test_refused_before_any_work(
    pictures: Path, tmp_path: Path, flags: tuple[str, ...], words: tuple[str, ...]
) -> None:
    result = run("train", "--data-folder", pictures, *flags, "--output-folder", tmp_path / "runs")
    assert_refused(result, *words)
    assert not (tmp_path / "runs").exists() and not result.stdout


def arrays(checkpoint: Path) -> dict[str, np.ndarray]:
    with np.load(checkpoint) as opened:
        return {name: opened[name] for name in opened.files if name != "meta.json"}


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_a_run_from_its_pictures_to_a_shared_model(pictures: Path, tmp_path: Path) -> None:
    """Train, stop, resume (bit for bit), generate, share, evaluate: each command knows the shape."""
    settings = ("--data-folder", pictures, "--output-folder", tmp_path, *TINY, "--crop", "random", "--aspect", "16:9")
    straight = run("train", *settings, "--steps", 3, "--name", "a")
    assert straight.returncode == 0, straight.stderr
    assert "24 pictures of 112x64" in straight.stdout
    assert "note: --aspect 16:9 stands for 7:4, the nearest shape" in straight.stdout
    assert run("train", *settings, "--steps", 2, "--name", "b").returncode == 0
    resume = ("train", "--output-folder", tmp_path, "--name", "b", "--resume", "--steps", 3)
    assert_refused(run(*resume, "--aspect", "3:2"), "--aspect is 3:2, but", "was trained with 16:9")
    assert run(*resume).returncode == 0
    first, second = (arrays(tmp_path / name / "checkpoints" / "step_00000003.npz") for name in "ab")
    for name, expected in first.items():
        np.testing.assert_array_equal(second[name], expected, err_msg=name)
    run_folder = tmp_path / "a"
    assert json.loads((run_folder / "config.json").read_text())["aspect"] == "16:9"
    assert size(run_folder / "samples" / "samples_00000003.png") == (4 * 114 + 2, 4 * 66 + 2)

    out, grid, gif = tmp_path / "out", tmp_path / "grid.png", tmp_path / "a.gif"
    for model in (run_folder, run_folder / "checkpoints" / "step_00000003.npz"):
        flags = (
            "--count",
            2,
            "--output-folder",
            out,
            "--grid",
            grid,
            "--interpolate",
            2,
            "--frames",
            1,
            "--video",
            gif,
        )
        result = run("generate", "--model", model, *flags)
        assert result.returncode == 0, result.stderr
    assert size(out / "000000.png") == (112, 64) and size(gif) == (112, 64) and size(grid)[1] == 68
    result = run("share", "--output-folder", tmp_path, "--name", "a", "--folder", tmp_path / "shared")
    assert result.returncode == 0, result.stderr
    card = (tmp_path / "shared" / "README.md").read_text()
    assert "112x64 pixels" in card and "--aspect 16:9" in card and "(b, 64, 112, 3)" in card
    weights_file = tmp_path / "shared" / "generator_weights.h5"
    assert weights.open_network(weights_file).architecture["aspect"] == "7:4"
    sheet = tmp_path / "mix.png"
    mixed = run("explore", "mix", "--model", weights_file, "--contents", "1", "--styles", "1,2", "--sheet", sheet)
    assert mixed.returncode == 0, mixed.stderr


@pytest.mark.slow
def test_evaluate_reads_pictures_as_the_generator_makes_them(pictures: Path, tmp_path: Path) -> None:
    lite0 = ("--features", "mobilenet", "--features-weights")
    file = REPOSITORY.parent / "shared" / "data" / "mobilenet_v1_imagenet_conv_pw_12.weights.h5"
    if not file.is_file():
        pytest.skip("../shared is not beside this checkout")
    used(Generator(64, aspect="3:2", **SIZE)).save_weights(tmp_path / "generator_weights.h5")
    fake = ("--fake", tmp_path / "generator_weights.h5", "--count", 8, "--real", pictures, *lite0, file)
    result = run("evaluate", "score", *fake)
    assert result.returncode == 0, result.stderr
    assert "96x64 as trained on" in result.stdout
    refused = run("evaluate", "score", *fake, "--aspect", "2:3")
    assert_refused(refused, "--aspect 2:3", "generates pictures with 3:2; leave it out")
    stats = ("evaluate", "stats", "--real", pictures, *lite0, file, "--output", tmp_path / "a.npz")
    result = run(*stats, "--resolution", 64, "--aspect", "6:4")
    assert result.returncode == 0 and "96x64 as trained on" in result.stdout, result.stderr
    assert_refused(run(*stats, "--aspect", "3:2"), "--aspect 3:2 is for pictures read at a --resolution")


def test_fastgan_has_squares_only(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    Generator(256, aspect="3:2", **SIZE).save_weights(tmp_path / "generator_weights.h5")
    result = run("convert", "--input", tmp_path / "generator_weights.h5", "--to-fastgan", tmp_path / "a.pth")
    assert_refused(result, "FastGAN's networks are for squares; this one is of the aspect 3:2")
