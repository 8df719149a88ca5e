"""A history of generated images for the discriminators (arXiv 1612.07828, section 2.3), as device state."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from sle_gan import engine


class ImagePool:
    """Gives the discriminator older fakes instead of half of the new ones.

    While the pool fills, new images enter it and come back. Once it is full, each new one comes back with
    probability one half; else it takes a random place, and the image that was there comes back. A batch counts
    as images that come one after another, as in the reference implementations.

    All state is in `variables`; with several replicas each holds the same pool of the whole batch.

    Args:
        size: how many images; 0 gives every image back.
        shape: of an image, (R, R, C).
        name: of the variables.
    """

    def __init__(self, size: int, shape: tuple[int, int, int], name: str):
        self.size = size
        self.variables: dict[str, keras.Variable] = {}
        if size:
            options: dict[str, Any] = {"trainable": False, "aggregation": "only_first_replica"}
            self._images = keras.Variable("zeros", (size, *shape), name=f"{name}_images", **options)
            self._count = keras.Variable("zeros", (), "int32", name=f"{name}_count", **options)
            self.variables = {f"{name}/images": self._images, f"{name}/count": self._count}

    def exchange(self, images: Any, random: engine.RandomStream) -> Any:
        """(B, R, R, C) of this replica -> as many for its discriminator; the pool is updated."""
        if not self.size:
            return images
        batch = images.shape[0]
        images = engine.all_gather(images)  # (N, R, R, C): the batches of all replicas
        total = batch * engine.replica_count()
        # Every replica draws the same: they all update the same pool.
        draws = keras.random.uniform((2, total), seed=random.shared("image pool"))
        count = ops.convert_to_tensor(self._count)
        places, kept, given = exchanges(self.size, count, draws)
        # Only the places concerned are read and written: a pool of 50 images is 40 MB at 256 pixels.
        both = ops.concatenate([ops.take(self._images, places, axis=0), images])  # (2 N, R, R, C)
        engine.assign_rows(self._images, places, ops.take(both, kept, axis=0))
        self._count.assign(ops.minimum(count + total, self.size))
        return ops.take(both, engine.replica_part(given), axis=0)


def exchanges(size: int, count: Any, draws: Any) -> tuple[Any, Any, Any]:
    """Who goes where: a place in the pool for each of N new images, whether or not it enters there.

    Images are indices into those that were at the places (0 to N - 1), followed by the new ones (N to 2 N - 1).

    Args:
        size: of the pool.
        count: how many of its places are taken, a scalar int32 tensor.
        draws: (2, N) in [0, 1): coins and places of the N new images.

    Returns:
        `(places, kept, given)`, int32 (N,): the places, the image that is at each of them afterwards, and what comes
        back for each new image. A place that occurs twice has one image.
    """
    total = draws.shape[1]
    order = ops.arange(total, dtype="int32")
    filling = order + count < size
    places = ops.minimum(ops.cast(draws[1] * size, "int32"), size - 1)
    places = ops.where(filling, order + count, places)
    enters = ops.logical_or(filling, draws[0] < 0.5)
    # Images that entered at image i's place: the last one, and the last one before i; -1 for none.
    here = ops.logical_and(places[:, None] == places[None, :], enters[None, :])
    last = ops.max(ops.where(here, order[None, :], -1), axis=1)
    earlier = ops.logical_and(here, order[:, None] > order[None, :])
    before = ops.max(ops.where(earlier, order[None, :], -1), axis=1)
    kept = ops.where(last >= 0, total + last, order)
    swapped = ops.logical_and(enters, ops.logical_not(filling))
    given = ops.where(swapped, ops.where(before >= 0, total + before, order), total + order)
    return places, kept, given
