"""`sle-gan search`: settings to try -> trials that are ordinary runs, and what was best; `search show` looks at it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sle_gan.cli import search_show
from sle_gan.cli.common import Parser, add_engine_flag, lasting_console, user_path
from sle_gan.cli.search_show import default_folder, need_optuna
from sle_gan.cli.train import new_config
from sle_gan.commands import command_line
from sle_gan.config import TrainConfig, read_config_file
from sle_gan.errors import UserError, counted
from sle_gan.features import EXTRACTORS

if TYPE_CHECKING:
    from sle_gan.search.search import Search

METRICS = ("fid", "kid", "mifid", "precision", "recall")
_WORKER = "trial"
EXAMPLES = """\
examples:
  sle-gan search --config base.json --trials 30 --trial-minutes 20 --storage search.db
  sle-gan search --config base.json --space space.json --trials 30 --minutes 120 --storage search.db
  sle-gan search --config base.json --trials 12 --trial-steps 2000 --metric kid --features mobilenet --storage search.db
  sle-gan search show --storage search.db --plot search.png --best best.json
  sle-gan train --config best.json --name found

base.json holds settings as a run's config.json does; space.json what is tried, for example:
  {"G_learning_rate": {"low": 1e-4, "high": 1e-3, "log": true}, "batch_size": [16, 32, 64]}
