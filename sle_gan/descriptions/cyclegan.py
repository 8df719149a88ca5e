"""CycleGAN (arXiv 1703.10593)."""

from sle_gan import kernels
from sle_gan.config.cyclegan import CycleGANConfig
from sle_gan.gans.description import Description, NetworkDescription

DESCRIPTION = Description(
    config=CycleGANConfig,
    gan=("sle_gan.gans.cyclegan", "CycleGAN"),
    networks={
        "ResNetGenerator": NetworkDescription("sle_gan.models.cyclegan", kernels._translator),
        "PatchDiscriminator": NetworkDescription("sle_gan.models.cyclegan", kernels._patch_discriminator),
    },
    checkpoint={
        "generator_AB": "ResNetGenerator",
        "generator_BA": "ResNetGenerator",
        "discriminator_A": "PatchDiscriminator",
        "discriminator_B": "PatchDiscriminator",
    },
)
