"""`sle-gan search show`: the ranking of a search's trials, what mattered, a plot, and the best settings."""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sle_gan.cli.common import Parser, user_path
from sle_gan.errors import UserError, counted
from sle_gan.storage.paths import check_output_file

if TYPE_CHECKING:
    from sle_gan.search.store import Store

EXAMPLES = """\
examples:
  sle-gan search show --storage search.db
  sle-gan search show --storage search.db --plot search.png --best best.json
"""
_OF_THE_DATA = ("data_folder", "target_folder")


def make_parser() -> Parser:
    parser = Parser(
        prog="sle-gan search show",
        description="Show what a search has found, also while it goes on.",
        epilog=EXAMPLES,
    )
    parser.add_argument("--storage", type=user_path, required=True, metavar="FILE", help="of the search")
    parser.add_argument(
        "--output-folder", type=user_path, metavar="DIR", help="of the search (default: named after --storage)"
    )
    parser.add_argument("--plot", type=user_path, metavar="FILE", help="write a .png: scores over trials and settings")
    parser.add_argument(
        "--best", type=user_path, metavar="FILE", help="write the best settings, for sle-gan train --config"
    )
    return parser


def main(argv: list[str]) -> None:
    options = make_parser().parse_args(argv)
    need_optuna()
    _check(options)
    from sle_gan.search import report
    from sle_gan.search.store import DONE, Store

    folder = Path(options.output_folder) if options.output_folder else default_folder(options.storage)
    store = Store.open_existing(Path(options.storage), folder)
    trials = store.trials()
    print(_describe(store))
    if not any(trial.state in DONE for trial in trials):
        raise UserError(f"--storage {options.storage}: no trial is done yet, of {counted(len(trials), 'trial')} begun")
    print(report.table(store))
    found = report.best(store)
    print(_importances(report.importances(store)))
    if options.plot:
        report.draw(store, Path(options.plot))
        print(f"wrote {options.plot}")
    if options.best:
        if found is None:
            raise UserError(f"--best {options.best}: no trial was trained to its end yet")
        report.write_best(store, found, _data(folder, found.number), Path(options.best))
        print(f"wrote {options.best}, the settings of trial {found.number}")


def need_optuna() -> None:
    if importlib.util.find_spec("optuna") is None:
        raise UserError("sle-gan search needs optuna, which is not installed; pip install optuna, or the extra search")


def default_folder(storage: str) -> Path:
    """Where the trials of a search are: search for search.db."""
    path = Path(storage)
    return path.with_suffix("") if path.suffix else path.with_name(f"{path.name}_trials")


def _check(options: argparse.Namespace) -> None:
    if options.plot:
        if Path(options.plot).suffix.lower() != ".png":
            raise UserError(f"--plot {options.plot} is no .png; expected a name such as search.png")
        from sle_gan.training.optional import is_installed

        if not is_installed("matplotlib"):
            raise UserError("--plot needs matplotlib, which is not installed; pip install matplotlib")
    for flag, file in (("--plot", options.plot), ("--best", options.best)):
        if file:
            check_output_file(flag, file)


def _describe(store: Store) -> str:
    """One line on what is compared."""
    identity = store.identity
    objective, length, base = identity["objective"], identity["length"], identity["base"]
    if length["minutes"]:
        how_long = f"{length['minutes']:g} processor minutes"
    else:
        how_long = f"{base['steps']:,} steps" if base["steps"] else f"{base['epochs']} epochs or all steps"
    sets = f", mean of {objective['sets']} sets" if objective["sets"] > 1 else ""
    return (
        f"{base['model']} at {base['resolution']} px: {objective['metric']} on {objective['features']} features, "
        f"{counted(objective['count'], 'generated picture')}{sets}; trials of {how_long}, "
        f"scored {counted(length['rungs'], 'time')}"
    )


def _importances(shares: dict[str, float] | None) -> str:
    if shares is None:
        return "importances: too few trials were trained to their end"
    return "importances: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())


def _data(folder: Path, number: int) -> dict[str, Any]:
    """Where the pictures of a trial's run are on this machine."""
    from sle_gan.runs.folder import is_run, read_run_config

    run = folder / f"trial_{number:04d}"
    if not is_run(run):
        return {}
    config = read_run_config(run)
    return {name: getattr(config, name) for name in _OF_THE_DATA if hasattr(config, name)}
