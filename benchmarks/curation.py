"""What `sle-gan curate` finds among real pictures with planted faults, and how well `--like` ranks them.

    python benchmarks/curation.py --pictures ../shared/data/flowers17

The set needs pictures named in order of their classes, `--class-size` of each, as Oxford 17 Flowers has them. Planted
are exact copies, near copies (re-encoded, resized, mirrored, cropped by 5 %), blurred pictures, noise and blank ones,
and things of other kinds. Printed is the share of each that was dropped, and how many good pictures were. A copy
counts as found where of it and its original no more than one was kept.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Paint = Callable[[np.random.Generator], Image.Image]


class Planted(NamedTuple):
    """A fault: the file's name, its kind, and the picture that it is a copy of, if it is one."""

    file: str
    kind: str
    original: str | None = None


def plant(source: Path, target: Path, scale: float = 1.0, seed: int = 0, copy: bool = False) -> list[Planted]:
    """Puts the pictures of a folder and the faults into `target`; returns the faults.

    Good pictures are links, or copies where `copy` is set. `scale` is of how many faults there are: 130 at 1.
    The blurred ones replace their originals, so that they are no near copies.
    """
    rng = np.random.default_rng(seed)
    names = sorted(path.name for path in source.iterdir() if path.suffix.lower() == ".jpg")
    exact, near, blurred, empty, other = (max(2, round(scale * count)) for count in (40, 40, 20, 20, 10))
    drawn = iter(rng.permutation(names).tolist())
    target.mkdir(parents=True)
    faults: list[Planted] = []

    def add(kind: str, image: Image.Image | None, original: str | None = None, quality: int = 90) -> None:
        file = f"p{len(faults):04d}.jpg"
        if image is None:
            shutil.copyfile(source / str(original), target / file)
        else:
            image.convert("RGB").save(target / file, quality=quality)
        faults.append(Planted(file, kind, original))

    for _ in range(exact):
        add("exact", None, next(drawn))
    for number in range(near):
        name = next(drawn)
        add("near", *_nearly(Image.open(source / name), number, rng, name))
    replaced = [next(drawn) for _ in range(blurred)]
    for name in replaced:
        with Image.open(source / name) as image:
            radius = rng.uniform(0.012, 0.03) * min(image.size)
            add("blurred", image.filter(ImageFilter.GaussianBlur(radius)))
    for number in range(empty):
        add("empty", _EMPTY[number % len(_EMPTY)](rng))
    for number in range(other):
        add("other", _OTHER[number % len(_OTHER)](rng))
    for name in set(names) - set(replaced):
        if copy:
            shutil.copyfile(source / name, target / name)
        else:
            (target / name).symlink_to((source / name).resolve())
    return faults


def _nearly(image: Image.Image, number: int, rng: np.random.Generator, name: str) -> tuple[Image.Image, str, int]:
    """A picture that people would call the same one, its original, and the quality that it is saved with."""
    width, height = image.size
    kind = ("re-encoded", "resized", "mirrored", "cropped")[number % 4]
    if kind == "resized":
        factor = rng.uniform(0.4, 0.8)
        return image.resize((round(width * factor), round(height * factor))), name, 85
    if kind == "mirrored":
        return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), name, 85
    if kind == "cropped":
        left, top = rng.uniform(0, 0.05, 2) * image.size
        box = (round(left), round(top), round(left + 0.95 * width), round(top + 0.95 * height))
        return image.crop(box), name, 85
    return image, name, int(rng.integers(25, 70))


def _noise(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(rng.integers(0, 256, (400, 500, 3), np.uint8))


def _grey_noise(rng: np.random.Generator) -> Image.Image:
    return Image.fromarray(np.clip(rng.normal(128, 45, (500, 500)), 0, 255).astype(np.uint8))


def _blank(rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (500, 420), tuple(map(int, rng.integers(0, 256, 3))))


def _nearly_blank(rng: np.random.Generator) -> Image.Image:
    """A wall: one colour with a little light and grain."""
    grain = rng.normal(0, 1.5, (420, 500, 3)) + np.linspace(-3, 3, 500)[None, :, None]
    return Image.fromarray(np.clip(rng.uniform(20, 235, 3) + grain, 0, 255).astype(np.uint8))


def _page(rng: np.random.Generator) -> Image.Image:
    page = Image.new("RGB", (500, 640), "white")
    draw = ImageDraw.Draw(page)
    for row in range(40):
        words = " ".join("".join(map(chr, rng.integers(97, 123, rng.integers(2, 9)))) for _ in range(12))
        draw.text((30, 20 + 15 * row), words, fill="black")
    return page


def _chart(rng: np.random.Generator) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((5, 4), dpi=100)
    axes = figure.subplots()
    for _ in range(3):
        axes.plot(np.cumsum(rng.normal(size=80)))
    axes.set_title("a chart")
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


def _bars(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (500, 500), "white")
    draw = ImageDraw.Draw(image)
    for column in range(10):
        height = int(rng.integers(50, 450))
        draw.rectangle((25 + 46 * column, 480 - height, 60 + 46 * column, 480), fill=(40, 90, 160), outline="black")
    return image


def _portrait(rng: np.random.Generator) -> Image.Image:
    """A photograph of a person, which comes with matplotlib."""
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file:
        return Image.open(file).copy()


def _board(rng: np.random.Generator) -> Image.Image:
    cells = rng.integers(0, 2, (29, 29), np.uint8) * 255
    return Image.fromarray(cells).resize((464, 464), Image.Resampling.NEAREST)


def _window(rng: np.random.Generator) -> Image.Image:
    """A screenshot: a window with a list."""
    image = Image.new("RGB", (640, 420), (236, 236, 240))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, 640, 34), fill=(60, 64, 72))
    draw.rectangle((0, 34, 170, 420), fill=(214, 216, 222))
    for row in range(11):
        draw.rectangle((190, 50 + 33 * row, 620, 76 + 33 * row), fill="white", outline=(190, 190, 200))
        draw.text((200, 57 + 33 * row), "item " + str(rng.integers(10**9)), fill="black")
    return image


_EMPTY: tuple[Paint, ...] = (_noise, _grey_noise, _blank, _nearly_blank)
_OTHER: tuple[Paint, ...] = (_page, _chart, _portrait, _bars, _board, _window)
