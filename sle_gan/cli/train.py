"""`sle-gan train`: settings from flags and files -> one training run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sle_gan.cli.common import Parser, add_engine_flag, add_flags, import_backend, lasting_console, user_path
from sle_gan.config import CONFIGS, DEFAULT_MODEL, TrainConfig, config_class, read_config_file
from sle_gan.config.base import field_names
from sle_gan.data.sources import check_image_column, check_source
from sle_gan.errors import UserError
from sle_gan.storage.paths import check_output_file, check_output_folder

EXAMPLES = """\
examples:
  sle-gan train --data-folder flowers --resolution 256 --name flowers
  sle-gan train --data-folder flowers --resolution 256 --fid --name flowers
  sle-gan train --data-folder flowers --resolution 256 --aspect 3:2     384x256 pixels
  sle-gan train --name flowers --resume                     go on after a stop
  sle-gan train --name flowers --resume --steps 80000       go on for longer
  sle-gan train --data-folder roses --init-from runs/flowers --freeze-discriminator-layers 2 --name roses
  sle-gan train --data-folder flowers --resolution 256 --dry-run   check everything, write nothing
  sle-gan train --model dcgan --data-folder frogs --rotation 15 --zoom 0.8 --preview-augmentation frogs.png

exit codes: 0 done; 1 stopped by NaN or a full disk; 2 a mistake in what was given; 130, 143 or 129 stopped and saved
after Ctrl-C (SIGINT), SIGTERM or SIGHUP: go on with --resume
"""


def make_parser(config: type[TrainConfig] = CONFIGS[DEFAULT_MODEL]) -> Parser:
    """The command's flags for one GAN: its settings, and how to start."""
    parser = Parser(prog="sle-gan train", description=f"Train {config.title}.", epilog=EXAMPLES)
    models = ", ".join(f"{name}: {each.title}" for name, each in CONFIGS.items())
    parser.add_argument(
        "--model",
        choices=tuple(CONFIGS),
        default=argparse.SUPPRESS,
        help=f"what is trained (default {DEFAULT_MODEL}); each has flags of its own: --model NAME --help. {models}",
    )
    how = parser.add_argument_group("how to start").add_mutually_exclusive_group()
    how.add_argument("--override", action="store_true", help="delete the run of this --name and start anew")
    how.add_argument("--resume", action="store_true", help="go on from the newest checkpoint of --name")
    how.add_argument("--dry-run", action="store_true", help="check settings, pictures and weights; write no run")
    how.add_argument(
        "--preview-augmentation",
        type=user_path,
        metavar="FILE",
        help="write a PNG of training pictures beside their augmented versions, and no run",
    )
    parser.add_argument(
        "--config", type=user_path, metavar="FILE", help="settings from a JSON file, such as a run's config.json"
    )
    add_engine_flag(parser)
    add_flags(parser, config)
    return parser


def main(argv: list[str]) -> None:
    """Parses, checks what can be checked without a backend, trains."""
    parser = make_parser(_chosen(argv))
    arguments = vars(parser.parse_args(argv))
    override, resume, dry_run = (arguments.pop(key) for key in ("override", "resume", "dry_run"))
    engine, file, preview = (arguments.pop(key) for key in ("engine", "config", "preview_augmentation"))
    given = {**(read_config_file(file) if file else {}), **arguments}
    if resume:
        from sle_gan.training.resume import resumed_config

        config = resumed_config(given)
        _check_folders(config)
    else:
        config = new_config(given)
    if preview:
        _check_png("--preview-augmentation", preview)
    else:
        _check_place(config, resume, override)
    with lasting_console(parser.prog):
        import_backend(engine)
        from sle_gan.training import run, signals

        if preview:
            run.preview_augmentation(config, preview)
        elif dry_run:
            run.dry_run(config)
        else:
            outcome = run.train(config, resume=resume, override=override)
            if outcome.interrupted_by:
                sys.exit(signals.exit_code(outcome.interrupted_by))


def _chosen(argv: list[str]) -> type[TrainConfig]:
    """`_chosen_config`. Raises a UserError for an --aspect of a GAN that has none: there is no flag to misspell."""
    chosen = _chosen_config(argv)
    given = any(word.partition("=")[0] == "--aspect" for word in argv)
    if given and "aspect" not in field_names(chosen):
        others = " and ".join(name for name, each in CONFIGS.items() if "aspect" in field_names(each))
        raise UserError(f"--aspect: --model {chosen.model} makes squares only; {others} make other shapes")
    return chosen


def _chosen_config(argv: list[str]) -> type[TrainConfig]:
    """The settings' class of the GAN that the command line is about: its own --model, a file's, or a run's."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--model")
    first.add_argument("--name", default="experiment")
    first.add_argument("--output-folder", type=user_path, default="runs")
    for name in ("--config", "--init-from"):
        first.add_argument(name, type=user_path)
    first.add_argument("--resume", action="store_true")
    try:
        seen = first.parse_known_args(argv)[0]
    except argparse.ArgumentError:
        return CONFIGS[DEFAULT_MODEL]  # the whole parser says what is wrong
    if seen.model:
        return CONFIGS.get(seen.model, CONFIGS[DEFAULT_MODEL])
    if seen.config:
        return config_class(read_config_file(seen.config)["model"], f"--config {seen.config}")
    if seen.resume:
        from sle_gan.runs.folder import check_existing, is_run, read_run_config

        folder = Path(seen.output_folder) / seen.name
        if not {"-h", "--help"} & set(argv):
            check_existing(folder)  # before a flag of its GAN is called unknown
        if is_run(folder):
            return type(read_run_config(folder))
    if seen.init_from:
        from sle_gan.training.transfer import source_settings

        return CONFIGS[source_settings(seen.init_from, None)[0] or DEFAULT_MODEL]
    return CONFIGS[DEFAULT_MODEL]


def new_config(given: dict[str, Any]) -> TrainConfig:
    """The settings of a new run: those given, and of the networks those of `init_from`, where that is among them.

    Raises:
        UserError: for a setting that is out of its range, or a source of pictures that is not there.
    """
    model = given.pop("model", None)
    if given.get("init_from"):
        from sle_gan.training.transfer import source_settings

        found, settings = source_settings(given["init_from"], model)
        model = model or found
        known = field_names(CONFIGS[model or DEFAULT_MODEL])
        given = {**{name: value for name, value in settings.items() if name in known}, **given}
    config = CONFIGS[model or DEFAULT_MODEL](**given).validated()
    _check_folders(config)
    return config


def _check_folders(config: TrainConfig) -> None:
    sources = {**config.folders, **config.further_sources}
    for flag, source in sources.items():
        check_source(flag, source)
    check_image_column(config.image_column, sources.values())


def _check_place(config: TrainConfig, resume: bool, override: bool) -> None:
    from sle_gan.runs.folder import check_new, check_usable
    from sle_gan.training.workers import read_workers

    if config.cache_folder:
        check_output_folder("--cache-folder", config.cache_folder)
    if config.distributed and read_workers().index > 0:
        return  # the first process makes the run
    if resume:
        check_usable(config.run_folder)
    else:
        check_new(config, override)


def _check_png(flag: str, file: str) -> None:
    if Path(file).suffix.lower() != ".png":
        raise UserError(f"{flag} {file} is no .png; expected a name such as augmentation.png")
    check_output_file(flag, file)
