"""SLE-GAN's step: what each loss and each update is, by definition, and which variables it moves."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from descent import assert_same_updates, descend, use_sgd
from keras import ops
from state import assert_each_phase_moves_its_own, numbers

from sle_gan import SLEGANConfig, augment
from sle_gan.engine import RandomStream
from sle_gan.gans.base import make_gan
from sle_gan.gans.slegan.gan import SLEGAN
from sle_gan.models.layers import constant_singular_vectors, downsample_nearest
from sle_gan.pictures import pixels

CONFIG = SLEGANConfig(resolution=64, width=8, latent=16, batch_size=4, crop="random", diff_augment=True)
BATCH = (np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8),)
RANDOM = RandomStream(0, 1, step=1)


def make(**changes: Any) -> SLEGAN:
    keras.utils.set_random_seed(0)
    gan = make_gan(dataclasses.replace(CONFIG, **changes).validated())
    assert isinstance(gan, SLEGAN)
    use_sgd(gan)
    return gan


# By definition: written anew here, in numpy where that is no network and no augmentation


def singular_vectors(gan: SLEGAN) -> dict[str, np.ndarray]:
    """u and v of both trained networks after one power iteration: v = M u, u = M^T v, each as a unit vector."""
    state, expected = numbers(gan), {}
    for name, u in state.items():
        layer, _, last = name.rpartition("/")
        if last == "u" and not layer.startswith("generator_ema"):
            matrix = state[f"{layer}/kernel"].reshape(-1, len(u))
            v = matrix @ u
            v /= np.linalg.norm(v)
            u = v @ matrix
            expected |= {f"{layer}/v": v, f"{layer}/u": u / np.linalg.norm(u)}
    return expected


def after_one_iteration(gan: SLEGAN) -> SLEGAN:
    state = gan.state()
    for name, vector in singular_vectors(gan).items():
        state[name].assign(vector)
    return gan


def real_images(random: RandomStream) -> Any:
    """Each mirrored where its draw is below one half, then augmented."""
    draws = ops.convert_to_numpy(keras.random.uniform((4, 1, 1, 1), seed=random.fold("flip"))).ravel()
    assert 0 < (draws < 0.5).sum() < 4, "both kinds are in the batch"
    images = [image[:, ::-1] if draw < 0.5 else image for image, draw in zip(BATCH[0], draws)]
    real = pixels.to_model(np.stack(images))
    return augment.diff_augment([real], CONFIG.policy_names, random.fold("augment real"))[0]


def fake_images(gan: SLEGAN, random: RandomStream) -> list[Any]:
    latents = keras.random.normal((4, 16), seed=random.fold("latents"))
    noise = gan.generator.sample_noise(4, random.fold("noise"))
    scales = gan.generator(latents, noise=noise, both_scales=True, training=True)
    return augment.diff_augment(list(scales), CONFIG.policy_names, random.fold("augment fake"))


def discriminator_losses(gan: SLEGAN, fakes: list[Any], random: RandomStream) -> dict[str, Any]:
    """mean(max(0, margin -+ logit)), and the l1 of the image, of it again and of its part to what is decoded."""
    real = real_images(random)
    row, column = (int(n) for n in ops.convert_to_numpy(keras.random.randint((2,), 0, 9, seed=random.fold("crop"))))
    assert row != column and 4 not in (row, column), "the offset is not the default one"
    part = real[:, 4 * row : 4 * row + 32, 4 * column : 4 * column + 32]  # sixteenths of 64 pixels
    seen = gan.discriminator(real, reconstruct=True, part_offset=(row, column), training=True)
    margins = {
        key: keras.random.uniform((4, 50), seed=random.fold(key)) * 0.2 + 0.8  # U(0.8, 1) for each logit
        for key in ("real", "fake")
    }
    whole = downsample_nearest(real, 32)
    return {
        "real": ops.mean(ops.maximum(margins["real"] - seen["logits"], 0.0)),
        "fake": ops.mean(ops.maximum(margins["fake"] + gan.discriminator(*fakes, training=True), 0.0)),
        "D_sign": ops.mean(ops.sign(seen["logits"])),  # no loss: it has no gradient
        "reconstruct_full": ops.mean(ops.abs(seen["full"] - whole)),
        "reconstruct_small": ops.mean(ops.abs(seen["small"] - whole)),
        "reconstruct_part": ops.mean(ops.abs(seen["part"] - part)),
    }


def step_by_definition(gan: SLEGAN) -> dict[str, float]:
    after_one_iteration(gan)
    with constant_singular_vectors():
        fakes = fake_images(gan, RANDOM)
        losses = descend(gan.discriminator, lambda: discriminator_losses(gan, fakes, RANDOM))
        losses |= descend(
            gan.generator,
            lambda: {"generator": -ops.mean(gan.discriminator(*fake_images(gan, RANDOM), training=True))},
        )
    return {name: float(value) for name, value in losses.items()}


# The step


@pytest.fixture(scope="module")
def stepped() -> tuple[SLEGAN, dict[str, float]]:
    """A GAN after one step and its losses. No test changes it."""
    gan = make()
    logs = gan.train_step(BATCH, RANDOM)
    return gan, {name: float(value) for name, value in logs.items()}


def test_losses_and_updates_are_those_of_the_definition(stepped: tuple[SLEGAN, dict[str, float]]) -> None:
    gan, logs = stepped
    expected = make()
    before = numbers(expected)
    assert logs == pytest.approx(step_by_definition(expected), rel=1e-4)
    assert_same_updates(gan, expected, before)
    after, state = numbers(gan), gan.state()
    for name, value in before.items():
        if state[name].trainable and not name.startswith(("optimizer", "generator_ema")):
            assert np.abs(after[name] - value).max() > 0, name


def test_a_step_makes_one_power_iteration_with_the_weights_before_it(stepped: tuple[SLEGAN, dict]) -> None:
    found = numbers(stepped[0])
    expected = singular_vectors(make())
    assert len(expected) > 60
    for name, vector in expected.items():
        np.testing.assert_allclose(found[name], vector, atol=1e-5, err_msg=name)


def test_the_average_is_of_the_generator_after_its_update(stepped: tuple[SLEGAN, dict]) -> None:
    """Decay (1 + n) / (10 + n), n = 2 here, of weights and statistics alike; singular vectors are copied."""
    initial, found = numbers(make()), numbers(stepped[0])
    for name, value in found.items():
        if name.startswith("generator_ema/"):
            now = found[name.replace("generator_ema", "generator", 1)]
            share = 0.0 if name.endswith(("/u", "/v")) else 3 / 12
            np.testing.assert_allclose(value, share * initial[name] + (1 - share) * now, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(("step", "decay"), [(0, 2 / 11), (98, 100 / 109), (10**6, 0.99)])
def test_the_averages_decay(step: int, decay: float) -> None:
    gan = make(ema_decay=0.99)
    for i, variable in enumerate(gan.generator.variables):
        variable.assign(ops.full(variable.shape, float(i + 1)))
    before = numbers(gan)
    gan.end_step(RandomStream(0, step, step=step))
    for name, value in numbers(gan).items():
        now = before[name.replace("generator_ema", "generator", 1)]
        if name.startswith("generator_ema/"):
            share = 0.0 if name.endswith(("/u", "/v")) else decay
            np.testing.assert_allclose(value, share * before[name] + (1 - share) * now, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(value, before[name], err_msg=name)


def test_each_phase_moves_its_own_variables_only() -> None:
    gan = make()
    before = numbers(gan)
    gan.begin_step(RANDOM)
    after, vectors = numbers(gan), singular_vectors(make())
    for name, value in after.items():  # of one filter alone u is 1 and stays
        assert np.array_equal(value, before[name]) == (name not in vectors or value.size == 1), name
    assert_each_phase_moves_its_own(gan, BATCH, RANDOM)
