"""Which program makes the better pictures in the same processor time?

    python benchmarks/quality.py --data-folder flowers17 --resolution 64 --minutes 60 --rounds 2 \\
        --models slegan dcgan --flags "all=--width 32 --batch-size 8 --diff-augment" \\
        --features efficientnet_lite0 mobilenet=FILE.h5 --output-folder race

Every entrant is trained by the command that users have, in a process and a folder of its own, in turn: A B A B. A round
has its own seed. The clock is processor time (see race.py): a busy machine is no advantage, nor is scoring, which comes
after all training. What has been made at `--points` equal parts of the time is kept, and scored with feature networks
that no discriminator of the race saw: one that did is named with a warning. Run it again to go on after a stop, or with
more `--minutes`. Afterwards the output folder holds quality.json, quality.md, quality.png, and grids/ with the
pictures of the same seeds at every point.

`--models` takes names that `sle-gan train --model` knows, or LABEL:MODEL for one that enters twice, and `--flags
LABEL=FLAGS` what training is to be told of it (`all=...` for all). `--threads N` binds training to N processors, the
first of those that this process may use: `taskset -c 1 python benchmarks/quality.py --threads 1` takes another.

A program `--against` which ours are measured is a shell command with `{data}`, `{out}`, `{resolution}`, `{seed}` and
`{count}` in it. It trains until it gets SIGTERM (the time is over) or has finished. From time to time it makes
`{count}` pictures and puts them, as PNG files, into a folder in `{out}` of any name, such as the step's number; it
makes that folder under a name that begins with a dot and renames it when it is whole. While there is a file
`{out}/.paused` its clock stands still: it makes that before it makes pictures, and deletes it afterwards. It is not
resumed, but started anew.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import shlex
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import harness
import numpy as np
import race

from sle_gan.cli import common
from sle_gan.config import CONFIGS
from sle_gan.config.latent import LatentConfig
from sle_gan.errors import UserError
from sle_gan.features import EXTRACTORS

# Smallest sizes, to see that everything works.
TINY = {"minutes": 0.4, "points": 2, "count": 8, "checkpoint_every": 4, "rounds": 1}
TINY_FLAGS = ["--width", "8", "--latent", "16", "--batch-size", "4"]
_NEVER = "1000000000"
_GRID = 16


def make_parser() -> argparse.ArgumentParser:
    parser = common.Parser(prog="quality.py", description=__doc__)
    parser.add_argument("--data-folder", required=True, metavar="DIR")
    parser.add_argument("--output-folder", default="quality", metavar="DIR", help="default: quality")
    parser.add_argument("--models", nargs="+", default=[], metavar="MODEL", help="of sle-gan train, or LABEL:MODEL")
    parser.add_argument("--against", metavar="COMMAND", help="another program; see above")
    parser.add_argument("--flags", action="append", default=[], metavar="LABEL=FLAGS", help="for sle-gan train")
    parser.add_argument(
        "--minutes", type=float, default=60, metavar="M", help="of processor time for each (default 60)"
    )
    parser.add_argument("--points", type=int, default=8, metavar="N", help="of each curve (default 8)")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="each with another seed (default 1)")
    parser.add_argument("--resolution", type=int, default=64, metavar="R", help="default 64")
    parser.add_argument("--threads", type=int, metavar="N", help="processors that train (default: all there are)")
    parser.add_argument(
        "--checkpoint-every", type=int, default=50, metavar="N", help="steps, in which a point is found"
    )
    parser.add_argument("--count", type=int, default=768, metavar="N", help="pictures that a score is of (default 768)")
    parser.add_argument(
        "--features",
        nargs="+",
        default=["efficientnet_lite0"],
        metavar="NAME[=WEIGHTS]",
        help=f"of {', '.join(EXTRACTORS)} (default efficientnet_lite0)",
    )
    common.add_engine_flag(parser)
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, to see that everything works")
    return parser


def main(argv: Sequence[str] | None = None) -> None:
    options = make_parser().parse_args(argv)
    if options.tiny:
        vars(options).update(TINY)
    entrants = _checked(options)
    common.import_backend(options.engine)
    judges = _judges(options)  # before any training: weights that are missing are known at once
    race.end_when_asked()
    processors = sorted(race.os.sched_getaffinity(0))
    for entrant in entrants:
        state = race.train(entrant, 60 * options.minutes, options.points, processors[: options.threads])
        print(
            f"{entrant.label}, round {entrant.round}: {state.cpu_s / 60:.1f} CPU minutes, {len(state.kept)} points, "
            f"ended by {state.ended}",
            flush=True,
        )
        if not state.kept:
            raise UserError(f"{entrant.folder} holds nothing to score; {entrant.folder / 'output.txt'} says why")
    rows = [row for entrant in entrants for row in _score(entrant, judges, options)]
    _report(rows, entrants, judges, options)


def _checked(options: argparse.Namespace) -> list[race.Entrant]:
    """All entrants, round by round. Raises UserError for what cannot be raced."""
    race.check_system()
    if not Path(options.data_folder).is_dir():
        raise UserError(f"--data-folder {options.data_folder} is no folder")
    for name in ("minutes", "points", "rounds", "checkpoint_every", "threads"):
        value = getattr(options, name)
        if value is not None and value <= 0:
            raise UserError(f"--{name.replace('_', '-')} {value}: expected a positive number")
    if options.count < 4:
        raise UserError(f"--count {options.count}: precision and recall take at least 4 pictures")
    models = {label or model: model for label, _, model in (text.rpartition(":") for text in options.models)}
    for model in models.values():
        known = [name for name in CONFIGS if issubclass(CONFIGS[name], LatentConfig)]
        if model not in known:
            raise UserError(f"--models {model}: expected some of {', '.join(known)}, which make pictures from noise")
    if len(models) < len(options.models) or not (models or options.against):
        raise UserError("--models: give some, each with a label of its own (LABEL:MODEL), or --against")
    flags = _flags(options, models)
    folder = Path(options.output_folder).absolute()
    entrants: list[race.Entrant] = []
    for number in range(1, options.rounds + 1):
        for label, model in models.items():
            entrants.append(_run(options, number, label, model, flags[label], folder / f"{label}_r{number}"))
        if options.against:
            entrants.append(_peer(options, number, folder / f"against_r{number}"))
    return entrants


def _flags(options: argparse.Namespace, models: dict[str, str]) -> dict[str, list[str]]:
    """What training is told of each label."""
    found: dict[str, list[str]] = {label: [] for label in models}
    for text in options.flags:
        label, equals, words = text.partition("=")
        if not equals or label not in (*models, "all"):
            raise UserError(f"--flags {text!r}: expected LABEL=FLAGS with a label of {', '.join(('all', *models))}")
        for name in models if label == "all" else [label]:
            found[name] += shlex.split(words)
    return found


def _run(
    options: argparse.Namespace, number: int, label: str, model: str, flags: Sequence[str], folder: Path
) -> race.Run:
    own = {
        "model": model,
        "data_folder": Path(options.data_folder).absolute(),
        "resolution": options.resolution,
        "seed": number,
        "engine": options.engine,
        "checkpoint_every": options.checkpoint_every,
        # The clock ends it; grids cost time, and are made afterwards of what was kept.
        "steps": _NEVER,
        "sample_every": _NEVER,
    }
    words = [word for name, value in own.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    small = TINY_FLAGS if options.tiny else []
    program = [sys.executable, str(harness.REPOSITORY / "sle_gan"), "train"]
    return race.Run(label, number, folder, program, [*words, *small, *flags])


def _peer(options: argparse.Namespace, number: int, folder: Path) -> race.Peer:
    given = {
        "data": Path(options.data_folder).absolute(),
        "out": folder / "out",
        "resolution": options.resolution,
        "seed": number,
        "count": options.count,
    }
    command = options.against
    for name, value in given.items():
        command = command.replace(f"{{{name}}}", shlex.quote(str(value)))
    return race.Peer("against", number, folder, command)


def _judges(options: argparse.Namespace) -> list[Any]:
    """A scorer for each feature network, with the statistics of all pictures."""
    from sle_gan.data import load_dataset
    from sle_gan.features import load_extractor
    from sle_gan.metrics import Scorer

    dataset = load_dataset(options.data_folder, options.resolution)
    extractors = [load_extractor(name, path or None) for name, _, path in (t.partition("=") for t in options.features)]
    cache = Path(options.output_folder) / "statistics"
    return [Scorer(each, dataset.images, dataset.digest, cache, ("fid", "pr")) for each in extractors]


def _score(entrant: race.Entrant, judges: Sequence[Any], options: argparse.Namespace) -> list[harness.Row]:
    """A row for each point of an entrant's curve; what was scored before is read from its folder."""
    state = race.State.read(entrant.file)
    assert state is not None
    seen = _seen_features(entrant)
    rows = []
    for kept in state.kept:
        row = {"entrant": entrant.label, "round": entrant.round, "cpu_min": kept.cpu_s / 60, "step": kept.step}
        _grid(entrant, kept, options)
        for judge in judges:
            name = judge.extractor.name
            scores = _cached_score(entrant, kept, judge, options)
            row |= {f"{name}_{metric}": scores[metric] for metric in ("fid", "precision", "recall")}
            if name in seen:
                row["note"] = f"its discriminator saw {name}"
        rows.append(row)
    return rows


