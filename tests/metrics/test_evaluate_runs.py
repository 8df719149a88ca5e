"""`sle-gan evaluate runs`: several generators, each over sets of seeds, in one table."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_extractor import TinyExtractor

from sle_gan import DCGANConfig
from sle_gan.cli import evaluate
from sle_gan.cli.evaluate_runs import _labels
from sle_gan.errors import UserError
from sle_gan.metrics.repeated import seed_sets, spreads
from sle_gan.runs import checkpoints


def make_run(folder: Path, data: object, seed: int, step: int) -> Path:
    """A run of a DCGAN that was never trained: an export and a checkpoint."""
    import keras

    from sle_gan.gans.base import make_gan

    keras.utils.set_random_seed(seed)
    config = DCGANConfig(data_folder=str(data), resolution=32, width=2, latent=4)
    gan = make_gan(config)
    (folder / "checkpoints").mkdir(parents=True)
    (folder / "config.json").write_text(config.to_json())
    gan.generator_export.save_weights(folder / "generator_weights.h5")
    checkpoints.save(checkpoints.path_of(folder / "checkpoints", step), gan.state(), {"step": step})
    return folder


@pytest.fixture
def real(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sle_gan.features.load_extractor", lambda *_: TinyExtractor())
    return pictures


def call(*arguments: object) -> None:
    evaluate.main(["runs", *map(str, arguments)])


def test_sets_of_seeds_and_their_spread() -> None:
    assert seed_sets(5, 3, 2) == [range(5, 8), range(8, 11)]
    found = spreads([{"fid": 1.0, "kid": 0.5}, {"fid": 3.0}])
    assert found.keys() == {"fid"} and found["fid"] == (2.0, pytest.approx(2**0.5), (1.0, 3.0))
    assert spreads([{"fid": 1.0}])["fid"].std is None


def test_names_are_told_without_what_they_share(tmp_path: Path) -> None:
    for name in ("runs/a/x.npz", "runs/b"):
        (tmp_path / name).mkdir(parents=True)
    assert _labels([str(tmp_path / "runs/a/x.npz"), str(tmp_path / "runs/b")]) == ["a/x.npz", "b"]
    assert _labels(["user/name", "user/other"]) == ["user/name", "user/other"]
    assert _labels(["runs/a"]) == ["runs/a"]


def test_runs_in_one_table(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [make_run(tmp_path / name, real, seed, 10 * (seed + 1)) for seed, name in enumerate("ab")]
    options = ("--count", 12, "--seeds", 3, "--metrics", "fid,kid", "--json", tmp_path / "runs.json")
    call(*runs, *options, "--plot", tmp_path / "runs.png")
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].split() == ["run", "step", "FID", "KID", "x", "1000"]
    assert printed[1].split()[:2] == ["a", "10"] and printed[2].split()[:2] == ["b", "20"]
    assert all(line.count("+-") == 2 for line in printed[1:3])
    assert sum(line.count("*") for line in printed[1:3]) == 2  # the best of each number
    assert "3 sets of 12 pictures, seeds from 0" in printed[3] and f"24 pictures of {real}" in printed[3]
    one, two = json.loads((tmp_path / "runs.json").read_text())["runs"]
    assert one["step"] == 10 and len(one["metrics"]["fid"]["values"]) == 3
    assert one["metrics"]["fid"]["mean"] == pytest.approx(np.mean(one["metrics"]["fid"]["values"]))
    assert [each["fake"]["seeds"] for each in one["protocol"]] == ["0 to 11", "12 to 23", "24 to 35"]
    assert one["metrics"]["fid"]["mean"] != two["metrics"]["fid"]["mean"]
    assert (tmp_path / "runs.png").stat().st_size > 5000
    # One set is the first of the three, and what the command for one generator gives.
    call(runs[0], "--count", 12, "--json", tmp_path / "one.json")
    alone = json.loads((tmp_path / "one.json").read_text())["runs"][0]["metrics"]["fid"]
    assert alone["mean"] == pytest.approx(one["metrics"]["fid"]["values"][0]) and alone["std"] is None
    score = ("score", "--real", real, "--fake", runs[0], "--count", 12, "--json", tmp_path / "score.json")
    evaluate.main(list(map(str, score)))
    assert json.loads((tmp_path / "score.json").read_text())["metrics"]["fid"] == pytest.approx(alone["mean"])


def test_checkpoints_of_a_run_along_its_steps(real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (
        make_run(tmp_path / name, real, seed, step) for seed, (name, step) in enumerate({"a": 5, "b": 9}.items())
    )
    other = first / "checkpoints" / "step_00000009.npz"
    (second / "checkpoints" / "step_00000009.npz").rename(other)
    call(other, first / "checkpoints" / "step_00000005.npz", "--count", 8, "--plot", tmp_path / "steps.png")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in printed[1:3]] == [["step_00000009.npz", "9"], ["step_00000005.npz", "5"]]


def test_mistakes_are_found_before_the_work(real: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def started(engine: str) -> None:
        raise AssertionError(engine)

    monkeypatch.setattr("sle_gan.cli.evaluate_runs.import_engine_to_compute", started)
    run = make_run(tmp_path / "a", real, 0, 1)
    elsewhere = make_run(tmp_path / "b", tmp_path / "gone", 0, 1)
    for arguments, words in (
        ((run, "--seeds", 0), "--seeds 0: expected at least 1"),
        ((run, "--count", 3, "--metrics", "kid"), "--count 3: expected at least 4 images for kid"),
        ((run, "--metrics", "is"), "metrics 'is': expected some of"),
        ((run, "--plot", "runs.gif"), "is no .png"),
        ((run, "--resolution", 64), "generates pictures with 32; leave it out"),
        ((run, elsewhere), "--real is missing"),
        ((run / "generator_weights.h5",), "--real is missing"),
        ((run, tmp_path / "none"), "none"),
        ((elsewhere,), "--real"),
    ):
        with pytest.raises(UserError) as caught:
            call(*arguments)
        assert words in str(caught.value) and "\n" not in str(caught.value)
