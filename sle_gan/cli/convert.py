"""`sle-gan convert`: PyTorch checkpoints of FastGAN and lightweight GAN -> weights or a run; FastGAN's also back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sle_gan.cli.common import REFERENCES, Parser, import_backend, user_path
from sle_gan.commands import command_line, resume_line
from sle_gan.errors import UserError
from sle_gan.hub import Kind, open_model
from sle_gan.storage.paths import check_output_file, check_output_folder

if TYPE_CHECKING:
    from sle_gan.convert.checkpoint import TorchCheckpoint
    from sle_gan.gans.slegan.from_fastgan import FastGANCheckpoint

EXAMPLES = """\
examples:
  sle-gan convert --input all_50000.pth --output-folder flowers           weights files, to generate with
  sle-gan convert --input all_50000.pth --run-folder runs/flowers         a run, to go on with by --resume
  sle-gan convert --input runs/flowers --to-fastgan all_50000.pth         back: networks, average and Adam
  sle-gan convert --input generator_weights.h5 --to-fastgan g.pth         one network
  sle-gan convert --input model.pt --output-folder butterflies            huggan's lightweight GAN: weights files

Resolution, width and latent size are read off the file. Nothing that a file holds is executed, and nothing that
exists is overwritten. Needs PyTorch: pip install 'sle-gan[torch]'.
"""

_WEIGHTS = {"generator": "generator_weights.h5", "discriminator": "discriminator_weights.h5"}


def make_parser() -> Parser:
    parser = Parser(
        prog="sle-gan convert", description="Convert PyTorch checkpoints to ours, FastGAN's also back.", epilog=EXAMPLES
    )
    parser.add_argument(
        "--input",
        type=user_path,
        metavar="PATH",
        required=True,
        help=f"a .pth or model.pt; for --to-fastgan {REFERENCES}",
    )
    output = parser.add_mutually_exclusive_group(required=True)
    output.add_argument(
        "--output-folder", type=user_path, metavar="DIR", help=f"write {' and '.join(_WEIGHTS.values())} there"
    )
    output.add_argument(
        "--run-folder",
        type=user_path,
        metavar="DIR",
        help="make a run that goes on where the .pth stopped; DIR must not exist",
    )
    output.add_argument(
        "--to-fastgan", type=user_path, metavar="FILE", help="write a .pth that FastGAN's own code loads"
    )
    return parser


def main(argv: list[str]) -> None:
    """Parses, reads, writes, and says what was read, written and left out."""
    arguments = make_parser().parse_args(argv)
    if arguments.to_fastgan:
        _to_fastgan(arguments.input, Path(arguments.to_fastgan))
        return
    from sle_gan.gans.slegan.from_fastgan import FastGANCheckpoint

    model = open_model(arguments.input, "--input")
    if model.kind is not Kind.TORCH:
        raise UserError(
            f"{model.name} is {model.kind.value}, no PyTorch file; expected a checkpoint such as all_50000.pth or "
            "model.pt"
        )
    source = model.path
    targets = [Path(arguments.output_folder) / name for name in _WEIGHTS.values()] if arguments.output_folder else []
    _check_free([*targets, *([Path(arguments.run_folder)] if arguments.run_folder else [])])
    for flag, folder in (("--output-folder", arguments.output_folder), ("--run-folder", arguments.run_folder)):
        if folder:
            check_output_folder(flag, folder)
    checkpoint = model.torch
    if checkpoint is None:
        raise UserError(f"{model.name} is of a CycleGAN: sle-gan translate and sle-gan train take it as it is")
    print(f"read {source}: {_describe(checkpoint)}")
    if arguments.run_folder and not isinstance(checkpoint, FastGANCheckpoint):
        raise UserError(
            f"--run-folder goes on with Adam's state, and {source}, of a lightweight GAN, holds none; "
            "give --output-folder DIR, or start a run from it, with DIR the folder of your pictures: "
            + command_line("train", init_from=source, data_folder="DIR")
        )
    import_backend(os.environ.get("KERAS_BACKEND", "tensorflow"))
    if isinstance(checkpoint, FastGANCheckpoint) and arguments.run_folder:
        _to_run(checkpoint, source, Path(arguments.run_folder))
    else:
        _to_weights(checkpoint, source, Path(arguments.output_folder))
    for what in checkpoint.ignored:
        print(f"left out {what}")


def _to_weights(checkpoint: TorchCheckpoint, source: Path, folder: Path) -> None:
    from sle_gan.models.building import build_network

    averaged = checkpoint.networks.get("generator_ema")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for key, name in _WEIGHTS.items():
            if not {key, f"{key}_ema"} & checkpoint.networks.keys():
                continue
            converted = checkpoint.averaged if key == "generator" else checkpoint.networks[key]
            build_network(converted.stored(source)).save_weights(folder / name)
            note = f", the averaged generator of {checkpoint.average_key}" if converted is averaged else ""
            print(f"wrote {folder / name}{note}")
    except OSError as error:
        raise UserError(f"--output-folder {folder} cannot be written: {error.strerror or error}") from error
    if averaged:
        print(f"left out {checkpoint.keeps_raw_generator}")
    if checkpoint.optimizers:
        print("left out the state of Adam; --run-folder keeps it")


def _to_run(checkpoint: FastGANCheckpoint, source: Path, folder: Path) -> None:
    from sle_gan.training.fastgan_runs import import_run

    config, step = import_run(checkpoint, folder, str(source))
    print(f"wrote {folder}, a run at step {step:,}")
    for key in ("generator", "discriminator"):
        if key not in checkpoint.optimizers:
            print(f"Adam of the {key} starts anew: the file does not hold its state")
    if "generator_ema" not in checkpoint.networks:
        print("the average of the generator starts as the generator: the file holds one of them")
    more = step + 10_000 if step >= config.total_steps(1) else None
    line = resume_line(config.run_folder, os.environ["KERAS_BACKEND"], data_folder="DIR", steps=more)
    print(f"go on, with DIR the folder of your pictures: {line}")


def _to_fastgan(source: str, target: Path) -> None:
    if target.suffix != ".pth":
        raise UserError(f"--to-fastgan {target} is no .pth; expected a name such as all_50000.pth")
    _check_free([target])
    check_output_file("--to-fastgan", target)
    from sle_gan.gans.slegan.to_fastgan import save_fastgan
    from sle_gan.training.fastgan_runs import read_exported

    exported = read_exported(source)
    keys = save_fastgan(target, exported.networks, exported.optimizers)
    print(f"wrote {target} from {source}: {', '.join(keys)}")
    for key, name in (("g", "generator"), ("d", "discriminator")):
        if key not in keys:
            print(f"it has no {name}: {source} holds none")
    generator = exported.networks.get("generator")
    if generator:
        tanh, resolution = generator.architecture["tanh"], generator.architecture["output_resolution"]
        if tanh and resolution < 1024:
            print(f"note: FastGAN's code has no tanh at {resolution} px, and this generator one: use tanh(g(z)[0])")
        elif not tanh and resolution == 1024:
            print("note: FastGAN's code has a tanh at 1024 px, and this generator none: its pictures will be paler")


def _check_free(targets: list[Path]) -> None:
    for path in targets:
        if os.path.lexists(path):
            raise UserError(f"{path} exists and is not overwritten; delete it or choose another place")


def _describe(checkpoint: TorchCheckpoint) -> str:
    """What a user wants to know before anything is written."""
    parts = []
    for key, network in checkpoint.networks.items():
        size = sum(array.size for array in network.arrays.values())
        name = {"generator_ema": "averaged generator"}.get(key, key)
        parts.append(f"{name} ({size / 1e6:.1f} M values)")
    if checkpoint.optimizers:
        step = max(adam.step for adam in checkpoint.optimizers.values())
        parts.append(f"Adam of {' and '.join(checkpoint.optimizers)} at step {step:,}")
    return f"{checkpoint.description}; {', '.join(parts)}"
