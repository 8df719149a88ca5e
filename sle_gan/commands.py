"""Commands as they are printed: pasted into the shell that showed them, they run."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from sle_gan.config import TrainConfig

_PROGRAM = "sle-gan"
_PACKAGE = Path(__file__).resolve().parent


def command_line(command: str, /, **flags: object) -> str:
    """A call of one of our commands: `sle-gan train --name 'my flowers' --resume`.

    Args:
        command: its name, such as train, or names, such as search show.
        flags: by the names of the settings. True is a switch; what is None or False is left out, and
            `engine="tensorflow"`, the default, too.
    """
    if flags.get("engine") == "tensorflow":
        del flags["engine"]
    words = [*_program(), *command.split()]
    for name, value in flags.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not None and value is not False:
            text = str(value)
            # A value that looks like a flag would be taken for one.
            words += [f"{flag}={text}"] if text.startswith("-") else [flag, text]
    return shlex.join(words)


def resume_line(run: Path, engine: str, **flags: object) -> str:
    """The call that goes on with a run."""
    place = None if run.parent == Path(TrainConfig.output_folder) else run.parent
    return command_line("train", name=run.name, output_folder=place, engine=engine, resume=True, **flags)


def tensorboard_line(folder: Path) -> str:
    """The call that shows a folder of event files."""
    program = ["tensorboard"] if shutil.which("tensorboard") else [_python(), "-m", "tensorboard.main"]
    return shlex.join([*program, "--logdir", str(folder)])


def _program() -> list[str]:
    """The words that start this program again, from the folder that it was started in.

    The installed command by its name, or by its path where the shell does not find it. Else the package as a module
    where Python finds it without the script that was started (in the working folder, or installed), or by its path.
    """
    started = Path(sys.argv[0])
    if started.name == _PROGRAM:
        return [_PROGRAM if _is_found_as(_PROGRAM, started) else _from_here(started.absolute())]
    main = getattr(sys.modules["__main__"], "__spec__", None)  # of `python -m`: such as sle_gan.__main__
    as_module = main is not None and main.name.split(".")[0] == _PACKAGE.name
    importable = str(_PACKAGE.parent) in sys.path[1:]  # the first is the folder of the script
    if as_module or importable or _PACKAGE.parent == _working_folder():
        return [_python(), "-m", _PACKAGE.name]
    return [_python(), _from_here(_PACKAGE)]


def _python() -> str:
    """The interpreter that is running: by its bare name where the shell finds it so, else by its path."""
    running = Path(sys.executable or "python")
    for name in ("python", "python3"):
        if _is_found_as(name, running):
            return name
    return _from_here(running)


def _is_found_as(name: str, program: Path) -> bool:
    """Whether the shell starts this program when the name is given."""
    found = shutil.which(name)
    return bool(found) and Path(found).absolute() == program.absolute()


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:  # it was deleted
        return None


def _from_here(path: Path) -> str:
    folder = _working_folder()
    return str(path.relative_to(folder)) if folder and path.is_relative_to(folder) else str(path)
