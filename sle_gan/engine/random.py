"""Random numbers as a pure function of (seed, step, replica, name): resuming needs only the step."""

from __future__ import annotations

import hashlib
from typing import Any

import keras
import numpy as np
from keras import ops


class RandomStream(keras.random.SeedGenerator):
    """A source of seeds for `keras.random.*(seed=stream)` that holds no variable.

    Keras's own `SeedGenerator` keeps a counter variable: every replica of a distributed step then
    reads the same value, and a checkpoint has to carry it. Here draw number i of a step comes from the
    two words (hash(seed, name, i), position), where position = step * replicas + replica, so replicas
    and steps differ and nothing has to be stored.

    Args:
        seed: the run's seed.
        position: step * replicas + replica; a Python integer or a scalar integer tensor.
        name: the purpose of the numbers; streams of different names are independent.
        step: the step's number, for what changes as training goes on; an integer or a scalar integer tensor.
        replicas: how many make the step together.
    """

    def __init__(self, seed: int, position: Any, name: str = "", step: Any = 0, replicas: int = 1):
        # The parent's constructor would create the variable that this class exists to avoid.
        self.seed = seed
        self.position = position
        self.name = name
        self.step = step
        self.replicas = replicas
        self._draws = 0

    def fold(self, name: str) -> RandomStream:
        """The stream of another purpose within the same step, independent of this one."""
        return RandomStream(self.seed, self.position, f"{self.name}/{name}", self.step, self.replicas)

    def shared(self, name: str) -> RandomStream:
        """The stream of another purpose that is the same on all replicas, and the same for any number of them."""
        return RandomStream(self.seed, self.position // self.replicas, f"{self.name}/{name}", self.step)

    def next(self, ordered: bool = True) -> Any:
        """Seed of the next draw, two words as the engine wants them: a tensor of integers, or an array of the host."""
        del ordered
        backend = keras.config.backend()
        # On PyTorch the host draws, by Keras from the sum of both words: the position has to be in the hash as well.
        place = f"@{self.position}" if backend == "torch" else ""
        words = hashlib.blake2b(f"{self.seed}:{self.name}:{self._draws}{place}".encode(), digest_size=4).digest()
        self._draws += 1
        # 31 bits: TensorFlow's stateless generators take signed words, JAX's unsigned ones.
        word = int.from_bytes(words, "little") & 0x7FFFFFFF
        if backend == "torch":
            return np.array([word, int(self.position)])
        dtype = "uint32" if backend == "jax" else "int32"
        return ops.stack([ops.convert_to_tensor(word, dtype), ops.cast(self.position, dtype)])

    def get_config(self) -> dict[str, Any]:
        raise NotImplementedError("a RandomStream belongs to one step of one run; save the run's seed instead")
