"""Scores while training: which of them compare, and what is drawn and kept of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sle_gan import SLEGANConfig
from sle_gan.data import Dataset
from sle_gan.features import FeatureExtractor
from sle_gan.training import evaluation
from sle_gan.training.evaluation import Best, Evaluation, draw_fid, of_one_protocol


class MeanColour(FeatureExtractor):
    """Three features: the mean colour."""

    name = "mobilenet"
    version = "mobilenet/1"
    dimension = 3
    side = 8

    def _forward(self, images: np.ndarray) -> np.ndarray:
        return images.mean(axis=(1, 2))


def evaluation_of(
    monkeypatch: pytest.MonkeyPatch, count: int = 12, digest: str = "d", version: str = "mobilenet/1"
) -> Evaluation:
    extractor = MeanColour()
    extractor.version = version
    monkeypatch.setattr(evaluation, "load_extractor", lambda name, weights: extractor)
    images = np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8)
    dataset = Dataset(images, tuple(map(str, range(24))), (), digest, Path())
    gan: Any = SimpleNamespace(reference_domain=0, metrics=("fid",))
    config = SLEGANConfig(resolution=64, fid=True, fid_features="mobilenet", fid_number_of_images=count)
    return Evaluation(config, [dataset], gan)


def write_log(path: Path, *lines: dict[str, Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def logged(step: int, fid: float, **more: Any) -> dict[str, Any]:
    return {"step": step, "fid": fid, "extractor": "mobilenet", "count": 12, "real_count": 24, **more}


def test_a_best_score_stays_where_it_was_measured_alike(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    best = Best(4, 10.0, evaluation_of(monkeypatch).protocol)
    read = Best(*json.loads(json.dumps(best)))  # as a checkpoint holds it
    assert evaluation_of(monkeypatch).take_over(read, tmp_path / "log.jsonl") == best
    assert evaluation_of(monkeypatch).take_over(None, tmp_path / "log.jsonl") is None


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"count": 13}, "another number of generated images"),
        ({"digest": "e"}, "other pictures"),
        ({"version": "mobilenet/2"}, "other features"),
    ],
)
def test_it_starts_anew_where_it_was_not(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: dict[str, Any],
    word: str,
) -> None:
    best = Best(4, 10.0, evaluation_of(monkeypatch).protocol)
    capsys.readouterr()
    assert evaluation_of(monkeypatch, **change).take_over(best, tmp_path / "log.jsonl") is None
    (line,) = capsys.readouterr().out.splitlines()
    assert "10.000 at step 4" in line and word in line and "the best starts anew" in line


def test_of_an_old_checkpoint_the_log_tells_what_it_can(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.jsonl", logged(2, 20.0), logged(4, 10.0))
    old = Best(4, 10.0)
    assert evaluation_of(monkeypatch).take_over(old, log) == old
    assert evaluation_of(monkeypatch, count=13).take_over(old, log) is None
    assert evaluation_of(monkeypatch).take_over(old, tmp_path / "none.jsonl") is None, "nothing is known of it"


def test_only_scores_of_one_protocol_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    one, other = {"version": "a", "count": 12, "data": ["d"]}, {"version": "a", "count": 12, "data": ["e"]}
    lines = [
        *(logged(1, 1.0, count=8), logged(2, 9.0), logged(3, 2.0, protocol=other), logged(4, 8.0, protocol=one)),
        *({"step": 5, "generator": 0.1}, logged(5, 7.0, protocol=one)),
    ]
    log = write_log(tmp_path / "log.jsonl", *lines)
    drawn: list[list[int]] = []
    titles: list[str] = []
    plot, set_ = Axes.plot, Axes.set
    monkeypatch.setattr(Axes, "plot", lambda axes, x, *rest, **more: (drawn.append(x), plot(axes, x, *rest, **more))[1])
    monkeypatch.setattr(Axes, "set", lambda axes, **more: (titles.append(more["title"]), set_(axes, **more))[1])
    draw_fid(log, tmp_path / "fid.png")
    assert drawn == [[2, 4, 5], 5] and (tmp_path / "fid.png").stat().st_size > 0
    assert titles == ["12 generated images; without 2 scores that were measured otherwise"]
    assert of_one_protocol([]) == []
