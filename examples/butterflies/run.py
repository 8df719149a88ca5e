"""Butterflies: one picture of each kind, a lightweight GAN at 512 px, scores over its checkpoints, and a Space."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import recipe

SOURCES = {
    "source": ("huggan/smithsonian_butterflies_subset", "a data set of a hub, or a folder with its parquet files"),
    "kind": ("scientific_name", "its column that says what kind of thing a picture shows"),
    "image": ("image", "its column with the pictures"),
    "push": ("", "send the model to this repository of the hub, user/name"),
}
TINY = (
    *("--resolution", 64, "--latent", 16, "--fmap-max", 16, "--attn-res-layers", "16", "--batch-size", 8),
    *("--gradient-accumulation", 2, "--mixed-precision", "float32", "--steps", 6, "--checkpoint-every", 2),
    *("--keep-checkpoints", 3, "--sample-every", 100),
)

STAGES = {
    "one_of_each": "",
    "train": "train",
    "score": "evaluate runs",
    "share": "share",
    "space": "",
    "push": "share",
}


def main(argv: Sequence[str] | None = None) -> None:
    recipe.add_to_path()
    the = recipe.Recipe("butterflies", __doc__, SOURCES, STAGES, argv)
    options, pictures = the.options, the.folder / "pictures"
    if the.tiny:
        options.source, options.kind, options.image = str(the.folder / "dataset"), "scientific_name", "image"
        the.stage("draw", lambda: draw_data_set(the.folder / "dataset"))
    the.stage("one_of_each", lambda: one_of_each(options.source, options.kind, options.image, pictures))
    the.stage("train", lambda: the.train("butterflies", "train.json", "--data-folder", pictures, tiny=TINY))
    sets = ("--count", 12, "--seeds", 2) if the.tiny else ("--count", 2000, "--seeds", 2)
    plot, scores = the.folder / "checkpoints.png", the.folder / "checkpoints.json"

    def score() -> None:
        files = sorted((the.run("butterflies") / "checkpoints").glob("step_*.npz"))
        out = ("--plot", plot, "--json", scores)
        the.call("evaluate", "runs", *files, "--real", pictures, *sets, *out, *the.scores())

    the.stage("score", score)
    model, space = the.folder / "model", the.folder / "space"
    share = ("share", "--name", "butterflies", "--output-folder", the.runs, "--folder", model, "--override")
    the.stage("share", lambda: the.call(*share))
    the.stage("space", lambda: make_space(the.configs / "space", space, options.push or "user/butterflies"))
    if options.push:
        the.stage("push", lambda: the.call("share", "--folder", model, "--push", options.push))
    the.finish(plot, the.run("butterflies") / "samples", model / "README.md", space)


def one_of_each(source: str, kind: str, image: str, folder: Path) -> None:
    """The first picture of each kind of a data set, as PNG."""
    try:
        import datasets
    except ImportError:
        sys.exit('this stage needs the package datasets: pip install ".[datasets]"')
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = datasets.load_dataset(source, split="train")
    missing = {kind, image} - set(rows.column_names)
    if missing:
        sys.exit(f"{source} has no column {min(missing)}; expected one of {', '.join(rows.column_names)}")
    seen: set[str] = set()
    for number, name in enumerate(rows[kind]):
        if name and name not in seen:
            seen.add(name)
            rows[number][image].convert("RGB").save(folder / f"{len(seen):05d}.png")
    print(f"{len(seen)} kinds in {len(rows)} pictures of {source}: one of each in {folder}")


def draw_data_set(folder: Path) -> None:
    """What stands for the hub's data set in the tiny form: 24 drawn flowers of 18 kinds, as parquet files."""
    import datasets

    shutil.rmtree(folder, ignore_errors=True)
    drawn = sorted(recipe.draw(folder.with_name("drawn"), 24, 64, seed=1).glob("*.png"))
    names = [f"Flos {number % 18}" for number in range(len(drawn))]
    features = datasets.Features({"scientific_name": datasets.Value("string"), "image": datasets.Image()})
    rows = datasets.Dataset.from_dict(
        {"scientific_name": names, "image": [str(file) for file in drawn]}, features=features
    )
    folder.mkdir(parents=True)
    rows.to_parquet(folder / "train.parquet")


def make_space(template: Path, folder: Path, model: str) -> None:
    """The files of a Space that shows the model."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for file in sorted(template.iterdir()):
        (folder / file.name).write_text(file.read_text().replace("USER/NAME", model))
    print(f"{folder}: the files of a Space that shows {model}")


if __name__ == "__main__":
    main()
