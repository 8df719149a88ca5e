"""Networks from what a file holds of them."""

from __future__ import annotations

from typing import Any

from sle_gan import weights
from sle_gan.errors import UserError
from sle_gan.gans import network_class
from sle_gan.models.folded import Weights
from sle_gan.models.network import Network
from sle_gan.models.precision import computing_in, to_generate_in
from sle_gan.weights import StoredNetwork


def build_network(stored: StoredNetwork) -> Network:
    """The network with its weights.

    Raises:
        UserError: if this version cannot build it, or the file's arrays are not those of the network.
    """
    make = network_class(stored.network)
    try:
        network = make(**stored.architecture)
    except (TypeError, ValueError) as error:
        raise UserError(f"{stored.source} holds {stored}, which this version cannot build: {error}") from error
    weights.assign(weights.variables_by_path(network), stored.read(), f"{stored.source} is damaged")
    return network


def fold_network(stored: StoredNetwork, precision: str = "float32") -> Any:
    """The generator in the form that only generates, in less time and memory than the network takes.

    Args:
        precision: what it computes in: "float32", "bfloat16", or "auto" for what is faster on this machine.

    Returns:
        A `Folded`; the network itself where it has no such form (a lightweight GAN's attention has none).

    Raises:
        UserError: as `build_network`.
    """
    make = network_class(stored.network)
    if not hasattr(make, "fold_arrays"):
        with computing_in(to_generate_in(precision)):
            return build_network(stored)
    try:
        folded = make.fold_arrays(Weights(stored.read(), f"{stored.source} is damaged"), stored.architecture)
    except UserError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{stored.source} holds {stored}, which this version cannot build: {error}") from error
    return folded.in_precision(precision)
