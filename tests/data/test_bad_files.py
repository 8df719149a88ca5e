"""No file crashes a run: each bad one is named with its reason, and the good ones are used."""

import io
import os
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sle_gan.data import decode, find_images, load_dataset, load_images, picture_files
from sle_gan.errors import UserError


def png(width: int, height: int) -> bytes:
    """A PNG that claims a size; its pixels are missing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def encoded(format: str, width: int = 40, height: int = 30, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, format=format)
    return file.getvalue()


BAD = {
    "empty.jpg": (b"", r"empty file \(0 bytes\)"),
    "text.png": (b"this is no picture\n" * 50, "not a picture"),
    "page.jpg": (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not a picture"),
    "drawing.tif": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n", "not a picture"),
    "icon.png": (encoded("ICO"), "not a picture"),
    "cut.jpg": (encoded("JPEG")[:700], "truncated"),
    "cut.png": (encoded("PNG")[:700], "truncated"),
    "cut.webp": (encoded("WEBP")[:300], "."),
    "cut.gif": (encoded("GIF")[:900], "truncated"),
    "cut.bmp": (encoded("BMP")[:900], "truncated"),
    "cut.tiff": (encoded("TIFF")[:900], "."),
    "header.tif": (b"II*\0" + b"\xff" * 60, "."),
    "dot.png": (encoded("PNG", 1, 1), r"too small: 1x1, both sides must have at least 8"),
    "line.png": (encoded("PNG", 100, 7), "too small: 100x7"),
    "wide.png": (encoded("PNG", 20000, 10), "too narrow: 20000x10, one side is over 16 times"),
    "tall.png": (encoded("PNG", 10, 20000), "too narrow: 10x20000"),
    "bomb.png": (png(30000, 30000), "decompression bomb"),
    "large.png": (png(10000, 9000), "10000x9000.*decompression bomb"),
    "hollow.png": (png(40, 40), "."),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good pictures."""
    (tmp_path / "set").mkdir()
    for name in ("a.png", "z.png"):
        (tmp_path / "set" / name).write_bytes(encoded("PNG"))
    return tmp_path / "set"


