"""Sheets into tiles: every visible one, as it was, and nothing else touched."""

from pathlib import Path

import numpy as np
import pytest
from helpers import assert_refused, run
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sle_gan.data.tiles import cut_sheet
from sle_gan.errors import UserError


def save_sheet(path: Path, width: int, height: int, mode: str = "RGBA", seed: int = 0) -> np.ndarray:
    shape = (height, width, {"RGBA": 4, "RGB": 3, "L": 1}[mode])
    pixels = np.random.default_rng(seed).integers(1, 256, shape, np.uint8)
    Image.fromarray(pixels if mode != "L" else pixels[..., 0]).save(path)
    return pixels


sides = st.integers(1, 9)
counts = st.integers(1, 5)


@settings(max_examples=20, deadline=None)
@given(width=sides, height=sides, columns=counts, rows=counts, mode=st.sampled_from(("RGBA", "RGB", "L")))
def test_the_tiles_make_the_sheet(
    tmp_path_factory: pytest.TempPathFactory, width: int, height: int, columns: int, rows: int, mode: str
) -> None:
    folder = tmp_path_factory.mktemp("tiles")
    sheet = save_sheet(folder / "my sheet.png", width * columns, height * rows, mode)
    assert cut_sheet(folder / "my sheet.png", (width, height), folder / "out", progress=False) == (rows * columns, 0)
    files = sorted((folder / "out").iterdir())
    assert [path.name for path in files] == [f"my sheet_{k:04}.png" for k in range(rows * columns)]
    tiles = np.stack([np.asarray(Image.open(path)).reshape(height, width, -1) for path in files])
    together = tiles.reshape(rows, columns, height, width, -1).transpose(0, 2, 1, 3, 4).reshape(sheet.shape)
    np.testing.assert_array_equal(together, sheet)
    assert {Image.open(path).mode for path in files} == {mode}


def test_tiles_without_a_visible_pixel_are_left_out(tmp_path: Path) -> None:
    pixels = save_sheet(tmp_path / "sheet.png", 8, 8)
    pixels[:4, 4:, 3] = 0  # tile 1: colours, but none that shows
    pixels[4:, :4, 3] = 0
    pixels[5, 2, 3] = 1  # tile 2: one pixel that hardly does
    Image.fromarray(pixels).save(tmp_path / "sheet.png")
    assert cut_sheet(tmp_path / "sheet.png", (4, 4), tmp_path / "out") == (3, 1)
    assert sorted(path.name[-8:] for path in (tmp_path / "out").iterdir()) == ["0000.png", "0002.png", "0003.png"]


def test_palettes_keep_their_transparency(tmp_path: Path) -> None:
    sheet = Image.new("P", (8, 4), 1)
    sheet.putpalette([0, 0, 0, 10, 200, 30])
    sheet.paste(0, (0, 0, 4, 4))
    sheet.save(tmp_path / "sheet.png", transparency=0)
    assert cut_sheet(tmp_path / "sheet.png", (4, 4), tmp_path / "out") == (1, 1)
    tile = Image.open(tmp_path / "out" / "sheet_0001.png").convert("RGBA")
    assert tile.getpixel((0, 0)) == (10, 200, 30, 255)


def test_ten_thousand_punks(shared_folder: Path, tmp_path: Path) -> None:
    sheet = shared_folder / "data" / "cryptopunks" / "punks.png"
    result = run("tiles", "--sheet", sheet, "--tile", 24, "--output-folder", tmp_path / "punks")
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"wrote 10,000 tiles of 24x24 to {tmp_path / 'punks'}\n"
    assert len(list((tmp_path / "punks").iterdir())) == 10_000
    tile = Image.open(tmp_path / "punks" / "punks_0231.png")
    whole = Image.open(sheet)
    assert tile.mode == whole.mode == "RGBA"
    assert tile.tobytes() == whole.crop((31 * 24, 2 * 24, 32 * 24, 3 * 24)).tobytes()


def test_cutting_again_is_allowed_and_other_files_are_left_alone(tmp_path: Path) -> None:
    save_sheet(tmp_path / "a.png", 8, 8)
    for _ in range(2):
        cut_sheet(tmp_path / "a.png", (4, 4), tmp_path / "out")
    with pytest.raises(UserError, match=r"already holds 'a_0002.png', which is none of the tiles"):
        cut_sheet(tmp_path / "a.png", (8, 4), tmp_path / "out")  # fewer of them
    save_sheet(tmp_path / "b.png", 8, 8)
    with pytest.raises(UserError, match=r"already holds 'a_0000.png'"):
        cut_sheet(tmp_path / "b.png", (4, 4), tmp_path / "out")
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_refusals(tmp_path: Path) -> None:
    save_sheet(tmp_path / "a.png", 10, 8)
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    (tmp_path / "text.png").write_text("no picture")

    def refused(sheet: str, tile: object, *words: str) -> None:
        command = ("--sheet", tmp_path / sheet, "--tile", tile, "--output-folder", tmp_path / "out")
        assert_refused(run("tiles", *command), *words)
        assert not (tmp_path / "out").exists()

    refused("a.png", 4, "tiles of 4x4", "'a.png'", "10x8", "2 columns and 0 rows of pixels")
    refused("a.png", 0, "--tile", "0 is no size")
    refused("a.png", "4x", "--tile", "4x is no size")
    refused("none.png", 4, "none.png", "No such file")
    refused("cut.png", 2, "cut.png", "cannot be read")
    refused("text.png", 4, "text.png", "not a picture")
