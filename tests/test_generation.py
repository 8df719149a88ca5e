"""Generation: seeds, truncation, interpolation, pictures; `sle-gan generate` as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import REPOSITORY, assert_refused, run
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import sle_gan
from sle_gan import Generator, generation
from sle_gan.errors import UserError
from sle_gan.pictures import check_suffix, make_grid, save_gif, save_picture, save_png


@pytest.fixture(scope="module")
def generator() -> Generator:
    generator = Generator(64, width=8, latent=16)
    for block in generator.up_blocks.values():
        if block.composed:
            block.noise.weight.assign(0.5)
    return generator


@pytest.fixture(scope="module")
def weights_file(generator: Generator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "generator_weights.h5"
    generator.save_weights(path)
    return path


def images(generator: Generator, seeds, **options) -> np.ndarray:
    return np.concatenate(list(generation.generate_images(generator, seeds, **options)))


def test_an_image_depends_on_its_seed_alone(generator: Generator) -> None:
    seven = images(generator, range(7))
    assert seven.shape == (7, 64, 64, 3) and seven.dtype == np.uint8
    np.testing.assert_array_equal(images(generator, [5]), seven[5:6])
    np.testing.assert_array_equal(images(generator, [6, 2]), seven[[6, 2]])
    assert len({image.tobytes() for image in seven}) == 7


@given(st.integers(0, 10**9), st.floats(0.3, 2))
def test_truncated_latents(seed: int, truncation: float) -> None:
    latents = generation.seeded_latents(seed, 64, truncation)
    whole = generation.seeded_latents(seed, 64)
    assert np.abs(latents).max() <= truncation
    inside = np.abs(whole) <= truncation
    np.testing.assert_array_equal(latents[inside], whole[inside])


vectors = st.integers(0, 1000).map(lambda seed: np.random.default_rng(seed).standard_normal(16, np.float32))


@given(vectors, vectors, st.floats(0, 1))
def test_slerp_keeps_the_length_between_those_of_its_ends(start: np.ndarray, end: np.ndarray, t: float) -> None:
    length = np.linalg.norm(generation.slerp(start, end, t))
    expected = (1 - t) * np.linalg.norm(start) + t * np.linalg.norm(end)
    assert length == pytest.approx(expected, rel=1e-4)
    np.testing.assert_allclose(generation.slerp(start, end, 0.0), start, atol=1e-5)
    np.testing.assert_allclose(generation.slerp(start, end, 1.0), end, atol=1e-5)


def test_interpolation_starts_at_its_keys_and_closes_the_loop(generator: Generator) -> None:
    frames = np.concatenate(list(generation.interpolation(generator, [3, 4], frames=6)))
    assert len(frames) == 12
    np.testing.assert_array_equal(frames[0], images(generator, [3])[0])
    steps = np.abs(np.diff(np.concatenate([frames, frames[:1]]).astype(int), axis=0)).mean((1, 2, 3))
    jump = np.abs(frames[0].astype(int) - frames[6]).mean()
    assert steps.max() < jump / 2


def test_postprocessing_rounds_and_clips() -> None:
    values = np.array([-5.0, -1.0, -0.999, 0.0, 0.9999, 1.0, 1.5], np.float32)
    assert list(np.asarray(sle_gan.postprocess_images(values))) == [0, 0, 0, 128, 255, 255, 255]
    as_float = sle_gan.postprocess_images(values, "float32")
    assert keras.backend.standardize_dtype(as_float.dtype) == "float32"


def test_grid_and_gif(tmp_path: Path) -> None:
    tiles = np.stack([np.full((4, 4, 3), 10 * i, np.uint8) for i in range(5)])
    grid = make_grid(tiles, columns=3, gap=1)
    assert grid.shape == (11, 16, 3)
    assert grid[1, 1, 0] == 0 and grid[1, 6, 0] == 10 and grid[6, 6, 0] == 40 and grid[6, 11, 0] == 255
    assert save_gif(list(tiles), tmp_path / "a.gif") == 5
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 5 and gif.info["loop"] == 0
    for channels, mode in ((1, "L"), (3, "RGB"), (4, "RGBA")):
        save_png(np.zeros((4, 4, channels), np.uint8), tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as image:
            assert image.mode == mode


def test_generate_command(weights_file: Path, generator: Generator, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("--weights", weights_file, "--count", 5, "--seed", 2, "--output-folder", out)
    result = run("generate", *arguments, "--grid", tmp_path / "grid.png", "--interpolate", 2,
                 "--frames", 3, "--video", tmp_path / "loop.gif")  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == [f"{seed:06d}.png" for seed in range(2, 7)]
    with Image.open(out / "000006.png") as image:
        np.testing.assert_array_equal(np.asarray(image), images(generator, [6])[0])
    with Image.open(tmp_path / "grid.png") as grid, Image.open(tmp_path / "loop.gif") as loop:
        assert grid.size == (3 * 66 + 2, 2 * 66 + 2) and loop.n_frames == 6


def test_generate_command_in_bfloat16(weights_file: Path, generator: Generator, tmp_path: Path) -> None:
    half = run("generate", "--weights", weights_file, "--count", 1, "--output-folder", tmp_path,
               "--mixed-precision", "bfloat16")  # fmt: skip
    assert half.returncode == 0, half.stderr
    with Image.open(tmp_path / "000000.png") as image:
        difference = np.abs(np.asarray(image).astype(int) - images(generator, [0])[0])
    assert 0 < difference.mean() < 1
    refused = run("generate", "--weights", weights_file, "--export", "onnx", "--output", tmp_path / "a.onnx",
                  "--mixed-precision", "bfloat16")  # fmt: skip
    assert_refused(refused, "--mixed-precision bfloat16", "--export")


def test_generate_refuses_in_one_line(weights_file: Path, tmp_path: Path) -> None:
    out = ("--output-folder", tmp_path / "out")
    assert_refused(run("generate", "--weights", "nowhere.h5", *out), "nowhere.h5", "no such file")
    assert_refused(run("generate", "--weights", weights_file), "--output-folder")
    assert_refused(run("generate", "--weights", weights_file, *out, "--count", "0"), "--count", "0")
    assert_refused(run("generate", "--weights", weights_file, *out, "--truncation", "0"), "--truncation")
    assert_refused(run("generate", "--weights", weights_file, "--video", "a.gif"), "--interpolate")
    assert_refused(run("generate", "--weights", weights_file, *out, "--cuont", "3"), "--cuont", "did you mean --count")
    (tmp_path / "bad.h5").write_bytes(b"garbage")
    assert_refused(run("generate", "--weights", tmp_path / "bad.h5", *out), "bad.h5", "damaged or no HDF5")
    assert not (tmp_path / "a.gif").exists()


SNIPPET = """
import numpy as np
import tensorflow as tf

