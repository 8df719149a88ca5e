"""What the commands share: one-line errors, exit codes, flags made from a dataclass."""

from __future__ import annotations

import argparse
import dataclasses
import difflib
import errno
import importlib
import importlib.util
import io
import os
import sys
import tempfile
import typing
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn, TextIO

from sle_gan.config import HEADINGS, TO_GENERATE, TrainConfig, flag
from sle_gan.config.base import is_path, is_union
from sle_gan.errors import TrainingStopped, UserError, printable
from sle_gan.storage.paths import expanded, reason


class Parser(argparse.ArgumentParser):
    """An argparse parser whose errors are one line and suggest the word that was meant.

    Args:
        listing: what its --help lists, for the errors.
        kwargs: those of `argparse.ArgumentParser`.
    """

    def __init__(self, listing: str = "flags", **kwargs: Any):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)
        self._listing = listing

    def error(self, message: str) -> NoReturn:
        prefix = "unrecognized arguments: "
        if message.startswith(prefix):
            word = message.removeprefix(prefix).split(" ")[0].split("=")[0]
            message += _suggestion(word, self._option_string_actions)
        self.exit(2, f"{self.prog}: error: {printable(message)} (--help lists all {self._listing})\n")

    def error_about(self, what: str, word: str, known: Iterable[str]) -> NoReturn:
        """Ends the process over a word that is none of the known ones."""
        self.error(f"{what} {word}{_suggestion(word, known)}")


def _suggestion(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean {close[0]}?)" if close else ""


def run(main: Callable[[], None], prog: str) -> NoReturn:
    """Runs a command: exit code 2 for the user's mistakes, 1 where training stops, one line for each.

    Args:
        main: the command.
        prog: what its messages begin with, such as "sle-gan train".
    """
    _open_standard_streams()
    _never_fail_to_print()
    warnings.formatwarning = _one_line
    try:
        main()
        code = 0
    except UserError as error:
        print(f"{prog}: error: {printable(str(error))}", file=sys.stderr)
        code = 2
    except TrainingStopped as error:
        print(f"{prog}: stopped: {error}", file=sys.stderr)
        code = 1
    except BrokenPipeError:  # `| head` closed our output: not worth a word
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except OSError as error:  # a file or folder that cannot be read or written, and that no check foresaw
        where = f"{error.filename}: " if error.filename else ""
        print(f"{prog}: error: {printable(f'{where}{reason(error)}')}", file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        print(f"{prog}: interrupted", file=sys.stderr)
        code = 130
    sys.exit(code)


def _open_standard_streams() -> None:
    """Gives the streams that were closed by who started us (`2>&-`) the null device, as the C library would do.

    Else the next file that is opened gets such a stream's number, and whatever is printed lands in it.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            mode = "r" if number == 0 else "w"
            opened = os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
            os.set_inheritable(opened, True)  # `opened` is `number`, the lowest that is free
            setattr(sys, name, open(opened, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


class LastingStream:
    """A text stream for work that must go on when nobody reads it any more, or its disk is full.

    Each line is written at once, so that a log file shows how far a run is.

    Args:
        stream: what is written to.
        name: of the stream, for the message.
        prog: what the message begins with.
        other: gives the stream for one line that says what happened, unless it has failed too.
    """

    def __init__(self, stream: TextIO, name: str, prog: str, other: Callable[[], LastingStream]):
        self._stream, self._name, self._prog, self._other = stream, name, prog, other
        self.failed = False

    def write(self, text: str) -> int:
        self._attempt(lambda: self._stream.write(text))
        if "\n" in text:
            self.flush()
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def finish(self) -> None:
        """Drops what cannot be written, so that the end of the process does not fail on it."""
        try:
            self._stream.flush()
        except OSError:
            self._to_nowhere()

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except OSError as error:
            if error.errno != errno.ENOSPC:  # a closed pipe, a terminal that is gone: it will not come back
                self._to_nowhere()
            if not self.failed:
                self.failed = True
                other = self._other()
                if not other.failed:
                    other.write(
                        f"{self._prog}: {self._name} cannot be written ({error.strerror}); going on without it\n"
                    )

    def _to_nowhere(self) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting_console(prog: str) -> Iterator[None]:
    """Within it, stdout and stderr can fail without ending what is done; see `LastingStream`."""
    before = sys.stdout, sys.stderr
    out = LastingStream(sys.stdout, "stdout", prog, lambda: err)
    err = LastingStream(sys.stderr, "stderr", prog, lambda: out)
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]  # as far as print and tqdm care
    try:
        yield
    finally:
        out.finish()
        err.finish()
        sys.stdout, sys.stderr = before


def _never_fail_to_print() -> None:
    """A file's name may hold what the terminal's encoding lacks, or bytes that are no text: escaped, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # and no test's own
            stream.reconfigure(errors="backslashreplace")


def _one_line(message: Warning | str, category: type[Warning], *where: Any, **line: Any) -> str:
    """A warning as a user reads it: ours without the line of code that gave it."""
    if category is UserWarning:
        return f"warning: {printable(str(message))}\n"
    return _with_its_line(message, category, *where, **line)


_with_its_line = warnings.formatwarning


def user_path(text: str) -> str:
    """The type of a flag that takes a file or folder: the text, with `~` in front replaced."""
    try:
        return expanded(text)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


# What every flag for a model takes; `sle_gan.hub.open_model` opens it.
REFERENCES = (
    "a run, one of its checkpoints, a weights file (.h5), a PyTorch checkpoint, a shared model's folder, or a "
    "repository on a hub, user/name or user/name@revision"
)
ENGINES = ("tensorflow", "jax", "torch")
# What Keras or an engine would import beside it.
_NOT_NEEDED = {
    "tensorflow": ("jax", "jaxlib"),
    "jax": ("tensorflow",),
    "torch": ("tensorflow", "jax", "jaxlib"),
}


def add_engine_flag(parser: Any) -> None:
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=os.environ.get("KERAS_BACKEND", "tensorflow"),
        help="what computes: tensorflow, jax or torch (default: $KERAS_BACKEND, else tensorflow)",
    )


