"""`sle-gan share`: a training run -> a folder that others can use, or a repository on a hub."""

from __future__ import annotations

import argparse
import shlex
import tempfile
from pathlib import Path

from sle_gan.cli.common import REFERENCES, Parser, add_engine_flag, import_engine_to_compute, user_path
from sle_gan.commands import command_line
from sle_gan.errors import UserError
from sle_gan.hub import open_model
from sle_gan.storage.paths import check_output_folder

EXAMPLES = """\
examples:
  sle-gan share --name flowers --folder shared/flowers --license cc-by-4.0
  sle-gan share --folder shared/flowers --push user/flowers
  sle-gan share --name flowers --push user/flowers --private
  sle-gan share --weights generator_weights.h5 --folder shared/flowers
  sle-gan share --name flowers --space spaces/flowers

The folder holds config.json, the weights, a grid of generated pictures and a model card, README.md, written from
the run: look at it, change it, then push it. No training picture, path or name of yours goes into it. To
push, log in once with `hf auth login`, or set HF_TOKEN; HF_ENDPOINT names another hub than huggingface.co.
"""


def make_parser() -> Parser:
    parser = Parser(
        prog="sle-gan share",
        description="Share a trained generator: as a folder, or as a repository on a hub.",
        epilog=EXAMPLES,
    )
    what = parser.add_argument_group("what is shared")
    what.add_argument("--name", metavar="NAME", help="a training run")
    what.add_argument(
        "--output-folder", type=user_path, default="runs", metavar="DIR", help="where run folders are (default runs)"
    )
    what.add_argument(
        "--weights", type=user_path, metavar="MODEL", help=f"instead of a run by its name: a generator, {REFERENCES}"
    )
    what.add_argument("--last", action="store_true", help="of a run with --fid, the newest generator, not the best")
    what.add_argument(
        "--discriminator",
        action="store_true",
        help="share it too, so that others can train on; it knows more of the training pictures than the generator",
    )
    what.add_argument("--half", action="store_true", help="store the weights in float16: half the size")
    what.add_argument(
        "--license", metavar="ID", help="of the weights, e.g. cc-by-4.0, cc0-1.0, mit, other (default: unknown)"
    )
    where = parser.add_argument_group("where to")
    where.add_argument(
        "--folder",
        type=user_path,
        metavar="DIR",
        help="write the model there; alone with --push: send what is there",
    )
    where.add_argument(
        "--space",
        type=user_path,
        metavar="DIR",
        help="instead: write the files of a hub Space there, whose visitors play with the model in sle-gan studio",
    )
    where.add_argument(
        "--override", action="store_true", help="replace the shared model in --folder, or the Space in --space"
    )
    where.add_argument("--push", metavar="USER/NAME", help="send it to this repository, which is made if need be")
    where.add_argument("--private", action="store_true", help="make the repository private")
    add_engine_flag(parser)
    return parser


def main(argv: list[str]) -> None:
    """Parses, checks what can be checked without a backend, saves, pushes."""
    arguments = make_parser().parse_args(argv)
    source = _check(arguments)
    if arguments.space:
        assert source is not None
        _save_space(arguments, source, Path(arguments.space))
        return
    from sle_gan.hub.upload import Destination

    destination = Destination(arguments.push, arguments.private) if arguments.push else None
    with tempfile.TemporaryDirectory() as temporary:
        name = arguments.push.rpartition("/")[2] if arguments.push else ""
        folder = Path(arguments.folder or Path(temporary) / name)
        if source:
            _save(arguments, source, folder)
        if destination:
            pushed = destination.push(folder)
            print(f"pushed to {pushed.url} ({'private' if pushed.private else 'public'}), commit {pushed.commit}")
        hint = _usage(arguments, folder, pushed.commit if destination else None)
    print(hint)


def _usage(arguments: argparse.Namespace, folder: Path, commit: str | None) -> str:
    """The command that uses what was shared; that of a translator needs pictures."""
    (name, *_) = sorted(path.name for path in folder.glob("generator*_weights.h5"))
    flags: dict[str, object] = {"output_folder": "out", "engine": arguments.engine}
    if name == "generator_weights.h5":
        model = arguments.push or arguments.folder
        return f"use it: {command_line('generate', model=model, revision=commit, count=16, **flags)}"
    place = arguments.folder or "FOLDER"
    names = "PICTURES your pictures" if arguments.folder else "PICTURES your pictures and FOLDER the downloaded files"
    line = command_line("translate", weights=f"{place}/{name}", input="PICTURES", **flags)
    return f"use it, with {names}: {line}"


