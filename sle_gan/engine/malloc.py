"""How the C library keeps what a process frees."""

from __future__ import annotations

import contextlib
import ctypes


def share_one_arena() -> None:
    """Threads take their small pieces of memory from one place, and use what others of them freed.

    What is freed while a step's graph is made serves the step: CycleGAN, 128 px, 2 cores: 1.46 for 1.51 GB. The large
    pieces are none of malloc's. Generating alone, whose graphs are small, takes 0.09 GB more with it, and goes without.
    """
    arena_max = -8  # mallopt(3)
    with contextlib.suppress(AttributeError, OSError, TypeError):  # glibc alone has it
        ctypes.CDLL(None).mallopt(arena_max, 1)
