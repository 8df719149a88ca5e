"""The perceptual loss's network: loaded from a file, or refused. A random VGG16 stands in for ImageNet's."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import TINY, assert_refused, run
from keras import ops

from sle_gan import Generator, engine, losses
from sle_gan.errors import UserError
from sle_gan.features import load_maps
from sle_gan.features.vgg16 import LAYERS


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> tuple[keras.Model, Path]:
    vgg = keras.applications.VGG16(include_top=False, weights=None)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.weights.h5"
    vgg.save_weights(path)
    return vgg, path


def test_features_are_those_of_keras_applications(vgg) -> None:
    network, path = vgg
    images = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype(np.float32)
    prepared = keras.applications.vgg16.preprocess_input((images + 1) * 127.5)
    expected = keras.Model(network.inputs, [network.get_layer(name).output for name in LAYERS])(prepared)
    for ours, theirs in zip(load_maps("vgg16", path)(images), expected):
        scale = np.abs(ops.convert_to_numpy(theirs)).max()
        np.testing.assert_allclose(ours, theirs, atol=1e-4 * scale)


def test_the_loss_is_zero_for_equal_images_and_pulls_towards_the_target(vgg) -> None:
    loss = losses.perceptual(load_maps("vgg16", vgg[1]))
    random = np.random.default_rng(0)
    target, image = (ops.convert_to_tensor(random.uniform(-1, 1, (1, 32, 32, 3)), "float32") for _ in range(2))
    assert float(loss(target, target)) == pytest.approx(0, abs=1e-6)
    before, pullback = engine.vjp(lambda image: loss(image, target), (), [image])
    _, (gradient,) = pullback(ops.ones_like(before))
    step = 0.1 / float(ops.max(ops.abs(gradient)))
    assert 0 < float(loss(image - step * gradient, target)) < float(before)


def test_files_of_other_networks_are_refused(tmp_path: Path) -> None:
    Generator(64, width=8, latent=16).save_weights(tmp_path / "generator_weights.h5")
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).save_weights(tmp_path / "dense.weights.h5")
    (tmp_path / "garbage.h5").write_bytes(b"garbage")
    for name in ("generator_weights.h5", "dense.weights.h5", "garbage.h5", "missing.h5"):
        with pytest.raises(UserError, match=name):
            load_maps("vgg16", tmp_path / name)


def test_a_run_with_the_perceptual_loss(vgg, pictures: Path, tmp_path: Path) -> None:
    flags = ("--reconstruction-loss", "perceptual", "--perceptual-weights", vgg[1], "--steps", 1)
    result = run("train", "--data-folder", pictures, "--output-folder", tmp_path, *TINY, *flags)
    assert result.returncode == 0, result.stderr
    grey = run("train", "--data-folder", pictures, "--output-folder", tmp_path, *TINY, *flags, "--channels", "grey")
    assert_refused(grey, "--channels is grey", "rgb")


def test_a_failed_download_names_the_file_and_no_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise Exception("URL fetch failure on https://...: 403")

    monkeypatch.setattr(keras.applications, "VGG16", fail)
    with pytest.raises(UserError, match=r"403\); give the file vgg16_weights.*notop.h5 of keras.applications$"):
        load_maps("vgg16")
