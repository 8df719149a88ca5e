"""One checkpoint as other programs save it: wrapped, compiled, parametrized, under any of the usual names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastgan_files import parameters, torch
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

import sle_gan
from sle_gan import Generator, weights
from sle_gan.cli import convert as convert_command
from sle_gan.convert import is_torch_file, read_torch
from sle_gan.convert.checkpoint import Converted
from sle_gan.convert.state_dicts import plain_name
from sle_gan.gans.cyclegan.huggan import convert_cyclegan
from sle_gan.gans.slegan.from_fastgan import read_fastgan
from sle_gan.gans.slegan.to_fastgan import save_fastgan
from sle_gan.training.transfer import read_source

State = dict[str, Any]


def renamed(change: Callable[[str], str]) -> Callable[[State], State]:
    return lambda state: {change(name): tensor for name, tensor in state.items()}


def newer_spectral_norm(name: str) -> str:
    layer, _, tensor = name.rpartition(".")
    newer = {"weight_orig": "weight.original", "weight_u": "weight.0._u", "weight_v": "weight.0._v"}
    return f"{layer}.parametrizations.{newer[tensor]}" if tensor in newer else name


# What is done to a network's state dict, and what to the whole file.
STATES: dict[str, Callable[[State], State]] = {
    "module": renamed(lambda name: f"module.{name}"),
    "compiled": renamed(lambda name: f"_orig_mod.{name}"),
    "compiled, then parallel": renamed(lambda name: f"module._orig_mod.{name}"),
    "parallel, then compiled": renamed(lambda name: f"_orig_mod.module.{name}"),
    "one block compiled": renamed(lambda name: name.replace("feat_8.", "feat_8._orig_mod.")),
    "newer spectral norm": renamed(newer_spectral_norm),
    "newer and compiled": renamed(lambda name: f"_orig_mod.{newer_spectral_norm(name)}"),
    "wrapped": lambda state: {"state_dict": state, "step": 3},
}
FILES: dict[str, Callable[[State], State]] = {
    "all.pth": lambda content: content,
    "ALL.PTH": lambda content: content,
    "all.pth.tar": lambda content: {"state_dict": content, "epoch": 3},
    "bare.ckpt": lambda content: {"epoch": 3, "state_dict": content["g"]},
    "bare.pt": lambda content: content["g"],
    "no_ending": lambda content: {"model": {"state_dict": content["g"]}},
}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> State:
    """A checkpoint with an average, which is a list in the order of the network's parameters."""
    network = Generator(256, width=8, latent=16)
    arrays = {path: ops.convert_to_numpy(v.value) for path, v in weights.variables_by_path(network).items()}
    path = tmp_path_factory.mktemp("plain") / "plain.pth"
    save_fastgan(path, {"generator": Converted("Generator", {**network.architecture, "tanh": False}, arrays)})
    state = torch.load(path, weights_only=True)["g"]
    return {"g": state, "g_ema": [state[name] / 2 for name in parameters(state)]}


@pytest.mark.parametrize("name", STATES)
def test_a_network_under_other_names_is_the_same_network(content: State, name: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "plain.pth")
    torch.save({**content, "g": STATES[name](content["g"])}, tmp_path / "variant.pth")
    plain, variant = (read_fastgan(tmp_path / file) for file in ("plain.pth", "variant.pth"))
    assert variant.ignored == []
    for key, network in plain.networks.items():
        assert variant.networks[key].architecture == network.architecture
        for path, array in network.arrays.items():
            np.testing.assert_array_equal(variant.networks[key].arrays[path], array, err_msg=path)


