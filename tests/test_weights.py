"""Weights files: what loads, what is refused, and what the refusal says."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from keras import ops

import sle_gan
from sle_gan import Discriminator, Generator


def small(resolution: int = 64, width: int = 8) -> Generator:
    return Generator(resolution, width=width, latent=16)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "generator_weights.h5"
    small().save_weights(path)
    return path


def test_round_trip_is_bit_equal(file: Path) -> None:
    source, target = small(), small()
    source.save_weights(file)
    assert any(np.any(a != b) for a, b in zip(source.get_weights(), target.get_weights()))
    target.load_weights(file)
    for a, b in zip(source.get_weights(), target.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_load_generator_builds_from_the_file_alone(tmp_path: Path) -> None:
    source = Generator(128, width=16, latent=8, channels=1)
    source.save_weights(tmp_path / "any_name.h5")
    loaded = sle_gan.load_generator(tmp_path / "any_name.h5")
    assert loaded.architecture == source.architecture
    latents = np.ones((1, 8), np.float32)
    np.testing.assert_array_equal(loaded(latents), source(latents))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (lambda: small(128), ["output_resolution=64", "output_resolution=128"]),
        (lambda: small(width=16), ["width=8", "width=16", "(1, 1, 16, 16) in the file, (1, 1, 32, 32) in the network"]),
        (lambda: Discriminator(64, width=8), ["Generator(", "Discriminator("]),
    ],
)
def test_weights_of_another_network_are_refused_and_change_nothing(file: Path, other, words: list[str]) -> None:
    network = other()
    before = network.get_weights()
    with pytest.raises(sle_gan.UserError) as caught:
        network.load_weights(file)
    assert all(word in str(caught.value) for word in [*words, file.name])
    for a, b in zip(before, network.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_foreign_empty_and_damaged_files_are_refused(file: Path, tmp_path: Path) -> None:
    cases = {
        "missing.h5": None,
        "empty.h5": b"",
        "text.h5": b"not HDF5 at all",
        "half.h5": file.read_bytes()[: file.stat().st_size // 2],
    }
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(sle_gan.UserError, match=name):
            small().load_weights(tmp_path / name)
    with h5py.File(tmp_path / "foreign.h5", "w") as foreign:
        foreign["kernel"] = np.zeros(3)
    with pytest.raises(sle_gan.UserError, match="not a weights file of this project"):
        small().load_weights(tmp_path / "foreign.h5")


def test_a_file_that_lacks_one_variable_is_refused(file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        del opened["up_8/norm/beta"]
    with pytest.raises(sle_gan.UserError, match="up_8/norm/beta is nothing in the file"):
        small().load_weights(file)


@pytest.mark.parametrize("change", [{"attention": [32]}, {"output_resolution": 77}])
def test_an_architecture_that_this_version_does_not_know_is_refused(file: Path, change: dict) -> None:
    with h5py.File(file, "r+") as opened:
        opened.attrs["architecture"] = json.dumps({**json.loads(opened.attrs["architecture"]), **change})
    with pytest.raises(sle_gan.UserError, match="this version cannot build"):
        sle_gan.load_generator(file)


def test_the_file_is_readable_with_h5py_alone(file: Path) -> None:
    generator = small()
    generator.load_weights(file)
    with h5py.File(file) as opened:
        assert opened.attrs["network"] == "Generator"
        np.testing.assert_array_equal(opened["to_image/kernel"], ops.convert_to_numpy(generator.to_image.kernel))


def test_numbers_that_are_packed_or_in_another_file_are_refused(file: Path, tmp_path: Path) -> None:
    """HDF5 can fetch numbers from any file of the machine and unpack a little to a lot: not for a stranger's file."""
    secret = tmp_path / "secret"
    secret.write_bytes(b"x" * 64)
    layout = h5py.VirtualLayout(shape=(16,), dtype="f4")
    layout[:] = h5py.VirtualSource(secret, "d", shape=(16,))

    def external(opened: h5py.File) -> None:
        opened.create_dataset("up_8/norm/beta", (16,), "f4", external=[(str(secret), 0, 64)])

    def virtual(opened: h5py.File) -> None:
        opened.create_virtual_dataset("up_8/norm/beta", layout)

    def packed(opened: h5py.File) -> None:
        opened.create_dataset("up_8/norm/beta", data=np.zeros(10**7, "f4"), compression="gzip")

    def promised(opened: h5py.File) -> None:
        opened.create_dataset("up_8/norm/beta", (10**12,), "f4")

    before = file.read_bytes()
    for replace in (external, virtual, packed, promised):
        file.write_bytes(before)
        with h5py.File(file, "r+") as opened:
            del opened["up_8/norm/beta"]
            replace(opened)
        assert file.stat().st_size < 2 * len(before) + 10**6
        with pytest.raises(sle_gan.UserError, match="packed or in another file"):
            small().load_weights(file)
