"""The classes that `--class` means, of a generator that was taught some."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sle_gan.errors import UserError, counted, printable, shown

if TYPE_CHECKING:
    import numpy as np

    from sle_gan.weights import StoredNetwork

ALL = "all"
HELP = "of a generator that was taught classes: the name or number of one"
_PLAIN = re.compile(r"[^/\\\0]{1,100}")


def classes_of(stored: StoredNetwork) -> tuple[str, ...]:
    """The names of a stored generator's classes, none where it knows none."""
    return tuple(stored.architecture.get("classes", ()))


def parse_classes(text: str, stored: StoredNetwork) -> list[int]:
    """The numbers of the classes that a flag's text means: one, two of `A:B`, or `all`.

    A name comes before a number, and before what `all` and `:` mean.

    Raises:
        UserError: if the generator has no such class, or knows none at all.
    """
    classes = classes_of(stored)
    what = f"--class {printable(text)}"
    if not classes:
        raise UserError(f"{what}: {stored.source} was taught no classes; leave it out")
    if text in classes:
        return [classes.index(text)]
    if text == ALL:
        return list(range(len(classes)))
    cuts = [i for i, character in enumerate(text) if character == ":"]
    pairs = [(text[:i], text[i + 1 :]) for i in cuts]
    known = next((pair for pair in pairs if all(_number(part, classes) is not None for part in pair)), None)
    parts = known or (pairs[0] if pairs else (text,))
    numbers = []
    for part in parts:
        number = _number(part, classes)
        if number is None:
            close = difflib.get_close_matches(part, classes, 1)
            hint = f" (did you mean {shown(close[0])}?)" if close else ""
            raise UserError(
                f"{what}: there is no class {printable(part)!r}{hint}; expected a name or number of: {listed(classes)}"
            )
        numbers.append(number)
    return numbers


def _number(text: str, classes: Sequence[str]) -> int | None:
    if text in classes:
        return classes.index(text)
    return int(text) if text.isdecimal() and len(text) < 9 and int(text) < len(classes) else None


def listed(classes: Sequence[str], most: int = 20) -> str:
    """ "0 daisy, 1 rose" """
    named = ", ".join(f"{i} {shown(name, 40)}" for i, name in enumerate(classes[:most]))
    return named + (f" and {len(classes) - most} more" if len(classes) > most else "")


def of_class(generator: Any, text: str | None, stored: StoredNetwork, why: str) -> Any:
    """The generator of the one class that `--class` names; the generator itself where it knows no classes.

    Args:
        why: what needs one class, for the message where none was given.

    Raises:
        UserError: if it knows classes and none or several are named, or the other way round.
    """
    if text is None and not classes_of(stored):
        return generator
    return generator.of_class(weights(one_class(text, stored, why), stored))


def one_class(text: str | None, stored: StoredNetwork, why: str) -> int:
    """The number of the class that `--class` names. Raises a UserError unless it names one."""
    classes = classes_of(stored)
    numbers = [] if text is None else parse_classes(text, stored)
    if len(numbers) == 1:
        return numbers[0]
    received = f"{len(numbers)} are named" if numbers else "none is named"
    raise UserError(
        f"{why} takes one class, and {received}: give --class NAME, of {counted(len(classes), 'class', 'classes')}: "
        f"{listed(classes)}"
    )


def weights(number: int, stored: StoredNetwork) -> np.ndarray:
    """The weights of all classes, 1 for one of them."""
    from sle_gan.generation import one_class

    return one_class(number, len(classes_of(stored)))


def folder_name(name: str, number: int) -> str:
    """The name of the folder for a class's pictures: the class's, where that is a plain name."""
    plain = _PLAIN.fullmatch(name) and not name.startswith(".") and name.isprintable()
    return name if plain else f"class_{number}"
