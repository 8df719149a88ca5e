"""Folders of synthetic pictures, small enough to check by hand."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FLOWERS = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "flowers17"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Ten different good PNGs of several sizes."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(10):
        pixels = rng.integers(0, 256, (20 + number, 30 - number, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02}.png")
    return folder


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def coordinates() -> Callable[[int, int], Image.Image]:
    """A picture whose red grows by 1 a pixel from the left and whose green by 1 a pixel from the top."""

    def draw(width: int, height: int) -> Image.Image:
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))

    return draw


@pytest.fixture(scope="session")
def flowers() -> Path:
    if not FLOWERS.is_dir():
        pytest.skip(f"the 1360 flowers are not there: {FLOWERS}")
    return FLOWERS
