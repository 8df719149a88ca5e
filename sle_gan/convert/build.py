"""Networks from what was read of a checkpoint."""

from __future__ import annotations

from sle_gan import weights
from sle_gan.convert.fastgan import Converted
from sle_gan.models import Discriminator, Generator
from sle_gan.models.network import Network


def build_network(converted: Converted, source: str) -> Network:
    """The SLE-GAN network with its weights.

    Raises:
        UserError: if a shape in `source` is not that of our network.
    """
    name, architecture, arrays = converted
    network = {"Generator": Generator, "Discriminator": Discriminator}[name](**architecture)
    complaint = f"{source} holds something else than {weights.describe(name, architecture)}"
    weights.assign(weights.variables_by_path(network), arrays, complaint)
    return network