def add_precision_flag(parser: Any) -> None:
    parser.add_argument(
        "--mixed-precision",
        choices=TO_GENERATE,
        default="float32",
        help="what the generator computes in (default: float32). bfloat16: faster on processors and GPUs that multiply "
        "it; the pictures differ by what nobody sees. auto: bfloat16 on those, else float32",
    )


@contextmanager
def _hidden(*modules: str) -> Iterator[None]:
    """Within it, modules that were not imported before cannot be.

    Keras imports matplotlib and TensorFlow imports JAX where they are installed, for functions that no command uses:
    together a quarter of the time that the import of an engine takes, and 0.2 GB.
    """
    hidden = [module for module in modules if module not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: an import fails
    try:
        yield
    finally:
        for module in hidden:
            del sys.modules[module]


@contextmanager
def _some_home() -> Iterator[None]:
    """Within it there is a home folder: where none is known, TensorFlow makes one that is called `~`."""
    try:
        known = bool(Path.home())
    except RuntimeError:
        known = False
        os.environ["HOME"] = tempfile.gettempdir()  # as Keras does
    try:
        yield
    finally:
        if not known:
            del os.environ["HOME"]


def import_backend(engine: str) -> None:
    """Imports Keras with an engine, and without TensorFlow's start-up notices.

    TensorFlow writes them to file descriptor 2 before any of its settings for that takes effect. They are
    kept and written after all if the import fails.

    Raises:
        UserError: if the engine is not installed.
    """
    if engine not in ENGINES:  # argparse does not check defaults
        raise UserError(f"KERAS_BACKEND is {engine!r}; expected one of {', '.join(ENGINES)}")
    if importlib.util.find_spec(engine) is None:
        others = [other for other in ENGINES if importlib.util.find_spec(other)]
        way = f", or give --engine {others[0]}, which is" if others else ""
        raise UserError(f"--engine {engine}: {engine} is not installed; pip install {engine}{way}")
    os.environ["KERAS_BACKEND"] = engine
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if engine == "torch":
        # Its threads would wait for each other by spinning: beside other work on the cores a step takes ten times as
        # long then.
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as notices:
        try:
            os.dup2(notices.fileno(), 2)
            with (
                _some_home(),
                _hidden("matplotlib", *_NOT_NEEDED[engine]),
            ):
                importlib.import_module("sle_gan.engine")
        except BaseException:
            notices.seek(0)
            os.write(stderr, notices.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def import_engine_to_compute(engine: str) -> None:
    """`import_backend`, and a warning where a GPU is there and not used.

    Training warns for itself, when its processes have joined each other: JAX starts with the question.
    """
    import_backend(engine)
    from sle_gan import engine as imported

    if unused := imported.unused_gpu():
        print(f"warning: {unused}", file=sys.stderr)


def add_flags(parser: argparse.ArgumentParser, config: type[TrainConfig]) -> None:
    """Adds a flag for every setting, under the heading that `sle_gan.config.option` gave it.

    Flags that are not given do not appear in the parsed namespace, so that a configuration file or a resumed
    run can provide them.
    """
    hints = typing.get_type_hints(config)
    groups = {heading: parser.add_argument_group(heading) for heading in HEADINGS}
    for field in dataclasses.fields(config):
        if not field.metadata.get("hidden"):
            _add_flag(groups[field.metadata["group"]], field, hints[field.name])


def _add_flag(group: Any, field: dataclasses.Field[Any], hint: Any) -> None:
    options: dict[str, Any] = {"dest": field.name, "default": argparse.SUPPRESS}
    text = field.metadata["help"]
    if hint is bool:
        _add_switch(group, field, text, options)
        return
    if is_path(field):
        options |= {"type": user_path, "metavar": field.metadata["metavar"]}
    elif typing.get_origin(hint) is Literal:
        options["choices"] = typing.get_args(hint)
    else:
        options["type"] = _scalar_type(hint)
        if "metavar" in field.metadata or options["type"] is not str:
            options["metavar"] = field.metadata.get("metavar", {int: "N", float: "X"}.get(options["type"]))
    if field.default not in (None, ""):
        text += f" (default {field.default})"
    group.add_argument(flag(field.name), help=text.replace("%", "%%"), **options)


def _add_switch(group: Any, field: dataclasses.Field[Any], text: str, options: dict[str, Any]) -> None:
    """--name and --no-name, of which --help shows the one that changes the default.

    The other one wins over a configuration file, or over what a resumed run had.
    """
    on = flag(field.name)
    off = f"--no-{on[2:]}"
    shown = {on: argparse.SUPPRESS, off: f"do not {text}"} if field.default else {on: text, off: argparse.SUPPRESS}
    group.add_argument(on, action="store_true", help=shown[on], **options)
    group.add_argument(off, action="store_false", help=shown[off], **options)


def _scalar_type(hint: Any) -> Any:
    """What argparse makes of a word: a function with the name that its errors are to have."""
    if not is_union(hint):
        return hint
    scalar, *others = (choice for choice in typing.get_args(hint) if choice is not type(None))
    words = [word for choice in others for word in typing.get_args(choice)]
    if not words:
        return scalar

    def parse(text: str) -> Any:
        return text if text in words else scalar(text)

    parse.__name__ = f"{scalar.__name__} or {' or '.join(words)}"
    return parse
