"""Folders, archives and data sets give the same pictures, and archives do no harm."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from sle_gan.data import check_image_column, check_source, load_dataset, open_source
from sle_gan.data.sources import archive as archives
from sle_gan.data.sources.archive import ArchiveSource
from sle_gan.data.sources.base import shared_folders
from sle_gan.data.sources.spec import DatasetSpec
from sle_gan.errors import UserError
from sle_gan.metrics import ImageFolder


def _png(seed: int, side: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "flowers"
    for i, name in enumerate(("a.png", "sub/b.png", "sub/c.PNG", "d é.png")):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(_png(i))
    (root / "broken.png").write_bytes(b"no picture")
    (root / "empty.png").write_bytes(b"")
    (root / ".hidden.png").write_bytes(_png(9))
    (root / "notes.txt").write_text("of no interest")
    return root


def _pack(folder: Path, target: Path, inside: str, method: int = zipfile.ZIP_DEFLATED) -> Path:
    files = [path for path in folder.rglob("*") if path.is_file()]
    if target.suffix == ".zip":
        with zipfile.ZipFile(target, "w", method) as archive:
            for path in files:
                archive.write(path, inside + path.relative_to(folder).as_posix())
        return target
    with tarfile.open(target, "w:gz" if target.name.endswith("gz") else "w") as archive:
        for path in files:
            archive.add(path, inside + path.relative_to(folder).as_posix())
    return target


def _zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz", "X.TGZ"])
@pytest.mark.parametrize("inside", ["", "flowers/", "./flowers/"])
def test_the_same_set_in_any_container(tmp_path: Path, folder: Path, name: str, inside: str) -> None:
    cache = tmp_path / "cache"
    expected = load_dataset(folder, 16, cache_folder=cache, progress=False)
    found = load_dataset(_pack(folder, tmp_path / name, inside), 16, cache_folder=cache, progress=False)
    assert found.digest == expected.digest and found.files == expected.files
    assert found.skipped == expected.skipped and len(found.skipped) == 2
    np.testing.assert_array_equal(found.images, expected.images)
    assert len(list(cache.glob("*.npy"))) == 1  # one entry serves both


def test_decoding_from_an_archive_equals_the_folder(tmp_path: Path, folder: Path) -> None:
    expected = load_dataset(folder, 16, cache_folder=tmp_path / "one", progress=False)
    for name, method in (("s.zip", zipfile.ZIP_STORED), ("d.zip", zipfile.ZIP_DEFLATED), ("t.tar.gz", 0)):
        packed = _pack(folder, tmp_path / name, "flowers/", method)
        found = load_dataset(packed, 16, cache_folder=tmp_path / name.replace(".", "_"), progress=False)
        np.testing.assert_array_equal(found.images, expected.images)


def test_scoring_reads_archives(tmp_path: Path, folder: Path) -> None:
    images = ImageFolder(_pack(folder, tmp_path / "x.zip", ""))
    np.testing.assert_array_equal(images.load("a.png"), ImageFolder(folder).load("a.png"))
    assert images.load("empty.png") is None and images.skipped[0].reason == "empty file (0 bytes)"


@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/etc/out.png", "C:/out.png", "a\\..\\..\\out.png", "x/.."]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_lead_out_are_refused(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        _zip(path, {"good.png": _png(0), name: _png(1)})
    else:
        with tarfile.open(path, "w") as archive:
            for each in ("good.png", name):
                member = tarfile.TarInfo(each)
                member.size = len(_png(0))
                archive.addfile(member, io.BytesIO(_png(0)))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="leads out of it") as error:
        open_source(path)
    assert "\n" not in str(error.value) and sorted(tmp_path.rglob("*")) == before


def test_links_nested_archives_and_passwords_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good.png", _png(0))
        link = zipfile.ZipInfo("link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("inner.zip", b"PK")
        archive.writestr("more/inner.tar.gz", b"")
        archive.writestr("raw.cr2", b"")
    source = open_source(path)
    assert source.names == ["good.png"]
    told = {file.path: file.reason for file in source.left_out}
    assert told["link.png"] == "is a link; links in archives are not followed"
    assert "one of 2" in told["inner.zip"] and "unpack it first" in told["inner.zip"]
    assert "develop such files" in told["raw.cr2"]
    data = bytearray(_zip(path, {"good.png": _png(0), "locked.png": _png(1)}).read_bytes())
    place = data.rindex(b"PK\1\2")  # the list's second entry
    data[place + 8] |= 1
    path.write_bytes(data)
    assert "password" in open_source(path).left_out[0].reason


def test_links_in_tars_are_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(_png(5))
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        member = tarfile.TarInfo("good.png")
        member.size = len(_png(0))
        archive.addfile(member, io.BytesIO(_png(0)))
        for name, kind in (
            ("soft.png", tarfile.SYMTYPE),
            ("hard.png", tarfile.LNKTYPE),
            ("pipe.png", tarfile.FIFOTYPE),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(secret)
            archive.addfile(member)
    source = open_source(tmp_path / "x.tar")
    assert source.names == ["good.png"]
    assert [file.reason for file in source.left_out] == [
        "is a link; links in archives are not followed (one of 2)",
        "is no regular file",
    ]


def test_junk_alone_is_one_line(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {f"{i}.dat": b"" for i in range(100_000)})
    with pytest.raises(UserError, match=r"no pictures in .* which has 100,000 entries") as error:
        open_source(path)
    assert "\n" not in str(error.value) and len(str(error.value)) < 400


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "FREE_BYTES", 1 << 20)
    blank = bytes(4 << 20)
    with pytest.raises(UserError, match="decompression bomb"):
        open_source(_zip(tmp_path / "x.zip", {"a.bmp": blank}))
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w") as archive:
        member = tarfile.TarInfo("a.bmp")
        member.size = len(blank)
        archive.addfile(member, io.BytesIO(blank))
    (tmp_path / "x.tar.gz").write_bytes(gzip.compress(inner.getvalue()))
    with pytest.raises(UserError, match="decompression bomb"):
        open_source(tmp_path / "x.tar.gz")
    monkeypatch.setattr(archives, "MAX_ENTRIES", 3)
    with pytest.raises(UserError, match="more than 3 entries"):
        open_source(_zip(tmp_path / "y.zip", {f"{i}.png": b"" for i in range(4)}))


def test_an_entry_that_is_larger_than_its_list_says(tmp_path: Path) -> None:
    path = _zip(tmp_path / "x.zip", {"a.png": bytes(1 << 20)})
    data = bytearray(path.read_bytes())
    place = data.index(b"PK\1\2")
    data[place + 24 : place + 28] = struct.pack("<I", 100)  # unpacked size in the list
    path.write_bytes(data)
    with pytest.raises(ValueError, match="checksum"):
        open_source(path).read("a.png")


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_damaged_archives(tmp_path: Path, folder: Path, name: str) -> None:
    path = tmp_path / name
    for content in (b"", b"not an archive", os.urandom(5000)):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.[a-z.]+'"):
            open_source(path)
    whole = _pack(folder, path, "").read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"x\.[a-z.]+'"):
        open_source(path)
    with pytest.raises(UserError, match="does not exist"):
        open_source(tmp_path / f"no_{name}")


@example(position=1226, value=83)  # an entry at -1
@given(position=st.integers(0, 2000), value=st.integers(0, 255))
def test_no_byte_of_a_zip_breaks_it(position: int, value: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzzed.zip"
    data = bytearray(_zip(path, {"a.png": _png(0, 12), "b/c.png": _png(1, 12)}).read_bytes())
    data[position % len(data)] = value
    path.write_bytes(data)
    try:
        source = ArchiveSource(path)
    except UserError as error:
        assert "\n" not in str(error)
        return
    for name in source.names:
        try:
            assert len(source.read(name)) > 0
        except ValueError:  # becomes the file's reason
            continue


def test_an_entry_twice_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("a.png", _png(0))
        archive.writestr("a.png", _png(1))
    source = open_source(path)
    assert source.read("a.png") == _png(1) and "more than once" in source.left_out[0].reason


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4), min_size=1, max_size=6))
def test_shared_folders(paths: list[list[str]]) -> None:
    count = shared_folders(paths)
    assert all(path[:-1][:count] == paths[0][:-1][:count] and len(path) > count for path in paths)
    longer = [path[:-1][: count + 1] for path in paths]
    assert any(len(path) <= count for path in longer) or len(set(map(tuple, longer))) > 1


WORD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)


@given(WORD, WORD, st.none() | WORD, st.none() | st.sampled_from(["train", "test[:400]", "a.b[10%:20%]"]))
def test_hub_names_are_parsed(user: str, name: str, revision: str | None, split: str | None) -> None:
    text = f"dataset:{user}/{name}" + (f"@{revision}" if revision else "") + (f":{split}" if split else "")
    spec = DatasetSpec.parse(text)
    assert spec == DatasetSpec(f"{user}/{name}", revision, split, False) and str(spec) == text


@pytest.mark.parametrize("text", ["dataset:", "dataset:a/b/c", "dataset:a b", "dataset:a/b:tr ain", "dataset:a/b@"])
def test_what_is_no_data_set(text: str) -> None:
    with pytest.raises(UserError, match=r"no data set|no split"):
        check_source("--data-folder", text)


def test_local_data_sets_are_parsed(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    assert DatasetSpec.parse(f"dataset:{tmp_path}/a:b") == DatasetSpec(f"{tmp_path}/a:b", None, None, True)
    assert DatasetSpec.parse(f"dataset:{tmp_path}:test") == DatasetSpec(str(tmp_path), None, "test", True)
    with pytest.raises(UserError, match="there is no folder"):
        check_source("--input", f"dataset:{tmp_path}/missing")
    with pytest.raises(UserError, match=r"--data-folder .* is no folder: there is nothing of that name"):
        check_source("--data-folder", str(tmp_path / "missing"))
    with pytest.raises(UserError, match="--image-column x is for"):
        check_image_column("x", [str(tmp_path)])


def test_the_library_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'sle-gan\[datasets\]'"):
        open_source(f"dataset:{tmp_path}")


@pytest.fixture
def datasets_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    datasets.disable_progress_bars()


def _parquet(folder: Path, split: str, **columns: list[object]) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), folder / f"{split}-00000.parquet")
    return f"dataset:{folder}"


def _cells(files: dict[str | None, bytes]) -> list[object]:
    return [{"bytes": content, "path": path} for path, content in files.items()]


@pytest.mark.usefixtures("datasets_library")
def test_parquet_is_the_same_set_as_its_folder(tmp_path: Path) -> None:
    folder, files = tmp_path / "plain", {f"{i}.png": _png(i) for i in (3, 1, 2)}
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    expected = load_dataset(folder, 16, cache_folder=tmp_path / "cache", progress=False)
    source = _parquet(tmp_path / "pq", "train", image=_cells(dict(files)), label=[0, 1, 0])  # type: ignore[arg-type]
    found = load_dataset(source, 16, cache_folder=tmp_path / "cache", progress=False)
    assert found.files == ("1.png", "2.png", "3.png") and found.digest == expected.digest
    np.testing.assert_array_equal(found.images, expected.images)


@pytest.mark.usefixtures("datasets_library")
def test_rows_without_names_and_without_images(tmp_path: Path) -> None:
    cells = [{"bytes": _png(0), "path": None}, {"bytes": None, "path": "/etc/passwd"}, {"bytes": _png(1), "path": None}]
    found = load_dataset(_parquet(tmp_path / "pq", "train", picture=cells), 16, progress=False)
    assert found.files == ("row_000000", "row_000002")
    assert found.skipped[0].path == "row_000001" and "outside the data set" in found.skipped[0].reason


@pytest.mark.usefixtures("datasets_library")
def test_columns_and_splits(tmp_path: Path) -> None:
    one, other = _cells({"a.png": _png(0)}), _cells({"b.png": _png(1)})
    source = _parquet(tmp_path / "pq", "validation", left=one, right=other, text=["x"])
    _parquet(tmp_path / "pq", "test", left=other, right=one, text=["y"])
    with pytest.raises(UserError, match=r"has the splits .*validation.*; say which"):
        open_source(source, "left")
    with pytest.raises(UserError, match="no such split; expected one of"):
        open_source(f"{source}:train", "left")
    with pytest.raises(UserError, match="2 columns with images: give --image-column with one of left, right"):
        open_source(f"{source}:test")
    with pytest.raises(UserError, match="--image-column text: it holds no images"):
        open_source(f"{source}:test", "text")
    with pytest.raises(UserError, match=r"--image-column top: .* has the columns left, right, text"):
        open_source(f"{source}:test", "top")
    assert open_source(f"{source}:test", "left").read("b.png") == _png(1)
    assert open_source(f"{source}:validation[:1]", "left").names == ["a.png"]
    with pytest.raises(UserError, match="has no images: its columns are text"):
        open_source(_parquet(tmp_path / "words", "train", text=["x"]))
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UserError, match="cannot be loaded"):
        open_source(f"dataset:{tmp_path}/nothing")


@pytest.mark.usefixtures("datasets_library")
def test_an_imagefolder_keeps_its_names(tmp_path: Path) -> None:
    for i, name in enumerate(("train/rose/a.png", "train/daisy/a.png")):
        (tmp_path / "set" / name).parent.mkdir(parents=True)
        (tmp_path / "set" / name).write_bytes(_png(i))
    source = open_source(f"dataset:{tmp_path}/set")
    assert source.names == ["train/daisy/a.png", "train/rose/a.png"] == open_source(tmp_path / "set").names
    assert source.read("train/rose/a.png") == _png(0)
