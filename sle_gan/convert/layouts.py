"""Which layout a PyTorch file has: FastGAN's or the lightweight GAN's."""

from __future__ import annotations

from pathlib import Path

from sle_gan.convert.lightweight import LightweightCheckpoint, is_lightweight, read_lightweight
from sle_gan.convert.torch_reader import load_torch_file
from sle_gan.errors import UserError
from sle_gan.gans.slegan.from_fastgan import Converted, FastGANCheckpoint, read_fastgan


def read_torch(path: str | Path) -> FastGANCheckpoint | LightweightCheckpoint:
    """Reads a checkpoint of either layout; its `model` says of which GAN it is.

    Raises:
        UserError: if the file is of neither, or damaged.
    """
    if is_lightweight(load_torch_file(path)):
        return read_lightweight(path)
    return read_fastgan(path)


def convert_torch(path: str | Path) -> dict[str, Converted]:
    """The networks of a checkpoint that are ready for use.

    Returns:
        "generator", the averaged one where the file holds it, and "discriminator" if there is one.

    Raises:
        UserError: if the file is no checkpoint of a known layout, or holds no generator.
    """
    checkpoint = read_torch(path)
    if not {"generator", "generator_ema"} & checkpoint.networks.keys():
        raise UserError(f"{path} holds a discriminator and no generator")
    networks = {"generator": checkpoint.networks.get("generator_ema") or checkpoint.networks["generator"]}
    if "discriminator" in checkpoint.networks:
        networks["discriminator"] = checkpoint.networks["discriminator"]
    return networks
