"""PyTorch checkpoints: read in every layout that is out there, and never executed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from helpers import assert_refused, run
from keras import ops

import sle_gan
from sle_gan import weights
from sle_gan.convert import convert_fastgan, fastgan
from sle_gan.models import Discriminator, Generator

torch = pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")


def torch_state(network, names, prefix: str = "") -> dict:
    """The state dict that PyTorch would hold for our network: the converter's transposes, undone."""
    ours = {path: ops.convert_to_numpy(v.value) for path, v in weights.variables_by_path(network).items()}
    state = {}
    for path, module in names:
        module = prefix + module
        if f"{path}/gamma" in ours:
            keys = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
            state |= {f"{module}.{theirs}": ours[f"{path}/{key}"] for theirs, key in keys.items()}
            state[f"{module}.num_batches_tracked"] = np.array(5)
        elif f"{path}/weight" in ours:
            state[f"{module}.weight"] = ours[f"{path}/weight"].reshape(1)
        else:
            kernel, v = ours[f"{path}/kernel"], ours[f"{path}/v"]
            if path == "project":
                kernel = kernel.transpose(0, 3, 1, 2)
            else:
                v = v.reshape(kernel.shape[:3]).transpose(2, 0, 1).ravel()
                kernel = kernel.transpose(3, 2, 0, 1)
            state |= {f"{module}.weight_orig": kernel, f"{module}.weight_u": ours[f"{path}/u"], f"{module}.weight_v": v}
    return {key: torch.tensor(value) for key, value in state.items()}


def checkpoint(resolution: int, prefix: str = "") -> tuple[Generator, Discriminator, dict]:
    generator = Generator(resolution, width=8, latent=16, tanh=resolution == 1024)
    discriminator = Discriminator(resolution, width=8)
    names = fastgan._generator_names(resolution), fastgan._discriminator_names(resolution)
    halves = {"g": torch_state(generator, names[0], prefix), "d": torch_state(discriminator, names[1], prefix)}
    return generator, discriminator, halves


@pytest.mark.parametrize("resolution", (256, 512, 1024))
@pytest.mark.parametrize("prefix", ("", "module."))
def test_every_variable_arrives(resolution: int, prefix: str, tmp_path: Path) -> None:
    generator, discriminator, halves = checkpoint(resolution, prefix)
    torch.save(halves, tmp_path / "all_1000.pth")
    converted = convert_fastgan(tmp_path / "all_1000.pth")
    for key, network in (("generator", generator), ("discriminator", discriminator)):
        assert converted[key].architecture == network.architecture
        expected = weights.variables_by_path(network)
        assert converted[key].arrays.keys() == expected.keys()
        for path, variable in expected.items():
            np.testing.assert_array_equal(converted[key].arrays[path], variable.value, err_msg=path)


def test_generate_from_a_checkpoint(shared_folder: Path, tmp_path: Path) -> None:
    """The golden checkpoint through the public command; pictures from its numbers."""
    path = shared_folder / "golden" / "fastgan_256.pth"
    result = run("generate.py", "--weights", path, "--count", 2, "--output-folder", tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("*.png"))) == 2
    golden = np.load(shared_folder / "golden" / "fastgan_256.npz")
    images = sle_gan.load_generator(path)(golden["z"])
    np.testing.assert_allclose(images, golden["g_eval_big"].transpose(0, 2, 3, 1), atol=1e-4)


def test_training_starts_from_a_checkpoint(shared_folder: Path, pictures: Path, tmp_path: Path) -> None:
    path = shared_folder / "golden" / "fastgan_256.pth"
    output = ("--data-folder", pictures, "--output-folder", tmp_path / "runs", "--resolution", 256)
    halves = ("--generator-weights", path, "--discriminator-weights", path)
    result = run("train.py", *output, "--width", 8, "--latent", 32, *halves, "--dry-run")
    assert result.returncode == 0, result.stderr
    wrong = run("train.py", *output, "--width", 16, "--latent", 32, *halves)
    assert_refused(wrong, "fastgan_256.pth holds Generator(", "width=8")
    assert not (tmp_path / "runs").exists()


class Malicious:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"g": Malicious(), "d": {}}, tmp_path / "evil.pth")
    with pytest.raises(sle_gan.UserError, match=r"evil.pth.*could run"):
        sle_gan.load_generator(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    _, _, halves = checkpoint(256)
    del halves["g"]["feat_8.1.weight_orig"]
    cases = {
        "tensor.pth": torch.zeros(3),
        "keys.pth": {"state_dict": {}},
        "other.pth": {"g": {"conv.weight": torch.zeros(3)}, "d": {}},
        "part.pth": halves,
    }
    for name, content in cases.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "garbage.pth").write_bytes(b"garbage")
    (tmp_path / "empty.pth").touch()
    for name in (*cases, "garbage.pth", "empty.pth", "missing.pth"):
        with pytest.raises(sle_gan.UserError, match=name):
            sle_gan.load_generator(tmp_path / name)
