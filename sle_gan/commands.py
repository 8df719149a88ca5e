"""Commands as they are printed: pasted into the shell that showed them, they run."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path

from sle_gan.config import TrainConfig

_ROOT = Path(__file__).resolve().parent.parent


def command_line(script: str, **flags: object) -> str:
    """A call of one of the repository's scripts: `python train.py --name 'my flowers' --resume`.

    Args:
        script: such as train.py.
        flags: by the names of the settings. True is a switch; what is None or False is left out, and
            `engine="tensorflow"`, the default, too.
    """
    if flags.get("engine") == "tensorflow":
        del flags["engine"]
    words = [_python(), _script(script)]
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
    """The call of train.py that goes on with a run."""
    place = None if run.parent == Path(TrainConfig.output_folder) else run.parent
    return command_line("train.py", name=run.name, output_folder=place, engine=engine, resume=True, **flags)


def tensorboard_line(folder: Path) -> str:
    """The call that shows a folder of event files."""
    program = ["tensorboard"] if shutil.which("tensorboard") else [_python(), "-m", "tensorboard.main"]
    return shlex.join([*program, "--logdir", str(folder)])


def _python() -> str:
    """The interpreter that is running: by its bare name where the shell finds it so, else by its path."""
    running = sys.executable or "python"
    for name in ("python", "python3"):
        found = shutil.which(name)
        if found and Path(found).absolute() == Path(running).absolute():
            return name
    return _from_here(Path(running))


def _script(name: str) -> str:
    """A script of the repository, seen from the working folder; the bare name where there is no repository."""
    path = _ROOT / name
    return _from_here(path) if path.is_file() else name


def _from_here(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except (ValueError, OSError):  # elsewhere, or a working folder that was deleted
        return str(path)
