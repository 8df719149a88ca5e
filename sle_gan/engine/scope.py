"""The stateless scope in which the engines without a tape differentiate."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import keras


class ReadThroughScope(keras.StatelessScope):
    """A stateless scope that reads through to the one around it and remembers what was assigned."""

    def __init__(self, state_mapping: Iterable[tuple[keras.Variable, Any]]):
        super().__init__(state_mapping=list(state_mapping))
        self.assigned: dict[int, keras.Variable] = {}

    def get_current_value(self, variable: keras.Variable) -> Any:
        value = super().get_current_value(variable)
        outer = getattr(self, "original_scope", None)
        return outer.get_current_value(variable) if value is None and outer else value

    def add_update(self, update: tuple[keras.Variable, Any]) -> None:
        self.assigned[id(update[0])] = update[0]
        super().add_update(update)
