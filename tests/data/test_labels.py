"""Labels: folders, CSV, JSON and dataset.json; what is refused; datasets, digests and batches with labels."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sle_gan import UserError
from sle_gan.data import BatchLoader, load_dataset, open_source
from sle_gan.data.labels import FEW, check_labels, few_pictures, read_labels
from sle_gan.data.sampler import balanced_indices

CLASSES = {"daisy": 3, "rose": 2, "tulip": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a subfolder for each class; the pictures of a class have its grey."""
    for i, (name, count) in enumerate(CLASSES.items()):
        (tmp_path / "set" / name).mkdir(parents=True)
        for k in range(count):
            Image.new("RGB", (16, 16), (40 * i + 20, k, 0)).save(tmp_path / "set" / name / f"{name}{k}.png")
    return tmp_path / "set"


def by_name(folder: Path, spec: str) -> dict[str, str]:
    labels = read_labels(spec, open_source(folder))
    return {name: labels.classes[i] for name, i in labels.of.items()}


def expected() -> dict[str, str]:
    return {f"{name}/{name}{k}.png": name for name, count in CLASSES.items() for k in range(count)}


def test_the_folders_of_pictures_are_their_classes(folder: Path) -> None:
    assert by_name(folder, "folders") == expected()
    assert read_labels("folders", open_source(folder)).classes == ("daisy", "rose", "tulip")


def test_folders_that_all_pictures_share_are_no_class(folder: Path) -> None:
    (folder.parent / "outer").mkdir()
    folder.rename(folder.parent / "outer" / "train")
    named = by_name(folder.parent / "outer", "folders")
    assert named == {f"train/{name}": of for name, of in expected().items()}


@pytest.mark.parametrize("form", ["names to classes", "classes to names", "pairs", "nvidia"])
def test_forms_of_json(folder: Path, form: str) -> None:
    classes = sorted(CLASSES)
    numbers = [[name, classes.index(of)] for name, of in expected().items()]
    content = {
        "names to classes": expected(),
        "classes to names": {of: [name for name, each in expected().items() if each == of] for of in classes},
        "pairs": [list(pair) for pair in expected().items()],
        "nvidia": {"labels": numbers},
    }[form]
    (folder / "dataset.json").write_text(json.dumps(content))
    named = by_name(folder, "dataset.json")
    assert named == (expected() if form != "nvidia" else {name: str(number) for name, number in numbers})


def test_a_file_beside_the_pictures_or_within_an_archive(folder: Path, tmp_path: Path) -> None:
    text = "".join(f"{name},{of}\n" for name, of in expected().items())
    (tmp_path / "own.csv").write_text("file,class\n" + text)
    assert by_name(folder, str(tmp_path / "own.csv")) == expected()
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in expected():
            packed.write(folder / name, f"00000/{name}")
        pairs = [[f"00000/{name}", sorted(CLASSES).index(of)] for name, of in expected().items()]
        packed.writestr("dataset.json", json.dumps({"labels": pairs}))
        packed.writestr("labels.csv", "".join(f"{Path(name).name},{of}\n" for name, of in expected().items()))
    source = open_source(archive)
    assert read_labels("dataset.json", source).classes == ("0", "1", "2")
    by_last_part = read_labels("labels.csv", source)
    assert {name: by_last_part.classes[i] for name, i in by_last_part.of.items()} == {
        f"00000/{name}": of for name, of in expected().items()
    }


def test_classes_that_are_numbers_are_in_their_order(folder: Path, tmp_path: Path) -> None:
    rows = [f"{name},{11 * len(of)}" for name, of in expected().items()]
    (tmp_path / "n.csv").write_text("\n".join(rows))
    assert read_labels(str(tmp_path / "n.csv"), open_source(folder)).classes == ("44", "55")


words = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc", "Z")), min_size=1, max_size=8)


@settings(max_examples=30)
@given(st.lists(words, min_size=9, max_size=9))
def test_any_names_of_classes_come_back_from_csv_and_json(names: list[str]) -> None:
    class Source:
        where, left_out, folder = "memory", (), None
        names = sorted(expected())

        def table(self, name: str) -> bytes:
            pairs = list(zip(self.names, given_names))
            text = io.StringIO()
            csv.writer(text).writerows(pairs)
            return (json.dumps(pairs) if name.endswith("json") else text.getvalue()).encode()

    given_names = [name.strip() or "x" for name in names]
    if len(set(given_names)) < 2 or all(name.isdecimal() for name in given_names):
        return
    for spec in ("nowhere-at-all.csv", "nowhere-at-all.json"):
        found = read_labels(spec, Source())  # type: ignore[arg-type]
        assert [found.classes[found.of[name]] for name in Source.names] == given_names
        assert list(found.classes) == sorted(set(given_names))


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.csv", "daisy/daisy0.png,daisy\n", "without a label"),
        ("a.csv", "gone.png,rose\n", "labels for 1 file (gone.png)"),
        ("a.csv", "rose/rose0.png,rose\nrose/rose0.png,tulip\n", "two labels"),
        ("a.csv", "rose/rose0.png\n", "line 1: rose/rose0.png; expected a file and its class"),
        ("a.csv", "rose/rose0.png,\n", "expected a file and its class"),
        ("a.csv", "\n", "no labels"),
        ("a.json", "{", "no JSON"),
        ("a.json", '{"labels": null}', "no labels"),
        ("a.json", '{"rose": ["rose/rose0.png"], "lily": []}', "the class lily has no pictures"),
        ("a.json", '{"labels": [["rose/rose0.png", 0], ["rose/rose1.png", 2]]}', "the class 1 has no pictures"),
        ("a.json", '{"rose/rose0.png": "rose", "rose/rose0.png": "tulip"}', "twice"),
        ("a.json", '{"labels": [["rose/rose0.png", [0.5, 1]]]}', "one class, a name or a number"),
        ("a.json", '{"rose/rose0.png": true}', "one class, a name or a number"),
        ("b.csv", None, "there is no such file"),
    ],
)
def test_wrong_files_are_refused_in_one_line(folder: Path, file: str, content: str | None, message: str) -> None:
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(UserError) as error:
        read_labels(file, open_source(folder))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_wrong_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "lily").mkdir()
    with pytest.raises(UserError, match="the class lily has no pictures"):
        read_labels("folders", open_source(folder))
    (folder / "lily").rmdir()
    Image.new("RGB", (16, 16)).save(folder / "loose.png")
    with pytest.raises(UserError, match=r"1 picture \(loose.png\) beside the classes' folders"):
        read_labels("folders", open_source(folder))
    with pytest.raises(UserError, match="no subfolders"):
        read_labels("folders", open_source(folder / "rose"))
    (folder / "one.csv").write_text("".join(f"{Path(name).name},flower\n" for name in [*expected(), "loose.png"]))
    with pytest.raises(UserError, match="leave --labels out for one class"):
        read_labels("one.csv", open_source(folder))
    with pytest.raises(UserError, match="expected none, auto, folders, clusters, or a"):
        check_labels("folder")


