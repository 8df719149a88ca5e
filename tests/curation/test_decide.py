"""Copies, foreign pictures, kinds and orders: found where they were put, and nowhere else."""

from __future__ import annotations

import csv
import io
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter
from tiny_extractor import TinyExtractor

from sle_gan import SLEGANConfig
from sle_gan.curation import (
    Decision,
    Gathered,
    Ranking,
    Rules,
    check_keep,
    decide,
    gather,
    keep,
    rank_by_likeness,
    rank_by_texts,
    recommend_shape,
    write_report,
    write_table,
)
from sle_gan.curation.copies import exact_groups, grouped, near_pairs
from sle_gan.curation.kinds import balanced, unlikeness
from sle_gan.curation.rank import split_texts
from sle_gan.curation.shapes import SHAPES
from sle_gan.data import open_source
from sle_gan.errors import UserError
from sle_gan.features.clusters import clusters
from sle_gan.shapes import made_aspect


def _photo(seed: int, side: int = 128) -> Image.Image:
    rng = np.random.default_rng(seed)
    image = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    for _ in range(10):
        left, top = (int(v) for v in rng.integers(0, side - 20, 2))
        image.paste(tuple(int(v) for v in rng.integers(0, 256, 3)), (left, top, left + 30, top + 24))
    return image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """40 different pictures, and faults with telling names."""
    root = tmp_path / "set"
    (root / "more").mkdir(parents=True)
    for i in range(40):
        _photo(i).save(root / f"good_{i:02d}.png")
    (root / "more" / "exact.png").write_bytes((root / "good_03.png").read_bytes())
    _photo(4).resize((100, 100)).save(root / "near_4.jpg", quality=60)
    _photo(5).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "mirrored_5.png")
    _photo(50).filter(ImageFilter.GaussianBlur(5)).save(root / "blurred.png")
    Image.new("RGB", (128, 128), "teal").save(root / "blank.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)).save(root / "noise.png")
    _photo(51, 40).save(root / "small.png")
    _photo(52).resize((512, 128)).save(root / "long.png")
    (root / "broken.png").write_bytes(b"no picture")
    return root


RULES = {
    "more/exact.png": "exact",
    "near_4.jpg": "near",
    "blurred.png": "min_sharpness",
    "blank.png": "min_contrast",
    "noise.png": "min_structure",
    "small.png": "min_side",
    "long.png": "max_aspect",
}


def _rule_of(gathered: Gathered, decision: Decision) -> dict[str, str]:
    return dict(zip(gathered.names, decision.rule))


def test_every_fault_has_its_reason_and_no_other_picture_has(folder: Path) -> None:
    gathered = gather(open_source(folder), TinyExtractor())
    decision = decide(gathered, Rules(max_unlike=None))
    found = {name: rule for name, rule in _rule_of(gathered, decision).items() if rule}
    assert found.pop("mirrored_5.png", None) == "near" or found.pop("good_05.png") == "near"
    assert found == RULES
    reasons = dict(zip(gathered.names, decision.reason))
    assert reasons["more/exact.png"] == "exact copy of good_03.png"
    assert reasons["near_4.jpg"] == "near copy of good_04.png"
    assert reasons["small.png"] == "too small: side 40 < 64"
    assert reasons["long.png"] == "extreme shape: aspect 4.00 > 3"
    assert [file.path for file in gathered.unreadable] == ["broken.png"]
    assert sorted(len(members) for members in decision.groups) == [2, 2, 2]
    for members in decision.groups:
        assert not decision.rule[members[0]] and all(decision.rule[number] for number in members[1:])
        assert len(set(decision.group[members])) == 1 and decision.group[members[0]] > 0


def test_rules_can_be_turned_off(folder: Path) -> None:
    gathered = gather(open_source(folder), TinyExtractor())
    none = Rules(**dict.fromkeys(Rules.__dataclass_fields__))
    assert {rule for rule in decide(gathered, none).rule if rule} == {"exact"}
    with pytest.raises(UserError, match="--min-structure 2: expected -1 to 1, or off"):
        Rules(min_structure=2)
    with pytest.raises(UserError, match=r"--max-aspect 0\.5: expected 1 or more, or off"):
        Rules(max_aspect=0.5)


def test_table_report_and_kept_set(folder: Path, tmp_path: Path) -> None:
    evil = folder / '<img src="http:evil">&.png'
    _photo(70).save(evil)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    gathered = gather(open_source(folder), TinyExtractor())
    ranking = Ranking(np.linspace(0, 1, len(gathered.names)), "in order", top=30)
    decision = decide(gathered, Rules(), ranking, 3, 1.0)
    write_table(tmp_path / "pictures.csv", gathered, decision)
    write_report(tmp_path / "report.html", gathered, decision, ranking, "some where")
    count = keep(gathered, decision, tmp_path / "kept", links=True)
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO((tmp_path / "pictures.csv").read_text()))}
    assert len(rows) == len(gathered.names) + 1 and rows["broken.png"]["reason"].startswith("cannot be read")
    assert list(rows["blank.png"])[:4] == ["file", "kept", "reason", "group"]
    assert all((row["kept"] == "yes") == (row["reason"] == "") for row in rows.values())
    kept = {row["file"] for row in rows.values() if row["kept"] == "yes"}
    assert kept and len(kept) == count
    assert {path.relative_to(tmp_path / "kept").as_posix() for path in (tmp_path / "kept").rglob("*.*")} == kept
    assert all((tmp_path / "kept" / name).resolve() == (folder / name).resolve() for name in kept)
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    page = (tmp_path / "report.html").read_text()
    assert "default-src 'none'" in page and evil.name not in page and "&lt;img src=" in page
    assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', page))
    assert not re.search(r"<script|<link|url\(|href=\"(?!#)", page)
    for word in ("Copies", "Blurred", "Kinds", "Ranked", "--min-side 64", "Not read"):
        assert word in page