def _cached_score(entrant: race.Entrant, kept: race.Kept, judge: Any, options: argparse.Namespace) -> dict[str, float]:
    state = [kept.path, kept.cpu_s, judge.extractor.version, judge.real.protocol.get("digest"), options.count]
    key = hashlib.sha256(json.dumps(state).encode()).hexdigest()[:16]
    file = entrant.folder / "scores.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if key not in known:
        known[key] = judge.score(_pictures(entrant, kept, options.count, options)).metrics
        file.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
    return known[key]


def _pictures(entrant: race.Entrant, kept: race.Kept, count: int, options: argparse.Namespace) -> Iterator[np.ndarray]:
    """uint8 batches (b, R, R, C) of what was kept: of the seeds from 0, or in the order of the files' names."""
    path = entrant.folder / kept.path
    if path.is_file():
        from sle_gan.generation import generate_images
        from sle_gan.hub.loading import load_folded

        yield from generate_images(load_folded(path), range(count))
        return
    from sle_gan.metrics import ImageFolder

    images = ImageFolder(path, resolution=options.resolution)
    if len(images.names) < count:
        raise UserError(f"{path} holds {len(images.names)} pictures, expected {{count}}, which is {options.count}")
    for name in images.names[:count]:
        image = images.load(name)
        if image is None:
            raise UserError(f"{path}: {images.skipped[-1]}")
        yield image[None]


