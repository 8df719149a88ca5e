"""The lightweight GAN of huggan's published code."""

from sle_gan.gans.description import Description, NetworkDescription, TorchLayout
from sle_gan.gans.lightweight import kernels
from sle_gan.gans.lightweight.config import LightweightConfig

DESCRIPTION = Description(
    config=LightweightConfig,
    gan=("sle_gan.gans.lightweight.gan", "LightweightGAN"),
    networks={
        "LightweightGenerator": NetworkDescription(
            "sle_gan.gans.lightweight.networks", kernels.generator, from_latents=True
        ),
        "LightweightDiscriminator": NetworkDescription("sle_gan.gans.lightweight.networks", kernels.discriminator),
    },
    checkpoint={
        "generator": "LightweightGenerator",
        "discriminator": "LightweightDiscriminator",
    },
    owns_weights=True,
    torch_layout=TorchLayout("sle_gan.gans.lightweight.huggan", "read_lightweight", "is_lightweight"),
    search_space={
        "G_learning_rate": {"low": 5e-5, "high": 1e-3, "log": True},
        "D_learning_rate": {"low": 5e-5, "high": 1e-3, "log": True},
        "batch_size": [8, 16, 32],
        "gradient_penalty": [0.0, 1.0, 10.0],
        "ema_decay": [0.99, 0.995, 0.999, 0.9995],
    },
)
