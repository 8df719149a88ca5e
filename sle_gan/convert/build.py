"""Networks from what was read of a checkpoint."""

from __future__ import annotations

from sle_gan import weights
from sle_gan.convert.fastgan import Converted
from sle_gan.errors import UserError
from sle_gan.models import Discriminator, Generator
from sle_gan.models.lightweight import LightweightDiscriminator, LightweightGenerator
from sle_gan.models.network import Network

_NETWORKS: dict[str, type[Network]] = {
    "Generator": Generator,
    "Discriminator": Discriminator,
    "LightweightGenerator": LightweightGenerator,
    "LightweightDiscriminator": LightweightDiscriminator,
}


def build_network(converted: Converted, source: str) -> Network:
    """The network with its weights.

    Raises:
        UserError: if a shape in `source` is not that of our network.
    """
    name, architecture, arrays = converted
    try:
        network = _NETWORKS[name](**architecture)
    except ValueError as error:
        described = weights.describe(name, architecture)
        raise UserError(f"{source} holds {described}, which this version cannot build: {error}") from error
    complaint = f"{source} holds something else than {weights.describe(name, architecture)}"
    weights.assign(weights.variables_by_path(network), arrays, complaint)
    return network
