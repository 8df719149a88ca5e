"""evaluate.py: scores two sets of images, saves the statistics of one, or looks for copies."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sle_gan.cli import evaluate_neighbours
from sle_gan.cli.common import Parser, add_engine_flag, import_engine_to_compute
from sle_gan.errors import UserError
from sle_gan.features import EXTRACTORS

if TYPE_CHECKING:
    import numpy as np

    from sle_gan.features import FeatureExtractor
    from sle_gan.metrics import FeatureStatistics, Scores

_GENERATED = 5000
_EXAMPLES = """\
examples:
  Two folders, with Inception's features (as published FID):
    python evaluate.py score --real photos/ --fake samples/

  A generator against its training pictures, 2000 images, all metrics, on a small machine:
    python evaluate.py score --real photos/ --fake generator_weights.h5 --count 2000 \\
        --metrics fid,kid,mifid,pr --features mobilenet

  Is it copying? Each generated picture beside its nearest training pictures:
    python evaluate.py neighbours --real photos/ --fake generator_weights.h5 --output sheet.png

  The real side computed once:
    python evaluate.py stats --real photos/ --resolution 256 --output photos.npz
    python evaluate.py score --real photos.npz --fake generator_weights.h5

Weights of the feature networks are downloaded once. Offline, give --features-weights or set
SLE_GAN_FEATURES_WEIGHTS: inception-2015-12-05.tgz, pt_inception-2015-12-05-6726825d.pth, ...
"""


class _Reading(NamedTuple):
    """How the pictures of a folder are read: at their own size, or as training reads them."""

    resolution: int | None
    channels: str = "rgb"
    enlarge: str = "smooth"

    @classmethod
    def asked_for(cls, options: argparse.Namespace) -> _Reading:
        return cls(options.resolution, options.channels or "rgb", options.enlarge or "smooth")

    def __str__(self) -> str:
        if self.resolution is None:
            return "own size"
        grey = " grey" if self.channels == "grey" else ""
        enlarged = ", small ones enlarged as pixels" if self.enlarge == "pixels" else ""
        return f"{self.resolution}x{self.resolution}{grey} as trained on{enlarged}"


def make_parser() -> Parser:
    parser = Parser(
        prog="evaluate.py",
        description="Score generated images: FID, KID, MiFID, precision and recall, with their protocol.",
        epilog=_EXAMPLES,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{score,stats,neighbours}")
    _add_score(commands.add_parser("score", help="compare generated images with real ones", epilog=_EXAMPLES))
    _add_stats(commands.add_parser("stats", help="save the statistics of real images", epilog=_EXAMPLES))
    neighbours = commands.add_parser(
        "neighbours", help="show generated images beside the real ones nearest to them", epilog=_EXAMPLES
    )
    evaluate_neighbours.add_flags(neighbours)
    _add_common(neighbours)
    return parser


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", required=True, metavar="DIR_OR_STATS", help="folder of pictures, or .npz of `stats`")
    parser.add_argument(
        "--fake",
        required=True,
        metavar="DIR_OR_WEIGHTS",
        help="folder of pictures, generator weights (.h5, .pth), or .npz of `stats`",
    )
    parser.add_argument(
        "--metrics", default="fid", metavar="LIST", help="comma-separated, of fid,kid,mifid,pr (default: fid)"
    )
    parser.add_argument(
        "--count",
        type=int,
        metavar="N",
        help=f"fake images: generated (default {_GENERATED}), or drawn from the folder (default: all)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        help="of the images (SEED to SEED+N-1), of the draw from a folder, of KID's subsets (default: %(default)s)",
    )
    parser.add_argument(
        "--bootstrap", type=int, default=0, metavar="N", help="repeat FID over N resamples for its spread"
    )
    parser.add_argument("--json", metavar="PATH", help="also write numbers and protocol to this file")
    _add_common(parser)


def _add_stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", required=True, metavar="DIR", help="folder of pictures")
    parser.add_argument("--output", required=True, metavar="PATH", help="the .npz to write")
    parser.add_argument(
        "--moments-only",
        action="store_true",
        help="leave out the features of each image: a small file, good for FID only",
    )
    _add_common(parser)


def _add_common(parser: argparse.ArgumentParser) -> None:
    add_engine_flag(parser)
    parser.add_argument(
        "--features",
        choices=EXTRACTORS,
        default="inception",
        help="inception: as published FID. The others: each compares only with itself (default: %(default)s)",
    )
    parser.add_argument("--features-weights", metavar="PATH", help="file with the feature network's weights")
    parser.add_argument(
        "--resolution",
        type=int,
        metavar="R",
        help="read folders as training does, cut square and resized to R pixels (default: their own size, or the "
        "generator's resolution where there is a generator)",
    )
    parser.add_argument(
        "--channels",
        choices=("rgb", "grey"),
        help="with --resolution: what is kept of the pictures' channels (default: rgb, or those of the generator)",
    )
    parser.add_argument(
        "--enlarge",
        choices=("smooth", "pixels"),
        help="with --resolution or a generator: how smaller pictures were enlarged in training (default: smooth)",
    )
    parser.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="N",
        help="images in one pass through the feature network; no effect on results (default: %(default)s)",
    )


def main(argv: list[str] | None = None) -> None:
    """Parses, checks what can be checked without a backend, scores."""
    options = make_parser().parse_args(argv)
    {"score": _score, "stats": _stats, "neighbours": evaluate_neighbours.run}[options.command](options)


def _stats(options: argparse.Namespace) -> None:
    from sle_gan.features import load_extractor

    _check_output("--output", options.output)
    _check_folder("--real", options.real)
    _check_reading(options, generator=False)
    import_engine_to_compute(options.engine)
    extractor = load_extractor(options.features, options.features_weights, options.batch_size)
    reading = _Reading.asked_for(options)
    statistics = _folder(extractor, options.real, reading, "Real images", keep_features=not options.moments_only)
    statistics.save(options.output)
    print(f"{options.output}: {statistics.count} images, {extractor.name} features, {statistics.protocol}")


def _score(options: argparse.Namespace) -> None:
    from sle_gan.features import load_extractor
    from sle_gan.metrics import compute_scores
    from sle_gan.metrics.scoring import checked_metrics, features_needed

    metrics = checked_metrics(options.metrics.split(","))
    if options.count is not None and options.count < 2:
        raise UserError(f"--count {options.count}: expected at least 2 images")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: expected a number from 0 up")
    if options.json:
        _check_output("--json", options.json)
    for flag, path in (("--real", options.real), ("--fake", options.fake)):
        if not Path(path).exists():
            raise UserError(f"{flag} {path}: there is no such file or folder")
    _check_reading(options, _is_generator(options.fake))
    import_engine_to_compute(options.engine)
    extractor = load_extractor(options.features, options.features_weights, options.batch_size)
    keep = features_needed(metrics, options.bootstrap)
    # The generator first: the real pictures have to be read at its resolution, and grey if its own are.
    fake, reading = _fake(extractor, options, keep)
    real = _set(extractor, "--real", options.real, reading, "Real images", keep)
    scores = compute_scores(real, fake, metrics, seed=options.seed, bootstrap=options.bootstrap, progress=True)
    print(format_scores(scores, extractor.describe))
    for warning in scores.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if options.json:
        _write_json(options.json, scores)


def _fake(
    extractor: FeatureExtractor, options: argparse.Namespace, keep: bool | None
) -> tuple[FeatureStatistics, _Reading]:
    """The fake side, and how the real side is to be read."""
    reading = _Reading.asked_for(options)
    if not _is_generator(options.fake):
        fake = _set(
            extractor,
            "--fake",
            options.fake,
            reading,
            "Fake images",
            keep,
            options.count,
            options.seed,
        )
        return fake, reading
    from sle_gan.generation import generate_images, load_generator
    from sle_gan.metrics import collect_statistics
    from sle_gan.metrics.scoring import as_rgb

    count = options.count or _GENERATED
    batches = generate_images(load_generator(options.fake), range(options.seed, options.seed + count))
    first = next(batches)
    side, channels = first.shape[1], "grey" if first.shape[-1] == 1 else "rgb"
    for flag, given, own in (("--resolution", options.resolution, side), ("--channels", options.channels, channels)):
        if given not in (None, own):
            raise UserError(f"{flag} {given}: {options.fake} generates pictures with {own}; leave it out")
    reading = _Reading(side, channels, options.enlarge or "smooth")
    images: Iterator[np.ndarray] = itertools.chain.from_iterable(map(as_rgb, itertools.chain([first], batches)))
    fake = collect_statistics(
        extractor,
        images,
        keep_features=keep,
        protocol={
            "source": options.fake,
            "seeds": f"{options.seed} to {options.seed + count - 1}",
            "preparation": str(reading),
        },
        progress="Fake images",
        total=count,
    )
    return fake, reading


def _set(
    extractor: FeatureExtractor,
    flag: str,
    source: str,
    reading: _Reading,
    title: str,
    keep: bool | None,
    count: int | None = None,
    seed: int = 0,
) -> FeatureStatistics:
    """A folder's statistics, or saved ones."""
    from sle_gan.metrics import FeatureStatistics

    if source.endswith(".npz") and Path(source).is_file():
        if count is not None:
            raise UserError(f"--count {count}: {source} holds statistics, of which no images can be drawn")
        return FeatureStatistics.load(source).require(extractor.version, source)
    _check_folder(flag, source)
    return _folder(extractor, source, reading, title, keep_features=keep, count=count, seed=seed)


