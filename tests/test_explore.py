"""`sle-gan explore` and what `sle-gan generate` takes of it, as processes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import assert_refused, run
from PIL import Image
from test_folded import used

from sle_gan import Generator


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


def test_refused_in_one_line(weights_file: Path, tmp_path: Path) -> None:
    model = ("explore", "mix", "--model", weights_file)
    assert_refused(run(*model), "--sheet")
    assert_refused(run(*model, "--sheet", "a.bmp"), "a.bmp")
    assert_refused(run(*model, "--sheet", tmp_path / "a.png", "--contents", "no.npz"), "no.npz", "seeds")
    assert_refused(run("explore", "mxi"), "mxi")
    generate = ("generate", "--weights", weights_file, "--output-folder", tmp_path / "out")
    assert_refused(run(*generate, "--direction", "17:1"), "17", "16")
    assert_refused(run(*generate, "--latents", "no.npz", "--seed", 3), "--seed")
