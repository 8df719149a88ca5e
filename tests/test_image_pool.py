"""The image pool: the same exchanges as one image after another, and state that lives in variables."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from sle_gan.engine import RandomStream
from sle_gan.gans.cyclegan.image_pool import ImagePool, exchanges


def one_after_another(pool: list, size: int, images: list, coins: np.ndarray, places: np.ndarray) -> list:
    """The exchange as the reference implementations write it; changes the list `pool`."""
    given_back = []
    for image, coin, place in zip(images, coins, places):
        if len(pool) < size:
            pool.append(image)
            given_back.append(image)
        elif coin < 0.5:
            index = min(int(np.float32(place) * size), size - 1)
            given_back.append(pool[index])
            pool[index] = image
        else:
            given_back.append(image)
    return given_back


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 10_000))
def test_exchanges_equal_one_after_another(size: int, batches: list[int], seed: int) -> None:
    random = np.random.default_rng(seed)
    reference: list = []
    pool, count, number = [None] * size, 0, 0
    for batch in batches:
        images = list(range(number, number + batch))
        draws = random.random((2, batch), dtype=np.float32)
        expected = one_after_another(reference, size, images, *draws)
        places, kept, given_back = (
            ops.convert_to_numpy(x) for x in exchanges(size, ops.convert_to_tensor(count), draws)
        )
        both = [pool[place] for place in places] + images
        assert [both[i] for i in given_back] == expected
        for place, i in [*zip(places, kept)][::-1]:  # in any order
            pool[place] = both[i]
        count, number = min(count + batch, size), number + batch
        assert pool[: len(reference)] == reference


def test_the_pool_gives_back_older_images() -> None:
    pool = ImagePool(50, (1, 1, 1), "pool")
    ages = []
    for step in range(100):
        images = np.full((4, 1, 1, 1), step, np.float32)
        back = ops.convert_to_numpy(pool.exchange(ops.convert_to_tensor(images), RandomStream(0, step, step=step)))
        assert back.shape == images.shape
        if step > 12:
            ages += list((step - back).ravel())
        elif step < 12:
            np.testing.assert_array_equal(back, images)  # while it fills
    new = np.mean(np.array(ages) == 0)
    assert 0.4 < new < 0.6 and max(ages) > 10
    assert int(pool.variables["pool/count"].value) == 50


def test_without_a_pool_images_come_back() -> None:
    pool = ImagePool(0, (1, 1, 1), "pool")
    images = np.ones((2, 1, 1, 1), np.float32)
    assert pool.exchange(images, RandomStream(0, 0)) is images
    assert pool.variables == {}
