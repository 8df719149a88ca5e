"""What users are told: the exceptions that mean "you can fix this", and values as messages show them."""

from typing import Any


class UserError(ValueError):
    """A mistake in what the user gave: a flag, a folder, a file.

    The message is one line that says what was received, what was expected and what to do. Commands
    print it without a traceback and exit with code 2. It is a `ValueError`, so that library callers
    may catch it as one.

    Args:
        message: the line.

    Example:
        >>> import sle_gan
        >>> try:
        ...     sle_gan.SLEGANConfig(data_folder="flowers", width=12).validated()
        ... except sle_gan.UserError as error:
        ...     print(error)
        --width is 12; expected a multiple of 8
    """


class TrainingStopped(RuntimeError):
    """Training cannot go on: NaN or Inf in a loss, or a disk that is full at the last save.

    Commands print the message on one line and exit with code 1.

    Args:
        message: the step, the cause, and what of the run is whole.

    Example:
        >>> import sle_gan
        >>> def notify(train):
        ...     try:
        ...         train()
        ...     except sle_gan.TrainingStopped as stopped:
        ...         return f"the run stopped: {stopped}"
        >>> def diverges():
        ...     raise sle_gan.TrainingStopped("step 7: the loss of the generator is nan")
        >>> notify(diverges)
        'the run stopped: step 7: the loss of the generator is nan'
    """


class Diverged(TrainingStopped):
    """A loss or a weight became NaN or Inf: what was trained with these settings goes no further."""


def shown(value: Any, most: int = 60) -> str:
    """Text out of a file as a message shows it: on one line, without control characters, at most so long."""
    text = str(value)
    return printable(text[:most] + ("..." if len(text) > most else ""))


def printable(text: str) -> str:
    """`text` on one line, with what a terminal cannot show (control characters, stray bytes) escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """The number with its noun: "1 picture", "1,360 pictures"; `plural` where an s is not enough."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