import sle_gan

G = sle_gan.Generator(output_resolution=512)
G.load_weights("generator_weights.h5")
x = sle_gan.create_input_noise(batch_size=1)
y = G(x)
images = sle_gan.postprocess_images(y, tf.uint8).numpy()
assert images.shape == (1, 512, 512, 3) and images.dtype == np.uint8, images.shape
"""


def test_the_readmes_snippet(tmp_path: Path) -> None:
    sle_gan.Generator(output_resolution=512).save_weights(tmp_path / "generator_weights.h5")
    result = subprocess.run([sys.executable, "-c", SNIPPET], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for line in SNIPPET.strip().splitlines():
        if line and not line.startswith("assert"):
            assert line in readme


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("name", "format_"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("a.jpeg", "JPEG")])
def test_a_picture_has_the_format_of_its_name(tmp_path: Path, channels: int, name: str, format_: str) -> None:
    image = np.full((16, 16, channels), 200, np.uint8)
    image[..., 3:] = 0
    save_picture(image, tmp_path / name)
    with Image.open(tmp_path / name) as opened:
        assert opened.format == format_
        expected = 255 if format_ == "JPEG" and channels == 4 else 200
        np.testing.assert_allclose(np.asarray(opened.convert("RGBA"))[..., :3], expected, atol=1)


def test_names_and_sizes_of_no_format_are_refused(tmp_path: Path) -> None:
    for name in ("grid", "grid.webp", "grid.gif"):
        with pytest.raises(UserError, match=r"--grid .*expected a name that ends in \.png, \.jpg, \.jpeg"):
            check_suffix("--grid", name)
    with pytest.raises(UserError, match=r"65,500 pixels a side, not 65,501; use \.png"):
        save_picture(np.zeros((1, 65501, 3), np.uint8), tmp_path / "a.jpg")
    assert not list(tmp_path.iterdir())