def test_archives_are_copied_from(folder: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in folder.rglob("*.png"):
            archive.write(path, path.relative_to(folder).as_posix())
    gathered = gather(open_source(tmp_path / "set.zip"), TinyExtractor())
    decision = decide(gathered, Rules())
    keep(gathered, decision, tmp_path / "kept", links=True)
    place = tmp_path / "kept" / "good_01.png"
    assert not place.is_symlink() and place.read_bytes() == (folder / "good_01.png").read_bytes()
    with pytest.raises(UserError, match="is not empty"):
        check_keep("--keep-in", tmp_path / "kept")
    with pytest.raises(UserError, match="lies within the pictures' own folder"):
        check_keep("--keep-in", folder / "more" / "kept", open_source(folder))


@given(st.lists(st.sampled_from("abcdef"), max_size=12))
def test_exact_groups(contents: list[str]) -> None:
    groups = exact_groups(contents)
    assert sorted(i for group in groups for i in group) == [
        i for i, content in enumerate(contents) if contents.count(content) > 1
    ]
    assert all(len({contents[i] for i in group}) == 1 for group in groups)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_groups_are_what_pairs_connect(pairs: list[tuple[int, int]]) -> None:
    scipy_graph = pytest.importorskip("scipy.sparse.csgraph")
    matrix = np.zeros((10, 10))
    for one, other in pairs:
        matrix[one, other] = 1
    _, labels = scipy_graph.connected_components(matrix, directed=False)
    expected = {tuple(np.flatnonzero(labels == label)) for label in set(labels) if (labels == label).sum() > 1}
    assert {tuple(group) for group in grouped(pairs, 10)} == expected


def test_near_pairs_need_features_and_hashes() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1300, 64)).astype(np.float32)  # more than two blocks
    hashes = rng.integers(0, 2**63, (1300, 2), dtype=np.uint64)
    features[1200] = features[7] + 0.05 * rng.normal(size=64)
    hashes[1200] = hashes[7]
    features[900] = features[8]  # features alone agree
    hashes[901] = hashes[9]  # hashes alone agree
    features[1100], hashes[1100] = features[10], hashes[10][::-1]  # a mirror image
    pairs, nearness = near_pairs(features, hashes, 0.8)
    assert pairs.tolist() == [[7, 1200], [10, 1100]]
    assert nearness[7] > 0.95 and nearness[1100] > 0.95 and nearness[901] < 0.8
    assert near_pairs(features[:1], hashes[:1], 0.8)[1].tolist() == [-1]
    same, _ = near_pairs(features[[7, 7]], hashes[[7, 7]], 0.8)
    assert same.tolist() == [[0, 1]]  # two pictures alone have no mean to differ from


