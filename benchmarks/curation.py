"""What `sle-gan curate` finds among real pictures with planted faults, and how well `--like` ranks them.

    python benchmarks/curation.py --pictures ../shared/data/flowers17

The set needs pictures named in order of their classes, `--class-size` of each, as Oxford 17 Flowers has them. Planted
are exact copies, near copies (re-encoded, resized, mirrored, cropped by 5 %), blurred pictures, noise and blank ones,
and things of other kinds. Printed is the share of each that was dropped, and how many good pictures were. A copy
counts as found where of it and its original no more than one was kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

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


def read_table(folder: Path) -> dict[str, dict[str, str]]:
    """pictures.csv by file."""
    with (folder / "pictures.csv").open(encoding="utf-8", newline="") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def rates(rows: dict[str, dict[str, str]], faults: list[Planted], folder: Path) -> dict[str, Any]:
    """The share of faults of each kind that was found, and which good pictures were dropped.

    A good picture that was dropped as the near copy of another is confirmed where its pixels agree with those of the
    other one after the best of some crops and mirroring: sets have copies of their own. The others are false.
    """

    def dropped(file: str | None) -> bool:
        return file is not None and rows[file]["kept"] == "no"

    found: dict[str, Any] = {}
    for kind in dict.fromkeys(fault.kind for fault in faults):
        own = [fault for fault in faults if fault.kind == kind]
        found[kind] = sum(dropped(fault.file) or dropped(fault.original) for fault in own) / len(own)
    touched = {fault.file for fault in faults} | {str(fault.original) for fault in faults}
    good = [file for file in rows if file not in touched]
    confirmed, false = [], []
    for file in filter(dropped, good):
        _, is_copy, other = rows[file]["reason"].partition(" copy of ")
        agrees = is_copy and pixel_agreement(folder / file, folder / other) >= 0.9
        (confirmed if agrees else false).append(file)
    return {**found, "own_copies": len(confirmed), "false": len(false) / len(good), "false_files": false}


def pixel_agreement(one: Path, other: Path) -> float:
    """The best correlation of one picture's grey pixels with a crop of the other one, mirrored or not."""
    return max(_best_crop(one, other), _best_crop(other, one))


def _best_crop(one: Path, other: Path) -> float:
    whole, image = (Image.open(path).convert("L") for path in (one, other))
    best = -1.0
    for turned in (image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)):
        for size in (1, 0.97, 0.94, 0.9, 0.86, 0.82):
            for across in (0, 0.25, 0.5, 0.75, 1):
                for down in (0, 0.25, 0.5, 0.75, 1) if size < 1 else (0,):
                    left, top = across * (1 - size) * turned.width, down * (1 - size) * turned.height
                    box = (left, top, left + size * turned.width, top + size * turned.height)
                    best = max(best, _correlation(whole, turned, box))
    return best


def _correlation(whole: Image.Image, image: Image.Image, box: tuple[float, float, float, float]) -> float:
    pixels = [
        np.asarray(whole.resize((32, 32), Image.Resampling.BOX), np.float64).ravel(),
        np.asarray(image.resize((32, 32), Image.Resampling.BOX, box=box), np.float64).ravel(),
    ]
    return float(np.corrcoef(*pixels)[0, 1])


def likeness_rates(pictures: Path, class_size: int, draws: int, first: int = 60) -> np.ndarray:
    """The share of the first pictures by `--like` with eight of a class that are of it, (classes, draws)."""
    from sle_gan.curation import gather, rank_by_likeness
    from sle_gan.data import open_source
    from sle_gan.features import load_extractor

    gathered = gather(open_source(pictures), load_extractor("efficientnet_lite0"))
    classes = np.arange(len(gathered.names)) // class_size
    rng = np.random.default_rng(0)
    shares = np.zeros((classes.max() + 1, draws))
    for kind in range(len(shares)):
        for draw in range(draws):
            examples = rng.choice(np.flatnonzero(classes == kind), 8, replace=False)
            scores = rank_by_likeness(gathered.features, gathered.features[examples])
            shares[kind, draw] = (classes[np.argsort(-scores)[:first]] == kind).mean()
    return shares


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=Path, required=True, help="folder of .jpg")
    parser.add_argument("--class-size", type=int, default=80)
    parser.add_argument("--draws", type=int, default=5, help="of examples for each class")
    options = parser.parse_args()
    from sle_gan.cli import curate

    with tempfile.TemporaryDirectory() as place:
        folder, output = Path(place) / "planted", Path(place) / "out"
        faults = plant(options.pictures, folder)
        started = time.perf_counter()
        curate.main(["--input", str(folder), "--output-folder", str(output)])
        seconds = time.perf_counter() - started
        found = rates(read_table(output), faults, folder)
    shares = likeness_rates(options.pictures, options.class_size, options.draws)
    like = {
        "mean": float(shares.mean()),
        "draws_of_80_percent": float((shares >= 0.8).mean()),
        "by_class": shares.mean(1).round(3).tolist(),
    }
    print(json.dumps({"seconds": round(seconds, 1), "found": found, "like": like}, indent=2))


if __name__ == "__main__":
    main()
