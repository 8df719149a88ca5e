"""Against a discriminator that overfits its training pictures: adaptive augmentation, and LeCam.


Both keep running statistics as variables. The statistics are constant within a step and are updated at its end. All
parts of an accumulated batch therefore see the same ones, and together equal one large batch. The settings that they
belong to may change when a run is resumed: where a checkpoint has none of them, they start at their initial values
(`runs.checkpoints.OPTIONAL`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from sle_gan import augment, engine, losses
from sle_gan.config import TrainConfig

SIGN_TARGET = 0.3
SIGN_INTERVAL = 4  # steps
KIMG_TO_FULL = 20  # thousand images in which the probability can rise from 0 to 1
FIRST_PROBABILITY = 0.5

LECAM_DECAY = 0.99

# Panels of curves.png, and how the names of their logs begin.
OVERFITTING, OVERFITTING_LOGS = "overfitting: mean sign of D on real images", ("D_sign", "augment_probability")
LECAM, LECAM_LOGS = "LeCam regularisation", ("lecam",)


def mean_sign(logits: Sequence[Any], boundary: float = 0.0) -> Any:
    """Mean sign of real images' logits, each tensor of logits with the same weight: a measure of overfitting.

    1 if the discriminator classifies every training picture as real, 0 if half of them.

    Args:
        logits: tensors of any shape, higher for real images.
        boundary: the logit that separates the two classes.
    """
    return sum(ops.mean(ops.sign(each - boundary)) for each in logits) / len(logits)


class Augmentation:
    """DiffAugment of all that one discriminator sees, each transformation of an image with the same probability.

    With "auto" the probability follows that discriminator (ADA, arXiv 2006.06676): every `SIGN_INTERVAL` steps it rises
    where the mean sign of the augmented real images' logits was above `SIGN_TARGET`, and falls where it was below.

    Args:
        config: validated settings.
        name: of the variables.
    """

    def __init__(self, config: TrainConfig, name: str = "augmentation"):
        self._policy = config.policy_names if config.diff_augment else ()
        self._fixed = None if config.augment_probability == 1.0 else config.augment_probability
        self._rate = config.batch_size * SIGN_INTERVAL / (1000 * KIMG_TO_FULL)
        self._share = 1.0 / config.gradient_accumulation  # of a step's images that are seen at once
        self.variables: dict[str, keras.Variable] = {}
        if config.diff_augment and self._fixed == "auto":
            self._probability = _variable(FIRST_PROBABILITY, (), f"{name}_probability")
            self._signs = _variable(0.0, (2,), f"{name}_signs")  # their sum, and of how many steps
            self.variables = {f"{name}/probability": self._probability, f"{name}/signs": self._signs}

    def __call__(self, scales: Sequence[Any], seed: engine.RandomStream) -> list[Any]:
        """The batch (B, H, W, C) at one or more scales, augmented alike."""
        return augment.diff_augment(scales, self._policy, seed, self._current)

    @property
    def _current(self) -> Any:
        return ops.copy(self._probability) if self.variables else self._fixed  # a copy: its value at this point

    def observe(self, logits: Sequence[Any], boundary: float = 0.0) -> dict[str, Any]:
        """Adds this replica's logits of real images to the statistics; returns the values for the log."""
        sign = mean_sign(logits, boundary)
        if not self.variables:
            return {"D_sign": sign}
        self._signs.assign_add(self._share * ops.stack([_mean_over_replicas(sign), ops.ones(())]))
        return {"D_sign": sign, "augment_probability": self._current}

    def end_step(self, step: Any) -> None:
        """Changes the probability in every `SIGN_INTERVAL`-th step.

        Args:
            step: number of steps that were done before this one.
        """
        if not self.variables:
            return
        signs = ops.copy(self._signs)
        due = ops.equal((step + 1) % SIGN_INTERVAL, 0)
        moved = self._current + self._rate * ops.sign(signs[0] / ops.maximum(signs[1], 1.0) - SIGN_TARGET)
        self._probability.assign(ops.where(due, ops.clip(moved, 0.0, 1.0), self._current))
        self._signs.assign(ops.where(due, 0.0, signs))


class LeCam:
    """A regularisation of the discriminator by running averages of its own logits (arXiv 2104.03310).

    Real images' logits are penalised where they exceed the average of generated images' logits, and generated images'
    logits where they are below the average of real ones. The averages are those of the steps before; the first step
    has no penalty.

    Args:
        weight: 0 for none.
        name: of the losses and the variables; begins with "lecam".
    """

    def __init__(self, weight: float, name: str = "lecam"):
        self._weight, self._name = weight, name
        self.variables: dict[str, keras.Variable] = {}
        if weight:
            # Of real and of generated images, and of the constant 1, which corrects the bias of the start at 0.
            self._averages = _variable(0.0, (3,), f"{name}_averages")
            self._seen = _variable(0.0, (2, 2), f"{name}_seen")  # of each kind in this step: sum of means, how many
            self.variables = {f"{name}/averages": self._averages, f"{name}/seen": self._seen}

    def terms(self, real: Sequence[Any], fake: Sequence[Any]) -> dict[str, Any]:
        """Weighted losses of real and of generated images' logits, of those that are given."""
        if not self._weight:
            return {}
        averages = ops.copy(self._averages)
        anchors = averages[:2] / ops.maximum(averages[2], 1.0 - LECAM_DECAY)
        weight = ops.where(averages[2] > 0, self._weight, 0.0)
        kinds = (("real", real, losses.lecam_real, anchors[1]), ("fake", fake, losses.lecam_fake, anchors[0]))
        return {
            f"{self._name}_{kind}": weight * sum(loss(each, anchor) for each in logits) / len(logits)
            for kind, logits, loss, anchor in kinds
            if logits
        }

    def observe(self, real: Sequence[Any], fake: Sequence[Any]) -> None:
        """Adds the logits of this replica to the statistics of this step."""
        if not self._weight:
            return
        for kind, logits in enumerate((real, fake)):
            if logits:
                mean = _mean_over_replicas(sum(ops.mean(each) for each in logits) / len(logits))
                row = ops.stack([mean, ops.ones(())])
                self._seen.assign_add(
                    ops.stack([row, ops.zeros_like(row)] if kind == 0 else [ops.zeros_like(row), row])
                )

    def end_step(self) -> None:
        """Updates the averages."""
        if not self._weight:
            return
        seen = ops.copy(self._seen)
        means = ops.append(seen[:, 0] / seen[:, 1], 1.0)
        averages = ops.copy(self._averages)
        self._averages.assign(LECAM_DECAY * averages + (1.0 - LECAM_DECAY) * means)
        self._seen.assign(ops.zeros_like(seen))


def _variable(value: float, shape: tuple[int, ...], name: str) -> keras.Variable:
    """State that every replica computes alike."""
    return keras.Variable(
        keras.initializers.Constant(value), shape, trainable=False, name=name, aggregation="only_first_replica"
    )


def _mean_over_replicas(x: Any) -> Any:
    return ops.mean(engine.all_gather(ops.reshape(x, (1,))))
