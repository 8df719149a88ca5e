"""DCGAN (arXiv 1511.06434), in the form of PyTorch's tutorial."""

from sle_gan import kernels
from sle_gan.config.dcgan import DCGANConfig
from sle_gan.descriptions.base import Description, NetworkDescription

DESCRIPTION = Description(
    config=DCGANConfig,
    gan=("sle_gan.gans.dcgan", "DCGAN"),
    networks={
        "DCGANGenerator": NetworkDescription("sle_gan.models.dcgan", kernels._dcgan_generator, from_latents=True),
        "DCGANDiscriminator": NetworkDescription("sle_gan.models.dcgan", kernels._dcgan_discriminator),
    },
    checkpoint={
        "generator": "DCGANGenerator",
        "discriminator": "DCGANDiscriminator",
    },
)
