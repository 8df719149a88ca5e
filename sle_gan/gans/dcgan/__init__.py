"""DCGAN (arXiv 1511.06434), in the form of PyTorch's tutorial."""

from sle_gan.gans.dcgan import kernels
from sle_gan.gans.dcgan.config import DCGANConfig
from sle_gan.gans.description import Description, NetworkDescription

DESCRIPTION = Description(
    config=DCGANConfig,
    gan=("sle_gan.gans.dcgan.gan", "DCGAN"),
    networks={
        "DCGANGenerator": NetworkDescription("sle_gan.gans.dcgan.networks", kernels.generator, from_latents=True),
        "DCGANDiscriminator": NetworkDescription("sle_gan.gans.dcgan.networks", kernels.discriminator),
    },
    checkpoint={
        "generator": "DCGANGenerator",
        "discriminator": "DCGANDiscriminator",
    },
    search_space={
        "G_learning_rate": {"low": 5e-5, "high": 2e-3, "log": True},
        "D_learning_rate": {"low": 5e-5, "high": 2e-3, "log": True},
        "batch_size": [16, 32, 64, 128],
        "label_smoothing": {"low": 0.0, "high": 0.2},
        "instance_noise": {"low": 0.0, "high": 0.5},
    },
)
