"""What a GAN's state is, and what something changes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from keras import ops


def numbers(gan: Any) -> dict[str, np.ndarray]:
    return {name: np.array(ops.convert_to_numpy(variable.value)) for name, variable in gan.state().items()}


def restore(gan: Any, values: Mapping[str, np.ndarray]) -> None:
    """Brings a GAN back to what `numbers` said of it: cheaper than another one, whose step would be compiled again."""
    for name, variable in gan.state().items():
        variable.assign(values[name])


def moved(gan: Any, act: Callable[[], object]) -> set[str]:
    """The variables that something changes: their network, or their optimizer and its network; statistics apart."""
    before = numbers(gan)
    act()
    changed = set()
    for name, value in numbers(gan).items():
        if not np.array_equal(value, before[name]):
            owner = "/".join(name.split("/")[: 2 if name.startswith("optimizer") else 1])
            changed.add(f"{owner} statistics" if "moving_" in name and "optimizer" not in name else owner)
    return changed


def assert_each_phase_moves_its_own(gan: Any, batch: Any, random: Any) -> None:
    """Of a GAN of latents: a phase's network and optimizer, and the statistics of what it used."""
    discriminator, generator = gan.phases
    assert (discriminator.updates, generator.updates) == (("discriminator",), ("generator",))
    assert moved(gan, lambda: discriminator.run(batch, random)) == {
        "discriminator",
        "discriminator statistics",
        "optimizer/discriminator",
        "generator statistics",  # it made the fakes
    }
    assert moved(gan, lambda: generator.run(batch, random)) == {
        "generator",
        "generator statistics",
        "optimizer/generator",
        "discriminator statistics",  # it judged them
    }
    assert moved(gan, lambda: gan.end_step(random)) == {"generator_ema", "generator_ema statistics"}
