"""Small GANs of every kind for the worker scripts. SGD replaces Adam, whose first steps turn rounding errors into
full steps."""

from __future__ import annotations

from typing import Any

import keras

from sle_gan.config import DCGANConfig, LightweightConfig, SLEGANConfig
from sle_gan.gans import make_gan

BATCH = 6  # shares of two replicas are 3: no other axis of a draw has that size
SIZE: dict[str, Any] = {"resolution": 64, "width": 8, "latent": 16, "batch_size": BATCH, "diff_augment": True}
CONFIGS = {
    "slegan": SLEGANConfig(**SIZE),
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
        resolution=64, latent=16, fmap_max=8, attn_res_layers="16", batch_size=BATCH, diff_augment=True
    ),
}


def make_tiny(model: str, rate: float = 1e-3) -> Any:
    """The tiny GAN of a model, from the same initial weights every time."""
    keras.utils.set_random_seed(0)
    gan: Any = make_gan(CONFIGS[model])
    for name in ("generator", "discriminator"):
        optimizer = keras.optimizers.SGD(rate, name=f"{name}_sgd")
        optimizer.build(getattr(gan, name).trainable_variables)
        setattr(gan, f"{name}_optimizer", optimizer)
    return gan
