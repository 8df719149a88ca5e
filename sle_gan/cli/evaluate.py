"""sle-gan evaluate: scores two sets of images, saves the statistics of one, or looks for copies."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sle_gan.cli import evaluate_classes, evaluate_neighbours, evaluate_runs
from sle_gan.cli.common import REFERENCES, Parser, add_engine_flag, import_engine_to_compute, user_path
from sle_gan.cli.score_table import format_scores
from sle_gan.cli.sets import Reading, check_folder, check_reading, generate, is_statistics, open_generator, warn_of
from sle_gan.data.sources import check_image_column, is_dataset
from sle_gan.errors import UserError, counted
from sle_gan.features import EXTRACTORS
from sle_gan.storage.paths import check_output_file

if TYPE_CHECKING:
    from sle_gan.features import FeatureExtractor
    from sle_gan.metrics import FeatureStatistics, Scores
    from sle_gan.weights import StoredNetwork

_GENERATED = 5000
_EXAMPLES = """\
examples:
  Two folders, with Inception's features (as published FID):
    sle-gan evaluate score --real photos/ --fake samples/

  A generator against its training pictures, 2000 images, all metrics, on a small machine:
    sle-gan evaluate score --real photos/ --fake runs/NAME --count 2000 \\
        --metrics fid,kid,mifid,pr --features mobilenet

  A generator of classes, over all of them and each:
    sle-gan evaluate score --real photos/ --labels folders --fake runs/NAME

  Is it copying? Each generated picture beside its nearest training pictures:
    sle-gan evaluate neighbours --real photos/ --fake runs/NAME --output sheet.png

  Which of these runs or checkpoints is best, each over three sets of seeds?
    sle-gan evaluate runs runs/a runs/b runs/c/checkpoints/*.npz --seeds 3 --plot runs.png --json runs.json

  The real side computed once:
    sle-gan evaluate stats --real photos/ --resolution 256 --output photos.npz
    sle-gan evaluate score --real photos.npz --fake generator_weights.h5

Weights of the feature networks are downloaded once. Offline, give --features-weights or set
SLE_GAN_FEATURES_WEIGHTS: inception-2015-12-05.tgz, pt_inception-2015-12-05-6726825d.pth, ...
"""


def make_parser() -> Parser:
    parser = Parser(
        prog="sle-gan evaluate",
        description="Score generated images: FID, KID, MiFID, precision and recall, with their protocol.",
        epilog=_EXAMPLES,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="{score,stats,neighbours,runs}")
    _add_score(commands.add_parser("score", help="compare generated images with real ones", epilog=_EXAMPLES))
    _add_stats(commands.add_parser("stats", help="save the statistics of real images", epilog=_EXAMPLES))
    neighbours = commands.add_parser(
        "neighbours", help="show generated images beside the real ones nearest to them", epilog=_EXAMPLES
    )
    evaluate_neighbours.add_flags(neighbours)
    _add_common(neighbours)
    runs = commands.add_parser("runs", help="compare runs and checkpoints in one table", epilog=_EXAMPLES)
    evaluate_runs.add_flags(runs)
    _add_common(runs)
    return parser


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--real",
        type=user_path,
        required=True,
        metavar="SOURCE_OR_STATS",
        help="folder of pictures, archive (.zip, .tar, .tar.gz) or dataset:user/name, or .npz of `stats`",
    )
    parser.add_argument(
        "--fake",
        type=user_path,
        required=True,
        metavar="SOURCE_OR_WEIGHTS",
        help=f"pictures as for --real, .npz of `stats`, or a generator: {REFERENCES}",
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
    parser.add_argument(
        "--labels",
        type=user_path,
        metavar="{folders,FILE}",
        help="the real pictures' classes, as in training: with a generator of classes, the fid of each class too",
    )
    parser.add_argument("--json", type=user_path, metavar="PATH", help="also write numbers and protocol to this file")
    _add_common(parser)


def _add_stats(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--real",
        type=user_path,
        required=True,
        metavar="SOURCE",
        help="folder of pictures, archive or dataset:user/name",
    )
    parser.add_argument("--output", type=user_path, required=True, metavar="PATH", help="the .npz to write")
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
    parser.add_argument(
        "--features-weights", type=user_path, metavar="PATH", help="file with the feature network's weights"
    )
    parser.add_argument(
        "--resolution",
        type=int,
        metavar="R",
        help="read folders as training does, cut square and resized to R pixels (default: their own size, or the "
        "generator's resolution where there is a generator)",
    )
    parser.add_argument(
        "--aspect",
        metavar="W:H",
        help="with --resolution: cut to this shape as training does, the shorter side being R (default: 1:1, or that "
        "of the generator)",
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
        "--value-range",
        metavar="LOW,HIGH",
        help="values that are black and white in pictures of 16 bits and more, as in training (default: all that "
        "the format can hold, or what a run was trained with)",
    )
    parser.add_argument("--image-column", metavar="NAME", help="of a dataset: that has several columns with images")
    parser.add_argument(
        "--batch-size",
        type=int,
        default=32,
        metavar="N",
        help="images in one pass through the feature network; no effect on results (default: %(default)s)",
    )


def main(argv: list[str]) -> None:
    """Parses, checks what can be checked without a backend, scores."""
    options = make_parser().parse_args(argv)
    commands = {"score": _score, "stats": _stats, "neighbours": evaluate_neighbours.run, "runs": evaluate_runs.run}
    commands[options.command](options)


def _stats(options: argparse.Namespace) -> None:
    from sle_gan.features import load_extractor

    check_output_file("--output", options.output)
    check_reading(options, generator=False)
    check_image_column(options.image_column, [options.real])
    check_folder("--real", options.real, 2, options.image_column)
    import_engine_to_compute(options.engine)
    extractor = load_extractor(options.features, options.features_weights, options.batch_size)
    reading = Reading.asked_for(options)
    statistics = _folder(extractor, options.real, reading, "Real images", keep_features=not options.moments_only)
    statistics.save(options.output)
    images = counted(statistics.count, "image")
    print(f"{options.output}: {images}, {extractor.name} features")
    for name, value in statistics.protocol.items():
        print(f"  {name:12} {value}")


def _score(options: argparse.Namespace) -> None:
    from sle_gan.features import load_extractor
    from sle_gan.metrics import compute_scores
    from sle_gan.metrics.scoring import features_needed

    metrics = _checked_metrics(options)
    generator = open_generator(options)
    check_reading(options, generator is not None)
    saved = _check_sides(options, metrics, generator)
    labels = evaluate_classes.read(options, metrics, list(saved), generator)
    import_engine_to_compute(options.engine)
    extractor = load_extractor(options.features, options.features_weights, options.batch_size)
    for source, statistics in saved.items():
        statistics.require(extractor.version, source)
    keep = True if labels else features_needed(metrics, options.bootstrap)
    asked: list[int] = []  # the classes of the generated pictures
    names: list[str] = []  # of the real ones
    # The generator first: the real pictures have to be read at its resolution, and grey if its own are.
    if options.fake in saved:
        fake, reading = saved[options.fake], Reading.asked_for(options)
    else:
        fake, reading = _fake(extractor, options, generator, keep, asked)
    real = saved.get(options.real) or _folder(
        extractor, options.real, reading, "Real images", keep_features=keep, names=names
    )
    scores = compute_scores(real, fake, metrics, seed=options.seed, bootstrap=options.bootstrap, progress=True)
    print(format_scores(scores, extractor.describe))
    of_classes = evaluate_classes.score(real, fake, labels, names, asked) if labels else []
    if of_classes:
        print(evaluate_classes.formatted(of_classes))
        print(f"warning: {evaluate_classes.warning(of_classes, extractor.dimension)}", file=sys.stderr)
    for warning in scores.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    if options.json:
        _write_json(options.json, scores, evaluate_classes.to_json(of_classes))


def _checked_metrics(options: argparse.Namespace) -> tuple[str, ...]:
    """The metrics that are asked for. Raises UserError for numbers that do not go with them, before any work."""
    from sle_gan.metrics.scoring import check_bootstrap, checked_metrics, images_needed

    metrics = checked_metrics(options.metrics.split(","))
    if options.count is not None and options.count < images_needed(metrics):
        raise UserError(
            f"--count {options.count}: expected at least {images_needed(metrics)} images for {','.join(metrics)}"
        )
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: expected a number from 0 up")
    check_bootstrap(options.bootstrap, metrics)
    if options.json:
        check_output_file("--json", options.json)
    return metrics


def _check_sides(
    options: argparse.Namespace, metrics: Sequence[str], generator: StoredNetwork | None
) -> dict[str, FeatureStatistics]:
    """Raises UserError where a side cannot be scored, before any work; returns saved statistics by their path."""
    from sle_gan.metrics import FeatureStatistics
    from sle_gan.metrics.scoring import check_saved, images_needed

    check_image_column(options.image_column, [options.real, options.fake])
    saved = {}
    for flag, path in (("--real", options.real), ("--fake", options.fake)):
        if flag == "--fake" and generator:
            continue
        if not is_dataset(path) and not Path(path).exists():
            raise UserError(f"{flag} {path}: there is no such file or folder")
        if is_statistics(path):
            saved[path] = FeatureStatistics.load(path)
            check_saved(saved[path], path, metrics, options.bootstrap)
        else:
            check_folder(flag, path, images_needed(metrics), options.image_column)
    if options.count is not None and options.fake in saved:
        raise UserError(f"--count {options.count}: {options.fake} holds statistics, of which no images can be drawn")
    return saved


def _fake(
    extractor: FeatureExtractor,
    options: argparse.Namespace,
    generator: StoredNetwork | None,
    keep: bool | None,
    asked: list[int],
) -> tuple[FeatureStatistics, Reading]:
    """The fake side, of a folder or a generator, and how the real side is to be read.

    Args:
        asked: gets the class of each generated picture.
    """
    if generator is None:
        reading, drawn = Reading.asked_for(options), {"count": options.count, "seed": options.seed}
        return _folder(extractor, options.fake, reading, "Fake images", keep_features=keep, **drawn), reading
    from sle_gan.metrics import collect_statistics

    generated = generate(generator, options, options.count or _GENERATED)
    seeds = generated.seeds
    asked += generated.labels
    fake = collect_statistics(
        extractor,
        generated.images,
        keep_features=keep,
        protocol={
            "source": str(generator.source),
            "seeds": f"{seeds[0]} to {seeds[-1]}",
            "preparation": str(generated.reading),
        },
        progress="Fake images",
        total=len(seeds),
    )
    return fake, generated.reading


def _folder(
    extractor: FeatureExtractor,
    folder: str,
    reading: Reading,
    title: str,
    *,
    keep_features: bool | None,
    count: int | None = None,
    seed: int = 0,
    names: list[str] | None = None,
) -> FeatureStatistics:
    """Statistics of the pictures of a source; `names` gets their names."""
    from sle_gan.data import quiet_pillow
    from sle_gan.metrics import ImageFolder, collect_statistics

    images = ImageFolder(folder, count, seed, *reading)
    protocol: dict[str, Any] = {"source": folder, "preparation": str(reading)}
    if len(images.names) < images.found:
        protocol["drawn"] = f"{len(images.names)} of {images.found} by seed {seed}"
    with quiet_pillow():
        statistics = collect_statistics(
            extractor, images.names, images.load, keep_features=keep_features, protocol=protocol, progress=title
        )
    warn_of(images)
    statistics.protocol["skipped"] = len(images.skipped)
    if names is not None:
        skipped = {file.path for file in images.skipped}
        names += [name for name in images.names if name not in skipped]
    return statistics


def _write_json(path: str, scores: Scores, classes: dict[str, Any]) -> None:
    from sle_gan.storage.atomic import atomic_path

    try:
        with atomic_path(path) as temporary:
            content = {**scores.to_dict(), **({"classes": classes} if classes else {})}
            temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"--json {path}: cannot be written: {error.strerror or error}") from error
