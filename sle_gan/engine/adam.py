"""What the engines' Adams have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


class ConditionalAdam(keras.optimizers.Adam):
    """Adam that can leave a step out without a branch, which neither a replica nor a stateless scope could take.

    `applied` is None, or a scalar boolean tensor while `apply_where` runs: where it is false, the engine's
    update changes no bit of a finite number.
    """

    applied: Any = None

    def apply_where(self, condition: Any, gradients: Sequence[Any], variables: Sequence[keras.Variable]) -> None:
        """`apply(gradients, variables)` where the condition is true; else nothing changes, and no step is counted.

        Args:
            condition: a scalar boolean tensor, the same on all replicas.
            gradients: finite in either case.
        """
        self.applied = condition
        try:
            self.apply(gradients, variables)
        finally:
            self.applied = None
        self.iterations.assign_sub(ops.cast(ops.logical_not(condition), self.iterations.dtype))
