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
    search_space={
        "G_learning_rate": {"low": 5e-5, "high": 1e-3, "log": True},
        "D_learning_rate": {"low": 5e-5, "high": 1e-3, "log": True},
        "batch_size": [4, 8, 16, 32],
        "ema_decay": [0.99, 0.995, 0.999],
        "projected_weight": {"low": 0.3, "high": 3.0, "log": True},
    },
)