def _save(arguments: argparse.Namespace, source: str | Path, folder: Path) -> None:
    import_engine_to_compute(arguments.engine)
    from sle_gan.hub.save import save_pretrained

    save_pretrained(
        source,
        folder,
        license=arguments.license,
        last=arguments.last,
        discriminator=arguments.discriminator,
        half=arguments.half,
        override=arguments.override,
        repository=arguments.push,
    )
    if arguments.folder:
        sizes = [f"{path.name} ({_size(path)})" for path in sorted(folder.iterdir()) if path.is_file()]
        print(f"wrote {', '.join(sizes)} to {folder}")
        if not arguments.push:
            print(f"look at {folder / 'README.md'} and samples.png before you publish them")


def _save_space(arguments: argparse.Namespace, source: str | Path, folder: Path) -> None:
    import_engine_to_compute(arguments.engine)
    from sle_gan.hub.space import save_space

    save_space(
        source,
        folder,
        license=arguments.license,
        last=arguments.last,
        half=arguments.half,
        override=arguments.override,
    )
    size = _shown_size(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()))
    print(f"wrote app.py, requirements.txt, README.md, model and sle_gan ({size} in all) to {folder}")
    print(f"try it: {shlex.join(['python', str(folder / 'app.py')])}")
    print(f"publish it: {shlex.join(['hf', 'upload', 'USER/NAME', str(folder), '--repo-type', 'space'])}")


def _size(path: Path) -> str:
    return _shown_size(path.stat().st_size)


def _shown_size(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"


def _check(arguments: argparse.Namespace) -> str | Path | None:
    """What is to be saved, or None if a ready folder is to be pushed.

    Raises:
        UserError: for flags that do not go together, or a run, file or folder that cannot be used.
    """
    from sle_gan.hub.card import checked_license
    from sle_gan.hub.shared_folder import check_target, shared_files
    from sle_gan.hub.training_facts import run_files

    checked_license(arguments.license)
    if arguments.name and arguments.weights:
        raise UserError("--name and --weights were both given; give one of them")
    if arguments.space:
        return _check_space(arguments)
    if not arguments.folder and not arguments.push:
        raise UserError("nowhere to put it: give --folder DIR, --push USER/NAME or both, or --space DIR")
    if arguments.private and not arguments.push:
        raise UserError("--private goes with --push")
    if arguments.folder and (arguments.name or arguments.weights):
        check_target(Path(arguments.folder), arguments.override)
        for folder in (Path(arguments.folder).absolute().parent, arguments.folder):  # it is made beside its place
            check_output_folder("--folder", folder)
    if arguments.weights:
        if arguments.last or arguments.discriminator:
            raise UserError("--last and --discriminator go with --name")
        open_model(arguments.weights, "--weights").generator()
        return arguments.weights
    if arguments.name:
        run = Path(arguments.output_folder) / arguments.name
        run_files(run, arguments.last, arguments.discriminator)
        return run
    given = [flag for flag in ("license", "last", "discriminator", "half", "override") if getattr(arguments, flag)]
    if given:
        raise UserError(f"--{given[0]} goes with --name or --weights; the model in --folder is sent as it is")
    if not arguments.push or not arguments.folder:
        raise UserError("nothing to share: give --name RUN or --weights FILE (or --folder DIR of a shared model)")
    if not Path(arguments.folder).is_dir():
        raise UserError(f"--folder {arguments.folder}: there is no such folder; --name RUN makes one of a run")
    shared_files(Path(arguments.folder))
    return None


def _check_space(arguments: argparse.Namespace) -> str | Path:
    """What a Space is to show; raises as `_check`."""
    from sle_gan.hub.space import check_space
    from sle_gan.hub.training_facts import run_files

    for flag in ("folder", "push", "private", "discriminator"):
        if getattr(arguments, flag):
            raise UserError(f"--{flag} does not go with --space; give one of them")
    check_space(Path(arguments.space), arguments.override)
    check_output_folder("--space", Path(arguments.space).absolute().parent)
    if arguments.weights:
        if arguments.last:
            raise UserError("--last goes with --name")
        open_model(arguments.weights, "--weights").generator()
        return arguments.weights
    if not arguments.name:
        raise UserError("nothing to share: give --name RUN or --weights FILE")
    run = Path(arguments.output_folder) / arguments.name
    run_files(run, arguments.last, False)
    return run
