"""Is it copying? The nearest training pictures are found, and copies are known as such."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_refused, run
from PIL import Image

from sle_gan.errors import UserError
from sle_gan.metrics import find_neighbours, neighbours, precision_recall
from sle_gan.pictures.sheets import CELL, Cell, fitted, labelled_sheet


def test_by_hand() -> None:
    real = np.array([[0.0, 0], [3, 0], [3, 4], [13, 4]])  # nearest other: 3, 3, 4, 10; the median is 3.5
    fake = np.array([[3.0, 1], [13, 10]])
    found = find_neighbours(real, fake, count=3)
    np.testing.assert_array_equal(found.indices, [[1, 2, 0], [3, 2, 1]])
    np.testing.assert_allclose(found.distances, [[1, 3, 10**0.5], [6, 136**0.5, 200**0.5]])
    assert found.usual == 3.5 and found.share == 0.5
    np.testing.assert_array_equal(found.nearest_first, [0, 1])
    assert str(found).startswith("50.0 % of 2 generated pictures are as near") and "at most 3.5)" in str(found)


def test_copies_have_distance_zero_and_share_one() -> None:
    real = 1e3 + np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    order = np.random.default_rng(1).permutation(60)
    found = find_neighbours(real, real[order])
    np.testing.assert_array_equal(found.indices[:, 0], order)
    assert (found.distances[:, 0] == 0).all() and (found.distances[:, 1] > 0).all() and found.share == 1
    # Also in a set in which every picture is there twice.
    assert find_neighbours(np.repeat(real, 2, axis=0), real).share == 1


def test_new_pictures_of_the_same_kind_give_a_half() -> None:
    draws = np.random.default_rng(2).normal(size=(3000, 8))
    assert find_neighbours(draws[:1000], draws[1000:]).share == pytest.approx(0.5, abs=0.04)
    assert find_neighbours(draws[:1000], draws[1000:] + 3).share < 0.01


def test_blocks_and_samples_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(3)
    real, fake = random.normal(size=(50, 4)), random.normal(size=(21, 4))
    expected = find_neighbours(real, fake, count=5)
    distances = np.linalg.norm(fake[:, None] - real, axis=2)
    np.testing.assert_array_equal(expected.indices, np.argsort(distances, axis=1)[:, :5])
    monkeypatch.setattr(sys.modules[precision_recall.__module__], "_BLOCK", 7)
    in_blocks = find_neighbours(real, fake, count=5)
    np.testing.assert_array_equal(in_blocks.indices, expected.indices)
    assert in_blocks.usual == expected.usual
    monkeypatch.setattr(neighbours, "_COMPARED", 10)
    sample = np.linspace(0, 49, 10).astype(int)
    others = np.linalg.norm(real[sample][:, None] - real, axis=2)
    others[np.arange(10), sample] = np.inf
    assert find_neighbours(real, fake).usual == pytest.approx(np.median(others.min(axis=1)))


def test_bad_sets_are_errors() -> None:
    one, two = np.zeros((1, 3)), np.zeros((2, 3))
    with pytest.raises(UserError, match=r"real set has 1 image; this metric needs at least 2"):
        find_neighbours(one, two)
    with pytest.raises(UserError, match="fake set has 0"):
        find_neighbours(two, one[:0])
    assert find_neighbours(two, one).indices.shape == (1, 2)  # there are no more


def test_pictures_keep_their_shape_in_a_cell() -> None:
    assert fitted(np.zeros((24, 24, 1), np.uint8)).shape == (120, 120, 1)
    assert fitted(np.zeros((512, 256, 3), np.uint8)).shape == (CELL, CELL // 2, 3)
    assert fitted(np.zeros((1, 1000, 4), np.uint8)).shape == (1, CELL, 4)


def test_a_sheet_shows_what_it_is_given() -> None:
    colours = [(250, 10, 10), (10, 250, 10), (10, 10, 250)]
    cells = [Cell(np.full((16, 16, 3), colour, np.uint8), "1.5", "a long name " * 9) for colour in colours]
    sheet = labelled_sheet("A heading " * 30, [cells, cells[:2]], blocks=2)
    for colour, count in zip(colours, (2, 2, 1)):
        assert (sheet == colour).all(axis=2).sum() == count * CELL**2
    plain = labelled_sheet("A heading", [[cells[0], cells[1]._replace(marked=True)]])
    assert (plain == (190, 0, 0)).all(axis=2).sum() > 4 * CELL  # the frame


@pytest.fixture(scope="module")
def pictures(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Six training pictures, and a folder with copies of two of them, one scaled down and one as it is."""
    source = sorted((shared_folder / "data" / "flowers17").glob("*.jpg"))[::240]
    root = tmp_path_factory.mktemp("copies")
    for name in ("real", "fake"):
        (root / name).mkdir()
    for path in source:
        with Image.open(path) as image:
            image.resize((96, 80)).save(root / "real" / f"{path.stem}.png")
    with Image.open(root / "real" / f"{source[4].stem}.png") as image:
        image.save(root / "fake" / "copy.png")
    with Image.open(root / "real" / f"{source[1].stem}.png") as image:
        image.resize((72, 60)).save(root / "fake" / "smaller.png")
    (root / "real" / "damaged.png").write_bytes(b"no picture")
    return root / "real", root / "fake"


