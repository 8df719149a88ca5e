"""Losses: pure functions of tensors, means over the batch, never sums."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

Features = Callable[[Any], Sequence[Any]]


def hinge_real(logits: Any, margins: Any = 1.0) -> Any:
    """mean(max(0, margin - logit)) of real images' logits (arXiv 1705.02894).

    `margins` broadcasts with the logits; the released FastGAN code draws each from U(0.8, 1).
    """
    return ops.mean(ops.relu(margins - logits))


def hinge_fake(logits: Any, margins: Any = 1.0) -> Any:
    """mean(max(0, margin + logit)) of generated images' logits."""
    return ops.mean(ops.relu(margins + logits))


def hinge_generator(logits: Any) -> Any:
    """-mean(logit) of generated images' logits."""
    return -ops.mean(logits)


def dual_contrastive(real_logits: Any, fake_logits: Any) -> Any:
    """Picks each real logit out of all generated ones, and each generated one out of all real (arXiv 2103.16748).

    mean_i -log(e^r_i / (e^r_i + sum_j e^f_j)) + mean_j -log(e^-f_j / (e^-f_j + sum_i e^-r_i)), where real logits are
    the higher ones. With the two exchanged it is the generator's loss.
    """

    def half(ones: Any, others: Any) -> Any:
        return ops.mean(ops.softplus(ops.logsumexp(others) - ones))

    return half(real_logits, fake_logits) + half(-fake_logits, -real_logits)


def cross_entropy(logits: Any, target: float) -> Any:
    """Mean binary cross-entropy of sigmoid(logits) with one target for all: 1 is "real", 0 is "generated".

    A target between the two is a smoothed label (arXiv 1606.03498, section 3.4). Takes logits, because the
    logarithm of a float32 sigmoid is lost where it rounds to 0 or 1.
    """
    return ops.mean(ops.softplus(logits) - target * logits)


def lecam_real(logits: Any, fake_anchor: Any) -> Any:
    """mean(max(0, logit - anchor)^2) of real images' logits (arXiv 2104.03310, as its authors' code has it).

    It penalises logits of real images that exceed the average logit of generated ones.

    Args:
        fake_anchor: a running average of generated images' logits; a constant.
    """
    return ops.mean(ops.square(ops.relu(logits - fake_anchor)))


def lecam_fake(logits: Any, real_anchor: Any) -> Any:
    """mean(max(0, anchor - logit)^2) of generated images' logits; the anchor averages real images' logits."""
    return ops.mean(ops.square(ops.relu(real_anchor - logits)))


def least_squares_real(logits: Any) -> Any:
    """mean((logit - 1)^2) of real images' logits (LSGAN, arXiv 1611.04076)."""
    return ops.mean(ops.square(logits - 1.0))


def least_squares_fake(logits: Any) -> Any:
    """mean(logit^2) of generated images' logits."""
    return ops.mean(ops.square(logits))


def least_squares_generator(logits: Any) -> Any:
    """mean((logit - 1)^2) of generated images' logits, which are to pass for real."""
    return least_squares_real(logits)


def l1(predictions: Any, targets: Any) -> Any:
    """Mean absolute difference."""
    return ops.mean(ops.abs(predictions - targets))


def mse(predictions: Any, targets: Any) -> Any:
    """Mean squared difference."""
    return ops.mean(ops.square(predictions - targets))


def perceptual(features: Features) -> Callable[[Any, Any], Any]:
    """Distance of deep features, each pixel's normalised to unit length (arXiv 1801.03924, unweighted).

    Args:
        features: images (B, H, W, 3) in (-1, 1) -> a sequence of maps (B, h, w, c).

    Returns:
        `loss(predictions, targets)`: the squared distance between the unit vectors, averaged over the pixels and
        the batch and summed over the maps. No gradient flows into the targets.
    """

    def unit(maps: Any) -> Any:
        return maps / (ops.sqrt(ops.sum(ops.square(maps), -1, keepdims=True)) + 1e-10)

    def loss(predictions: Any, targets: Any) -> Any:
        pairs = zip(features(predictions), features(ops.stop_gradient(targets)))
        return sum(ops.mean(ops.sum(ops.square(unit(a) - unit(b)), -1)) for a, b in pairs)

    return loss


def random_margins(shape: Sequence[int], seed: Any) -> Any:
    """Hinge margins from U(0.8, 1), as the released FastGAN code draws them for each logit."""
    return keras.random.uniform(shape, 0.8, 1.0, seed=seed)
