"""PyTorch checkpoints: read in every layout that is out there, written so that FastGAN reads them, never executed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastgan_files import parameters, torch, trained_checkpoint
from helpers import assert_refused, run
from keras import ops

import sle_gan
from sle_gan import Discriminator, Generator, weights
from sle_gan.convert.checkpoint import AdamState, Converted
from sle_gan.gans.slegan.from_fastgan import convert_fastgan, read_fastgan
from sle_gan.gans.slegan.to_fastgan import save_fastgan


def converted(network: Any) -> Converted:
    arrays = {path: ops.convert_to_numpy(v.value) for path, v in weights.variables_by_path(network).items()}
    return Converted(type(network).__name__, network.architecture, arrays)


def networks(resolution: int = 256) -> dict[str, Converted]:
    """Small networks of our own; the average differs from the raw generator in every array."""
    generator = Generator(resolution, width=8, latent=16, tanh=resolution == 1024)
    raw = converted(generator)
    averaged = raw._replace(arrays={path: array + np.float32(0.25) for path, array in raw.arrays.items()})
    return {
        "generator": raw,
        "generator_ema": averaged,
        "discriminator": converted(Discriminator(resolution, width=8)),
    }


def adam(network: Converted, step: int) -> AdamState:
    """Moments that differ for every variable."""
    random = np.random.default_rng(step)
    fixed = ("u", "v", "moving_mean", "moving_variance")
    trained = {path: x for path, x in network.arrays.items() if path.rpartition("/")[2] not in fixed}
    first, second = ({p: random.random(x.shape, np.float32) for p, x in trained.items()} for _ in range(2))
    return AdamState(step, 1e-4, first, second)


def assert_same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert left.keys() == right.keys()
    for path in left:
        np.testing.assert_array_equal(left[path], right[path], err_msg=path)


# Digests of the names and shapes, in order, of the state dicts that the released PyTorch classes give at ngf 8, nz 16.
STATE_DICTS = {
    ("g", 256): "fb023706e9baedfd",
    ("g", 512): "ee6febe6dd8c889f",
    ("g", 1024): "c3643fc0322a42fc",
    ("d", 256): "084d9a044aaffa50",
    ("d", 512): "448fe94c30a9f56e",
    ("d", 1024): "0e754d36e15ac2a3",
}


@pytest.mark.parametrize("resolution", (256, 512, 1024))
def test_everything_comes_back_from_a_file_of_their_shape(resolution: int, tmp_path: Path) -> None:
    """Ours -> .pth -> ours, bit for bit; with and without prefixes; the file has their names, shapes and order."""
    mine = networks(resolution)
    optimizers = {key: adam(mine[key], step) for key, step in (("generator", 70), ("discriminator", 71))}
    keys = save_fastgan(tmp_path / "all_70.pth", mine, optimizers)
    assert sorted(keys) == ["d", "g", "g_ema", "opt_d", "opt_g"]
    content = torch.load(tmp_path / "all_70.pth", weights_only=True)
    for key in ("g", "d"):
        listing = "\n".join(f"{name} {tuple(tensor.shape)}" for name, tensor in content[key].items())
        assert hashlib.sha256(listing.encode()).hexdigest()[:16] == STATE_DICTS[key, resolution]
        content[key] = {f"module.{name}": tensor for name, tensor in content[key].items()}
    assert int(content["g"]["module.feat_8.3.num_batches_tracked"]) == 70
    torch.save(content, tmp_path / "prefixed.pth")
    for name in ("all_70.pth", "prefixed.pth"):
        back = read_fastgan(tmp_path / name)
        assert back.networks.keys() == mine.keys() and not back.ignored
        for key, network in mine.items():
            assert back.networks[key].architecture == network.architecture
            assert_same(back.networks[key].arrays, network.arrays)
        for key, optimizer in optimizers.items():
            assert back.optimizers[key][:2] == optimizer[:2]
            assert_same(back.optimizers[key].first, optimizer.first)
            assert_same(back.optimizers[key].second, optimizer.second)


def test_a_tanh_is_remembered(tmp_path: Path) -> None:
    """Their files do not say it and their code has none at 256 pixels; ours do."""
    generator = converted(Generator(256, width=8, latent=16))
    save_fastgan(tmp_path / "ours.pth", {"generator": generator})
    assert convert_fastgan(tmp_path / "ours.pth")["generator"].architecture["tanh"] is True
    content = torch.load(tmp_path / "ours.pth", weights_only=True)
    torch.save({"g": content["g"]}, tmp_path / "theirs.pth")
    assert convert_fastgan(tmp_path / "theirs.pth")["generator"].architecture["tanh"] is False


def test_resolutions_that_fastgan_has_not(tmp_path: Path) -> None:
    with pytest.raises(sle_gan.UserError, match="256, 512, 1024 pixels; this one is for 64"):
        save_fastgan(tmp_path / "a.pth", {"generator": converted(Generator(64, width=8, latent=16))})
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def golden(shared_folder: Path) -> dict[str, Any]:
    return torch.load(shared_folder / "golden" / "fastgan_256.pth", weights_only=True)


def test_a_training_checkpoint_of_theirs(golden: dict[str, Any], tmp_path: Path) -> None:
    """The lists arrive under the right names: the average is half of g, the moments are those of each kernel."""
    content = trained_checkpoint(golden, tmp_path / "all_3.pth")
    checkpoint = read_fastgan(tmp_path / "all_3.pth")
    raw, averaged = (checkpoint.networks[key].arrays for key in ("generator", "generator_ema"))
    for path in raw:
        trained = path.rpartition("/")[2] in ("kernel", "gamma", "beta", "weight")
        np.testing.assert_array_equal(averaged[path], raw[path] * (0.5 if trained else 1.0), err_msg=path)
    assert convert_fastgan(tmp_path / "all_3.pth")["generator"].arrays.keys() == raw.keys()
    for key, network, ours, theirs in (
        ("g", "generator", "to_image/kernel", "to_big.weight_orig"),
        ("d", "discriminator", "decode_small/up_16/up/kernel", "decoder_small.main.1.1.weight_orig"),
    ):
        index = parameters(content[key]).index(theirs)
        slot = content[f"opt_{key}"]["state"][index]
        adam = checkpoint.optimizers[network]
        assert adam.step == 3 and adam.learning_rate == 2e-4
        np.testing.assert_array_equal(adam.first[ours], slot["exp_avg"].numpy().transpose(2, 3, 1, 0))
        np.testing.assert_array_equal(adam.second[ours], slot["exp_avg_sq"].numpy().transpose(2, 3, 1, 0))


def test_there_and_back_is_bit_equal(golden: dict[str, Any], tmp_path: Path) -> None:
    """Theirs -> ours -> theirs: every tensor, their order, and an optimizer that PyTorch takes and goes on with."""
    content = trained_checkpoint(golden, tmp_path / "all_3.pth")
    checkpoint = read_fastgan(tmp_path / "all_3.pth")
    save_fastgan(tmp_path / "back.pth", checkpoint.networks, checkpoint.optimizers)
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert set(content) == set(back) - {"sle_gan"}
    for key in ("g", "d"):
        assert list(content[key]) == list(back[key])
        for name, tensor in content[key].items():
            if not name.endswith("num_batches_tracked"):
                assert torch.equal(tensor, back[key][name]), name
        optimizer = torch.optim.Adam([torch.nn.Parameter(back[key][name]) for name in parameters(back[key])])
        optimizer.load_state_dict(back[f"opt_{key}"])
        theirs = content[f"opt_{key}"]
        assert optimizer.state_dict()["param_groups"] == theirs["param_groups"]
        for index, slot in theirs["state"].items():
            assert all(torch.equal(slot[name], back[f"opt_{key}"]["state"][index][name]) for name in slot)
    assert all(torch.equal(one, other) for one, other in zip(content["g_ema"], back["g_ema"]))


def test_what_is_not_kept_is_named(golden: dict[str, Any], tmp_path: Path) -> None:
    content = trained_checkpoint(golden, tmp_path / "all_3.pth")
    content["lpips"] = torch.zeros(3)
    content["g"] = {**content["g"], "feat_2048.weight": torch.zeros(3)}
    del content["g_ema"], content["opt_d"]["state"][5]
    content["opt_g"] = {"state": {}, "param_groups": content["opt_g"]["param_groups"]}
    torch.save(content, tmp_path / "fork.pth")
    checkpoint = read_fastgan(tmp_path / "fork.pth")
    assert not checkpoint.optimizers
    said = "; ".join(checkpoint.ignored)
    for words in ("'lpips'", "1 more tensors of 'g': feat_2048.weight", "for 1 of 106", "Adam starts anew"):
        assert words in said


def test_bare_state_dicts(golden: dict[str, Any], tmp_path: Path) -> None:
    for key, network in (("g", "generator"), ("d", "discriminator")):
        torch.save(golden[key], tmp_path / "pytorch_model.bin")
        assert read_fastgan(tmp_path / "pytorch_model.bin").networks.keys() == {network}
    with pytest.raises(sle_gan.UserError, match=r"holds Discriminator.*not a generator"):
        sle_gan.load_generator(tmp_path / "pytorch_model.bin")


def test_generate_from_a_checkpoint(shared_folder: Path, tmp_path: Path) -> None:
    """The golden checkpoint through the public command; pictures from its numbers."""
    path = shared_folder / "golden" / "fastgan_256.pth"
    result = run("generate", "--weights", path, "--count", 2, "--output-folder", tmp_path)
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("*.png"))) == 2
    golden = np.load(shared_folder / "golden" / "fastgan_256.npz")
    images = sle_gan.load_generator(path)(golden["z"])
    np.testing.assert_allclose(images, golden["g_eval_big"].transpose(0, 2, 3, 1), atol=1e-4)


def test_training_starts_from_a_checkpoint(shared_folder: Path, pictures: Path, tmp_path: Path) -> None:
    path = shared_folder / "golden" / "fastgan_256.pth"
    output = ("--data-folder", pictures, "--output-folder", tmp_path / "runs", "--resolution", 256)
    halves = ("--generator-weights", path, "--discriminator-weights", path)
    result = run("train", *output, "--width", 8, "--latent", 32, *halves, "--dry-run")
    assert result.returncode == 0, result.stderr
    wrong = run("train", *output, "--width", 16, "--latent", 32, *halves)
    assert_refused(wrong, "fastgan_256.pth holds Generator(", "width=8")
    assert not (tmp_path / "runs").exists()


class Malicious:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_in_a_file_is_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for options in ({}, {"_use_new_zipfile_serialization": False}):
        torch.save({"g": Malicious(), "d": {}}, tmp_path / "evil.pth", **options)
        with pytest.raises(sle_gan.UserError, match=r"evil.pth.*could run"):
            sle_gan.load_generator(tmp_path / "evil.pth")
    assert not (tmp_path / "executed").exists()


def test_other_files_are_refused_by_name(tmp_path: Path) -> None:
    save_fastgan(tmp_path / "whole.pth", networks())
    whole = torch.load(tmp_path / "whole.pth", weights_only=True)
    kernel = "feat_8.1.weight_orig"
    cases = {
        "tensor.pth": torch.zeros(3),
        "keys.pth": {"state_dict": {}},
        "other.pth": {"g": {"conv.weight": torch.zeros(3)}, "d": {}},
        "part.pth": {**whole, "g": {name: t for name, t in whole["g"].items() if name != kernel}},
        "flat.pth": {**whole, "g": {**whole["g"], kernel: torch.zeros(3)}},
        "nan.pth": {**whole, "g": {**whole["g"], kernel: whole["g"][kernel] * float("nan")}},
        "text.pth": {**whole, "g": {**whole["g"], kernel: "a text"}},
        "short.pth": {**whole, "g_ema": whole["g_ema"][1:]},
        "mixed.pth": {**whole, "g_ema": whole["g_ema"][::-1]},
        "optimizer.pth": {**whole, "opt_g": {"state": {}}},
    }
    for name, content in cases.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "garbage.pth").write_bytes(b"garbage")
    (tmp_path / "empty.pth").touch()
    for name in (*cases, "garbage.pth", "empty.pth", "missing.pth"):
        with pytest.raises(sle_gan.UserError, match=name):
            sle_gan.load_generator(tmp_path / name)


def test_files_of_before_pytorch_1_6_are_read(tmp_path: Path) -> None:
    save_fastgan(tmp_path / "new.pth", networks())
    content = torch.load(tmp_path / "new.pth", weights_only=True)
    torch.save(content, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    new, old = (read_fastgan(tmp_path / name).averaged.arrays for name in ("new.pth", "old.pth"))
    assert_same(new, old)
