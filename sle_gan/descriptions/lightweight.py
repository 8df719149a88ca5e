"""The lightweight GAN of huggan's published code."""

from sle_gan import kernels
from sle_gan.config.lightweight import LightweightConfig
from sle_gan.gans.description import Description, NetworkDescription

DESCRIPTION = Description(
    config=LightweightConfig,
    gan=("sle_gan.gans.lightweight", "LightweightGAN"),
    networks={
        "LightweightGenerator": NetworkDescription(
            "sle_gan.models.lightweight", kernels._lightweight_generator, from_latents=True
        ),
        "LightweightDiscriminator": NetworkDescription(
            "sle_gan.models.lightweight", kernels._lightweight_discriminator
        ),
    },
    checkpoint={
        "generator": "LightweightGenerator",
        "discriminator": "LightweightDiscriminator",
    },
    owns_weights=True,
)
