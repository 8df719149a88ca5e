"""Signals that ask a run to stop, so that it can save first."""

from __future__ import annotations

import signal
from contextlib import AbstractContextManager
from types import FrameType
from typing import Any

# Windows has no SIGHUP.
STOPPING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class Signals(AbstractContextManager["Signals"]):
    """Within it SIGINT, SIGTERM and SIGHUP are noted in `received` and end nothing.

    One that is ignored stays so: `nohup` ignores SIGHUP, and a shell SIGINT for what it runs in its background.
    A second SIGINT raises KeyboardInterrupt. The other two change nothing when they come again: the end of a
    session sends them more than once, from the kernel, the shell and the service manager.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._previous: dict[int, Any] = {}
        self._interrupts = 0

    def __enter__(self) -> Signals:
        for number in STOPPING:
            if signal.getsignal(number) != signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def _receive(self, number: int, frame: FrameType | None) -> None:
        del frame
        self._interrupts += number == signal.SIGINT
        if self._interrupts > 1:
            raise KeyboardInterrupt
        self.received = self.received or signal.Signals(number)

    def __exit__(self, *exc: object) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)


def exit_code(number: signal.Signals) -> int:
    """What a shell says of a process that a signal ended: 130 for SIGINT, 143 for SIGTERM, 129 for SIGHUP."""
    return 128 + number
