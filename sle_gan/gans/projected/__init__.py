"""SLE-GAN's generator with a discriminator on a pretrained network's features (arXiv 2111.01007)."""

from sle_gan.gans.description import Description, NetworkDescription
from sle_gan.gans.projected import kernels
from sle_gan.gans.projected.config import ProjectedConfig

DESCRIPTION = Description(
    config=ProjectedConfig,
    gan=("sle_gan.gans.projected.gan", "ProjectedGAN"),
    networks={
        "ProjectedDiscriminator": NetworkDescription("sle_gan.gans.projected.networks", kernels.discriminator),
    },
    checkpoint={"generator": "Generator"},  # which discriminators there are differs from run to run
)
