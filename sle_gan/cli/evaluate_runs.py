"""sle-gan evaluate runs: several runs or checkpoints, each scored over sets of seeds, in one table and plot."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sle_gan.cli.common import REFERENCES, import_engine_to_compute, user_path
from sle_gan.cli.runs_table import Candidate, Scored, draw, format_table
from sle_gan.cli.sets import Reading, check_folder, check_reading, is_statistics, warn_of
from sle_gan.data.sources import check_image_column, check_source
from sle_gan.errors import UserError, counted
from sle_gan.hub import Kind, open_model
from sle_gan.shapes import SQUARE, made_aspect
from sle_gan.storage.paths import check_output_file

if TYPE_CHECKING:
    from sle_gan.features import FeatureExtractor
    from sle_gan.metrics import FeatureStatistics

_COUNT = 2000
_NUMBERS = {"fid": ("fid",), "kid": ("kid",), "mifid": ("mifid",), "pr": ("precision", "recall")}


def add_flags(parser: Any) -> None:
    parser.add_argument("runs", nargs="+", type=user_path, metavar="RUN", help=f"generators: {REFERENCES}")
    parser.add_argument(
        "--real",
        type=user_path,
        metavar="SOURCE_OR_STATS",
        help="pictures, or .npz of `stats`, that all are compared with (default: what the runs were trained on)",
    )
    parser.add_argument(
        "--metrics", default="fid", metavar="LIST", help="comma-separated, of fid,kid,mifid,pr (default: fid)"
    )
    parser.add_argument(
        "--count", type=int, default=_COUNT, metavar="N", help="generated pictures of a set (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=1,
        metavar="K",
        help="sets of generated pictures, of other seeds each: mean and standard deviation (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the first picture (default: %(default)s)")
    parser.add_argument("--plot", type=user_path, metavar="FILE", help="write the scores as a .png")
    parser.add_argument("--json", type=user_path, metavar="PATH", help="write numbers and protocol to this file")


def run(options: argparse.Namespace) -> None:
    """Checks all runs before the first is scored, scores them, prints the table, writes plot and JSON."""
    metrics = _check(options)
    candidates = [_open(options, name, label) for name, label in zip(options.runs, _labels(options.runs))]
    real = _real_source(options, candidates)
    saved = _saved(real, metrics) if is_statistics(real) else None
    import_engine_to_compute(options.engine)
    from sle_gan.features import load_extractor

    extractor = load_extractor(options.features, options.features_weights, options.batch_size)
    if saved:
        saved.require(extractor.version, real)
    statistics: dict[Reading, FeatureStatistics] = {}
    rows = []
    for number, candidate in enumerate(candidates, start=1):
        if candidate.reading not in statistics:
            statistics[candidate.reading] = saved or _read(extractor, real, candidate.reading)
        title = f"{candidate.name} ({number} of {len(candidates)})"
        rows.append(_score(options, metrics, extractor, statistics[candidate.reading], candidate, title))
    names = [name for metric in metrics for name in _NUMBERS[metric]]
    print(format_table(rows, names))
    print(_protocol(options, extractor, real, rows))
    for warning in dict.fromkeys(warning for row in rows for scores in row.sets for warning in scores.warnings):
        print(f"warning: {warning}", file=sys.stderr)
    if len(statistics) > 1:
        print("warning: the runs make pictures of different sizes: their scores do not compare", file=sys.stderr)
    if options.json:
        _write_json(options.json, rows)
    if options.plot:
        draw(rows, names, Path(options.plot))
        print(f"wrote {options.plot}")


def _check(options: argparse.Namespace) -> tuple[str, ...]:
    from sle_gan.metrics.scoring import checked_metrics, images_needed
    from sle_gan.training.optional import is_installed

    metrics = checked_metrics(options.metrics.split(","))
    least = images_needed(metrics)
    if options.count < least:
        raise UserError(f"--count {options.count}: expected at least {least} images for {','.join(metrics)}")
    if options.seeds < 1:
        raise UserError(f"--seeds {options.seeds}: expected at least 1 set of pictures")
    if options.seed < 0:
        raise UserError(f"--seed {options.seed}: expected a number from 0 up")
    check_reading(options, generator=True)
    if options.plot:
        if Path(options.plot).suffix.lower() != ".png":
            raise UserError(f"--plot {options.plot} is no .png; expected a name such as runs.png")
        if not is_installed("matplotlib"):
            raise UserError("--plot needs matplotlib, which is not installed; pip install matplotlib")
    for flag, file in (("--plot", options.plot), ("--json", options.json)):
        if file:
            check_output_file(flag, file)
    return metrics


def _labels(references: Sequence[str]) -> list[str]:
    """The references without the folders that all of them begin with."""
    if len(references) < 2 or len({*references}) < len(references):
        return list(references)
    common = os.path.commonpath([Path(each).parent for each in references]) if _are_alike(references) else ""
    return [os.path.relpath(each, common) if common else each for each in references]


def _are_alike(references: Sequence[str]) -> bool:
    return len({Path(each).is_absolute() for each in references}) == 1 and all(
        Path(each).exists() for each in references
    )


def _open(options: argparse.Namespace, reference: str, label: str) -> Candidate:
    """A generator and what its run knows of how its training pictures were read; flags win."""
    from sle_gan.runs.checkpoints import CheckpointFolder, read_meta
    from sle_gan.runs.folder import read_run_config

    model = open_model(reference, "RUN")
    stored = model.generator()
    step = trained_on = None
    own = argparse.Namespace(**vars(options))
    if model.kind in (Kind.RUN, Kind.CHECKPOINT):
        folder = model.path if model.kind is Kind.RUN else model.path.parent.parent
        config = read_run_config(folder)
        own.enlarge = options.enlarge or config.enlarge
        own.value_range = options.value_range or config.value_range
        own.image_column = options.image_column or config.image_column
        trained_on = config.data_folder
        if model.kind is Kind.CHECKPOINT:
            step = int(read_meta(model.path)["step"])
        else:
            newest = CheckpointFolder(folder / "checkpoints", 1).newest()
            step = newest.step if newest else None
    channels = "grey" if stored.architecture["channels"] == 1 else "rgb"
    resolution, aspect = stored.architecture["output_resolution"], stored.architecture.get("aspect", SQUARE)
    reading = Reading.asked_for(own)._replace(resolution=resolution, channels=channels, aspect=aspect)
    for flag, given, made in (
        ("--resolution", options.resolution, reading.resolution),
        ("--channels", options.channels, channels),
        ("--aspect", options.aspect and made_aspect(options.aspect), aspect),
    ):
        if given not in (None, made):
            raise UserError(f"{flag} {given}: {reference} generates pictures with {made}; leave it out")
    return Candidate(label, stored, step, reading, trained_on)


def _real_source(options: argparse.Namespace, candidates: Sequence[Candidate]) -> str:
    if options.real:
        real = options.real
        if not is_statistics(real):
            check_image_column(options.image_column, [real])
            check_folder("--real", real, 2, options.image_column)
        return real
    sources = {candidate.trained_on for candidate in candidates}
    if len(sources) > 1 or None in sources:
        found = ", ".join(sorted(str(each) for each in sources if each)) or "none of them is a run"
        raise UserError(f"--real is missing, and the runs do not say with one voice what it is ({found}); give it")
    (real,) = (str(each) for each in sources)
    check_source("--real", real)
    return real


def _saved(real: str, metrics: Sequence[str]) -> FeatureStatistics:
    from sle_gan.metrics import FeatureStatistics
    from sle_gan.metrics.scoring import check_saved

    statistics = FeatureStatistics.load(real)
    check_saved(statistics, real, metrics)
    return statistics


def _read(extractor: FeatureExtractor, real: str, reading: Reading) -> FeatureStatistics:
    from sle_gan.data import quiet_pillow
    from sle_gan.metrics import ImageFolder, collect_statistics

    images = ImageFolder(real, None, 0, *reading)
    protocol = {"source": real, "preparation": str(reading)}
    with quiet_pillow():
        statistics = collect_statistics(
            extractor, images.names, images.load, keep_features=True, protocol=protocol, progress="Real images"
        )
    warn_of(images)
    return statistics


def _score(
    options: argparse.Namespace,
    metrics: Sequence[str],
    extractor: FeatureExtractor,
    real: FeatureStatistics,
    candidate: Candidate,
    title: str,
) -> Scored:
    from sle_gan.generation import generate_images
    from sle_gan.metrics.repeated import score_sets, seed_sets, spreads
    from sle_gan.models.building import fold_network

    generator = fold_network(candidate.stored)
    sets = seed_sets(options.seed, options.count, options.seeds)
    scores = score_sets(real, extractor, lambda seeds: generate_images(generator, seeds), sets, metrics, progress=title)
    return Scored(candidate, spreads([each.metrics for each in scores]), scores)


def _protocol(options: argparse.Namespace, extractor: FeatureExtractor, real: str, rows: Sequence[Scored]) -> str:
    sets = f"{counted(options.seeds, 'set')} of {counted(options.count, 'picture')}, seeds from {options.seed}"
    spread = "; +- is the standard deviation over the sets" if options.seeds > 1 else ""
    count = rows[0].sets[0].protocol["real"]["count"]
    return (
        f"{sets}{spread}; against {counted(count, 'picture')} of {real}; {extractor.version}, {extractor.describe}; "
        "* is the best"
    )


def _write_json(path: str, rows: Sequence[Scored]) -> None:
    from sle_gan.storage.atomic import atomic_path

    values = [
        {
            "run": row.candidate.name,
            "source": str(row.candidate.stored.source),
            "step": row.candidate.step,
            "metrics": {name: spread._asdict() for name, spread in row.spreads.items()},
            "protocol": [scores.protocol for scores in row.sets],
        }
        for row in rows
    ]
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps({"runs": values}, indent=2) + "\n", encoding="utf-8")
    print(f"wrote {path}")