Stop it whenever you like, also with kill -9: the same command goes on, in several processes at once too.
"""


def make_parser() -> Parser:
    parser = Parser(
        prog="sle-gan search",
        description="Find the settings that score best. Each trial is a run of its own; poor ones end early.",
        epilog=EXAMPLES,
    )
    parser.add_argument(
        "--config", type=user_path, required=True, metavar="FILE", help="settings of every trial, a JSON file"
    )
    parser.add_argument("--data-folder", type=user_path, metavar="PATH", help="the pictures, if not those of --config")
    parser.add_argument(
        "--space", type=user_path, metavar="FILE", help="what is tried, a JSON file (default: one for each GAN)"
    )
    parser.add_argument(
        "--storage", type=user_path, required=True, metavar="FILE", help="SQLite file that remembers all trials"
    )
    parser.add_argument(
        "--output-folder",
        type=user_path,
        metavar="DIR",
        help="where the trials' runs are made (default: named after --storage)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of what is tried (default %(default)s)")
    _add_length(parser.add_argument_group("how long"))
    _add_objective(parser.add_argument_group("what is compared"))
    add_engine_flag(parser)
    return parser


def _add_length(group: Any) -> None:
    group.add_argument("--trials", type=int, default=30, metavar="N", help="in all (default %(default)s)")
    group.add_argument(
        "--minutes",
        type=float,
        metavar="X",
        help="of the clock after which this process stops; the same command goes on",
    )
    group.add_argument(
        "--trial-minutes",
        type=float,
        metavar="X",
        help="processor minutes of a trial (default: as long as its steps take)",
    )
    group.add_argument("--trial-steps", type=int, metavar="N", help="steps of a trial (default: those of --config)")
    group.add_argument(
        "--rungs",
        type=int,
        default=3,
        metavar="N",
        help="how often a trial is scored; only the best go on each time; 1: none ends early (default %(default)s)",
    )
    group.add_argument(
        "--reduction",
        type=int,
        default=2,
        metavar="N",
        help="each rung is N times as long as the one before it, and one trial in N gets there (default %(default)s)",
    )


def _add_objective(group: Any) -> None:
    group.add_argument("--metric", choices=METRICS, default="fid", help="the score (default %(default)s)")
    group.add_argument(
        "--features", choices=EXTRACTORS, default="inception", help="network that it is taken on (default %(default)s)"
    )
    group.add_argument("--features-weights", type=user_path, metavar="PATH", help="file with that network's weights")
    group.add_argument(
        "--count", type=int, default=1000, metavar="N", help="generated pictures of a set (default %(default)s)"
    )
    group.add_argument(
        "--sets",
        type=int,
        metavar="K",
        help="sets of pictures, of other seeds each: the score is their mean, with its spread (default 3; cyclegan 1)",
    )


def main(argv: list[str]) -> None:
    """Parses, checks what can be checked before a trial, searches."""
    if argv[:1] == ["show"]:
        search_show.main(argv[1:])
        return
    if argv[:1] == [_WORKER] and len(argv) == 2:
        _work(argv[1])
        return
    options = make_parser().parse_args(argv)
    need_optuna()
    _check(options)
    base = _base(options)
    with lasting_console("sle-gan search"):
        _search(options, base)


def _check(options: argparse.Namespace) -> None:
    for name, least in (("trials", 1), ("rungs", 1), ("reduction", 2), ("trial_steps", 1), ("count", 4), ("sets", 1)):
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name.replace('_', '-')} is {value}; expected at least {least}")
    for name in ("minutes", "trial_minutes"):
        value = getattr(options, name)
        if value is not None and not 0 < value < float("inf"):
            raise UserError(f"--{name.replace('_', '-')} is {value}; expected a number above 0")
    if not 0 <= options.seed < 2**31:
        raise UserError(f"--seed is {options.seed}; expected 0 to 2147483647")
    if not Path(options.storage).absolute().parent.is_dir():
        raise UserError(f"--storage {options.storage}: the folder it should go to does not exist")


def _base(options: argparse.Namespace) -> TrainConfig:
    given = read_config_file(options.config)
    if options.data_folder:
        given["data_folder"] = options.data_folder
    if options.trial_steps:
        given |= {"steps": options.trial_steps, "epochs": None}
    config = new_config(given)
    if config.distributed:
        raise UserError(f"--config {options.config}: distributed is true; a trial is trained by one process")
    if options.sets is None:
        options.sets = 1 if len(config.folders) > 1 else 3
    elif options.sets > 1 and len(config.folders) > 1:
        raise UserError(
            f"--sets {options.sets} asks for other seeds, and {config.model} has none: it translates; give 1"
        )
    return config


def _search(options: argparse.Namespace, base: TrainConfig) -> None:
    from sle_gan.search.process import ProcessRunner
    from sle_gan.search.progress import Progress
    from sle_gan.search.search import timer
    from sle_gan.training.signals import Signals, exit_code

    folder = Path(options.output_folder) if options.output_folder else default_folder(options.storage)
    search = _make_search(options, base)
    store = search.open(Path(options.storage), folder)
    with Signals() as signals:
        over = timer(options.minutes)

        def stop() -> bool:
            return signals.received is not None or over()

        with Progress(store, options.trials, options.rungs) as progress:
            runner = ProcessRunner(options.engine, stop, progress.watch)
            finished = search.run(store, options.trials, runner, progress, stop)
        _conclude(options, store, finished)
        if signals.received:
            sys.exit(exit_code(signals.received))


def _make_search(options: argparse.Namespace, base: TrainConfig) -> Search:
    from sle_gan.search.search import Length, Search
    from sle_gan.search.space import default_space, read_space
    from sle_gan.search.tasks import Objective
    from sle_gan.training.sets import load_pictures

    if options.space:  # before pictures are decoded
        space = read_space(options.space, base)
    datasets = load_pictures(base)  # decoded once for all trials: none has that on its clock
    if not options.space:
        space = default_space(base, len(datasets[0]))
    objective = Objective(options.metric, options.features, options.features_weights, options.count, options.sets)
    length = Length(options.trial_minutes, options.rungs, options.reduction)
    return Search(base, space, objective, length, options.seed, tuple(each.digest for each in datasets))


def _conclude(options: argparse.Namespace, store: Any, finished: bool) -> None:
    from sle_gan.search.report import best, table
    from sle_gan.search.store import DONE

    trials = store.trials()
    done = sum(trial.state in DONE for trial in trials)
    if trials:
        print(table(store, top=10))
    if finished:
        elsewhere = len(trials) - done
        more = f"; {counted(elsewhere, 'trial')} run in other processes" if elsewhere else ""
        print(f"{counted(done, 'trial')} done{more}")
    else:
        print(f"stopped with {counted(done, 'trial')} of {options.trials} done; the same command goes on")
    found = best(store)
    if found is not None:
        place = {"output_folder": options.output_folder} if options.output_folder else {}
        line = command_line("search show", storage=options.storage, **place, plot="search.png", best="best.json")
        print(f"the settings of trial {found.number}, a plot and all trials: {line}")


def _work(file: str) -> None:
    """The process of a trial, which `ProcessRunner` starts."""
    from sle_gan.cli.common import import_engine_to_compute
    from sle_gan.search.tasks import read_task
    from sle_gan.search.worker import carry_out, follow

    task, how = read_task(Path(file))
    follow(how["parent"])
    import_engine_to_compute(how["engine"])
    carry_out(task)