def _folder(
    extractor: FeatureExtractor,
    folder: str,
    reading: _Reading,
    title: str,
    *,
    keep_features: bool | None,
    count: int | None = None,
    seed: int = 0,
) -> FeatureStatistics:
    from sle_gan.metrics import ImageFolder, collect_statistics

    images = ImageFolder(folder, count, seed, *reading)
    protocol: dict[str, Any] = {"source": folder, "preparation": str(reading)}
    if len(images.names) < images.found:
        protocol["drawn"] = f"{len(images.names)} of {images.found} by seed {seed}"
    statistics = collect_statistics(
        extractor, images.names, images.load, keep_features=keep_features, protocol=protocol, progress=title
    )
    images.check()
    for reason in sorted(images.skipped):
        print(f"warning: skipped {reason}", file=sys.stderr)
    statistics.protocol["skipped"] = len(images.skipped)
    return statistics


def format_scores(scores: Scores, resize: str) -> str:
    """The table: numbers with their spread, then the protocol."""
    numbers, protocol = scores.metrics, scores.protocol
    rows = []
    if "fid" in numbers:
        spread = ""
        if "fid_bootstrap_std" in numbers:
            spread = f"+- {numbers['fid_bootstrap_std']:.4g} over {protocol['bootstrap']} bootstrap draws"
        name = "FID" if protocol["extractor"] == "inception" else f"Frechet ({protocol['extractor']})"
        rows.append((name, f"{numbers['fid']:.4f}", spread))
    if "kid" in numbers:
        rows.append(("KID x 1000", f"{1000 * numbers['kid']:.4f}", f"+- {1000 * numbers['kid_std']:.4g} over subsets"))
    if "mifid" in numbers:
        rows.append(
            (
                "MiFID",
                f"{numbers['mifid']:.6g}",
                f"memorization distance {numbers['memorization_distance']:.4f}",
            )
        )
    rows += [(name.capitalize(), f"{numbers[name]:.4f}", "") for name in ("precision", "recall") if name in numbers]
    rows.append(("", "", ""))
    rows.append(("extractor", protocol["version"], ""))
    rows.append(("resize", resize, ""))
    for side in ("real", "fake"):
        details = protocol[side]
        origin = ", ".join(f"{key} {details[key]}" for key in ("seeds", "drawn") if key in details)
        rows.append((side, f"{details['count']} images, {details['preparation']}", f"{details['source']} {origin}"))
    rows.append(("seed", str(protocol["seed"]), ""))
    return "\n".join(f"{name:20}{value:12}  {note}".rstrip() for name, value, note in rows)


def _check_folder(flag: str, path: str) -> None:
    if not Path(path).is_dir():
        raise UserError(f"{flag} {path}: expected a folder of pictures (or the .npz of evaluate.py stats)")


def _is_generator(path: str) -> bool:
    return not (Path(path).is_dir() or path.endswith(".npz"))


def _check_reading(options: argparse.Namespace, generator: bool) -> None:
    given = next((name for name in ("channels", "enlarge") if getattr(options, name)), None)
    if given and not options.resolution and not generator:
        raise UserError(f"--{given} {getattr(options, given)} is for pictures read at a --resolution; give one, too")


def _check_output(flag: str, path: str) -> None:
    """Before the work and not after it."""
    if not Path(path).absolute().parent.is_dir():
        raise UserError(f"{flag} {path}: the folder it should go to does not exist")
    if Path(path).is_dir():
        raise UserError(f"{flag} {path}: that is a folder, expected the name of a file")


def _write_json(path: str, scores: Scores) -> None:
    from sle_gan.files import atomic_path

    try:
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(scores.to_dict(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--json {path}: cannot be written: {error.strerror or error}") from error
