"""Which files are pictures, whatever else they carry; and what is said of those that are not read."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sle_gan.data import decode_image, decode_whole, find_images, load_dataset, opening, unread
from sle_gan.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)


def saved(format: str, **options: object) -> io.BytesIO:
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format=format, **options)
    return file


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", checksum or zlib.crc32(kind + data))


def with_chunk(extra: bytes, last: bool = False) -> io.BytesIO:
    """A PNG with one more chunk, before its pixels or after them."""
    data = saved("PNG").getvalue()
    place = data.index(b"IEND" if last else b"IDAT") - 4
    return io.BytesIO(data[:place] + extra + data[place:])


LONG = zlib.compress(b"x" * 3_000_000)
METADATA = {
    "long zipped text": chunk(b"zTXt", b"workflow\0\0" + LONG),
    "long zipped international text": chunk(b"iTXt", b"workflow\0\1\0\0\0" + LONG),
    "long profile": chunk(b"iCCP", b"p\0\0" + LONG),
    "text that would fill the memory": chunk(b"tEXt", b"k\0" + b"z" * 70_000_000),
    "text with a wrong checksum": chunk(b"tEXt", b"k\0text", checksum=1),
    "zip of no known kind": chunk(b"zTXt", b"k\0\7text"),
    "profile of no known kind": chunk(b"iCCP", b"p\0\7text"),
    "EXIF with a wrong checksum": chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0", checksum=1),
    "long XMP": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
    "cut physical size": chunk(b"pHYs", b"\0"),
    "frames in disorder": chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", b"\0\0\0\7" + b"\0" * 22),
}


@pytest.mark.parametrize("last", [False, True], ids=["before the pixels", "after them"])
@pytest.mark.parametrize("name", METADATA)
def test_metadata_cost_no_picture(name: str, last: bool) -> None:
    np.testing.assert_array_equal(decode_whole(with_chunk(METADATA[name], last)), PIXELS)


@pytest.mark.parametrize("kind", ["eXIf", "raw profile", "XMP", "zipped XMP"])
def test_orientation_in_a_png_still_counts(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    info = PngImagePlugin.PngInfo()
    info.add_text("long", "x" * 2_000_000, zip=True)
    xmp = '<x tiff:Orientation="6"/>'
    if kind == "raw profile":
        info.add_text("Raw profile type exif", f"\nexif\n{len(exif.tobytes())}\n{exif.tobytes().hex()}", zip=True)
    elif "XMP" in kind:
        info.add_itxt("XML:com.adobe.xmp", xmp, zip="zipped" in kind)
    file = saved("PNG", pnginfo=info, **({"exif": exif} if kind == "eXIf" else {}))
    np.testing.assert_array_equal(decode_whole(file), np.rot90(PIXELS, -1))


def test_transparency_and_the_first_frame_stay(tmp_path: Path) -> None:
    image = Image.fromarray(PIXELS)
    image.save(tmp_path / "a.png", transparency=tuple(PIXELS[3, 4].tolist()))
    over_white = decode_whole(tmp_path / "a.png")
    assert (
        over_white[3, 4].tolist() == [255] * 3 and (over_white == PIXELS).all(axis=-1).sum() >= PIXELS[..., 0].size - 2
    )
    image.save(tmp_path / "b.apng", format="PNG", save_all=True, append_images=[image.rotate(180)])
    np.testing.assert_array_equal(decode_whole(tmp_path / "b.apng"), PIXELS)


def test_the_limit_is_on_decoded_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A JPEG may be decoded at an eighth; Pillow's own limits on what is opened do not count."""
    file = io.BytesIO()
    Image.new("RGB", (2000, 1600), (200, 10, 10)).save(file, format="JPEG", quality=95)
    png = io.BytesIO()
    Image.new("RGB", (2000, 1600)).save(png, format="PNG")
    monkeypatch.setattr(opening, "MAX_PIXELS", 500 * 400)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500 * 400)
    np.testing.assert_allclose(decode_image(file, 64), np.full((64, 64, 3), (200, 10, 10)), atol=3)
    for refused in (lambda: decode_whole(file), lambda: decode_image(file, 512)):
        with pytest.raises(ValueError, match=r"2000x1600.* is over 200,000 pixels.* lower --resolution"):
            refused()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(ValueError, match=r"2000x1600 is over 200,000 pixels, a decompression bomb$"):
        decode_image(png, 64)


def test_a_progressive_jpeg_needs_memory_for_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.new("RGB", (2000, 1600)).save(file, format="JPEG", progressive=True)
    monkeypatch.setattr(opening, "MAX_PIXELS", 500 * 400)
    with pytest.raises(ValueError, match="decompression bomb"):
        decode_image(file, 64)


def test_every_suffix_of_a_picture_counts(tmp_path: Path, cache: Path) -> None:
    for name in ("a.jfif", "b.JPE", "c.apng"):
        Image.fromarray(PIXELS).save(tmp_path / name, format="PNG" if name == "c.apng" else "JPEG")
    assert load_dataset(tmp_path, 16, cache_folder=cache, progress=False).files == ("a.jfif", "b.JPE", "c.apng")


@pytest.mark.skipif(not opening.AVIF, reason="this Pillow reads no AVIF")
def test_avif_is_a_picture(tmp_path: Path) -> None:
    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "a.avif")
    assert find_images(tmp_path) == (["a.avif"], [])
    np.testing.assert_allclose(decode_image(tmp_path / "a.avif", 16), np.full((16, 16, 3), (200, 10, 10)), atol=4)


def test_unknown_content_says_what_to_do() -> None:
    box = b"\0\0\0\x20ftyp"
    assert "Pillow 11.3 or newer" in unread.content_reason(box + b"avif", avif=False)
    assert "not a picture" in unread.content_reason(b"text", avif=True)
    for head, kind in (
        (box + b"heic", "HEIC"),
        (b"\xff\x0a" + b"x" * 20, "JPEG XL"),
        (b"8BPS" + b"x" * 20, "Photoshop"),
    ):
        with pytest.raises(ValueError, match=f"its content is {kind}, which is not read; convert it"):
            decode_image(io.BytesIO(head + b"\0" * 40), 16)


def test_files_that_people_take_for_pictures_are_counted_and_named(tmp_path: Path, cache: Path) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    (tmp_path / "deep").mkdir()
    for name in (
        "IMG_2.HEIC",
        "IMG_1.heic",
        "deep/IMG_3.heic",
        "raw.NEF",
        "logo.svg",
        "clip.mp4",
        "notes.txt",
        ".b.heic",
    ):
        (tmp_path / name).write_bytes(b"x")
    dataset = load_dataset(tmp_path, 16, cache_folder=cache, progress=False)
    assert dataset.files == ("a.png",)
    said = {file.path: file.reason for file in dataset.skipped}
    assert said.keys() == {"IMG_1.heic", "raw.NEF", "logo.svg", "clip.mp4"}
    assert said["IMG_1.heic"].startswith("one of 3 .heic files, which are not read; convert such files to JPEG or PNG")
    assert "develop" in said["raw.NEF"] and "PNG" in said["logo.svg"] and "ffmpeg" in said["clip.mp4"]
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=r"no pictures in .*\.heic files, which are not read"):
        load_dataset(tmp_path, 16, cache_folder=cache, progress=False)


@pytest.mark.timeout(300)  # who waits for a pipe waits for ever
def test_no_reader_waits_for_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ValueError, match="not a regular file"):
        decode_whole(tmp_path / "pipe.jpg")
