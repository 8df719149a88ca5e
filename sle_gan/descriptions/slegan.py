"""SLE-GAN (arXiv 2101.04775)."""

from sle_gan import kernels
from sle_gan.config.slegan import SLEGANConfig
from sle_gan.gans.description import Description, NetworkDescription

DESCRIPTION = Description(
    config=SLEGANConfig,
    gan=("sle_gan.gans.slegan", "SLEGAN"),
    networks={
        "Generator": NetworkDescription("sle_gan.models.generator", kernels._generator, from_latents=True),
        "Discriminator": NetworkDescription("sle_gan.models.discriminator", kernels._discriminator),
    },
    checkpoint={
        "generator": "Generator",
        "discriminator": "Discriminator",
    },
)