@pytest.mark.parametrize("name", FILES)
def test_every_reader_takes_every_form_of_file(content: State, name: str, tmp_path: Path) -> None:
    """generate, convert, --init-from, from_pretrained of the file and of its folder."""
    file = tmp_path / "model" / name
    file.parent.mkdir()
    torch.save(FILES[name]({**content, "g": STATES["compiled, then parallel"](content["g"])}), file)
    expected = content["g"]["to_big.weight_orig"].numpy().transpose(2, 3, 1, 0)
    averaged = name.lower().startswith("all")
    assert is_torch_file(file)
    convert_command.main(["--input", str(file), "--output-folder", str(tmp_path / "converted")])
    generators = [
        sle_gan.load_generator(file),
        sle_gan.load_generator(tmp_path / "converted" / "generator_weights.h5"),
        sle_gan.from_pretrained(file),
        sle_gan.from_pretrained(file.parent),
    ]
    for generator in generators:
        kernel = ops.convert_to_numpy(generator.to_image.kernel)
        np.testing.assert_array_equal(kernel, expected / 2 if averaged else expected)
    source = read_source(str(file))
    assert source.model == "slegan" and source.settings["width"] == 8
    assert read_source(str(file.parent)).settings == source.settings


def test_other_gans_are_unwrapped_alike(shared_folder: Path, tmp_path: Path) -> None:
    golden = shared_folder / "golden"
    light = torch.load(golden / "lightweight_a.pt", weights_only=True)["GAN"]
    wrapped = {"_orig_mod." + name.replace(".", ".module._orig_mod.", 1): tensor for name, tensor in light.items()}
    torch.save({"state_dict": wrapped}, tmp_path / "light.PT")
    networks = read_torch(golden / "lightweight_a.pt").networks
    for key, network in read_torch(tmp_path / "light.PT").networks.items():
        assert network.architecture == networks[key].architecture
        np.testing.assert_equal(network.arrays, networks[key].arrays)
    cyclegan = torch.load(golden / "cyclegan_generator.bin", weights_only=True)
    wrapped = {f"module._orig_mod.{name}": tensor for name, tensor in cyclegan.items()}
    torch.save({"model_state_dict": wrapped, "epoch": 1}, tmp_path / "cyclegan.pth.tar")
    np.testing.assert_equal(
        convert_cyclegan(tmp_path / "cyclegan.pth.tar").arrays,
        convert_cyclegan(golden / "cyclegan_generator.bin").arrays,
    )


def test_both_spectral_norms_of_pytorch_keep_the_same_tensors() -> None:
    older, newer = torch.nn.utils.spectral_norm, torch.nn.utils.parametrizations.spectral_norm
    for make in (lambda: torch.nn.Conv2d(3, 4, 2, bias=False), lambda: torch.nn.ConvTranspose2d(3, 4, 2, bias=False)):
        one, other = (norm(make()).state_dict() for norm in (older, newer))
        shapes = {plain_name(f"a.{name}"): tensor.shape for name, tensor in other.items()}
        assert shapes == {f"a.{name}": tensor.shape for name, tensor in one.items()}


def test_two_names_for_one_tensor_are_refused(content: State, tmp_path: Path) -> None:
    state = content["g"]
    twice = {**state, "module.to_big.weight_orig": state["to_big.weight_orig"]}
    torch.save({"g": twice}, tmp_path / "twice.pth")
    with pytest.raises(sle_gan.UserError, match=r"twice\.pth.*to_big\.weight_orig twice"):
        read_fastgan(tmp_path / "twice.pth")


def test_files_that_are_not_pytorchs(tmp_path: Path) -> None:
    np.savez(tmp_path / "checkpoint.npz", a=np.zeros(3))
    Generator(64, width=8, latent=4).save_weights(tmp_path / "weights.h5")
    for name in ("checkpoint.npz", "weights.h5", "missing.h5"):
        assert not is_torch_file(tmp_path / name)


@given(
    st.lists(st.sampled_from(["module", "_orig_mod"]), max_size=4), st.sampled_from(["init.init.0.weight_orig", "a"])
)
def test_wrappers_are_taken_off_in_any_order(wrappers: list[str], name: str) -> None:
    assert plain_name(".".join([*wrappers, name])) == name
    assert plain_name(plain_name(name)) == plain_name(name)
