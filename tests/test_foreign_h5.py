"""Weights files of strangers: whatever they say, one line, and no more memory than they have bytes."""

from __future__ import annotations

import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sle_gan
from sle_gan import Generator, weights
from sle_gan.gans.cyclegan.networks import ResNetGenerator
from sle_gan.hub.loading import load_translator
from sle_gan.training.fastgan_runs import read_exported
from sle_gan.training.transfer import source_settings

ARCHITECTURE = {"output_resolution": 64, "width": 8, "latent": 4, "channels": 3, "tanh": True}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("h5") / "g.h5"
    Generator(64, width=8, latent=4).save_weights(path)
    return path.read_bytes()


@pytest.fixture
def file(content: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "generator_weights.h5"
    path.write_bytes(content)
    return path


def state(file: Path, architecture: Any, network: str = "Generator") -> None:
    with h5py.File(file, "r+") as opened:
        opened.attrs["network"] = network
        opened.attrs["architecture"] = architecture


@pytest.mark.parametrize("width", (256, 40_000))
def test_a_wide_network_in_a_small_file_is_refused_before_it_is_built(file: Path, width: int) -> None:
    """Every reader; width 256 took 26 s and 3.5 GB, 40,000 all memory."""
    state(file, json.dumps({**ARCHITECTURE, "width": width}))
    readers = (
        sle_gan.load_generator,
        sle_gan.from_pretrained,
        Generator(64, width=8, latent=4).load_weights,
        load_translator,
        read_exported,
        lambda path: source_settings(str(path), None),
    )
    for read in readers:
        tracemalloc.start()
        with pytest.raises(sle_gan.UserError, match=rf"width={width}.*project/kernel is \(4, 4, 4, 256\) in the file"):
            read(file)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
        tracemalloc.stop()


def test_init_from_says_so_before_an_engine_starts(file: Path, pictures: Path) -> None:
    """In a process that may take 2 GB: a network of that width does not fit."""
    state(file, json.dumps({**ARCHITECTURE, "width": 40_000}))
    code = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "from sle_gan.cli.common import run; from sle_gan.cli.train import main\n"
        "try: run(lambda: main(sys.argv[1:]), 'x')\n"
        "finally: assert 'keras' not in sys.modules"
    )
    command = [sys.executable, "-c", code, "--data-folder", str(pictures), "--init-from", str(file), "--dry-run"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2, result.stderr
    assert result.stderr.count("\n") == 1 and "width=40000" in result.stderr


def test_as_many_blocks_as_somebody_likes(tmp_path: Path) -> None:
    ResNetGenerator(blocks=1, width=2).save_weights(tmp_path / "ab.h5")
    state(tmp_path / "ab.h5", json.dumps({"blocks": 10**6, "width": 2, "channels": 3}), "ResNetGenerator")
    with pytest.raises(sle_gan.UserError, match=r"block_2/conv_1/kernel is nothing in the file"):
        load_translator(tmp_path / "ab.h5")


@pytest.mark.parametrize(
    "architecture",
    [
        "[1]",
        "[" * 100_000,
        '{"a":' * 100_000,
        "1" * 10_000,
        "{}",
        '{"width": Infinity}',
        " " * 2_000_000 + "{}",
        json.dumps({**ARCHITECTURE, "width": "64"}),
        json.dumps({**ARCHITECTURE, "width": True}),
        json.dumps({**ARCHITECTURE, "latent": 10**400}),
        json.dumps({**ARCHITECTURE, "\ud800\n\x1b[2J": 1}),
        np.arange(3),
        h5py.Empty("f"),
    ],
)
def test_architectures_that_are_none(file: Path, architecture: Any) -> None:
    state(file, architecture)
    with pytest.raises(sle_gan.UserError) as caught:
        sle_gan.load_generator(file)
    assert file.name in str(caught.value) and str(caught.value).isprintable() and len(str(caught.value)) < 1000


def test_what_leads_out_of_the_file_or_grows_is_refused(file: Path, content: bytes, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as opened:
        opened["beta"] = np.zeros(128, "f4")
    path = "up_8/norm/beta"
    layout = h5py.VirtualLayout((128,), "f4")
    layout[:] = h5py.VirtualSource(other, "beta", (128,))
    replacements: dict[str, Any] = {
        "soft": lambda f: f.__setitem__(path, h5py.SoftLink("/up_8/norm/gamma")),
        "external": lambda f: f.__setitem__(path, h5py.ExternalLink(other, "beta")),
        "virtual": lambda f: f.create_virtual_dataset(path, layout),
        "elsewhere": lambda f: f.create_dataset(path, (128,), "f4", external=[(str(other), 0, 512)]),
        "reference": lambda f: f.create_dataset(path, data=[f["norm/beta"].ref] * 128, dtype=h5py.ref_dtype),
        "text": lambda f: f.create_dataset(path, data=["a"] * 128),
        "packed": lambda f: f.create_dataset(path, data=np.zeros(128, "f4"), compression="gzip"),
        "unwritten": lambda f: f.create_dataset(path, (10**12,), "f4"),
        "empty": lambda f: f.create_dataset(path, data=h5py.Empty("f4")),
    }
    for name, replace in replacements.items():
        file.write_bytes(content)
        with h5py.File(file, "r+") as opened:
            del opened[path]
            replace(opened)
        with pytest.raises(sle_gan.UserError, match=r"generator_weights.h5 is not read: .*beta is"):
            weights.read(file)
        assert name
    file.write_bytes(content)
    with h5py.File(file, "r+") as opened:
        opened["up_8/itself"] = opened["/"]
    weights.read(file)  # a group within itself ends somewhere


@pytest.mark.parametrize(
    ("place", "number"),
    [("free", 0), ("free", 3842), ("free", 2**40), ("text", 2**64 - 16), ("text", 2**64 - 1), ("text", 4096)],
)
def test_a_heap_of_texts_that_leads_nowhere_is_refused(content: bytes, file: Path, place: str, number: int) -> None:
    """The library goes round for ever in some of them, and can only be killed then."""
    changed = bytearray(content)
    heap = content.index(b"GCOL")
    sizes = {"text": heap + 16 + 8}
    objects = heap + 16
    while (index := int.from_bytes(content[objects : objects + 2], "little")) != 0:
        objects += 16 + -(-int.from_bytes(content[objects + 8 : objects + 16], "little") // 8) * 8
        assert index <= 3
    sizes["free"] = objects + 8
    changed[sizes[place] : sizes[place] + 8] = number.to_bytes(8, "little")
    file.write_bytes(changed)
    program = "import sys; from sle_gan import weights; weights.read(sys.argv[1])"
    result = subprocess.run([sys.executable, "-c", program, file], capture_output=True, text=True, timeout=600)
    assert result.stderr.splitlines()[-1].startswith("sle_gan.errors.UserError"), result.stderr
    assert "the heap at byte" in result.stderr


def test_the_heap_s_signature_among_the_numbers_is_nothing(content: bytes, file: Path) -> None:
    with h5py.File(file, "r+") as opened:
        path = "to_image/kernel"
        numbers = opened[path][()]
        numbers.reshape(-1)[:4] = np.frombuffer(b"GCOL\x01\x00\x00\x00" + 8 * b"\x7f", "f4")
        opened[path][...] = numbers
    assert b"GCOL" in file.read_bytes().replace(b"GCOL", b"", 1)
    np.testing.assert_array_equal(weights.read(file)[2][path], numbers)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_with_changed_bytes_is_read_or_refused(content: bytes, file: Path, data: st.DataObject) -> None:
    """Where the structure is, at the file's beginning and between its arrays."""
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, 8000))] = data.draw(st.integers(0, 255))
    file.write_bytes(changed[: data.draw(st.sampled_from([len(content), len(content) // 2, 4000]))])
    try:
        weights.read(file)
    except sle_gan.UserError as error:
        assert str(error).isprintable()
