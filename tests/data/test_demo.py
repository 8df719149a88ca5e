"""The demo set: the same for everyone, different pictures, nobody's files overwritten."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sle_gan.data import load_dataset
from sle_gan.demo import draw_demo_set, flowers
from sle_gan.demo.flowers import draw_flower
from sle_gan.demo.flowers.species import SPECIES
from sle_gan.errors import UserError


def test_files(tmp_path: Path, cache: Path) -> None:
    folder = draw_demo_set(tmp_path / "new" / "demo", count=6, resolution=32, progress=False)
    assert folder == tmp_path / "new" / "demo"
    names = [f"flower_{number:04}.png" for number in range(6)]
    assert sorted(path.name for path in folder.iterdir()) == names
    dataset = load_dataset(folder, 32, cache_folder=cache, progress=False)
    assert dataset.files == tuple(names) and not dataset.skipped
    for name, pixels in zip(names, dataset.images):
        image = Image.open(folder / name)
        assert image.mode == "RGB" and image.size == (32, 32)
        np.testing.assert_array_equal(np.asarray(image), pixels)


def test_each_picture_depends_on_seed_and_number_alone(tmp_path: Path) -> None:
    few = draw_demo_set(tmp_path / "few", count=3, resolution=32, seed=5, progress=False)
    many = draw_demo_set(tmp_path / "many", count=7, resolution=32, seed=5, progress=False)
    for path in few.iterdir():
        assert path.read_bytes() == (many / path.name).read_bytes()
    np.testing.assert_array_equal(draw_flower(32, 5, 2), Image.open(many / "flower_0002.png"))
    assert not np.array_equal(draw_flower(32, 6, 2), draw_flower(32, 5, 2))


def test_the_same_flower_at_every_resolution() -> None:
    small = np.asarray(draw_flower(64, 0, 3), float)
    large = np.asarray(draw_flower(128, 0, 3).reduce(2), float)
    assert np.abs(small - large).mean() < 6


@pytest.mark.parametrize("name", SPECIES)
def test_a_flower_stands_out_in_the_middle(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its middle is the flower, whose colours the corners, which are background, do not have."""
    monkeypatch.setattr(flowers, "SPECIES", {name: SPECIES[name]})
    pictures = np.stack([np.asarray(draw_flower(64, 1, number), float) for number in range(4)])
    assert pictures.std(axis=0).mean() > 15  # four different ones
    middle = pictures[:, 16:44, 18:46].reshape(4, -1, 3).mean(axis=1)
    corners = pictures[:, :8, [*range(8), *range(56, 64)]].reshape(4, -1, 3).mean(axis=1)
    assert np.abs(middle - corners).max(axis=1).mean() > 40


def test_all_species_come_up(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    paint = flowers._paint_petals

    def note(canvas: object, pose: object, species: object, *rest: object) -> object:
        seen.append(next(name for name, value in SPECIES.items() if value is species))
        return paint(canvas, pose, species, *rest)

    monkeypatch.setattr(flowers, "_paint_petals", note)
    for number in range(80):
        draw_flower(16, 0, number)
    assert set(seen) == set(SPECIES)


def test_drawing_again_is_allowed(tmp_path: Path) -> None:
    folder = draw_demo_set(tmp_path, count=3, resolution=16, progress=False)
    before = (folder / "flower_0001.png").read_bytes()
    (folder / "flower_0001.png").rename(folder / "flower_0001.png.tmp")  # a run was killed here
    (folder / ".DS_Store").write_bytes(b"x")
    draw_demo_set(tmp_path, count=3, resolution=16, progress=False)
    assert (folder / "flower_0001.png").read_bytes() == before
    assert sorted(path.suffix for path in folder.glob("flower*")) == [".png"] * 3


@pytest.mark.parametrize("name", ["holiday.jpg", "flower_0003.png", "flower_1.png", "flower_0000.jpg"])
def test_what_is_not_ours_is_left_alone(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(UserError, match=f"already holds '{name}'"):
        draw_demo_set(tmp_path, count=3, resolution=16, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"precious"


def test_wrong_arguments(tmp_path: Path) -> None:
    for arguments in ({"count": 0}, {"resolution": 8}, {"seed": -1}):
        with pytest.raises(UserError, match=next(iter(arguments))):
            draw_demo_set(tmp_path / "demo", **arguments)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        draw_demo_set(tmp_path / "file")
    with pytest.raises(UserError, match="cannot write the demo pictures"):
        draw_demo_set(tmp_path / "file" / "demo", count=1, resolution=16)
    assert not (tmp_path / "demo").exists()
