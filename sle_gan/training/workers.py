"""The processes of a distributed run, as TF_CONFIG names them; the same variable serves TensorFlow and JAX."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from sle_gan.errors import UserError

EXAMPLE = '{"cluster": {"worker": ["10.0.0.1:2222", "10.0.0.2:2222"]}, "task": {"type": "worker", "index": 0}}'


class Workers(NamedTuple):
    """All processes by their address, and which of them this one is."""

    addresses: tuple[str, ...]
    index: int


def read_workers() -> Workers:
    """Reads TF_CONFIG.

    Raises:
        UserError: if it is missing or ill-formed; the message shows what it should look like.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        raise UserError(f"--distributed: TF_CONFIG is not set; expected e.g. {EXAMPLE}")
    try:
        values = json.loads(text)
        addresses, task = values["cluster"]["worker"], values["task"]
        kind, index = task["type"], task["index"]
    except (ValueError, KeyError, TypeError) as error:
        what = f"has no {error}" if isinstance(error, KeyError) else f"is not as expected ({error})"
        raise UserError(f"--distributed: TF_CONFIG {what}; expected e.g. {EXAMPLE}") from error
    if kind != "worker" or set(values["cluster"]) != {"worker"}:
        raise UserError(f"--distributed: TF_CONFIG names a task of type {kind!r}; all processes are workers: {EXAMPLE}")
    if not isinstance(addresses, list) or not all(isinstance(each, str) and _is_address(each) for each in addresses):
        raise UserError(f"--distributed: TF_CONFIG's workers are {addresses!r}; expected host:port strings: {EXAMPLE}")
    if type(index) is not int or not 0 <= index < len(addresses):
        raise UserError(f"--distributed: TF_CONFIG's task index is {index!r}; expected 0 to {len(addresses) - 1}")
    return Workers(tuple(addresses), index)


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65536
