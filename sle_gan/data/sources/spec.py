"""`dataset:user/name[@revision][:split]`: what is meant by it, found out without the library that reads it."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path
from typing import NamedTuple

from sle_gan.errors import UserError, printable
from sle_gan.storage.paths import expanded

PREFIX = "dataset:"
_FORMS = f"{PREFIX}user/name, {PREFIX}user/name@revision:split or {PREFIX}./folder"
_WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_HUB = re.compile(rf"({_WORD}(?:/{_WORD})?)(?:@([^:\s]+))?(?::(.+))?")
# What the library takes: a split, or a part of one such as train[:400] or train[10%:20%].
_SPLIT = re.compile(r"\w+(?:\.\w+)*(?:\[-?\d*%?:-?\d*%?\])?")


def is_dataset(text: str | os.PathLike[str]) -> bool:
    return os.fspath(text).startswith(PREFIX)


class DatasetSpec(NamedTuple):
    """A data set of a hub, or of a folder on this machine.

    name: `user/name`, or the folder's path.
    revision, split: None for the newest and for the only or the training one.
    local: whether it is a folder.
    """

    name: str
    revision: str | None
    split: str | None
    local: bool

    @classmethod
    def parse(cls, text: str) -> DatasetSpec:
        """Raises UserError for what is none of the forms."""
        rest = text.removeprefix(PREFIX)
        if rest.startswith((".", "/", "~")):
            spec = cls._local(rest)
        elif match := _HUB.fullmatch(rest):
            spec = cls(match[1], match[2], match[3], False)
        else:
            raise UserError(f"{printable(text)!r} is no data set; expected {_FORMS}")
        if spec.split is not None and not _SPLIT.fullmatch(spec.split):
            raise UserError(f"{printable(text)!r}: {spec.split!r} is no split; expected such as train or train[:400]")
        return spec

    @classmethod
    def _local(cls, rest: str) -> DatasetSpec:
        if Path(expanded(rest)).exists():  # a folder's own name may hold a colon
            return cls(expanded(rest), None, None, True)
        match = re.fullmatch(r"(.+?):([^/:\[]*(?:\[[^/]*\])?)", rest)
        return cls(expanded(match[1]), None, match[2], True) if match else cls(expanded(rest), None, None, True)

    def check(self) -> None:
        """Raises UserError where the library is missing, or the folder."""
        if importlib.util.find_spec("datasets") is None:
            raise UserError(f"{self} needs the library datasets: pip install 'sle-gan[datasets]'")
        if self.local and not Path(self.name).is_dir():
            raise UserError(f"{self}: there is no folder {printable(self.name)!r}; expected {_FORMS}")

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        split = f":{self.split}" if self.split else ""
        return printable(f"{PREFIX}{self.name}{revision}{split}")
