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
    translates=True,
    search_space={
        "G_learning_rate": {"low": 5e-5, "high": 1e-3, "log": True},
        "D_learning_rate": {"low": 5e-5, "high": 1e-3, "log": True},
        "cycle_weight": {"low": 3.0, "high": 20.0, "log": True},
        "identity_weight": {"low": 0.0, "high": 10.0},
        "gan_loss": ["lsgan", "hinge"],
    },
)