def test_foreign_pictures_are_unlike_though_they_come_together() -> None:
    rng = np.random.default_rng(1)
    kinds = rng.normal(size=(4, 32)) * 3 + 8
    features = np.concatenate([kind + rng.normal(size=(200, 32)) for kind in kinds])
    foreign = -8 + rng.normal(size=(8, 32))
    spreads = unlikeness(np.concatenate([features, foreign]).astype(np.float32))
    assert spreads[-8:].min() > 5 > np.quantile(spreads[:-8], 0.99)
    assert not unlikeness(features[:11]).any()  # too few to tell


def test_clusters_and_balance() -> None:
    rng = np.random.default_rng(2)
    centres = np.eye(3, 16) * 30
    sizes = (60, 20, 20)
    features = np.concatenate([centre + rng.normal(size=(n, 16)) for centre, n in zip(centres, sizes)])
    features = features.astype(np.float32)
    labels = clusters(features, 3)
    assert set(labels[:60]) == {0} and np.bincount(labels).tolist() == [60, 20, 20]
    np.testing.assert_array_equal(labels, clusters(features, 3))
    stays = balanced(features, labels, 1.5)
    assert [int(stays[labels == label].sum()) for label in range(3)] == [30, 20, 20]
    assert balanced(features, labels, 3).all()
    assert clusters(features[:2], 5).tolist() in ([0, 1], [1, 0], [0, 0])


def test_the_order_by_texts() -> None:
    texts = np.eye(3)
    images = np.array([[2.0, 0, 0], [1, 1, 0], [0, 0, 1], [1, 0, 1], [0, 5, 0]])
    half = 2**-0.5
    np.testing.assert_allclose(rank_by_texts(images, texts[:1], [True]), [1, half, 0, half, 0])
    np.testing.assert_allclose(rank_by_texts(images, texts, [True, True, False]), [0.5, half, -1, -half / 2, 0.5])
    assert split_texts(["one red flower", "- a drawing"]) == (["one red flower", "a drawing"], [True, False])
    with pytest.raises(UserError, match="say also what is"):
        split_texts(["-a drawing"])
    with pytest.raises(UserError, match="is empty"):
        split_texts(["flower", " "])


def test_the_order_by_likeness() -> None:
    rng = np.random.default_rng(3)
    # What all pictures differ in most says nothing of the kind, which is the last number.
    features = np.concatenate([rng.normal(size=(100, 8)) * 4, np.repeat([[1.0], [-1.0]], 50, 0) * 3], 1)
    scores = rank_by_likeness(features, features[:20])
    assert scores.max() <= 1 and np.median(scores[20:50]) > np.median(scores[50:])
    assert np.isfinite(rank_by_likeness(features[:1], features[:1])).all()


def test_top_and_least_score(folder: Path) -> None:
    gathered = gather(open_source(folder), TinyExtractor())
    scores = np.zeros(len(gathered.names))
    scores[:5] = 1
    decision = decide(gathered, Rules(max_unlike=None), Ranking(scores, "x", top=3))
    assert int(decision.kept.sum()) == 3  # equal scores: the first ones
    decision = decide(gathered, Rules(max_unlike=None), Ranking(scores, "x", min_score=0.5))
    assert set(scores[decision.kept]) == {1.0} and decision.thresholds["score"] == 0.5


@given(st.lists(st.tuples(st.integers(10, 4000), st.integers(10, 4000)), min_size=1, max_size=20))
def test_shapes(sizes: list[tuple[int, int]]) -> None:
    widths, heights = np.array(sizes).T
    shape = recommend_shape(widths, heights)
    assert all(0 < kept <= 1 for kept in shape.kept.values())
    assert shape.kept[shape.name] >= max(shape.kept.values()) - 0.0201
    turned = recommend_shape(heights, widths)
    assert turned.kept["2:3"] == pytest.approx(shape.kept["3:2"])


def test_every_shape_that_is_recommended_is_one_that_training_makes() -> None:
    for name in SHAPES:
        assert SLEGANConfig(aspect=name).validated().aspect == made_aspect(name) == name


def test_shapes_of_plain_sets() -> None:
    assert recommend_shape(np.array([600, 300]), np.array([400, 200])).name == "3:2"
    assert recommend_shape(np.array([500, 510]), np.array([500, 500])).name == "1:1"
    assert recommend_shape(np.array([1080]), np.array([1920])).name == "4:7"