def test_a_class_of_which_no_picture_can_be_read_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in (folder / "rose").iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(UserError, match="the class rose has no pictures"):
        load_dataset(folder, 16, cache_folder=tmp_path / "cache", labels="folders", progress=False)


def test_labels_go_with_their_pictures_and_into_the_digest(folder: Path, tmp_path: Path) -> None:
    (folder / "rose" / "bad.png").write_bytes(b"no picture")
    cache = tmp_path / "cache"
    plain = load_dataset(folder, 16, cache_folder=cache, progress=False)
    labelled = load_dataset(folder, 16, cache_folder=cache, labels="folders", progress=False)
    assert plain.labels is None and plain.classes == ()
    assert labelled.labels is not None and labelled.labels.dtype == np.int32
    for image, file, label in zip(labelled.images, labelled.files, labelled.labels):
        assert labelled.classes[label] == file.split("/")[0]
        assert image[0, 0, 0] == 40 * label + 20
    assert len(list(cache.glob("*.npy"))) == 1, "the same pictures, decoded once"
    (folder / "l.csv").write_text(
        "".join(
            f"{name},{'rose' if 'daisy0' in name else name.split('/')[0]}\n" for name in [*expected(), "rose/bad.png"]
        )
    )
    other = load_dataset(folder, 16, cache_folder=cache, labels="l.csv", progress=False)
    assert len({plain.digest, labelled.digest, other.digest}) == 3


def test_batches_bring_the_labels_of_their_pictures(folder: Path, tmp_path: Path) -> None:
    dataset = load_dataset(folder, 16, cache_folder=tmp_path / "cache", labels="folders", progress=False)
    for balance in (False, True):
        given_labels = {"labels": dataset.labels, "balance": balance}
        with (
            BatchLoader([dataset.images], 4, 0, **given_labels) as images,  # type: ignore[arg-type]
            BatchLoader([dataset.images], 4, 0, gather=False, **given_labels) as indices,  # type: ignore[arg-type]
        ):
            for _ in range(5):
                (_, (pictures, labels)), (_, (rows, same)) = images.next(), indices.next()
                np.testing.assert_array_equal(pictures, dataset.images[rows])
                np.testing.assert_array_equal(rows, same)
                np.testing.assert_array_equal(pictures[:, 0, 0, 0], 40 * labels + 20)
                assert labels.dtype == np.int32
    with BatchLoader([dataset.images], 4, 0) as without:
        assert len(without.next()[1]) == 1


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 8), st.integers(0, 2**32))
def test_balanced_batches(counts: list[int], batch_size: int, seed: int) -> None:
    """All classes equally often, each picture of a class before one comes again; batch k is a function of k."""
    labels = np.repeat(np.arange(len(counts)), counts)
    rounds = 2 * max(counts)
    batches = 2 + rounds * len(counts) // batch_size
    drawn = np.concatenate([balanced_indices(labels, batch_size, seed, k) for k in range(batches)])
    np.testing.assert_array_equal(balanced_indices(labels, batch_size, seed, 1), drawn[batch_size : 2 * batch_size])
    drawn = drawn[: rounds * len(counts)]
    for start in range(0, len(drawn), len(counts)):
        assert sorted(labels[drawn[start : start + len(counts)]]) == list(range(len(counts)))
    for label, count in enumerate(counts):
        own = drawn[labels[drawn] == label]
        for start in range(0, len(own) - count + 1, count):
            assert len(set(own[start : start + count])) == count


def test_a_warning_counts_small_classes_once() -> None:
    labels = np.repeat([0, 1, 2], [FEW, FEW - 1, 2])
    text = few_pictures(("a", "b", "c"), labels)
    assert text is not None and "c 2, b 29" in text and "--balance-classes" in text and "a 30" not in text
    assert few_pictures(("a",), np.zeros(FEW, int)) is None
