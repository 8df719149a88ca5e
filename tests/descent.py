"""Gradient descent by definition, beside what a GAN's step does.

With SGD, whose updates are the gradients: Adam's first step is a sign, whatever the gradient's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops
from state import numbers

from sle_gan import engine

RATE = 1e-3


def use_sgd(gan: Any) -> None:
    """Instead of Adam, in a GAN of latents."""
    for name in ("generator", "discriminator"):
        sgd = keras.optimizers.SGD(RATE, name=name)
        sgd.build(gan.networks[name].trainable_variables)
        setattr(gan, f"{name}_optimizer", sgd)


def descend(network: keras.Model, loss: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """One step of gradient descent on the sum of the losses that `loss()` gives; returns them."""
    variables = network.trainable_variables
    losses, pull = engine.vjp(loss, variables)
    gradients, _ = pull({name: ops.ones_like(value) for name, value in losses.items()})
    for variable, gradient in zip(variables, gradients):
        variable.assign(variable.value - RATE * gradient)
    return dict(losses)


def assert_same_updates(gan: Any, expected: Any, before: Mapping[str, np.ndarray]) -> None:
    """Both trained networks have moved from `before` (see `state.numbers`) to where those of `expected` have."""
    found, after, state = numbers(gan), numbers(expected), expected.state()
    for name, value in after.items():
        if state[name].trainable and name.startswith(("generator/", "discriminator/")):
            change = np.abs(value - before[name]).max()
            np.testing.assert_allclose(found[name], value, atol=5e-3 * change + 1e-9, err_msg=name)
