"""Which trials go on: successive halving without waiting (ASHA, arXiv 1810.05934, algorithm 2), as a pure function.

A trial is scored at growing shares of its length. At each of them it goes on if it is among the best of all trials that
came so far. Nothing is remembered but the scores, so that a search which was killed decides again what it decided.
"""

from __future__ import annotations

from collections.abc import Sequence


def rung_shares(rungs: int, reduction: int) -> tuple[float, ...]:
    """The shares of a trial's length at which it is scored: 1/4, 1/2, 1 for 3 rungs and a reduction of 2."""
    return tuple(float(reduction) ** (rung + 1 - rungs) for rung in range(rungs))


def goes_on(value: float, others: Sequence[float], reduction: int, maximize: bool = False) -> bool:
    """Whether a trial with this score is among the best 1/reduction of all that were scored at this rung.

    Args:
        value: its own score.
        others: those of the other trials at the same rung.
        reduction: at least 2. Of n trials n // reduction go on, at least one; equal scores go on together.
        maximize: higher scores are better.
    """
    better = sum((other > value) if maximize else (other < value) for other in others)
    return better < max(1, (len(others) + 1) // reduction)