def test_the_command_finds_copies(pictures: tuple[Path, Path], mobilenet_weights: Path, tmp_path: Path) -> None:
    real, fake = pictures
    features = ("--features", "mobilenet", "--features-weights", mobilenet_weights, "--nearest", 2)
    sheet = tmp_path / "sheet.png"
    result = run("evaluate", "neighbours", "--real", real, "--fake", fake, "--output", sheet, *features)
    assert result.returncode == 0, result.stderr
    assert "100.0 % of 2 generated pictures" in result.stdout
    fifth = sorted(path.name for path in real.glob("image*"))[4]
    assert f"nearest: copy.png, 0 from {fifth}" in result.stdout
    with Image.open(sheet) as image:
        assert image.width > 3 * CELL and image.height > 2 * CELL


def test_a_generator_s_pictures_beside_the_set(pictures: tuple[Path, Path], mobilenet_weights: Path, tmp_path: Path):
    """In this process: an untrained generator of grey pictures, as a file and as a shared model's folder."""
    from sle_gan.cli import evaluate
    from sle_gan.gans.dcgan.networks import DCGANGenerator

    file = tmp_path / "model" / "generator_weights.h5"
    file.parent.mkdir()
    DCGANGenerator(32, 8, 4, 1).save_weights(file)
    features = ["--features", "mobilenet", "--features-weights", str(mobilenet_weights)]
    arguments = ["neighbours", "--real", str(pictures[0]), "--count", "5", "--rows", "3", *features]
    sheets = []
    for source in (file, file.parent):
        if source.is_dir():
            (source / "config.json").write_text('{"library_name": "sle-gan"}')
        sheets.append(tmp_path / f"{source.name}.png")
        evaluate.main([*arguments, "--fake", str(source), "--output", str(sheets[-1])])
    assert sheets[0].read_bytes() == sheets[1].read_bytes()
    with Image.open(sheets[0]) as image:
        assert image.height > 3 * CELL and image.width > 5 * CELL


def test_mistakes_are_one_line(pictures: tuple[Path, Path], tmp_path: Path) -> None:
    from sle_gan.cli import evaluate

    real, fake = map(str, pictures)
    (tmp_path / "real.npz").touch()
    good = {"--real": real, "--fake": fake, "--output": str(tmp_path / "sheet.png"), "--features": "mobilenet"}
    wrong = [
        ({"--real": "nowhere"}, "--real nowhere: there is no such"),
        ({"--real": __file__}, "a file without pictures in it; expected a folder of pictures, an archive"),
        ({"--real": str(tmp_path / "real.npz")}, "holds statistics, and the sheet shows pictures"),
        ({"--fake": str(tmp_path / "real.npz")}, "holds statistics"),
        ({"--output": str(tmp_path / "none" / "a.png")}, "does not exist"),
        ({"--output": str(tmp_path / "sheet.gif")}, r"expected the name of a \.png file"),
        ({"--rows": "0"}, "--rows 0: expected at least 1"),
        ({"--nearest": "-1"}, "--nearest -1"),
        ({"--count": "0"}, "--count 0"),
        ({"--seed": "-1"}, "--seed -1"),
    ]
    for change, message in wrong:
        flags = [word for pair in (good | change).items() for word in pair]
        with pytest.raises(UserError, match=message) as caught:
            evaluate.main(["neighbours", *flags])
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "sheet.png").exists()
    result = run("evaluate", "neighbours", *(word for pair in (good | {"--rows": "0"}).items() for word in pair))
    assert_refused(result, "--rows 0")
