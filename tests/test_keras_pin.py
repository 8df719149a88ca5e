"""Keras is one that the tests ran on: the engines' optimizers override and use what it does not promise to keep."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import keras
import numpy as np
import pytest
from helpers import REPOSITORY
from packaging.requirements import Requirement
from packaging.version import Version

from sle_gan import engine
from sle_gan.engine.adam import ConditionalAdam


@pytest.fixture(scope="module")
def pin() -> Requirement:
    lines = (line.partition("#")[0] for line in (REPOSITORY / "requirements-core.txt").read_text().splitlines())
    (found,) = (Requirement(line) for line in lines if line.startswith("keras"))
    return found


def test_the_installed_keras_is_within_the_pin(pin: Requirement) -> None:
    assert keras.__version__ in pin.specifier, (
        f"Keras {keras.__version__} was not tested ({pin}): run the tests with it, then raise the pin"
    )


def test_the_pin_ends_at_a_minor(pin: Requirement) -> None:
    (end,) = (Version(bound.version) for bound in pin.specifier if bound.operator == "<")
    assert end.release[0] == 3 and len(end.release) == 2
    assert Version(keras.__version__).release[:2] < end.release


def test_what_adam_overrides_is_still_what_keras_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """`apply` -> `_backend_update_step` once -> `update_step` once for each variable, with what it was given."""
    if engine.name == "tensorflow":
        theirs = inspect.signature(ConditionalAdam._backend_update_step)
        assert list(theirs.parameters) == ["self", "grads", "trainable_variables", "learning_rate"]
    called: list[str] = []
    for name in ("_backend_update_step", "update_step"):
        method = getattr(engine.Adam, name)

        def noted(self: object, *arguments: object, name: str = name, method: object = method) -> object:
            called.append(name)
            return method(self, *arguments)  # type: ignore[operator]

        monkeypatch.setattr(engine.Adam, name, noted)
    variables = [keras.Variable(np.ones(3, "f4")) for _ in range(2)]
    optimizer = engine.Adam(0.5)
    optimizer.build(variables)
    optimizer.apply([keras.ops.ones(3), keras.ops.zeros(3)], variables)
    assert called == ["_backend_update_step", "update_step", "update_step"]
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variables[0]), 0.5, rtol=1e-5)  # a first step is the rate
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(variables[1]), 1.0)
    check_slots(optimizer, variables)


def check_slots(optimizer: keras.optimizers.Adam, variables: Sequence[keras.Variable]) -> None:
    """The other internals that the engines use."""
    for i, variable in enumerate(variables):
        assert optimizer._get_variable_index(variable) == i
        assert optimizer._momentums[i].shape == optimizer._velocities[i].shape == variable.shape
