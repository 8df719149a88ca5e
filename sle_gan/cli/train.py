"""`train.py`: settings from flags and files -> one training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sle_gan.cli.common import Parser, add_engine_flag, add_flags, import_backend
from sle_gan.config import TrainConfig, read_config_file
from sle_gan.errors import UserError

EXAMPLES = """\
examples:
  train.py --data-folder flowers --resolution 256 --diff-augment --name flowers
  train.py --data-folder flowers --resolution 256 --diff-augment --fid --name flowers
  train.py --name flowers --resume                     go on after a stop
  train.py --name flowers --resume --steps 80000       go on for longer
  train.py --data-folder flowers --resolution 256 --dry-run   check everything, write nothing
"""

GROUPS = {
    "data and run": ("data_folder", "name", "output_folder", "seed"),
    "networks": ("resolution", "width", "latent", "channels", "generator_weights", "discriminator_weights"),
    "training": (
        "steps",
        "epochs",
        "batch_size",
        "G_learning_rate",
        "D_learning_rate",
        "ema_decay",
        "reconstruction_loss",
        "perceptual_weights",
        "crop",
    ),
    "augmentation": ("diff_augment", "augment_policy", "flip"),
    "how good it is": ("fid", "fid_frequency", "fid_number_of_images", "fid_features", "fid_features_weights"),
    "what is kept": ("checkpoint_every", "keep_checkpoints", "sample_every"),
}


def make_parser() -> Parser:
    parser = Parser(
        prog="train.py",
        description="Train SLE-GAN on a folder of pictures.",
        epilog=EXAMPLES,
    )
    how = parser.add_argument_group("how to start").add_mutually_exclusive_group()
    how.add_argument("--override", action="store_true", help="delete the run of this --name and start anew")
    how.add_argument("--resume", action="store_true", help="go on from the newest checkpoint of --name")
    how.add_argument("--dry-run", action="store_true", help="check settings, pictures and weights; write no run")
    parser.add_argument("--config", metavar="FILE", help="settings from a JSON file, such as a run's config.json")
    add_engine_flag(parser)
    add_flags(parser, TrainConfig, GROUPS)
    return parser


def main(argv: list[str] | None = None) -> None:
    """Parses, checks what can be checked without a backend, trains."""
    arguments = vars(make_parser().parse_args(argv))
    override, resume, dry_run = (arguments.pop(key) for key in ("override", "resume", "dry_run"))
    engine, file = arguments.pop("engine"), arguments.pop("config")
    given = {**(read_config_file(file) if file else {}), **arguments}
    if resume:
        from sle_gan.training.resume import resumed_config

        config = resumed_config(given)
    else:
        config = _new_config(given, override)
    import_backend(engine)
    from sle_gan.training import run

    if dry_run:
        run.dry_run(config)
    else:
        run.train(config, resume=resume, override=override)


def _new_config(given: dict[str, Any], override: bool) -> TrainConfig:
    from sle_gan.training.run_folder import check_new

    config = TrainConfig(**given).validated()
    if not config.data_folder:
        raise UserError("--data-folder is missing; give the folder with your pictures")
    if not Path(config.data_folder).is_dir():
        raise UserError(f"--data-folder {config.data_folder} is no folder; give the folder with your pictures")
    check_new(config, override)
    return config
