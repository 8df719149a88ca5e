"""Exported generators, run by the programs that they are for."""

from __future__ import annotations

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import assert_refused
from helpers import run as run_command
from test_folded import used

from sle_gan import Generator
from sle_gan.errors import UserError
from sle_gan.export.exporter import export
from sle_gan.gans.dcgan.networks import DCGANGenerator
from sle_gan.pictures import pixels

GENERATORS = {
    "slegan_64": lambda: Generator(64, width=8, latent=16, channels=4),
    "slegan_128": lambda: Generator(128, width=8, latent=16, tanh=False),
    "slegan_512": lambda: Generator(512, width=8, latent=16),
    "dcgan": lambda: DCGANGenerator(64, width=8, latent=10),
}
needs_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="SavedModel is TensorFlow's")


@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.slow if name == "slegan_512" else ()) for name in GENERATORS],
)
def generator(request: pytest.FixtureRequest):
    keras.utils.set_random_seed(0)
    return used(GENERATORS[request.param]())


def latents(generator, batch: int) -> np.ndarray:
    return np.random.default_rng(5).standard_normal((batch, generator.latent), np.float32)


def onnx_images(path: Path, z: np.ndarray) -> np.ndarray:
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 2
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(["images"], {"latents": z})[0]


def saved_model_images(path: Path, z: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    return tf.saved_model.load(str(path)).signatures["serving_default"](latents=tf.constant(z))["images"].numpy()


@pytest.mark.parametrize("format_", ("onnx", pytest.param("saved_model", marks=needs_tensorflow)))
def test_exports_compute_what_the_network_does(generator, format_, tmp_path: Path) -> None:
    if format_ == "onnx":
        pytest.importorskip("onnx")
    read = {"onnx": onnx_images, "saved_model": saved_model_images}[format_]
    z = latents(generator, 3)
    expected = keras.ops.convert_to_numpy(generator(z))
    assert expected.std() > 0.05
    export(generator.fold(), format_, tmp_path / "float.onnx", "float32")
    np.testing.assert_allclose(read(tmp_path / "float.onnx", z), expected, atol=1e-4)
    export(generator.fold(), format_, tmp_path / "uint8.onnx")
    for batch in (1, 3):
        images = read(tmp_path / "uint8.onnx", z[:batch])
        assert images.dtype == np.uint8 and images.shape == (batch, *expected.shape[1:])
        rounded = keras.ops.convert_to_numpy(pixels.to_uint8(expected[:batch]))
        assert np.abs(images.astype(int) - rounded).max() <= 1


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="of the engines that have no SavedModel")
def test_other_engines_name_the_engine_that_writes_saved_models(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--engine tensorflow"):
        export(GENERATORS["dcgan"]().fold(), "saved_model", tmp_path / "a")


def test_export_command(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    generator = used(Generator(64, width=8, latent=16))
    generator.save_weights(tmp_path / "a.h5")
    command = ("generate", "--weights", tmp_path / "a.h5", "--export")
    result = run_command(*command, "onnx", "--output", tmp_path / "new" / "a.onnx")
    assert result.returncode == 0 and "latents (B, 16) float32" in result.stdout, result.stderr
    z = latents(generator, 2)
    rounded = keras.ops.convert_to_numpy(pixels.to_uint8(generator(z)))
    assert np.abs(onnx_images(tmp_path / "new" / "a.onnx", z).astype(int) - rounded).max() <= 1
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.onnx"]


def test_export_refuses_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.h5").touch()
    (tmp_path / "there.onnx").touch()
    command = ("generate", "--weights", tmp_path / "a.h5", "--export")
    assert_refused(run_command(*command, "tflite", "--output", tmp_path / "a"), "'tflite'", "saved_model, onnx")
    assert_refused(run_command(*command, "onnx"), "--output PATH")
    there = (*command, "saved_model", "--output", tmp_path, "--engine", "tensorflow")
    assert_refused(run_command(*there), str(tmp_path), "exists")
    assert_refused(
        run_command(*command, "saved_model", "--output", tmp_path / "m", "--engine", "jax"), "--engine tensorflow"
    )
    # As it is where onnx is not installed.
    (tmp_path / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "find = u.find_spec\n"
        "u.find_spec = lambda name, *rest: None if name == 'onnx' else find(name, *rest)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    missing = run_command(*command, "onnx", "--output", tmp_path / "a.onnx", env=environment)
    assert_refused(missing, "pip install 'sle-gan[onnx]'")


def test_export_refuses_places(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    folded = GENERATORS["dcgan"]().fold()
    with pytest.raises(UserError, match="expected a name such as"):
        export(folded, "onnx", tmp_path / "a.pb")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        export(folded, "onnx", tmp_path / "file" / "a.onnx")
