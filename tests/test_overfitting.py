"""D_sign, augmentation that follows it, and LeCam: the rules by hand, and in every GAN's step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from state import numbers
from tiny_gans import CONFIGS as TINY
from tiny_gans import make

from sle_gan import DCGANConfig, engine, losses
from sle_gan.config import TrainConfig
from sle_gan.engine import RandomStream
from sle_gan.gans import overfitting
from sle_gan.gans.overfitting import Augmentation, LeCam, mean_sign

BATCH = 4


def adaptive(**changes: Any) -> Augmentation:
    settings: dict[str, Any] = {"batch_size": BATCH, "diff_augment": True, "augment_probability": "auto", **changes}
    return Augmentation(DCGANConfig(**settings))


def follow(augmentation: Augmentation, signs: list[float]) -> list[float]:
    """The probability after each step, in which the discriminator calls real images so."""
    seen = []
    for step, sign in enumerate(signs):
        augmentation.observe([ops.convert_to_tensor(np.array([[5.0 * sign]], np.float32))])
        augmentation.end_step(step)
        seen.append(float(augmentation.variables["augmentation/probability"].value[...]))
    return seen


def test_the_sign_by_hand() -> None:
    assert float(mean_sign([np.array([[3.0, -1.0], [2.0, 0.1]], np.float32)])) == 0.5
    assert float(mean_sign([np.array([3.0, -1.0], np.float32), np.array([[2.0]], np.float32)])) == 0.5
    assert float(mean_sign([np.array([0.6, 0.4, 0.9, 0.7], np.float32)], boundary=0.5)) == 0.5


def test_the_probability_moves_every_fourth_step_by_the_images_seen() -> None:
    start = overfitting.FIRST_PROBABILITY
    rate = 4 * BATCH / (1000 * overfitting.KIMG_TO_FULL)
    assert follow(adaptive(), [1.0] * 8) == pytest.approx([start] * 3 + [start + rate] * 4 + [start + 2 * rate])
    assert follow(adaptive(), [-1.0] * 4)[-1] == pytest.approx(start - rate)
    # It is the mean over the interval that counts, and an interval forgets the one before it.
    assert follow(adaptive(), [1, 1, 1, -1] + [-1, -1, -1, 1])[3::4] == pytest.approx(
        [
            start + rate * np.sign(0.5 - overfitting.SIGN_TARGET),
            start + rate * (np.sign(0.5 - overfitting.SIGN_TARGET) - 1),
        ]
    )


def test_parts_of_a_batch_count_as_one_step() -> None:
    augmentation = adaptive()
    for sign in (1.0, 1.0, -1.0, -1.0):  # two parts in each of two steps
        augmentation.observe([ops.convert_to_tensor(np.array([sign], np.float32))])
    total, count = ops.convert_to_numpy(augmentation.variables["augmentation/signs"].value)
    assert (total, count) == (0.0, 4.0)


@pytest.mark.parametrize(("start", "sign", "end"), ((0.9999, 1.0, 1.0), (0.0001, -1.0, 0.0)))
def test_the_probability_stays_one(start: float, sign: float, end: float) -> None:
    augmentation = adaptive(batch_size=128)
    augmentation.variables["augmentation/probability"].assign(start)
    assert follow(augmentation, [sign] * 8)[-1] == end


def test_a_fixed_probability_has_no_state() -> None:
    for settings in ({"augment_probability": 0.5}, {"augment_probability": 1.0}, {"diff_augment": False}):
        assert not Augmentation(DCGANConfig(**{"diff_augment": True, **settings})).variables
    images = ops.convert_to_tensor(np.random.default_rng(0).uniform(-1, 1, (4, 8, 8, 3)).astype(np.float32))
    never = Augmentation(DCGANConfig(diff_augment=True, augment_probability=0.0))([images], RandomStream(0, 0))[0]
    np.testing.assert_array_equal(never, images)


def test_lecam_by_hand() -> None:
    """Three steps of constant logits: no price in the first, then the averages of the steps before."""
    lecam = LeCam(0.3)
    real = [
        np.array([2.0, -1.0], np.float32),
        np.array([[0.5]], np.float32),
    ]  # of mean 0.5, the second one counts as much
    fake = [np.array([-0.25, 1.0], np.float32)]
    prices = []
    for _ in range(3):
        prices.append({name: float(value) for name, value in lecam.terms(real, fake).items()})
        lecam.observe(real, [])  # as SLE-GAN does: one after the other
        lecam.observe([], fake)
        lecam.end_step()
    real_mean, fake_mean = (0.5 + 0.5) / 2, 0.375
    expected = {
        "lecam_real": 0.3 * (((2 - fake_mean) ** 2 + 0) / 2 + (0.5 - fake_mean) ** 2) / 2,
        "lecam_fake": 0.3 * ((real_mean + 0.25) ** 2 + 0) / 2,
    }
    assert prices[0] == {"lecam_real": 0.0, "lecam_fake": 0.0}
    for price in prices[1:]:  # the average of equal numbers is that number, at once
        assert price == pytest.approx(expected)
    np.testing.assert_allclose(
        lecam.variables["lecam/averages"].value, (1 - 0.99**3) * np.array([real_mean, fake_mean, 1]), rtol=1e-5
    )


def test_lecams_gradient_is_of_the_logits_alone() -> None:
    logits, anchor = np.array([2.0, -1.0], np.float32), 0.5
    for loss, sign in ((losses.lecam_real, 1), (losses.lecam_fake, -1)):
        price, pull = engine.vjp(lambda x: loss(x, anchor), (), [ops.convert_to_tensor(logits)])  # noqa: B023
        _, (slope,) = pull(ops.ones_like(price))
        np.testing.assert_allclose(slope, np.maximum(sign * (logits - anchor), 0) * sign, rtol=1e-6)


def train(config: TrainConfig, steps: int) -> tuple[Any, dict[str, float]]:
    keras.utils.set_random_seed(0)
    gan = make(config)
    images = np.random.default_rng(0).integers(0, 256, (config.batch_size, 64, 64, 3), dtype=np.uint8)
    logs: dict[str, Any] = {}
    for k in range(steps):
        logs = gan.train_step((images,) * len(config.folders), RandomStream(0, k, step=k))
    return gan, {name: float(value) for name, value in logs.items()}


@pytest.mark.parametrize("model", TINY)
def test_every_gan_logs_the_sign_and_moves_its_probability(model: str) -> None:
    gan, logs = train(TINY[model], steps=4)
    domains = [f"_{domain}" for domain in "AB"] if model == "cyclegan" else [""]
    rate = TINY[model].batch_size * 4 / (1000 * overfitting.KIMG_TO_FULL)
    state = numbers(gan)
    for domain in domains:
        assert -1 <= logs[f"D_sign{domain}"] <= 1
        assert logs[f"augment_probability{domain}"] == pytest.approx(overfitting.FIRST_PROBABILITY)
        moved = state[f"buffer/augmentation{domain}/probability"] - overfitting.FIRST_PROBABILITY
        assert abs(moved) == pytest.approx(rate, rel=1e-3)
        assert not state[f"buffer/augmentation{domain}/signs"].any()
    if model != "cyclegan":
        assert logs["lecam_real"] > 0 or logs["lecam_fake"] > 0
        assert state["buffer/lecam/averages"][2] == pytest.approx(1 - 0.99**4, rel=1e-4)


@pytest.mark.parametrize(("model", "towards_real"), (("slegan", 1), ("dcgan", 1), ("lightweight", -1)))
def test_a_discriminator_that_calls_all_pictures_real_has_a_sign_of_one(model: str, towards_real: int) -> None:
    """Whatever direction that is: a lightweight discriminator's own logits are low for real images."""
    keras.utils.set_random_seed(0)
    gan = make(TINY[model])
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    fakes = gan.generate_fakes(4, RandomStream(0, 0))
    gan.discriminator = Shifted(gan.discriminator, 100.0 * towards_real)
    judged = [judge(images, fakes, RandomStream(0, 0)) for judge in gan.discriminator_losses()]
    signs = [float(mean_sign(each.real)) for each in judged if each.real]
    of_fakes = [float(mean_sign(each.fake)) for each in judged if each.fake]
    assert signs == [1.0] and of_fakes == [1.0]
    # What it minimises agrees: real images are right, generated ones are wrong.
    d_losses = {name: float(value) for each in judged for name, value in each.losses.items()}
    assert d_losses["real"] < 20 < 90 < d_losses["fake"]


class Shifted:
    """A discriminator whose logits are shifted."""

    def __init__(self, discriminator: Any, shift: float):
        self._discriminator, self._shift = discriminator, shift

    def __getattr__(self, name: str) -> Any:
        return getattr(self._discriminator, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        seen = self._discriminator(*args, **kwargs)
        if not isinstance(seen, dict):
            return seen + self._shift
        return {name: value + self._shift if "logits" in name else value for name, value in seen.items()}
