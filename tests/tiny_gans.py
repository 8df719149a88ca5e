"""Small GANs of every kind for the worker scripts. SGD replaces Adam, whose first steps turn rounding errors into
full steps."""

from __future__ import annotations

from typing import Any

import keras
from tiny_features import TinyMaps

from sle_gan import CycleGANConfig, DCGANConfig, LightweightConfig, ProjectedConfig, SLEGANConfig
from sle_gan.config import TrainConfig
from sle_gan.gans.base import make_gan

BATCH = 6  # shares of two replicas are 3: no other axis of a draw has that size
AUGMENTED: dict[str, Any] = {"batch_size": BATCH, "diff_augment": True, "augment_probability": "auto"}
SIZE: dict[str, Any] = {"resolution": 64, "width": 8, "latent": 16, "lecam": 0.1, **AUGMENTED}
CONFIGS = {
    "slegan": SLEGANConfig(**SIZE),
    "projected": ProjectedConfig(**SIZE, head_width=4),
    "dcgan": DCGANConfig(
        **SIZE,
        instance_noise=0.1,
        label_smoothing=0.1,
        rotation=15.0,
        shear=5.0,
        zoom=0.8,
        brightness=0.1,
        contrast=0.2,
    ),
    "lightweight": LightweightConfig(
        resolution=64, latent=16, fmap_max=8, attn_res_layers="16", lecam=0.1, **AUGMENTED
    ),
    # A pool that is full after two steps, so that old pictures come back.
    "cyclegan": CycleGANConfig(resolution=64, width=4, blocks=2, pool_size=10, **AUGMENTED),
}
# A shape that is no square, for both judges. 4x6 maps are pooled to 4x4 in parts that overlap.
SHAPED = {"shaped": ProjectedConfig(**SIZE, head_width=4, aspect="3:2")}

# Of pictures with labels: a batch ends with these.
LABELLED: dict[str, Any] = {"labels": "folders", "class_names": ("a", "b", "c"), "class_pictures": (3, 1, 2)}
CLASSES = {
    "slegan_classes": SLEGANConfig(**SIZE, **LABELLED),
    "projected_classes": ProjectedConfig(**SIZE, **LABELLED, head_width=4),
}


def make_tiny(model: str, rate: float = 1e-3) -> Any:
    """The tiny GAN of a model, from the same initial weights every time."""
    keras.utils.set_random_seed(0)
    gan = make({**CONFIGS, **SHAPED, **CLASSES}[model])
    if model == "cyclegan":
        _use_sgd_in_cyclegan(gan, rate)
        return gan
    for name in gan.optimizers:
        setattr(gan, f"{name}_optimizer", _sgd(rate, f"{name}_sgd", getattr(gan, name)))
    return gan


def make(config: TrainConfig) -> Any:
    """The GAN of the settings; projected sees through random convolutions instead of a download."""
    if not isinstance(config, ProjectedConfig):
        return make_gan(config)
    from sle_gan.gans.projected.gan import ProjectedGAN  # here, for its module starts a backend

    return ProjectedGAN(config, TinyMaps())


def _use_sgd_in_cyclegan(gan: Any, rate: float) -> None:
    for network in (gan.a_to_b, gan.b_to_a):
        for variable in network.trainable_variables:
            variable.assign(variable.value * 3.0)  # pictures with some contrast, not all grey
    gan.generator_optimizer = _sgd(rate, "sgd_0", gan.a_to_b, gan.b_to_a)
    gan.ways = tuple(
        way._replace(optimizer=_sgd(rate, f"sgd_{i}", way.discriminator)) for i, way in enumerate(gan.ways, start=1)
    )


def _sgd(rate: float, name: str, *networks: keras.Model) -> keras.optimizers.SGD:
    optimizer = keras.optimizers.SGD(rate, name=name)
    optimizer.build([variable for network in networks for variable in network.trainable_variables])
    return optimizer
