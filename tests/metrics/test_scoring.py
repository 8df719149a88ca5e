"""Statistics, scores and the training-time scorer, with a network that takes no time."""

import io
import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sle_gan.errors import UserError
from sle_gan.features import FeatureExtractor
from sle_gan.metrics import (
    FeatureStatistics,
    ImageFolder,
    Scorer,
    collect_statistics,
    compute_scores,
    frechet_distance,
)
from sle_gan.metrics.scoring import as_rgb, check_saved, checked_metrics

RANDOM = np.random.default_rng(0)


class TinyExtractor(FeatureExtractor):
    """A random projection of 8x8 pixels."""

    name = "tiny"
    version = "tiny/1"
    dimension = 6
    side = 8

    def __init__(self) -> None:
        self.passes = 0
        self._projection = np.random.default_rng(0).standard_normal((8 * 8 * 3, 6))

    def _forward(self, images: np.ndarray) -> np.ndarray:
        self.passes += 1
        return np.maximum(images.reshape(len(images), -1) @ self._projection, 0)


class NanExtractor(TinyExtractor):
    def _forward(self, images: np.ndarray) -> np.ndarray:
        return super()._forward(images) * np.nan


@pytest.fixture
def extractor() -> TinyExtractor:
    return TinyExtractor()


def images(count: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, channels), dtype=np.uint8)


def statistics(extractor: FeatureExtractor, count: int = 40, seed: int = 0, **options) -> FeatureStatistics:
    return collect_statistics(extractor, images(count, seed), **options)


