"""SLE-GAN (arXiv 2101.04775)."""

from sle_gan.gans.description import Description, NetworkDescription, TorchLayout
from sle_gan.gans.slegan import kernels
from sle_gan.gans.slegan.config import SLEGANConfig

DESCRIPTION = Description(
    config=SLEGANConfig,
    gan=("sle_gan.gans.slegan.gan", "SLEGAN"),
    networks={
        "Generator": NetworkDescription("sle_gan.gans.slegan.generator", kernels.generator, from_latents=True),
        "Discriminator": NetworkDescription("sle_gan.gans.slegan.discriminator", kernels.discriminator),
    },
    checkpoint={
        "generator": "Generator",
        "discriminator": "Discriminator",
    },
    torch_layout=TorchLayout("sle_gan.gans.slegan.from_fastgan", "read_fastgan"),
    search_space={
        "G_learning_rate": {"low": 5e-5, "high": 1e-3, "log": True},
        "D_learning_rate": {"low": 5e-5, "high": 1e-3, "log": True},
        "batch_size": [4, 8, 16],
        "ema_decay": [0.99, 0.995, 0.999],
        "lecam": [0.0, 0.1, 0.3],
    },
)