def _seen_features(entrant: race.Entrant) -> set[str]:
    """The feature networks in a run's settings: its discriminator or its loss saw them."""
    file = entrant.folder / "run" / "config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    return {value for key, value in settings.items() if "fid" not in key and value in EXTRACTORS}


def _grid(entrant: race.Entrant, kept: race.Kept, options: argparse.Namespace) -> None:
    from sle_gan.pictures import make_grid, save_png

    folder = Path(options.output_folder) / "grids"
    folder.mkdir(exist_ok=True)
    file = folder / f"{entrant.label}_r{entrant.round}_{kept.cpu_s / 60:07.3f}min.png"
    if not file.exists():
        images = itertools.chain.from_iterable(_pictures(entrant, kept, min(_GRID, options.count), options))
        save_png(make_grid(np.stack(list(images))), file)


def _report(
    rows: list[harness.Row], entrants: Sequence[race.Entrant], judges: Sequence[Any], options: argparse.Namespace
) -> None:
    """The table on the terminal and as quality.md, all numbers as quality.json, the curves as quality.png."""
    names = [judge.extractor.name for judge in judges]
    columns = {"entrant": "entrant", "round": "round", "cpu_min": "CPU min", "step": "step"}
    for name in names:
        columns |= {f"{name}_fid": f"{name}: Fréchet", f"{name}_precision": "precision", f"{name}_recall": "recall"}
    columns["note"] = "note"
    summaries = _summaries(rows, names)
    ends = {"entrant": "entrant"}
    for name in names:
        ends |= {f"{name}_last": f"{name}: at the end", f"{name}_best": "best", f"{name}_best_min": "at CPU min"}
        ends |= {f"{name}_last_recall": "recall at the end", f"{name}_passes_min": "passes the first's best at CPU min"}
    text = (
        f"{harness.table(rows, columns)}\n\nMedians of {options.rounds} round(s):\n\n{harness.table(summaries, ends)}\n"
    )
    folder = Path(options.output_folder)
    (folder / "quality.md").write_text(text, encoding="utf-8")
    settings = dict(vars(options))
    settings |= {f"{entrant.label}_r{entrant.round}": entrant.settings for entrant in entrants}
    settings["protocol"] = [{"version": judge.extractor.version, "real": judge.real.count} for judge in judges]
    harness.write_json(str(folder / "quality.json"), settings, rows, summaries)
    _plot(rows, names, folder / "quality.png")
    print(text, end="")
    for note in dict.fromkeys(f"{row['entrant']}: {row['note']}" for row in rows if "note" in row):
        print(f"warning: {note}, whose scores flatter it", file=sys.stderr)
    print(f"wrote quality.json, quality.md, quality.png and grids to {folder}")


