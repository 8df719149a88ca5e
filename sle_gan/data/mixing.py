"""A second source of pictures, mixed into the batches of the first with a share that falls to zero.

Which places of batch k it takes, and with which of its pictures, follows from the seed and k alone, as the batches do:
resuming needs nothing more. A batch that it takes no place of is what it would be without.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sle_gan.data.sampler import domain_seed, positions

# No domain of a GAN has this number: the second source is shuffled by seeds of its own.
_PICTURES, _PLACES = 1000, 1001


class MixIn(NamedTuple):
    """The second source.

    images: uint8 (M, R, R, C), of the shape of the first one's.
    share: of a batch at step 0, 0 to 1.
    steps: in which the share falls to zero, in a straight line.
    digest: of the images' content, which checkpoints note.
    """

    images: np.ndarray
    share: float
    steps: int
    digest: str = ""

    def before(self, k: int, batch_size: int) -> int:
        """How many of its pictures the batches before batch k hold: the sum of their shares, rounded down.

        The remainder goes to the next batch, so that small shares of small batches are not lost.
        """
        done = min(k, self.steps)
        shares = done - done * (done - 1) / (2 * self.steps)  # the sum of 1 - i / steps for i < done
        return math.floor(self.share * batch_size * shares + 1e-9)

    def indices(self, own: np.ndarray, num_own: int, seed: int, k: int) -> np.ndarray:
        """A batch's indices with some of them replaced.

        Args:
            own: int64 (B,), batch k of the first source.
            num_own: how many pictures that has.
            seed: of the run.

        Returns:
            int64 (B,): below `num_own` pictures of the first source, from there on those of the second.
        """
        batch_size = len(own)
        start, stop = self.before(k, batch_size), self.before(k + 1, batch_size)
        if start == stop:
            return own
        mixed = own.copy()
        # Anywhere in the batch: its parts go to several devices, or through batch norm one by one.
        places = _order(batch_size, domain_seed(seed, _PLACES), k)[: stop - start]
        mixed[places] = num_own + positions(len(self.images), domain_seed(seed, _PICTURES), start, stop)
        return mixed

    def gather(self, images: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """The images (B, R, R, C) of `indices`, contiguous and the caller's own."""
        own = indices < len(images)
        batch = np.empty((len(indices), *images.shape[1:]), images.dtype)
        batch[own] = images[indices[own]]
        batch[~own] = self.images[indices[~own] - len(images)]
        return batch


def _order(count: int, seed: int, k: int) -> np.ndarray:
    words = np.random.Philox(key=np.array([seed, k], dtype=np.uint64)).random_raw(count)
    return np.argsort(words, kind="stable")
