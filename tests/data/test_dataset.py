"""The cache: the same bytes from it as without it, and never anything else."""

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import as_another_user
from PIL import Image

from sle_gan.data import Dataset, decode_image, default_cache_folder, load_dataset, load_images
from sle_gan.data import cache as cache_module
from sle_gan.data import dataset as dataset_module
from sle_gan.errors import UserError


def load(folder: Path, cache: Path, resolution: int = 16, channels: str = "rgb") -> Dataset:
    return load_dataset(folder, resolution, channels, cache_folder=cache, progress=False)


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Call it, and from then on decoding fails the test."""

    def refuse(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt("decoded again")

    return lambda: monkeypatch.setattr(dataset_module, "read_cut", refuse)


def test_second_start_equals_the_first(pictures: Path, cache: Path, no_decoding: Callable[[], None]) -> None:
    (pictures / "bad.jpg").write_bytes(b"x")
    first = load(pictures, cache)
    no_decoding()
    second = load(pictures, cache)
    np.testing.assert_array_equal(first.images, second.images)
    assert first.images.shape == (10, 16, 16, 3) and first.images.dtype == np.uint8
    assert (first.files, first.skipped, first.digest) == (second.files, second.skipped, second.digest)
    assert first.source == pictures and len(first) == 10
    assert isinstance(second.images, np.memmap)
    for dataset in (first, second):
        with pytest.raises(ValueError, match="read-only"):
            dataset.images[0] = 0


def test_images_are_those_of_the_files(pictures: Path, cache: Path) -> None:
    dataset = load(pictures, cache)
    images, skipped = load_images([pictures / name for name in dataset.files], 16, progress=False)
    np.testing.assert_array_equal(dataset.images, images)
    assert skipped == () and not images.flags.writeable
    names = [f"{number:02}.png" for number in range(10)]
    assert dataset.files == tuple(names)
    # load_images keeps the given order
    np.testing.assert_array_equal(load_images([pictures / n for n in names[::-1]], 16)[0], images[::-1])


def test_any_number_of_workers_gives_the_same(pictures: Path, tmp_path: Path) -> None:
    results = [load_dataset(pictures, 16, cache_folder=tmp_path / str(w), workers=w).images for w in (1, 3, 9)]
    np.testing.assert_array_equal(results[0], results[1])
    np.testing.assert_array_equal(results[0], results[2])
    with pytest.raises(UserError, match="workers 0"):
        load_dataset(pictures, workers=0)


def change_content(folder: Path) -> None:
    """As sly as can be: same size, same time, one pixel."""
    path = folder / "05.png"
    status = path.stat()
    data = bytearray(path.read_bytes())
    pixels = np.asarray(Image.open(path)).copy()
    pixels[0, 0] ^= 1
    Image.fromarray(pixels).save(path)
    path.write_bytes(path.read_bytes()[: len(data)].ljust(len(data), b"\0"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        change_content,
        lambda folder: (folder / "05.png").unlink(),
        lambda folder: (folder / "05.png").rename(folder / "95.png"),
        lambda folder: (folder / "05.png").rename(folder / "055.png"),  # the order stays
        lambda folder: shutil.copy(folder / "05.png", folder / "99.png"),
        lambda folder: (folder / "new.png").write_bytes(b"not a picture"),
    ],
    ids=["content", "removed", "moved", "renamed", "added", "bad one added"],
)
def test_a_change_of_the_files_is_seen(pictures: Path, cache: Path, change: Callable[[Path], object]) -> None:
    before = load(pictures, cache)
    change(pictures)
    after = load(pictures, cache)
    assert after.digest != before.digest
    fresh = load(pictures, cache.with_name("fresh"))
    assert (after.files, after.skipped) == (fresh.files, fresh.skipped)
    np.testing.assert_array_equal(after.images, fresh.images)


def test_enlarging_has_its_own_entries(pictures: Path, cache: Path) -> None:
    smooth, pixels = (load_dataset(pictures, 64, cache_folder=cache, enlarge=how) for how in ("smooth", "pixels"))
    assert smooth.digest != pixels.digest
    assert (smooth.images != pixels.images).mean() > 0.5
    again = load_dataset(pictures, 64, cache_folder=cache, enlarge="pixels")
    np.testing.assert_array_equal(again.images, pixels.images)
    for name, image in zip(pixels.files, pixels.images):
        np.testing.assert_array_equal(image, decode_image(pictures / name, 64, enlarge="pixels"))


def test_settings_have_their_own_entries(pictures: Path, cache: Path, no_decoding: Callable[[], None]) -> None:
    settings = [(16, "rgb"), (16, "grey"), (16, "rgba"), (24, "rgb")]
    first = [load(pictures, cache, *s) for s in settings]
    assert len({dataset.digest for dataset in first}) == 4
    assert [dataset.images.shape[1:] for dataset in first] == [(16, 16, 3), (16, 16, 1), (16, 16, 4), (24, 24, 3)]
    no_decoding()
    for dataset, s in zip(first, settings):
        np.testing.assert_array_equal(load(pictures, cache, *s).images, dataset.images)


def test_a_copy_of_the_folder_shares_the_entry(
    pictures: Path, cache: Path, tmp_path: Path, no_decoding: Callable[[], None]
) -> None:
    first = load(pictures, cache)
    shutil.copytree(pictures, tmp_path / "copy")
    no_decoding()
    second = load(tmp_path / "copy", cache)
    assert second.digest == first.digest and second.source == tmp_path / "copy"


# Damage


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[5000] ^= 4
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "array cut off": lambda array, meta: os.truncate(array, 3000),
    "array empty": lambda array, meta: array.write_bytes(b""),
    "array is garbage": lambda array, meta: array.write_bytes(b"garbage" * 1000),
    "one bit flipped": lambda array, meta: flip(array),
    "array is zeros": lambda array, meta: array.write_bytes(array.read_bytes()[:128] + bytes(10 * 768)),
    "other shape": lambda array, meta: np.save(array, np.zeros((10, 16, 16), np.uint8)),
    "fewer images": lambda array, meta: np.save(array, np.load(array)[:9]),
    "other type": lambda array, meta: np.save(array, np.load(array).astype(np.float32)),
    "column order": lambda array, meta: np.save(array, np.asfortranarray(np.load(array))),
    "pickled objects": lambda array, meta: np.save(array, np.array([{}], object), allow_pickle=True),
    "json garbage": lambda array, meta: meta.write_bytes(b"\xff{not json"),
    "json empty": lambda array, meta: meta.write_bytes(b""),
    "json null": lambda array, meta: meta.write_text("null"),
    "json a list": lambda array, meta: meta.write_text("[1, 2]"),
    "json keys missing": lambda array, meta: meta.write_text("{}"),
    "json of another version": lambda array, meta: edit_json(meta, format=0),
    "json of another set": lambda array, meta: edit_json(meta, digest="0" * 32),
    "json other files": lambda array, meta: edit_json(meta, files=[f"{n}.jpg" for n in range(10)]),
    "json no strings": lambda array, meta: edit_json(meta, files=list(range(10))),
    "json no files": lambda array, meta: edit_json(meta, files=[], crc32=[]),
    "json few sums": lambda array, meta: edit_json(meta, crc32=[1]),
    "json other sums": lambda array, meta: edit_json(meta, crc32=["x"] * 10),
    "json wrong skipped": lambda array, meta: edit_json(meta, skipped=[1]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_cache_is_made_anew(pictures: Path, cache: Path, damage: str) -> None:
    first = load(pictures, cache)
    expected = np.array(first.images)
    files, array, meta = first.files, cache / f"{first.digest}.npy", cache / f"{first.digest}.json"
    del first
    DAMAGE[damage](array, meta)
    with pytest.warns(UserWarning, match="is made anew"):
        second = load(pictures, cache)
    np.testing.assert_array_equal(second.images, expected)
    assert second.files == files
    np.testing.assert_array_equal(load(pictures, cache).images, expected)  # without a warning: it is whole again


@pytest.mark.parametrize("suffix", [".npy", ".json"])
def test_half_an_entry_is_none(pictures: Path, cache: Path, suffix: str) -> None:
    first = load(pictures, cache)
    (cache / f"{first.digest}{suffix}").unlink()
    np.testing.assert_array_equal(load(pictures, cache).images, first.images)
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


# Where it cannot be written


def test_unusable_cache_folder(pictures: Path, cache: Path) -> None:
    expected = load(pictures, cache)
    blocked = cache.with_name("file")
    blocked.write_text("in the way")
    with pytest.warns(UserWarning, match="cannot write the cache to .*file.* stay in memory"):
        dataset = load(pictures, blocked / "cache")
    np.testing.assert_array_equal(dataset.images, expected.images)
    assert not isinstance(dataset.images, np.memmap) and not dataset.images.flags.writeable
    assert dataset.digest == expected.digest


def test_full_disk(pictures: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = cache_module.EntryWriter.append

    def fill(self: cache_module.EntryWriter, image: np.ndarray) -> None:
        if len(self._checksums) == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, image)

    monkeypatch.setattr(cache_module.EntryWriter, "append", fill)
    with pytest.warns(UserWarning, match="No space left on device.*stay in memory"):
        dataset = load(pictures, cache)
    assert len(dataset) == 10
    assert list(cache.iterdir()) == []


def test_writes_that_really_fail(pictures: Path, cache: Path) -> None:
    """A limit on file sizes makes the operating system refuse, in the middle of a write or at the flush."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = 128 + 10 * 64 * 64 * 3
    for limit in (100, size // 2, size - 1):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.warns(UserWarning, match="cannot write the cache"):
                dataset = load(pictures, cache, 64)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert len(dataset) == 10
        assert list(cache.iterdir()) == []


def test_interruption_leaves_nothing(pictures: Path, cache: Path, no_decoding: Callable[[], None]) -> None:
    no_decoding()
    with pytest.raises(KeyboardInterrupt):
        load(pictures, cache)
    assert list(cache.iterdir()) == []


def test_leftovers_of_killed_processes_go(pictures: Path, cache: Path) -> None:
    cache.mkdir()
    old = cache / f"{'a' * 32}.npy.1-{'b' * 8}.tmp", cache / f".statistics-{'c' * 24}.npz.17.tmp"
    kept = cache / f"{'d' * 32}.npy.2-{'e' * 8}.tmp", cache / "notes.txt", cache / "theirs.tmp"
    for path in (*old, *kept):
        path.write_text("x")
        os.utime(path, (time.time() - 7200,) * 2)
    os.utime(kept[0])
    load(pictures, cache)
    assert not any(path.exists() for path in old) and all(path.exists() for path in kept)


def used_long_ago(cache: Path, digest: str, days: int) -> None:
    for path in cache.glob(f"{digest}*"):
        os.utime(path, (time.time() - 86400 * days,) * 2)


def test_the_least_recently_used_entries_go(
    pictures: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, no_decoding: Callable[[], None]
) -> None:
    """Sets of 31 to 41 kB and a limit of 110: reading the oldest saves it, and the second oldest goes."""
    cache.mkdir()
    statistics, theirs = cache / f"statistics-{'0' * 24}.npz", cache / "theirs.npy"
    for path in (statistics, theirs):
        path.write_bytes(bytes(2000))
        os.utime(path, (time.time() - 86400 * 9,) * 2)
    first, second = load(pictures, cache, 32), load(pictures, cache, 32, "rgba")
    third = load(pictures, cache, 33)
    assert statistics.exists(), "20 GB are the default"
    content = np.array(second.images)
    for days, dataset in ((8, first), (7, second), (6, third)):
        used_long_ago(cache, dataset.digest, days)
    load(pictures, cache, 32)
    monkeypatch.setenv("SLE_GAN_CACHE_GB", "0.00011")
    fourth = load(pictures, cache, 34)
    left = {path.name for path in cache.iterdir()} - {theirs.name}
    assert left == {f"{each.digest}{ending}" for each in (first, third, fourth) for ending in (".npy", ".json")}
    np.testing.assert_array_equal(second.images, content)  # who has mapped it goes on reading it
    monkeypatch.setenv("SLE_GAN_CACHE_GB", "0")
    fifth = load(pictures, cache, 35)  # what is in use is kept, whatever the limit
    assert {path.stem for path in cache.iterdir()} == {fifth.digest, "theirs"}
    no_decoding()
    np.testing.assert_array_equal(load(pictures, cache, 35).images, fifth.images)


@pytest.mark.parametrize("text", ("much", "-1", "nan", "inf"))
def test_a_limit_that_is_none(pictures: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    load(pictures, cache)
    monkeypatch.setenv("SLE_GAN_CACHE_GB", text)
    with pytest.raises(UserError, match=f"SLE_GAN_CACHE_GB is '{text}'; expected gigabytes"):
        load(pictures, cache)


def test_a_cache_that_may_only_be_read_is_used(pictures: Path, public: Path, no_decoding: Callable[[], None]) -> None:
    """That of another user; what is not in it stays in memory."""
    first = load(pictures, public)
    closed = {".": 0o555, **{path.name: 0o444 for path in public.iterdir()}}
    shutil.copytree(pictures, public / "pictures")
    with as_another_user(public, closed):
        with pytest.warns(UserWarning, match=r"cannot write the cache to .*Permission denied.*--cache-folder"):
            assert len(load(public / "pictures", public, 17)) == 10
        no_decoding()
        np.testing.assert_array_equal(load(public / "pictures", public).images, first.images)


BUILD = """
import sys, numpy as np
from sle_gan.data import load_dataset
sys.stdin.readline()
dataset = load_dataset(sys.argv[1], 64, cache_folder=sys.argv[2], progress=False)
print(dataset.digest, int(np.asarray(dataset.images, np.int64).sum()), len(dataset))
"""


def test_two_processes_at_once(pictures: Path, cache: Path) -> None:
    command = [sys.executable, "-W", "error", "-c", BUILD, str(pictures), str(cache)]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = {process.communicate()[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(answers) == 1
    assert sorted(path.suffix for path in cache.iterdir()) == [".json", ".npy"]


# Around it


def test_default_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: Path) -> None:
    monkeypatch.delenv("SLE_GAN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_folder() == tmp_path / ".cache" / "sle_gan"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_cache_folder() == tmp_path / ".cache" / "sle_gan"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache_folder() == tmp_path / "xdg" / "sle_gan"
    monkeypatch.setenv("SLE_GAN_CACHE", str(tmp_path / "own"))
    assert default_cache_folder() == tmp_path / "own"
    monkeypatch.setenv("SLE_GAN_CACHE", "~/own")
    assert default_cache_folder() == tmp_path / "own"
    load_dataset(pictures, 16, progress=False)
    assert len(list((tmp_path / "own").iterdir())) == 2


def test_quick_work_shows_no_bar(pictures: Path, cache: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_dataset(pictures, 16, cache_folder=cache, progress=True)
    assert capfd.readouterr() == ("", "")


def test_no_backend_is_imported() -> None:
    code = (
        "import sys, sle_gan.data; "
        "print([name for name in ('tensorflow', 'keras', 'jax', 'torch') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# Linux tells the peak of this program alone; what getrusage says of a child includes its parent at the fork.
MEASURE = """
import pathlib, re, resource, sys, time
from sle_gan.data import load_dataset
dataset = load_dataset(sys.argv[1], 256, cache_folder=sys.argv[2], progress=False)
used = resource.getrusage(resource.RUSAGE_SELF)
status = pathlib.Path("/proc/self/status")
peak = 1024 * int(re.search("VmHWM:\\s+(\\d+)", status.read_text())[1]) if status.exists() else used.ru_maxrss
print(len(dataset), len(dataset.skipped), used.ru_utime + used.ru_stime, peak / 1e6)
"""


def seconds_of_pillow(paths: list[Path]) -> float:
    """Processor time of decoding and resizing the pictures, here and now: every tenth, times ten."""
    started = time.process_time()
    for path in paths[::10]:
        with Image.open(path) as image:
            image.convert("RGB").resize((256, 256), Image.Resampling.LANCZOS)
    return 10 * (time.process_time() - started)


def test_flowers_are_fast_and_small(flowers: Path, cache: Path) -> None:
    """Processor time beside what Pillow alone takes on the same machine at the same time; under 1 GB."""

    def measure() -> list[float]:
        command = [sys.executable, "-c", MEASURE, str(flowers), str(cache)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        return [float(number) for number in run.stdout.split()]

    bare = seconds_of_pillow(sorted(flowers.glob("*.jpg")))
    for share in (2.0, 0.4):  # at first, and from the cache
        images, skipped, cpu, megabytes = measure()
        print(f"Pillow {bare:.1f} s, all {cpu:.1f} s of CPU, {megabytes:.0f} MB")
        assert (images, skipped) == (1360, 0)
        assert cpu < share * bare
        assert megabytes < 1000
