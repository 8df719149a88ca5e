"""CycleGAN's networks: PyTorch's numbers, images apart from each other, and pictures of any size in strips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from sle_gan import engine, translation, weights
from sle_gan.errors import UserError
from sle_gan.gans.cyclegan.huggan import convert_cyclegan
from sle_gan.gans.cyclegan.networks import PatchDiscriminator, ResNetGenerator, UpConv2D

NETWORKS = {"ResNetGenerator": ResNetGenerator, "PatchDiscriminator": PatchDiscriminator}


def load(path: Path) -> ResNetGenerator | PatchDiscriminator:
    converted = convert_cyclegan(path)
    network = NETWORKS[converted.network](**converted.architecture)
    weights.assign(weights.variables_by_path(network), converted.arrays, "does not fit")
    return network


def small_generator(blocks: int = 2, width: int = 4) -> ResNetGenerator:
    """With weights large enough for every layer to matter."""
    generator, random = ResNetGenerator(blocks, width), np.random.default_rng(0)
    for variable in generator.variables:
        variable.assign(random.standard_normal(variable.shape) * 0.2)
    return generator


def torch_network(state: dict, generator: bool):
    """The same networks of torch's functions, from their description: huggan's layout, any width."""
    import torch
    from torch.nn import functional as f

    def conv(x, name, pad=0, stride=1, mode="constant"):
        x = f.pad(x, (pad,) * 4, mode=mode) if isinstance(pad, int) else f.pad(x, pad)
        return f.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], stride)

    def translate(x):
        blocks = sum(key.endswith("block.1.weight") for key in state)
        x = f.relu(f.instance_norm(conv(x, "model.1", 3, mode="reflect")))
        for name in ("model.4", "model.7"):
            x = f.relu(f.instance_norm(conv(x, name, 1, 2)))
        for i in range(blocks):
            y = f.relu(f.instance_norm(conv(x, f"model.{10 + i}.block.1", 1, mode="reflect")))
            x = x + f.instance_norm(conv(y, f"model.{10 + i}.block.5", 1, mode="reflect"))
        for i in (11 + blocks, 15 + blocks):
            x = f.relu(f.instance_norm(conv(f.interpolate(x, scale_factor=2), f"model.{i}", 1)))
        return torch.tanh(conv(x, f"model.{19 + blocks}", 3, mode="reflect"))

    def judge(x):
        x = f.leaky_relu(conv(x, "model.0", 1, 2), 0.2)
        for name in ("model.2", "model.5", "model.8"):
            x = f.leaky_relu(f.instance_norm(conv(x, name, 1, 2)), 0.2)
        return conv(x, "model.12", (2, 1, 2, 1))

    return translate if generator else judge


def torch_state(generator: bool, width: int, blocks: int) -> dict:
    import torch

    random = torch.Generator().manual_seed(3)
    w = width
    shapes: dict[str, tuple[int, ...]]
    if generator:
        shapes = {"1": (w, 3, 7), "4": (2 * w, w, 3), "7": (4 * w, 2 * w, 3)}
        shapes |= {f"{10 + i}.block.{j}": (4 * w, 4 * w, 3) for i in range(blocks) for j in (1, 5)}
        shapes |= {f"{11 + blocks}": (2 * w, 4 * w, 3), f"{15 + blocks}": (w, 2 * w, 3), f"{19 + blocks}": (3, w, 7)}
    else:
        shapes = {
            "0": (w, 3, 4),
            "2": (2 * w, w, 4),
            "5": (4 * w, 2 * w, 4),
            "8": (8 * w, 4 * w, 4),
            "12": (1, 8 * w, 4),
        }
    state = {}
    for name, (out, into, size) in shapes.items():
        state[f"model.{name}.weight"] = torch.randn((out, into, size, size), generator=random) * 0.2
        state[f"model.{name}.bias"] = torch.randn(out, generator=random)
    return state


@pytest.mark.parametrize(("file", "key"), (("generator", "g"), ("discriminator", "d")))
def test_golden_numbers(shared_folder: Path, file: str, key: str) -> None:
    pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")
    network = load(shared_folder / "golden" / f"cyclegan_{file}.bin")
    with np.load(shared_folder / "golden" / "cyclegan.npz") as golden:
        ours = ops.convert_to_numpy(network(golden["x"].transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(ours, golden[key], atol=1e-4)


@pytest.mark.parametrize("generator", (True, False))
def test_equal_to_torch_at_any_width_and_shape(generator: bool, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")
    state = torch_state(generator, width=6, blocks=3)
    folder = tmp_path / "repository"
    folder.mkdir()
    torch.save({f"module.{key}": value for key, value in state.items()}, folder / "pytorch_model.bin")
    network = load(folder)
    assert network.width == 6
    x = np.random.default_rng(1).uniform(-1, 1, (2, 96, 64, 3)).astype(np.float32)
    theirs = torch_network(state, generator)(torch.tensor(x.transpose(0, 3, 1, 2))).numpy()
    np.testing.assert_allclose(ops.convert_to_numpy(network(x)).transpose(0, 3, 1, 2), theirs, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    (
        (lambda state: state.pop("model.4.weight"), "model.4.weight is missing"),
        (lambda state: state.update({"model.99.weight": state["model.1.weight"]}), "model.99.weight"),
        (lambda state: state.pop("model.1.weight"), "found model"),
        (lambda state: state.update({"model.4.weight": state["model.4.bias"]}), "of shape (8,)"),
    ),
)
def test_other_layouts_are_refused(change, words: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")
    state = torch_state(True, width=4, blocks=1)
    change(state)
    torch.save(state, tmp_path / "G.bin")
    with pytest.raises(UserError, match="huggan") as caught:
        load(tmp_path / "G.bin")
    assert words in str(caught.value)


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no pytorch_model\.bin"):
        convert_cyclegan(tmp_path)


def test_weights_files_rebuild_the_network(tmp_path: Path) -> None:
    generator = small_generator()
    generator.save_weights(tmp_path / "G.h5")
    name, architecture, _ = weights.read(tmp_path / "G.h5")
    again = NETWORKS[name](**architecture)
    again.load_weights(tmp_path / "G.h5")
    x = np.random.default_rng(2).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32)
    np.testing.assert_array_equal(ops.convert_to_numpy(again(x)), ops.convert_to_numpy(generator(x)))


def test_every_image_is_on_its_own() -> None:
    generator, discriminator = small_generator(), PatchDiscriminator(width=4)
    x = np.random.default_rng(3).uniform(-1, 1, (6, 32, 32, 3)).astype(np.float32)  # six: the path of large batches
    for network in (generator, discriminator):
        together = ops.convert_to_numpy(network(x))
        alone = np.concatenate([ops.convert_to_numpy(network(x[i : i + 1])) for i in range(6)])
        np.testing.assert_allclose(together, alone, atol=1e-5)


def test_instance_norm_and_its_gradient() -> None:
    x = np.random.default_rng(4).normal(3.0, 2.0, (6, 5, 7, 3)).astype(np.float32)
    weight = np.random.default_rng(5).standard_normal(x.shape).astype(np.float32)
    found = {}
    for images in (6, 1):
        parts = []
        for i in range(0, 6, images):
            y, pull = engine.vjp(
                lambda x: engine.instance_norm(x, 1e-5), (), [ops.convert_to_tensor(x[i : i + images])]
            )
            _, (d_x,) = pull(ops.convert_to_tensor(weight[i : i + images]))
            parts.append((ops.convert_to_numpy(y), ops.convert_to_numpy(d_x)))
        found[images] = [np.concatenate(part) for part in zip(*parts)]
    y, d_x = found[6]
    np.testing.assert_allclose(y.mean(axis=(1, 2)), 0.0, atol=1e-6)
    np.testing.assert_allclose(y.var(axis=(1, 2)), 1.0, atol=1e-5)
    np.testing.assert_allclose(found[1][0], y, atol=1e-5)
    np.testing.assert_allclose(found[1][1], d_x, atol=1e-5)
    # By hand: (w - mean(w) - y mean(w y)) / deviation.
    expected = weight - weight.mean((1, 2), keepdims=True) - y * (weight * y).mean((1, 2), keepdims=True)
    np.testing.assert_allclose(d_x, expected / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5), atol=1e-5)


def test_fused_upsampling_is_the_same() -> None:
    layer = UpConv2D(3)
    layer.build((None, None, None, 2))
    x = np.random.default_rng(6).standard_normal((1, 40, 32, 2)).astype(np.float32)
    fused = ops.convert_to_numpy(layer(x))
    # Below the fusing size in one axis: a narrower map, of which the common columns but the last are the same.
    plain = ops.convert_to_numpy(layer(x[:, :, :20]))
    np.testing.assert_allclose(fused[:, :, :39], plain[:, :, :39], atol=1e-5)


@settings(deadline=None, max_examples=12)
@given(st.integers(8, 70), st.integers(8, 70), st.integers(100, 3000))
def test_strips_are_the_whole_picture(height: int, width: int, strip: int) -> None:
    picture = np.random.default_rng(height * 100 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    generator = small_generator(blocks=1)
    whole = translation.translate(generator, picture)
    in_strips = translation.translate(generator, picture, whole_pixels=min(strip, height * width - 1))
    assert whole.shape == in_strips.shape == picture.shape
    difference = np.abs(whole.astype(int) - in_strips)
    assert difference.max() <= 1  # values at the edge between two levels
    assert (difference > 0).mean() < 0.01


def test_a_tile_by_tile_translation_would_show_seams() -> None:
    """What the strips are for: a picture dark above and bright below, cut in half and translated by halves."""
    shade = np.linspace(0, 255, 64)[:, None, None] * np.ones((1, 64, 3))
    picture = (shade * 0.7 + np.random.default_rng(7).uniform(0, 60, shade.shape)).astype(np.uint8)
    generator = small_generator(blocks=1)
    whole = translation.translate(generator, picture).astype(int)
    halves = np.concatenate([translation.translate(generator, half) for half in np.split(picture, 2)]).astype(int)
    in_strips = translation.translate(generator, picture, whole_pixels=64 * 8).astype(int)
    assert np.abs(whole - halves).mean() > 10
    assert np.abs(whole - in_strips).max() <= 1
