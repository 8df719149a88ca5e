"""The lightweight GAN's networks: the published code's numbers, parts by definition, files that do not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras import ops

import sle_gan
from sle_gan import LightweightConfig, losses
from sle_gan.convert import read_torch
from sle_gan.errors import UserError
from sle_gan.gans.lightweight.huggan import read_lightweight
from sle_gan.gans.lightweight.layers import LinearAttention, blur, cosine_weights, from_unit, to_unit
from sle_gan.gans.lightweight.networks import LightweightDiscriminator, LightweightGenerator, decoder_target
from sle_gan.gans.optimizers import compute_precision
from sle_gan.gans.slegan.from_fastgan import convert_fastgan
from sle_gan.hub.loading import load_generator
from sle_gan.models.building import build_network
from sle_gan.models.network import Network

SMALL: dict[str, Any] = {"fmap_max": 8, "attn_res_layers": (16,)}


def golden(folder: Path, name: str) -> Path:
    pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")
    return folder / "golden" / f"lightweight_{name}.pt"


def networks(path: Path) -> dict[str, Network]:
    return {key: build_network(converted.stored(path)) for key, converted in read_lightweight(path).networks.items()}


def nchw(x: Any) -> np.ndarray:
    return ops.convert_to_numpy(x).transpose(0, 3, 1, 2)


def changed_file(source: Path, target: Path, change: Callable[[dict], object]) -> Path:
    """The golden file with its state dict changed."""
    import torch

    content = torch.load(source, weights_only=True)
    change(content["GAN"])
    torch.save(content, target)
    return target


@pytest.mark.parametrize("name", ("a", "b"))
def test_golden_numbers(shared_folder: Path, name: str) -> None:
    path = golden(shared_folder, name)
    read = networks(path)
    with np.load(path.with_suffix(".npz")) as numbers:
        np.testing.assert_allclose(nchw(to_unit(read["generator"](numbers["z"]))), numbers["g"], atol=1e-4)
        images = from_unit(numbers["x"].transpose(0, 2, 3, 1))
        seen = read["discriminator"](images, reconstruct=True)
        np.testing.assert_allclose(seen["logits"], numbers["d_logits"], atol=1e-4)
        np.testing.assert_allclose(seen["small_logits"], numbers["d_logits_32"].reshape(-1, 1), atol=1e-4)
        auxiliary = losses.mse(to_unit(seen["full"]), to_unit(decoder_target(images, "full")))
        assert float(auxiliary) == pytest.approx(float(numbers["d_aux"]), abs=1e-4)


def test_facts_follow_from_the_shapes(shared_folder: Path) -> None:
    facts = read_torch(golden(shared_folder, "b")).networks["generator"].architecture
    assert facts == {
        "output_resolution": 256, "latent": 32, "channels": 1, "fmap_max": 32, "fmap_inverse_coef": 12,
        "attn_res_layers": [32, 64], "freq_chan_attn": True, "antialias": False,
    }  # fmt: skip


def test_a_hub_file_gives_the_averaged_generator(shared_folder: Path, tmp_path: Path) -> None:
    """GE where it is present; D_aug.D is a second name for D; an export has the same numbers."""

    def add(state: dict) -> None:
        for key in [key for key in state if key.startswith("G.")]:
            state["GE." + key[2:]] = state[key] * 0.5 if key.endswith("out_conv.weight") else state[key]
        for key in [key for key in state if key.startswith("D.")]:
            state["D_aug.D." + key[2:]] = state[key]

    path = changed_file(golden(shared_folder, "a"), tmp_path / "model.pt", add)
    (tmp_path / "config.json").write_text(json.dumps({"image_size": 128, "latent_dim": 64, "fmap_max": 64}))
    assert set(read_lightweight(path).networks) == {"generator", "generator_ema", "discriminator"}
    raw, averaged = networks(path)["generator"], load_generator(path)
    bias = ops.convert_to_numpy(raw.to_image.bias)
    latents = sle_gan.create_input_noise(2, 64, seed=0)
    expected = (ops.convert_to_numpy(to_unit(raw(latents))) - bias) / 2 + bias
    np.testing.assert_allclose(to_unit(averaged(latents)), expected, atol=1e-5)
    averaged.save_weights(tmp_path / "generator_weights.h5")
    again = sle_gan.load_generator(tmp_path / "generator_weights.h5")
    np.testing.assert_array_equal(again(latents), averaged(latents))
    seeds = [np.concatenate(list(sle_gan.generate_images(again, range(start, 3)))) for start in (0, 2)]
    assert seeds[0].shape == (3, 128, 128, 3) and np.array_equal(seeds[0][2], seeds[1][0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("G.layers.1.0.3.running_mean"), ("no tensor 'layers.1.0.3.running_mean'",)),
        (lambda state: state.update({"D.extra": state["D.to_logits.2.bias"]}), ("the tensor extra",)),
        (lambda state: state["D.to_logits.2.bias"].fill_(float("nan")), ("to_logits.2.bias holds NaN",)),
        (lambda state: state.update({"G.out_conv.bias": state["D.to_shape_disc_out.0.bias"]}), ("(64,)", "(3,)")),
    ],
)
def test_damaged_files_are_refused(shared_folder: Path, tmp_path: Path, change: Any, words: tuple[str, ...]) -> None:
    path = changed_file(golden(shared_folder, "a"), tmp_path / "model.pt", change)
    with pytest.raises(UserError) as caught:
        networks(path)
    assert all(word in str(caught.value) for word in ("model.pt", *words))


def test_a_config_of_another_model_is_refused(shared_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    shutil.copyfile(golden(shared_folder, "a"), path)
    (tmp_path / "config.json").write_text('{"image_size": 256, "latent_dim": 64}')
    with pytest.raises(UserError, match=r"config.json says image_size 256, but the weights in model.pt are of 128"):
        read_lightweight(path)
    with pytest.raises(UserError, match="is not a FastGAN checkpoint"):
        convert_fastgan(path)


@pytest.mark.parametrize("resolution", (32, 64, 128, 512))
def test_shapes_at_every_kind_of_resolution(resolution: int) -> None:
    generator = LightweightGenerator(resolution, latent=4, channels=4, **SMALL)
    images = generator(np.zeros((1, 1, 1, 4), np.float32))
    assert images.shape == (1, resolution, resolution, 4)
    seen = LightweightDiscriminator(resolution, channels=4, disc_output_size=5, **SMALL)(images, reconstruct=True)
    decoded = {"full": (1, 128, 128, 4)} | ({"part": (1, 128, 128, 4)} if resolution == 512 else {})
    assert {key: tuple(x.shape) for key, x in seen.items()} == {"logits": (1, 25), "small_logits": (1, 1), **decoded}


@pytest.mark.parametrize(
    ("network", "arguments", "words"),
    [
        (LightweightGenerator, {"output_resolution": 96}, "power of two from 32 to 1024; received 96"),
        (LightweightGenerator, {"latent": 0}, "latent must be at least 1"),
        (LightweightGenerator, {"channels": 2}, "received 2"),
        (LightweightGenerator, {"attn_res_layers": (48,)}, "powers of two from 4 to 1024; received 48"),
        (LightweightDiscriminator, {"fmap_max": 12}, "multiple of 8; received 12"),
        (LightweightDiscriminator, {"fmap_inverse_coef": 3}, "received 3"),
        (LightweightDiscriminator, {"disc_output_size": 2}, "must be 1 or 5; received 2"),
    ],
)
def test_wrong_arguments_are_named(network: Any, arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        network(**arguments)


def test_decoders_draw_the_image_and_one_quarter_of_it() -> None:
    """Nearest neighbours: a pixel of 64 becomes four, of 512 every fourth is taken, of a quarter every second."""
    small = np.arange(64 * 64, dtype=np.float32).reshape(1, 64, 64, 1)
    np.testing.assert_array_equal(decoder_target(small, "full"), small.repeat(2, 1).repeat(2, 2))
    large = np.arange(512 * 512, dtype=np.float32).reshape(1, 512, 512, 1)
    np.testing.assert_array_equal(decoder_target(large, "full"), large[:, ::4, ::4])
    np.testing.assert_array_equal(decoder_target(large, "part", (8, 0)), large[:, 256::2, :256:2])


def test_blur_over_reflections() -> None:
    """A point becomes [1 2 1] / 4 along both axes; at an edge the neighbour inside counts twice."""
    point = np.zeros((1, 5, 5, 1), np.float32)
    point[0, 2, 2] = 16
    np.testing.assert_array_equal(blur(point)[0, 1:4, 1:4, 0], [[1, 2, 1], [2, 4, 2], [1, 2, 1]])
    corner = np.zeros((1, 4, 4, 1), np.float32)
    corner[0, 0, 0] = 16
    np.testing.assert_array_equal(blur(corner)[0, :2, :2, 0], [[4, 2], [2, 1]])


def test_cosines_are_orthonormal_and_shared_by_sixteenths_of_the_channels() -> None:
    weights = cosine_weights(16, 34)
    waves = weights[:, :, ::2][:, :, :16].reshape(256, 16)
    gram = waves.T @ waves
    gram[0, 8] = gram[8, 0] = 0.0  # the constant is in both halves
    np.testing.assert_allclose(gram, np.eye(16), atol=1e-6)
    np.testing.assert_array_equal(weights[:, :, 0], weights[:, :, 1])
    assert not weights[:, :, 32:].any()
    assert (weights[:, 0, 2] == weights[0, 0, 2]).all()  # the first frequencies lie along the rows


def test_attention_is_a_weighted_mean_of_the_values() -> None:
    """By its definition, for one head's channels: softmaxes over channels and pixels, in float64."""
    layer = LinearAttention()
    x = np.random.default_rng(0).standard_normal((1, 4, 4, 3)).astype(np.float32)
    ours = ops.convert_to_numpy(layer(x))
    normed = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
    q, kv = (ops.convert_to_numpy(y) for y in (layer.to_q(normed), layer.to_kv(layer.around(normed))))
    q, k, v = (y.astype(float).reshape(16, 8, 64) for y in (q, kv[..., :512], kv[..., 512:]))
    q = np.exp(q) / np.exp(q).sum(-1, keepdims=True) / 8.0
    k = np.exp(k) / np.exp(k).sum(0)
    attended = np.stack([q[:, h] @ (k[:, h].T @ v[:, h]) for h in range(8)], 1).reshape(1, 4, 4, 512)
    expected = x + ops.convert_to_numpy(layer.to_out(ops.gelu(attended.astype(np.float32), approximate=False)))
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_attention_over_many_pixels_stays_in_the_range_of_float16() -> None:
    """All keys alike: every pixel has the same small share, and the sum of what they share is large."""
    x = np.random.default_rng(0).normal(size=(1, 64, 64, 2)).astype(np.float32)
    layers, results = [], []
    for precision in ("float32", "float16"):
        with compute_precision(LightweightConfig(mixed_precision=precision)):
            layer = LinearAttention()
            layer.build(x.shape)
        layers.append(layer)
        layer.set_weights(layers[0].get_weights())
        layer.norm.gamma.assign([0.0, 0.0])
        layer.norm.beta.assign([1.0, 1.0])
        layer.around.kernel.assign(np.full(layer.around.kernel.shape, 5.0))  # 45 but at the edges: 180,000 in all
        layer.to_kv.kernel.assign(np.full(layer.to_kv.kernel.shape, 1e-3))
        results.append(ops.convert_to_numpy(ops.cast(layer(x), "float32")))
    assert np.isfinite(results[1]).all()
    np.testing.assert_allclose(results[1], results[0], atol=2e-2)
