"""`--labels clusters`: pictures that a run groups by itself, and goes on with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny_extractor import TinyExtractor

from sle_gan import UserError
from sle_gan.cli import train
from sle_gan.config import TrainConfig
from sle_gan.data import Dataset
from sle_gan.data.labels import Labels, read_labels, read_written_labels, write_labels
from sle_gan.data.sources import open_source
from sle_gan.features.clusters import clusters, default_clusters
from sle_gan.gans.projected.config import ProjectedConfig
from sle_gan.gans.slegan.config import SLEGANConfig
from sle_gan.hub.training_facts import command
from sle_gan.runs.folder import RunFolder, read_run_config
from sle_gan.training import labels as found_labels
from sle_gan.training.sets import load_pictures

COLOURS = ((230, 30, 30), (30, 230, 30), (30, 30, 230))
COUNTS = (7, 5, 4)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of three colours, mixed: 7 red, 5 green, 4 blue ones."""
    place = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    order = random.permutation(np.repeat(np.arange(3), COUNTS))
    for number, colour in enumerate(order):
        pixels = np.clip(random.normal(COLOURS[colour], 12, (64, 64, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(place / f"{number:02}_{'rgb'[colour]}.png")
    return place


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the networks that were loaded to look at pictures."""
    names: list[str] = []

    def load(name: str, weights: str | None = None) -> TinyExtractor:
        names.append(name)
        tiny = TinyExtractor()
        tiny.name = name
        return tiny

    monkeypatch.setattr(found_labels, "load_extractor", load)
    return names


def _flags(pictures: Path, place: Path, more: str = "") -> list[str]:
    return (
        f"--data-folder {pictures} --labels clusters:3 --resolution 64 --width 8 --latent 16 --batch-size 2 "
        f"--no-diff-augment --output-folder {place} --cache-folder {place}/cache --name a {more}"
    ).split()


def test_a_run_finds_its_clusters_once(pictures: Path, tmp_path: Path, looked: list[str], capsys) -> None:
    train.main(_flags(pictures, tmp_path, "--steps 1"))
    folder = RunFolder(tmp_path / "a")
    config = read_run_config(folder.path)
    assert config.class_names == ("cluster 0", "cluster 1", "cluster 2") and config.class_pictures == COUNTS
    assert looked == ["mobilenet"] and "3 clusters by the features of mobilenet, of 7, 5, 4 pictures" in (
        capsys.readouterr().out
    )
    of = read_labels(str(folder.labels), open_source(pictures)).of
    assert {(name[3], index) for name, index in of.items()} == {("r", 0), ("g", 1), ("b", 2)}
    sheet = Image.open(folder.clusters)
    assert sheet.height == 3 * 66 + 2
    for row, colour in enumerate(COLOURS):  # its first picture in each row
        left = sheet.width - found_labels.SHEET_COLUMNS * 66
        assert (
            np.abs(
                np.mean(np.asarray(sheet)[4 + 66 * row : 60 + 66 * row, left + 2 : left + 60], (0, 1)) - colour
            ).max()
            < 9
        )
    assert "--labels clusters:3" in command(config, {})

    train.main(["--resume", "--name", "a", "--output-folder", str(tmp_path), "--steps", "2"])
    assert looked == ["mobilenet"]  # what the run wrote is what it goes on with
    log = [json.loads(line) for line in folder.log.read_text().splitlines()]
    assert [line["step"] for line in log] == [1, 2]

    folder.labels.write_text(folder.labels.read_text().replace("00_", "99_"))
    with pytest.raises(UserError, match=r"labels\.csv is of other pictures than"):
        train.main(["--resume", "--name", "a", "--output-folder", str(tmp_path), "--steps", "3"])


def _grouped(pictures: Path, place: Path, labels: str = "clusters:3") -> tuple[TrainConfig, Dataset]:
    config = SLEGANConfig(
        data_folder=str(pictures),
        resolution=64,
        labels=labels,
        cache_folder=str(place),
        output_folder=str(place),
        name="a",
    )
    return _again(config.validated(), started=False)


def _again(config: TrainConfig, started: bool = True) -> tuple[TrainConfig, Dataset]:
    config, (dataset,) = found_labels.with_classes(config, load_pictures(config), started)
    return config, dataset


def test_a_table_that_was_deleted_is_made_again(pictures: Path, tmp_path: Path, looked: list[str]) -> None:
    config, new = _grouped(pictures, tmp_path)
    folder = RunFolder(tmp_path / "a")
    folder.path.mkdir()
    found_labels.write_clusters(config, new, folder)
    _, again = _again(config)
    folder.labels.unlink()
    _, anew = _again(config)
    assert new.digest == again.digest == anew.digest and len(looked) == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("clusters:1", r"--labels is clusters:1; expected clusters:N with N from 2 to 1,000"),
        ("clusters:", r"--labels is clusters:; expected clusters:N with N from 2"),
        ("clusters:x", r"expected clusters:N"),
        ("clusters:9", r"16 pictures make no 9 clusters; give clusters:N with N from 2 to 8, or --labels none"),
    ],
)
def test_clusters_that_cannot_be(pictures: Path, tmp_path: Path, looked: list[str], labels: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        _grouped(pictures, tmp_path, labels)
    assert not looked


def test_pictures_that_are_all_alike(tmp_path: Path, looked: list[str]) -> None:
    (tmp_path / "set").mkdir()
    for number in range(6):
        Image.new("RGB", (64, 64), "red").save(tmp_path / "set" / f"{number}.png")
    with pytest.raises(UserError, match="the pictures are all alike"):
        _grouped(tmp_path / "set", tmp_path)


def test_clusters_are_no_labels_of_a_source(pictures: Path) -> None:
    with pytest.raises(UserError, match=r"training finds them, and writes labels\.csv"):
        read_labels("clusters", open_source(pictures))


NAMES = st.text(st.characters(exclude_characters="\0\r\n", exclude_categories=()), min_size=1).map(str.strip)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(of=st.dictionaries(NAMES.filter(bool).map(lambda name: f"a/{name}"), st.integers(0, 11), min_size=2))
def test_what_is_written_is_read(tmp_path: Path, of: dict[str, int]) -> None:
    used = sorted(set(of.values()))
    labels = Labels(tuple(f"cluster {i:02}" for i in used), {name: used.index(i) for name, i in of.items()})
    write_labels(tmp_path / "labels.csv", labels)
    assert read_written_labels(tmp_path / "labels.csv") == labels


@given(
    sizes=st.lists(st.integers(3, 12), min_size=2, max_size=6),
    seed=st.integers(0, 99),
)
def test_groups_far_apart_are_found(sizes: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = random.permutation(np.repeat(np.arange(len(sizes)), sizes))
    features = np.eye(16)[truth] * 10 + random.normal(0, 0.1, (len(truth), 16))
    found = clusters(features, len(sizes))
    assert len({(a, b) for a, b in zip(truth, found)}) == len(sizes)
    assert sorted(np.bincount(found), reverse=True) == list(np.bincount(found)) == sorted(sizes, reverse=True)


def test_how_many_clusters() -> None:
    assert [default_clusters(count) for count in (5, 120, 1360, 10**6)] == [1, 5, 16, 24]


def test_auto_takes_clusters_where_there_can_be_some(
    pictures: Path, tmp_path: Path, looked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    config = ProjectedConfig(
        data_folder=str(pictures), resolution=64, output_folder=str(tmp_path), name="a"
    ).validated()
    assert config.labels == "auto"
    (few,) = load_pictures(config)
    many = replace(few, images=np.repeat(few.images, 12, 0), files=tuple(f"{i:03}" for i in range(12 * len(few))))

    def classes(dataset: Dataset, started: bool = False, **changed: Any) -> Any:
        return found_labels.with_classes(replace(config, **changed), [dataset], started)[0].class_names

    assert classes(many) == tuple(f"cluster {i}" for i in range(6)) and looked == ["mobilenet"]
    assert classes(few) is None  # too few of each
    assert capsys.readouterr().out.splitlines()[-1].startswith("no clusters: 16 pictures are too few; ")
    assert classes(many, mix_in="more") is None and classes(many, distributed=True) is None
    assert capsys.readouterr().out.startswith("no clusters: the pictures of --mix-in would have no class")
    assert classes(many, started=True) is None  # a run that was begun without
    assert classes(many, labels="none") is None and looked == ["mobilenet"]
    for changed, message in (({"mix_in": "more"}, "of --mix-in would have no class"), ({"distributed": True}, "agree")):
        with pytest.raises(UserError, match=message):
            classes(many, labels="clusters", **changed)


def test_weights_that_cannot_be_had(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str, weights: str | None = None) -> TinyExtractor:
        raise UserError(f"no weights of {name} in {weights}")

    monkeypatch.setattr(found_labels, "load_extractor", load)
    with pytest.raises(UserError, match=r"looks through mobilenet; give its file as SLE_GAN_FEATURES_WEIGHTS"):
        _grouped(pictures, tmp_path)
    given: dict[str, Any] = {"feature_network": "efficientnet_lite0", "feature_weights": "gone", "labels": "clusters:2"}
    config = ProjectedConfig(data_folder=str(pictures), resolution=64, **given).validated()
    with pytest.raises(UserError, match=r"efficientnet_lite0 .* --feature-weights\. no weights of .*lite0 in gone"):
        _again(config, started=False)