def the_one_skipped(folder: Path, cache: Path) -> tuple[str, str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Pillow's are no use to who reads a terminal
        dataset = load_dataset(folder, 16, cache_folder=cache, progress=False)
    assert dataset.files == ("a.png", "z.png")
    assert dataset.images.shape == (2, 16, 16, 3)
    (skipped,) = dataset.skipped
    again = load_dataset(folder, 16, cache_folder=cache, progress=False)
    assert again.skipped == (skipped,)  # the second start says so too
    assert "\n" not in str(skipped)
    return skipped.path, skipped.reason


@pytest.mark.parametrize("name", BAD)
def test_bad_content(folder: Path, cache: Path, name: str) -> None:
    content, reason = BAD[name]
    (folder / name).write_bytes(content)
    path, found = the_one_skipped(folder, cache)
    assert path == name
    assert re.search(reason, found), found


def test_broken_link(folder: Path, cache: Path) -> None:
    (folder / "link.jpg").symlink_to(folder / "nowhere.jpg")
    assert the_one_skipped(folder, cache) == ("link.jpg", "broken symbolic link")


def test_link_to_itself(folder: Path, cache: Path) -> None:
    (folder / "link.jpg").symlink_to("link.jpg")
    assert the_one_skipped(folder, cache)[0] == "link.jpg"


@pytest.mark.timeout(300)  # who waits for a pipe waits for ever
def test_pipe_is_not_waited_for(folder: Path, cache: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    assert the_one_skipped(folder, cache) == ("pipe.jpg", "not a regular file")


@pytest.mark.timeout(300)  # who waits for a pipe waits for ever
def test_load_images_takes_the_same_care(folder: Path) -> None:
    os.mkfifo(folder / "pipe.jpg")
    (folder / "zero.png").write_bytes(b"")
    paths = [folder / name for name in ("pipe.jpg", "a.png", "zero.png", "z.png", "gone.png")]
    with pytest.raises(UserError, match="3 of 5"):
        load_images(paths, 16, progress=False)
    images, skipped = load_images(paths[:4], 16, progress=False)
    assert len(images) == 2
    assert [file.reason for file in skipped] == ["not a regular file", "empty file (0 bytes)"]


def test_no_permission(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests may run as root, who reads everything; so the refusal is simulated."""
    (folder / "secret.png").write_bytes(encoded("PNG"))
    opened = Path.open

    def refuse(self: Path, *args: object, **kwargs: object) -> object:
        if self.name == "secret.png":
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    assert the_one_skipped(folder, cache) == ("secret.png", "Permission denied")
    monkeypatch.undo()
    repaired = load_dataset(folder, 16, cache_folder=cache, progress=False)
    assert "secret.png" in repaired.files and not repaired.skipped


def test_folder_without_permission(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "private").mkdir()
    listed = picture_files._list_folder

    def refuse(path: Path, visited: set[tuple[int, int]]) -> tuple[list[str], list[str]]:
        if path.name == "private":
            raise PermissionError(13, "Permission denied")
        return listed(path, visited)

    monkeypatch.setattr(picture_files, "_list_folder", refuse)
    assert the_one_skipped(folder, cache) == ("private", "folder cannot be listed: Permission denied")


def test_anything_that_pillow_raises(folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors = [RecursionError(), struct.error("bad\nheader"), MemoryError(), KeyError("x"), AssertionError()]
    for error in errors:

        def fail(*args: object, error: Exception = error, **kwargs: object) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(decode.Image, "open", fail)
            with pytest.raises(UserError, match="2 of 2 pictures"):
                load_dataset(folder, 16, cache_folder=cache, progress=False)


def test_pillow_keeps_quiet(folder: Path, cache: Path) -> None:
    """Its warnings (here on damaged EXIF data) name no file; what matters is a reason, or changes no pixel."""
    Image.new("RGB", (20, 20)).save(folder / "exif.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff broken")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with Image.open(folder / "exif.png") as image:
            image.getexif()
        assert len(caught) == 1
        dataset = load_dataset(folder, 16, cache_folder=cache, progress=False)
    assert len(caught) == 1
    assert "exif.png" in dataset.files


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_random_damage(tmp_path: Path, format: str) -> None:
    """Bytes changed, cut out or cut off at random: an image or a reason, never an exception."""
    rng = np.random.default_rng(7)
    whole = encoded(format)
    damaged, good = [], []
    for number in range(40):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 12)):
            # Most damage goes to the header, where it does most harm.
            position = int(rng.integers(len(data) if number % 2 else min(len(data), 120)))
            data[position] = rng.integers(256)
        if number % 4 == 0:
            del data[int(rng.integers(len(data))) :]
        damaged.append(tmp_path / f"{number}.{format.lower()}")
        damaged[-1].write_bytes(data)
        good.append(tmp_path / f"good{number}.{format.lower()}")
        good[-1].write_bytes(whole)
    images, skipped = load_images([*good, *damaged], 16, progress=False)
    assert len(images) + len(skipped) == 80
    assert len(images) >= 40
    assert all(file.reason.strip() and "\n" not in file.reason for file in skipped)


# How many bad ones are too many


def test_half_bad_is_accepted(folder: Path, cache: Path) -> None:
    for name in "bc":
        (folder / f"{name}.png").write_bytes(b"x")
    assert len(load_dataset(folder, 16, cache_folder=cache, progress=False).skipped) == 2


def test_more_than_half_bad(folder: Path, cache: Path) -> None:
    for name in "bcdef":
        (folder / f"{name}.png").write_bytes(b"x")
    with pytest.raises(UserError, match=r"5 of 7 pictures .*b\.png: not a picture.*d\.png.*; \.\.\.") as error:
        load_dataset(folder, 16, cache_folder=cache, progress=False)
    assert "e.png" not in str(error.value) and "\n" not in str(error.value)
    assert list(cache.iterdir()) == []


def test_none_good(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"1 of 1 picture .*a\.png: empty file"):
        load_dataset(tmp_path, 16, cache_folder=cache, progress=False)
    with pytest.raises(UserError, match="1 of 1 picture "):
        load_images([tmp_path / "a.png"], 16, progress=False)


def test_no_folder_to_read(tmp_path: Path) -> None:
    (tmp_path / "file.txt").write_text("x")
    with pytest.raises(UserError, match=r"missing' does not exist"):
        load_dataset(tmp_path / "missing", progress=False)
    with pytest.raises(UserError, match=r"file\.txt' is a file, not a folder"):
        load_dataset(tmp_path / "file.txt", progress=False)
    with pytest.raises(UserError, match=r"no pictures in .* jpg jpeg jpe jfif png apng webp"):
        load_dataset(tmp_path, progress=False)
    with pytest.raises(UserError, match="no pictures were given"):
        load_images([], progress=False)


# Names


def test_walk(folder: Path) -> None:
    """Recursive, any case, hidden ones left out, each folder once whatever links there are, sorted."""
    (folder / "B").mkdir()
    (folder / "B" / ".hidden").mkdir()
    (folder / "folder.jpg").mkdir()
    for name in ("B/Q.JPEG", "B/.no.png", "B/.hidden/no.png", "notes.txt", "b.TiFf", "folder.jpg/in.WEBP", "m.gif"):
        (folder / name).write_bytes(b"x")
    (folder / "B" / "up").symlink_to(folder)
    (folder / "C").symlink_to(folder / "B")
    (folder / "linked.bmp").symlink_to(folder / "m.gif")
    names, unlisted = find_images(folder)
    assert names == ["B/Q.JPEG", "a.png", "b.TiFf", "folder.jpg/in.WEBP", "linked.bmp", "m.gif", "z.png"]
    assert unlisted == []


def test_folders_of_runs_and_shared_models_are_left_out(folder: Path, cache: Path) -> None:
    """A folder with pictures, and in it the grids of runs, one of them behind a link and one without checkpoints."""
    for place in ("runs/b", "runs/a", "shared", "runs/old"):
        (folder / place / "samples").mkdir(parents=True)
        (folder / place / "samples" / "samples_00000000.png").write_bytes(encoded("PNG"))
        (folder / place / "config.json").write_text("{}")
    for place in ("runs/a", "runs/b"):
        (folder / place / "checkpoints").mkdir()
    (folder / "shared" / "generator_weights.h5").touch()
    (folder / "runs" / "old" / "best_generator_weights.h5").touch()
    (folder / "linked").symlink_to(folder / "runs" / "a")
    (folder / "theirs" / "checkpoints").mkdir(parents=True)  # another program's: no settings beside it
    (folder / "theirs" / "c.png").write_bytes(encoded("PNG"))
    names, left_out = find_images(folder)
    assert names == ["a.png", "theirs/c.png", "z.png"]
    (entry,) = left_out
    assert str(entry).startswith("linked: folder of a training run") and "4 more such folders" in entry.reason
    dataset = load_dataset(folder, 16, cache_folder=cache, progress=False)
    assert len(dataset) == 3 and dataset.skipped == (entry,)
    assert find_images(folder / "runs" / "a")[0] == ["samples/samples_00000000.png"], "asked for by name it is read"
    with pytest.raises(UserError, match=r"no pictures in .*; a: folder of a training run.* and 2 more"):
        find_images(folder / "runs")


def test_strange_names(tmp_path: Path, cache: Path) -> None:
    names = ["żółw 🌻.png", "new\nline.png", "-dash.png", "a" * 200 + ".png", "日本/花.png", 'quote".png']
    for name in names:
        (tmp_path / "set" / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / "set" / name).write_bytes(encoded("PNG"))
    first = load_dataset(tmp_path / "set", 16, cache_folder=cache, progress=False)
    assert sorted(first.files) == sorted(names) and not first.skipped
    assert load_dataset(tmp_path / "set", 16, cache_folder=cache, progress=False).files == first.files


def test_names_that_are_no_text(tmp_path: Path, cache: Path) -> None:
    stray, control = os.fsdecode(b"\xff\xfe.png"), "bell\x07.png"
    try:
        (tmp_path / stray).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (tmp_path / control).write_bytes(b"")
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(encoded("PNG"))
    for _ in range(2):
        dataset = load_dataset(tmp_path, 16, cache_folder=cache, progress=False)
        assert {file.path for file in dataset.skipped} == {stray, control}
        text = " ".join(str(file) for file in dataset.skipped)
        assert text.isprintable() and text.encode("ascii")


def test_thousands_of_files(tmp_path: Path, cache: Path) -> None:
    data = encoded("PNG", 8, 8)
    for number in range(3000):
        (tmp_path / f"{number:05}.png").write_bytes(data)
    dataset = load_dataset(tmp_path, 8, cache_folder=cache, progress=False)
    assert len(dataset) == 3000
    assert dataset.files[2999] == "02999.png"
