"""The generator that comes with the package, in examples/flowers."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from helpers import REPOSITORY, TINY, run
from PIL import Image

from sle_gan import generate_images
from sle_gan.hub import open_model
from sle_gan.models.building import fold_network

FLOWERS = REPOSITORY / "examples" / "flowers"


def test_it_is_whole_and_small() -> None:
    config = json.loads((FLOWERS / "config.json").read_text())
    for name, facts in config["files"].items():
        content = (FLOWERS / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == facts["sha256"] and len(content) <= 8e6


def test_its_pictures_are_those_of_its_grid() -> None:
    images = np.concatenate(list(generate_images(fold_network(open_model(str(FLOWERS)).generator()), range(4))))
    with Image.open(FLOWERS / "samples.png") as grid:
        for k, image in enumerate(images):
            left = 2 + 130 * k
            shown = np.asarray(grid)[2:130, left : left + 128]
            assert np.abs(shown.astype(int) - image).max() <= 3


def test_a_training_starts_from_it(pictures: Path, tmp_path: Path) -> None:
    place = ("--output-folder", tmp_path, "--resolution", "128", "--width", "16", "--latent", "256")
    settings = (*TINY[6:], *place, "--init-from", FLOWERS, "--dry-run")
    result = run("train", "--data-folder", pictures, *settings)
    assert result.returncode == 0, result.stderr
    assert "examples/flowers" in result.stdout
