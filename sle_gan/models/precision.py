"""What networks compute in: float32, or bfloat16 with variables, norms and outputs that stay float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from sle_gan import engine
from sle_gan.config import TO_GENERATE


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Networks made within it compute in the precision; their variables, norms and outputs are float32.

    Args:
        precision: "float32" (which is Keras's own default number, if that is another), "bfloat16" or "float16".
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(keras.config.floatx() if precision == "float32" else f"mixed_{precision}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def to_generate_in(precision: str) -> str:
    """What one of `TO_GENERATE` comes to on this machine: "auto" is bfloat16 where the device multiplies it faster.

    No step is timed, as a run does: without gradients all but the smallest networks were faster in bfloat16 on a
    processor with instructions for it (benchmarks/README.md, Generating), and timing would take longer than most calls.

    Raises:
        ValueError: for another name.
    """
    if precision not in TO_GENERATE:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(TO_GENERATE)}")
    if precision != "auto":
        return precision
    return "float32" if engine.faster_in_bfloat16() is False else "bfloat16"