def _summaries(rows: list[harness.Row], names: Sequence[str]) -> list[harness.Row]:
    """For each entrant, medians over the rounds of its ends, and when it passed the first entrant's best score."""
    labels = list(dict.fromkeys(row["entrant"] for row in rows))
    summaries = []
    for label in labels:
        summary: harness.Row = {"entrant": label}
        for name in names:
            curves = _curves(rows, label)
            best = [min(curve, key=lambda row: row[f"{name}_fid"]) for curve in curves]
            firsts = [min(row[f"{name}_fid"] for row in curve) for curve in _curves(rows, labels[0])]
            passed = [
                next((row["cpu_min"] for row in curve if row[f"{name}_fid"] < first), None)
                for curve, first in zip(curves, firsts)
            ]
            summary |= {
                f"{name}_last": statistics.median(curve[-1][f"{name}_fid"] for curve in curves),
                f"{name}_last_recall": statistics.median(curve[-1][f"{name}_recall"] for curve in curves),
                f"{name}_best": statistics.median(row[f"{name}_fid"] for row in best),
                f"{name}_best_min": statistics.median(row["cpu_min"] for row in best),
            }
            if label != labels[0] and None not in passed:
                summary[f"{name}_passes_min"] = statistics.median(minutes for minutes in passed if minutes is not None)
        summaries.append(summary)
    return summaries


def _curves(rows: list[harness.Row], label: str) -> list[list[harness.Row]]:
    """An entrant's rows, a list for each round."""
    own = [row for row in rows if row["entrant"] == label]
    return [[row for row in own if row["round"] == number] for number in sorted({row["round"] for row in own})]


def _plot(rows: list[harness.Row], names: Sequence[str], path: Path) -> None:
    """A row of panels for each feature network: Fréchet distance, precision and recall over CPU minutes."""
    from matplotlib.figure import Figure

    metrics = {"fid": "Fréchet distance", "precision": "precision", "recall": "recall"}
    figure = Figure(figsize=(12, 3.4 * len(names)), layout="constrained")
    grid = figure.subplots(len(names), len(metrics), squeeze=False)
    labels = list(dict.fromkeys(row["entrant"] for row in rows))
    for i, name in enumerate(names):
        for j, (metric, title) in enumerate(metrics.items()):
            axes = grid[i][j]
            for colour, label in enumerate(labels):
                for number, curve in enumerate(_curves(rows, label)):
                    x, y = [row["cpu_min"] for row in curve], [row[f"{name}_{metric}"] for row in curve]
                    axes.plot(x, y, marker="o", markersize=3, color=f"C{colour}", label="" if number else label)
            axes.set(xlabel="CPU minutes", ylabel=title, title=name, ylim=(0, None))
            axes.grid(alpha=0.3)
    grid[0][0].legend()
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    common.run(main, "quality.py")
