"""CycleGAN (arXiv 1703.10593)."""

from sle_gan.gans.cyclegan import kernels
from sle_gan.gans.cyclegan.config import CycleGANConfig
from sle_gan.gans.description import Description, NetworkDescription

DESCRIPTION = Description(
    config=CycleGANConfig,
    gan=("sle_gan.gans.cyclegan.gan", "CycleGAN"),
    networks={
        "ResNetGenerator": NetworkDescription("sle_gan.gans.cyclegan.networks", kernels.generator),
        "PatchDiscriminator": NetworkDescription("sle_gan.gans.cyclegan.networks", kernels.discriminator),
    },
    checkpoint={
        "generator_AB": "ResNetGenerator",
        "generator_BA": "ResNetGenerator",
        "discriminator_A": "PatchDiscriminator",
        "discriminator_B": "PatchDiscriminator",
    },
)