def test_statistics_survive_the_disk(extractor: TinyExtractor, tmp_path: Path):
    before = statistics(extractor, protocol={"source": "flowers/"})
    before.save(tmp_path / "real.npz")
    after = FeatureStatistics.load(tmp_path / "real.npz")
    assert (after.extractor, after.version, after.count) == ("tiny", "tiny/1", 40)
    assert after.protocol == {"resize": extractor.describe, "source": "flowers/"}
    for name in ("mean", "covariance", "features"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    assert [path.name for path in tmp_path.iterdir()] == ["real.npz"]


def test_statistics_are_those_of_the_features(extractor: TinyExtractor):
    result = statistics(extractor, 70)
    features = extractor(images(70)).astype(np.float64)
    np.testing.assert_allclose(result.mean, features.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(result.covariance, np.cov(features, rowvar=False), rtol=1e-9)


def test_other_files_are_refused(tmp_path: Path):
    np.savez(tmp_path / "other.npz", mu=np.zeros(3), sigma=np.eye(3))
    (tmp_path / "words.npz").write_text("not numbers")
    buffer = io.BytesIO()
    np.savez(buffer, format="sle_gan.statistics/1", mean=np.zeros(3))
    (tmp_path / "part.npz").write_bytes(buffer.getvalue())
    (tmp_path / "cut.npz").write_bytes(buffer.getvalue()[:200])
    np.savez(tmp_path / "pickle.npz", format=np.array([object()], dtype=object))
    messages = {
        "other.npz": "no statistics of this project",
        "words.npz": "damaged or no .npz",
        "part.npz": "damaged",
        "cut.npz": "damaged",
        "pickle.npz": "damaged",
        "missing.npz": "no statistics file",
    }
    for name, message in messages.items():
        with pytest.raises(UserError, match=message):
            FeatureStatistics.load(tmp_path / name)


def test_statistics_of_another_extractor_are_refused(extractor: TinyExtractor):
    other = TinyExtractor()
    other.version = "tiny/2"
    with pytest.raises(UserError, match=r"tiny/2.*tiny/1"):
        compute_scores(statistics(extractor), statistics(other))


def test_all_metrics_and_their_protocol(extractor: TinyExtractor):
    real, fake = statistics(extractor, 40, 0), statistics(extractor, 30, 1)
    scores = compute_scores(real, fake, ("pr", "fid", "kid", "mifid"), seed=5, bootstrap=4)
    assert set(scores.metrics) == {
        *("fid", "fid_bootstrap_mean", "fid_bootstrap_std", "kid", "kid_std", "mifid"),
        *("memorization_distance", "precision", "recall"),
    }
    expected = frechet_distance(extractor(images(40, 0)), extractor(images(30, 1)))
    assert scores.metrics["fid"] == pytest.approx(expected, rel=1e-9)
    assert scores.metrics["fid_bootstrap_std"] > 0
    protocol = scores.protocol
    assert (protocol["real"]["count"], protocol["fake"]["count"], protocol["seed"]) == (40, 30, 5)
    assert protocol["version"] == "tiny/1" and protocol["real"]["resize"] == extractor.describe
    assert json.loads(json.dumps(scores.to_dict())) == scores.to_dict()
    assert any("30 images are few" in warning for warning in scores.warnings)


def test_moments_suffice_for_fid_and_for_nothing_else(extractor: TinyExtractor):
    real, fake = statistics(extractor, 40, 0), statistics(extractor, 30, 1)
    bare = statistics(extractor, 40, 0, keep_features=False)
    assert bare.features is None
    expected = compute_scores(real, fake).metrics["fid"]
    assert compute_scores(bare, fake).metrics["fid"] == pytest.approx(expected, rel=1e-6)
    for metric in ("kid", "mifid", "pr"):
        with pytest.raises(UserError, match=f"{metric} needs the features"):
            compute_scores(bare, fake, (metric,))
    with pytest.raises(UserError, match="bootstrap needs the features"):
        compute_scores(bare, fake, bootstrap=3)


def test_features_are_kept_while_they_are_few(extractor: TinyExtractor, monkeypatch: pytest.MonkeyPatch):
    assert statistics(extractor).features is not None
    monkeypatch.setattr("sle_gan.metrics.statistics._KEPT_AT_MOST", 50)
    monkeypatch.setattr("sle_gan.metrics.statistics._MOMENTS_AT_ONCE", 32)
    assert statistics(extractor, 100).features is None
    kept = statistics(extractor, 100, keep_features=True).features
    assert kept is not None and len(kept) == 100


def test_few_images_and_different_preparation_are_warned_about(extractor: TinyExtractor):
    few = statistics(extractor, 5, protocol={"preparation": "own size"})
    many = statistics(extractor, 50, 1, protocol={"preparation": "64x64"})
    warnings = " ".join(compute_scores(many, few).warnings)
    assert "5 images are fewer than the 6 features" in warnings and "prepared differently" in warnings


@pytest.mark.parametrize("names", [[], ["fid", "is"], [""]])
def test_unknown_metrics_are_an_error(names: list[str]):
    with pytest.raises(UserError, match="expected some of fid, kid, mifid, pr"):
        checked_metrics(names)


def test_one_image_no_image_and_nan_are_errors(extractor: TinyExtractor):
    with pytest.raises(UserError, match="at least 2 images, received 1"):
        statistics(extractor, 1)
    with pytest.raises(UserError, match="at least 2 images, received 0"):
        collect_statistics(extractor, [])
    with pytest.raises(UserError, match="NaN"):
        statistics(NanExtractor())
    with pytest.raises(UserError, match="fid, which is not among"):
        compute_scores(statistics(extractor), statistics(extractor), ("pr",), bootstrap=3)
    with pytest.raises(UserError, match="bootstrap 1"):
        compute_scores(statistics(extractor), statistics(extractor), bootstrap=1)


def test_scorer_computes_the_real_side_once(extractor: TinyExtractor, tmp_path: Path):
    real, fake = images(40), images(30, 1)
    scorer = Scorer(extractor, real, "abc", tmp_path / "cache")
    once = extractor.passes
    again = Scorer(extractor, real, "abc", tmp_path / "cache", metrics=("fid", "kid"))
    assert extractor.passes == once
    first = scorer.score((fake[start : start + 7] for start in range(0, 30, 7)), step=100)
    second = again.score([fake], step=100)
    assert first.metrics["fid"] == pytest.approx(second.metrics["fid"], rel=1e-6)
    assert first.metrics["fid"] == pytest.approx(frechet_distance(extractor(real), extractor(fake)), rel=1e-6)
    assert second.protocol["fake"]["step"] == 100 and second.protocol["real"]["digest"] == "abc"
    assert not any("prepared differently" in warning for warning in second.warnings)


def test_a_scorers_statistics_are_entries_of_the_cache(
    extractor: TinyExtractor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Those that are read again stay, the least recently used go."""
    Scorer(extractor, images(40), "abc", tmp_path)
    (abc,) = tmp_path.iterdir()
    monkeypatch.setenv("SLE_GAN_CACHE_GB", str(2e-9 * abc.stat().st_size))  # two of them
    Scorer(extractor, images(40), "def", tmp_path)
    (other,) = set(tmp_path.iterdir()) - {abc}
    for days, path in ((2, abc), (1, other)):
        os.utime(path, (time.time() - 86400 * days,) * 2)
    Scorer(extractor, images(40), "abc", tmp_path)
    Scorer(extractor, images(40), "ghi", tmp_path)
    assert abc.exists() and not other.exists() and len(list(tmp_path.iterdir())) == 2
    assert Scorer(extractor, images(5), "abc", None).real.count == 5 and len(list(tmp_path.iterdir())) == 2


def test_scorer_notices_other_images_other_networks_and_damage(extractor: TinyExtractor, tmp_path: Path):
    Scorer(extractor, images(40), "abc", tmp_path)
    passes = extractor.passes
    Scorer(extractor, images(40, 1), "def", tmp_path)
    assert extractor.passes == 2 * passes
    other = TinyExtractor()
    other.version = "tiny/2"
    Scorer(other, images(40), "abc", tmp_path)
    assert other.passes == passes and len(list(tmp_path.iterdir())) == 3
    for path in tmp_path.iterdir():
        path.write_bytes(b"damaged")
    assert Scorer(extractor, images(40), "abc", tmp_path).real.count == 40


def test_scorer_works_where_it_cannot_cache(extractor: TinyExtractor, tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert Scorer(extractor, images(5), "abc", blocked).real.count == 5


def test_grey_and_transparent_images_are_scored_as_rgb(extractor: TinyExtractor, tmp_path: Path):
    grey = images(8, channels=1)
    scorer = Scorer(extractor, grey, "grey", tmp_path)
    np.testing.assert_allclose(scorer.score([np.repeat(grey, 3, axis=-1)]).metrics["fid"], 0, atol=1e-9)
    pixel = np.array([[[[100, 0, 0, 51]]]], np.uint8)  # a fifth of red 100, four fifths of white
    assert as_rgb(pixel).tolist() == [[[[224, 204, 204]]]]
    with pytest.raises(UserError, match="1, 3 or 4 channels"):
        as_rgb(np.zeros((2, 4, 4, 2), np.uint8))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Pictures as people have them."""
    folder = tmp_path / "pictures"
    (folder / "deep").mkdir(parents=True)
    red = Image.new("RGB", (20, 10), (200, 0, 0))
    red.save(folder / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    red.save(folder / "deep" / "b.JPG", exif=exif)
    Image.new("RGBA", (20, 10), (200, 0, 0, 0)).save(folder / "c.png")
    Image.fromarray(np.full((10, 20), 40000, np.uint16)).save(folder / "d.png")
    Image.new("CMYK", (20, 10)).save(folder / "e.jpg")
    (folder / "f.png").write_text("no picture")
    (folder / "notes.txt").write_text("ignored")
    return folder


def test_folders_are_read_upright_over_white_and_in_order(folder: Path):
    pictures = ImageFolder(folder)
    assert pictures.names == ["a.png", "c.png", "d.png", "deep/b.JPG", "e.jpg", "f.png"]
    loaded = {name: pictures.load(name) for name in pictures.names}
    assert loaded["a.png"].shape == (10, 20, 3) and loaded["a.png"][0, 0].tolist() == [200, 0, 0]  # type: ignore[union-attr]
    assert loaded["deep/b.JPG"].shape == (20, 10, 3)  # type: ignore[union-attr]
    assert loaded["c.png"][0, 0].tolist() == [255, 255, 255]  # type: ignore[index]
    assert loaded["d.png"][0, 0].tolist() == [156, 156, 156]  # type: ignore[index]
    assert loaded["e.jpg"][0, 0].tolist() == [255, 255, 255]  # type: ignore[index]
    assert loaded["f.png"] is None and pictures.skipped[0].path == "f.png"
    pictures.check()
    square = ImageFolder(folder, resolution=16).load("a.png")
    assert square is not None and square.shape == (16, 16, 3)


def test_a_folder_is_read_by_the_decoder_of_training(tmp_path: Path):
    """Floats of 0 to 1 are no black pictures; a value that is no number costs one pixel, and is said."""
    grey = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (64, 1))
    floats = grey.astype(np.float32) / 255
    Image.fromarray(grey).save(tmp_path / "a.png")
    Image.fromarray(floats).save(tmp_path / "b.tif")
    floats[5, 6] = np.nan
    Image.fromarray(floats).save(tmp_path / "c.tif")
    (tmp_path / "d.heic").write_bytes(b"x")
    pictures = ImageFolder(tmp_path)
    eight, float_, missing = (pictures.load(name) for name in pictures.names)
    np.testing.assert_array_equal(float_, eight)
    assert (missing != eight).any(axis=-1).sum() == 1 and missing is not None and missing[5, 6].tolist() == [0, 0, 0]
    (note,) = pictures.notes
    assert note.startswith("c.tif has 1 value without a finite number")
    assert [file.path for file in pictures.unread] == ["d.heic"]
    with pytest.raises(UserError, match="value range"):
        ImageFolder(tmp_path, resolution=16, value_range=(4, 1))
    ranged = ImageFolder(tmp_path, value_range=(0, 0.5)).load("b.tif")
    assert ranged is not None and ranged[0, 32].tolist() == [255, 255, 255]


def test_saved_statistics_are_known_by_their_content(extractor: TinyExtractor, tmp_path: Path):
    saved = statistics(extractor)
    saved.save(tmp_path / "photos")
    assert FeatureStatistics.is_in(tmp_path / "photos")
    np.savez(tmp_path / "other.npz", mean=np.zeros(3))
    (tmp_path / "text").write_text("x")
    assert not any(FeatureStatistics.is_in(tmp_path / name) for name in ("other.npz", "text", "missing"))


def test_what_saved_statistics_lack_is_said_before_the_work(extractor: TinyExtractor):
    moments = statistics(extractor, keep_features=False)
    check_saved(moments, "a.npz", ("fid",))
    for metrics, bootstrap in ((("fid", "kid"), 0), (("fid",), 5)):
        with pytest.raises(UserError, match=r"a\.npz holds only moments"):
            check_saved(moments, "a.npz", metrics, bootstrap)
    with pytest.raises(UserError, match=r"a\.npz is of 3 images; kid needs at least 4"):
        check_saved(statistics(extractor, count=3), "a.npz", ("kid",))
    with pytest.raises(UserError, match="need at least 2 images, received 1"):
        statistics(extractor, count=1)


def test_a_count_draws_by_seed(folder: Path):
    drawn = ImageFolder(folder, count=3, seed=1)
    assert len(drawn.names) == 3 and drawn.found == 6 and drawn.names == sorted(drawn.names)
    assert drawn.names == ImageFolder(folder, count=3, seed=1).names
    assert len(ImageFolder(folder, count=99).names) == 6


def test_bad_folders_are_errors(folder: Path, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no pictures"):
        ImageFolder(tmp_path / "empty")
    with pytest.raises(UserError, match="does not exist"):
        ImageFolder(tmp_path / "missing")
    with pytest.raises(UserError, match="resolution 2"):
        ImageFolder(folder, resolution=2)
    pictures = ImageFolder(folder)
    for name in pictures.names:
        (folder / name).write_text("damaged")
        pictures.load(name)
    with pytest.raises(UserError, match="6 of 6 pictures"):
        pictures.check()
