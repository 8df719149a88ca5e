"""The DCGAN networks against the PyTorch tutorial's, which are built here, with the same weights."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from sle_gan import engine
from sle_gan.gans.dcgan.networks import DCGANDiscriminator, DCGANGenerator

RESOLUTIONS = (32, 64, 128)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def torch_networks(resolution: int, width: int, latent: int, channels: int) -> tuple[Any, Any]:
    """The tutorial's generator and discriminator (its last sigmoid left out) as lists of modules."""
    from torch import nn

    multiples = [resolution // 2 // size for size in (4, 8, 16, 32, 64) if size < resolution]  # 8 4 2 1 at 64
    generator, before = [], latent
    for index, multiple in enumerate(multiples):
        stride, padding = (2, 1) if index else (1, 0)
        generator += [nn.ConvTranspose2d(before, multiple * width, 4, stride, padding, bias=False)]
        generator += [nn.BatchNorm2d(multiple * width), nn.ReLU()]
        before = multiple * width
    generator += [nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()]
    discriminator, before = [], channels
    for index, multiple in enumerate(reversed(multiples)):
        discriminator += [nn.Conv2d(before, multiple * width, 4, 2, 1, bias=False)]
        discriminator += [nn.BatchNorm2d(multiple * width)] if index else []
        discriminator += [nn.LeakyReLU(0.2)]
        before = multiple * width
    discriminator += [nn.Conv2d(before, 1, 4, 1, 0, bias=False)]
    return nn.Sequential(*generator), nn.Sequential(*discriminator)


def give_to_torch(network: keras.Model, modules: Any) -> None:
    """Copies our variables, after moving them off their initial values, into the modules in their order."""
    import torch

    random = np.random.default_rng(1)
    values = {}
    for variable in network.variables:
        value = ops.convert_to_numpy(variable)
        value = value * random.uniform(0.5, 1.5, value.shape) + (0.1 if "kernel" not in variable.path else 0.0)
        variable.assign(value)
        values[variable.path.split("/", 1)[1]] = value
    kernels = [value for path, value in values.items() if path.endswith("kernel")]
    norms = [path.rsplit("/", 1)[0] for path in values if path.endswith("gamma")]
    with torch.no_grad():
        for module in modules:
            if isinstance(module, torch.nn.BatchNorm2d):
                name = norms.pop(0)
                parameters = (module.weight, module.bias, module.running_mean, module.running_var)
                for parameter, key in zip(parameters, ("gamma", "beta", "moving_mean", "moving_variance")):
                    parameter.copy_(torch.from_numpy(values[f"{name}/{key}"]))
            elif hasattr(module, "weight"):
                kernel = kernels.pop(0)
                if kernel.ndim == 2 and kernel.shape[1] == 1:  # (16 C, 1): the logit's
                    kernel = kernel.reshape(4, 4, -1, 1)
                elif kernel.ndim == 2:  # (latent, 16 C): the projection, its spatial axes before its channels
                    kernel = kernel.reshape(kernel.shape[0], 4, 4, -1).transpose(1, 2, 3, 0)
                module.weight.copy_(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
    assert not kernels and not norms


def nhwc(tensor: Any) -> np.ndarray:
    return tensor.detach().numpy().transpose(0, 2, 3, 1)


@pytest.mark.parametrize(("resolution", "channels"), [(32, 3), (64, 1), (64, 3), (128, 3)])
def test_equal_to_the_tutorials_networks(resolution: int, channels: int) -> None:
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    generator = DCGANGenerator(resolution, width=8, latent=12, channels=channels)
    discriminator = DCGANDiscriminator(resolution, width=8, channels=channels)
    torch_generator, torch_discriminator = torch_networks(resolution, 8, 12, channels)
    give_to_torch(generator, torch_generator)
    give_to_torch(discriminator, torch_discriminator)
    latents, pictures = draw(6, 12), draw(6, resolution, resolution, channels, seed=1)
    inputs = torch.from_numpy(latents[:, :, None, None]), torch.from_numpy(pictures.transpose(0, 3, 1, 2))
    for training in (False, True, False):  # the last one: the moving averages that training left
        torch_generator.train(training)
        torch_discriminator.train(training)
        np.testing.assert_allclose(generator(latents, training=training), nhwc(torch_generator(inputs[0])), atol=1e-5)
        logits = torch_discriminator(inputs[1]).detach().numpy().ravel()
        np.testing.assert_allclose(discriminator(pictures, training=training), logits, rtol=1e-5, atol=1e-5)


def test_gradients_equal_the_tutorials() -> None:
    """Of the mean logit of generated pictures, through D and G, to every kernel, gamma and beta of G."""
    torch = pytest.importorskip("torch", reason="compares with PyTorch")
    generator, discriminator = DCGANGenerator(32, width=8, latent=12), DCGANDiscriminator(32, width=8)
    torch_generator, torch_discriminator = torch_networks(32, 8, 12, 3)
    give_to_torch(generator, torch_generator)
    give_to_torch(discriminator, torch_discriminator)
    latents = draw(6, 12)
    with torch.enable_grad():
        torch_discriminator(torch_generator(torch.from_numpy(latents[:, :, None, None]))).mean().backward()
    loss, pull = engine.vjp(
        lambda: ops.mean(discriminator(generator(latents, training=True), training=True)),
        generator.trainable_variables,
    )
    gradients, _ = pull(ops.ones_like(loss))
    ours = {v.path: ops.convert_to_numpy(g) for v, g in zip(generator.trainable_variables, gradients)}
    up = torch_generator[3].weight.grad.numpy().transpose(2, 3, 1, 0)
    np.testing.assert_allclose(ours["generator/up_2/kernel"], up, atol=1e-4 * np.abs(up).max())
    gamma = torch_generator[1].weight.grad.numpy()
    np.testing.assert_allclose(ours["generator/norm_4/gamma"], gamma, atol=1e-4 * np.abs(gamma).max())


def parameter_count(network: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in network.trainable_variables)


def test_parameter_counts() -> None:
    """Those of the tutorial's networks at 64 pixels: 3,576,704 and 2,765,568."""
    assert parameter_count(DCGANGenerator()) == 3_576_704
    assert parameter_count(DCGANDiscriminator()) == 2_765_568


@pytest.mark.parametrize("resolution", RESOLUTIONS)
@pytest.mark.parametrize("channels", (1, 3, 4))
def test_shapes(resolution: int, channels: int) -> None:
    generator = DCGANGenerator(resolution, width=4, latent=5, channels=channels)
    images = generator(draw(2, 5))
    assert images.shape == (2, resolution, resolution, channels)
    assert ops.shape(DCGANDiscriminator(resolution, width=4, channels=channels)(images)) == (2,)
    np.testing.assert_array_equal(images, generator(draw(2, 5)[:, None, None, :]))


def test_initial_values() -> None:
    keras.utils.set_random_seed(3)
    networks = (DCGANGenerator(64, width=16), DCGANDiscriminator(64, width=16))
    gammas = np.concatenate([v.numpy() for n in networks for v in n.variables if v.path.endswith("gamma")])
    assert gammas.mean() == pytest.approx(1.0, abs=0.005) and gammas.std() == pytest.approx(0.02, rel=0.2)
    for kernel in (v.numpy() for n in networks for v in n.variables if v.path.endswith("kernel")):
        assert kernel.std() == pytest.approx(0.02, rel=0.15)


def test_networks_come_back_from_their_config() -> None:
    for network in (DCGANGenerator(32, width=4, latent=8, channels=1), DCGANDiscriminator(128, width=4)):
        twin = type(network).from_config(network.get_config())
        assert twin.get_config() == network.get_config()
        assert [v.shape for v in twin.variables] == [v.shape for v in network.variables]


def test_layers_next_to_the_image_are_alike_at_every_resolution() -> None:
    """By name and shape, so that weights move from one resolution to another."""
    for network in (DCGANGenerator, DCGANDiscriminator):
        small, large = (
            {v.path.split("/", 1)[1]: tuple(v.shape) for v in network(resolution, width=4).variables}
            for resolution in (64, 128)
        )
        same = {path.split("/")[0] for path in small.keys() & large.keys() if small[path] == large[path]}
        assert {path.split("/")[0] for path in small} - same <= {"project", "to_logit"}


def test_stages_go_from_the_image_to_the_logit() -> None:
    groups = DCGANDiscriminator(64, width=4).layer_groups
    assert [[layer.name for layer in group] for group in groups] == [
        ["down_1"],
        ["down_2", "norm_2"],
        ["down_4", "norm_4"],
        ["down_8", "norm_8"],
    ]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DCGANGenerator(256), "received 256"),
        (lambda: DCGANGenerator(64, latent=0), "received 0"),
        (lambda: DCGANGenerator(64, channels=2), "received 2"),
        (lambda: DCGANDiscriminator(16), "received 16"),
        (lambda: DCGANDiscriminator(64, width=0), "received 0"),
    ],
)
def test_impossible_networks(make, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()
