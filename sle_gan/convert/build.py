"""Builds networks from converted checkpoints."""

from __future__ import annotations

from sle_gan import weights
from sle_gan.convert.checkpoint import Converted
from sle_gan.errors import UserError
from sle_gan.gans import network_class
from sle_gan.models.network import Network


def build_network(converted: Converted, source: str) -> Network:
    """The network with its weights.

    Raises:
        UserError: if a shape in `source` is not that of our network.
    """
    name, architecture, arrays = converted
    try:
        network = network_class(name)(**architecture)
    except ValueError as error:
        described = weights.describe(name, architecture)
        raise UserError(f"{source} holds {described}, which this version cannot build: {error}") from error
    complaint = f"{source} holds something else than {weights.describe(name, architecture)}"
    weights.assign(weights.variables_by_path(network), arrays, complaint)
    return network
