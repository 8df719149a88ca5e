"""Whether a generator of classes makes the class that it is asked for: 1-NN among the real pictures' features.

    python benchmarks/classes.py labels --pictures ../shared/data/flowers17 --output flowers17.csv
    python benchmarks/classes.py score --pictures ../shared/data/flowers17 --labels flowers17.csv --model runs/flowers17

`labels` writes the classes of Oxford 17 Flowers, whose pictures are named in order of their classes, 80 of each.
`score` makes `--count` pictures of each class. A picture counts as right where its nearest real picture, by the cosine
of features of a network that no discriminator saw, is of the class that was asked for. Beside it stand the real
pictures, each among the others, at the same resolution: what the ruler finds at best.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np

# fmt: off
FLOWERS = (
    "daffodil", "snowdrop", "lily valley", "bluebell", "crocus", "iris", "tigerlily", "tulip", "fritillary",
    "sunflower", "daisy", "colts foot", "dandelion", "cowslip", "buttercup", "windflower", "pansy",
)
# fmt: on
OF_EACH = 80


def write_labels(pictures: Path, output: Path) -> int:
    """Writes a line for each picture; returns how many there are."""
    names = sorted(path.name for path in pictures.iterdir() if path.suffix.lower() == ".jpg")
    if len(names) != OF_EACH * len(FLOWERS):
        raise SystemExit(f"{pictures} has {len(names)} pictures; Oxford 17 Flowers has {OF_EACH * len(FLOWERS)}")
    with output.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        lines.writerow(("file", "class"))
        lines.writerows((name, FLOWERS[i // OF_EACH]) for i, name in enumerate(names))
    return len(names)


def nearest(features: np.ndarray, real: np.ndarray, leave_one_out: bool = False) -> np.ndarray:
    """For each vector (N, D) the number of the nearest real one (M, D) by cosine, of another picture than itself."""

    def unit(x: np.ndarray) -> np.ndarray:
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    similar = unit(features) @ unit(real).T
    if leave_one_out:
        np.fill_diagonal(similar, -np.inf)
    return similar.argmax(1)


def right_shares(nearest_labels: np.ndarray, labels: np.ndarray, classes: int) -> list[float]:
    """For each class the share of its pictures whose nearest real picture is of it."""
    return [float((nearest_labels[labels == label] == label).mean()) for label in range(classes)]


def score(options: argparse.Namespace) -> None:
    """Prints the shares of all and of each class."""
    from sle_gan.data import load_dataset
    from sle_gan.features import load_extractor
    from sle_gan.generation import generate_images
    from sle_gan.hub.loading import load_folded
    from sle_gan.metrics.scoring import as_rgb

    generator = load_folded(options.model)
    dataset = load_dataset(options.pictures, generator.stages[-1].size, labels=options.labels)
    if dataset.labels is None or dataset.classes != generator.classes:
        raise SystemExit(f"the pictures' classes are {dataset.classes}, those of the generator {generator.classes}")
    extractor = load_extractor(options.features, options.features_weights)
    asked = np.repeat(np.arange(len(dataset.classes)), options.count)
    made = generate_images(generator, range(len(asked)), labels=asked.tolist())
    fake = np.concatenate(list(extractor.stream(as_rgb(image) for batch in made for image in batch)))
    real = np.concatenate(list(extractor.stream(as_rgb(np.asarray(image)) for image in dataset.images)))
    found = dataset.labels[nearest(fake, real)]
    of_real = dataset.labels[nearest(real, real, leave_one_out=True)]
    shares = right_shares(found, asked, len(dataset.classes))
    real_shares = right_shares(of_real, dataset.labels, len(dataset.classes))
    print(f"{'class':<16}{'generated':>10}{'real':>8}   most often taken for")
    for label, name in enumerate(dataset.classes):
        others = np.bincount(found[(asked == label) & (found != label)], minlength=len(dataset.classes))
        other = f"{dataset.classes[others.argmax()]} ({others.max()} of {options.count})" if others.any() else ""
        print(f"{name:<16}{shares[label]:>10.1%}{real_shares[label]:>8.1%}   {other}")
    right, best = float((found == asked).mean()), float((of_real == dataset.labels).mean())
    print(f"{'all':<16}{right:>10.1%}{best:>8.1%}   {len(asked)} generated, {len(dataset)} real, {extractor.name}")
    if options.json:
        result = {"right": right, "real": best, "classes": dict(zip(dataset.classes, shares)), "count": options.count}
        Path(options.json).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    labels = commands.add_parser("labels")
    labels.add_argument("--pictures", type=Path, required=True)
    labels.add_argument("--output", type=Path, required=True)
    scored = commands.add_parser("score")
    scored.add_argument("--pictures", required=True)
    scored.add_argument("--labels", required=True)
    scored.add_argument("--model", required=True)
    scored.add_argument("--count", type=int, default=16, help="pictures of each class (default %(default)s)")
    scored.add_argument("--features", default="efficientnet_lite1")
    scored.add_argument("--features-weights")
    scored.add_argument("--json")
    options = parser.parse_args()
    if options.command == "labels":
        print(f"{options.output}: the classes of {write_labels(options.pictures, options.output)} pictures")
    else:
        score(options)


if __name__ == "__main__":
    main()
