"""SLE-GAN's generator with a discriminator on a pretrained network's features (arXiv 2111.01007)."""

from sle_gan import kernels
from sle_gan.config.projected import ProjectedConfig
from sle_gan.gans.description import Description, NetworkDescription

DESCRIPTION = Description(
    config=ProjectedConfig,
    gan=("sle_gan.gans.projected", "ProjectedGAN"),
    networks={
        "ProjectedDiscriminator": NetworkDescription("sle_gan.models.projected", kernels._projected_discriminator),
    },
    checkpoint={"generator": "Generator"},  # which discriminators there are differs from run to run
)
