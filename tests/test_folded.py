"""The folded generator gives the network's images, and each image depends on its seed alone."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from keras.backend import standardize_dtype

import sle_gan
from sle_gan import Generator, engine, generation, weights
from sle_gan.errors import UserError
from sle_gan.gans.dcgan.networks import DCGANGenerator
from sle_gan.gans.lightweight.networks import LightweightGenerator
from sle_gan.hub.loading import load_folded
from sle_gan.models import folded as folding
from sle_gan.models import upsampling
from sle_gan.models.folded import Folded, TensorOperations, run
from sle_gan.pictures import pixels


def used(generator):
    """The same generator with statistics and noise weights that are not those of a new one."""
    random = np.random.default_rng(3)
    for path, variable in weights.variables_by_path(generator).items():
        name = path.rsplit("/", 1)[1]
        if name in ("moving_mean", "beta", "weight"):
            variable.assign(random.normal(size=variable.shape) / 2)
        elif name in ("moving_variance", "gamma"):
            variable.assign(random.uniform(0.5, 2, variable.shape))
        elif name == "kernel" and isinstance(generator, DCGANGenerator):
            variable.assign(3 * variable)  # a new one's images are all but grey
    return generator


def fold_and_run(folded: Folded, latents: np.ndarray, noise: list[np.ndarray]) -> np.ndarray:
    compute = engine.compile_function(lambda *inputs: run(TensorOperations(), folded.stages, *inputs)[0])
    return ops.convert_to_numpy(compute(folded.on_device().arrays, latents, noise))


def inputs(generator, batch: int) -> tuple[np.ndarray, list[np.ndarray]]:
    random = np.random.default_rng(4)
    noise = [random.standard_normal((batch, size, size, 1), np.float32) for size in generator.noise_sizes]
    return random.standard_normal((batch, generator.latent), np.float32), noise


FAST = ((64, True), (64, False), (256, True), (512, False))  # a second of compilation for every stage


@pytest.mark.parametrize(
    ("resolution", "tanh"),
    [
        pytest.param(resolution, tanh, marks=() if (resolution, tanh) in FAST else pytest.mark.slow)
        for resolution in (64, 128, 256, 512, 1024)
        for tanh in (True, False)
    ],
)
def test_folded_slegan(resolution: int, tanh: bool) -> None:
    generator = used(Generator(resolution, width=8, latent=16, tanh=tanh))
    latents, noise = inputs(generator, 2)
    expected = ops.convert_to_numpy(generator(latents, noise))
    assert expected.std() > 0.05
    folded = generator.fold()
    assert folded.noise_sizes == generator.noise_sizes and folded.latent == 16
    np.testing.assert_allclose(fold_and_run(folded, latents, noise), expected, atol=1e-4)


@pytest.mark.parametrize("form", sorted(upsampling.FORMS))
def test_folded_slegan_in_every_form_of_upsampling(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(folding, "fastest_form", lambda size: form)
    generator = used(Generator(64, width=8, latent=16))
    latents, noise = inputs(generator, 2)
    expected = ops.convert_to_numpy(generator(latents, noise))
    np.testing.assert_allclose(fold_and_run(generator.fold(), latents, noise), expected, atol=1e-4)


@pytest.mark.parametrize(("resolution", "channels"), [(32, 1), (64, 3), (128, 4)])
def test_folded_dcgan(resolution: int, channels: int) -> None:
    generator = used(DCGANGenerator(resolution, width=8, latent=10, channels=channels))
    latents, noise = inputs(generator, 3)
    np.testing.assert_allclose(fold_and_run(generator.fold(), latents, noise), generator(latents), atol=1e-4)


def test_folded_golden_checkpoint(shared_folder: Path) -> None:
    golden = np.load(shared_folder / "golden" / "fastgan_256.npz")
    folded = load_folded(shared_folder / "golden" / "fastgan_256.pth")
    noise = [np.ones((2, size, size, 1), np.float32) for size in folded.noise_sizes]  # its weights are zero
    images = fold_and_run(folded, golden["z"], noise)
    np.testing.assert_allclose(images, golden["g_eval_big"].transpose(0, 2, 3, 1), atol=1e-4)


@pytest.mark.parametrize("resolution", (64, 256))
def test_pictures_are_the_networks_and_depend_on_their_seeds_alone(resolution: int) -> None:
    generator = used(Generator(resolution, width=8, latent=16))
    folded = generator.fold()
    pictures = np.concatenate(list(sle_gan.generate_images(folded, range(6))))
    np.testing.assert_array_equal(np.concatenate(list(sle_gan.generate_images(generator, range(6)))), pictures)
    for seeds in ([3], [5, 2], [4, 4, 0, 1, 5]):
        np.testing.assert_array_equal(np.concatenate(list(sle_gan.generate_images(folded, seeds))), pictures[seeds])
    noise = [maps[None] for maps in generation.seeded_noise(2, generator.noise_sizes)]
    image = pixels.to_uint8(generator(generation.seeded_latents(2, 16)[None], noise))
    assert np.abs(ops.convert_to_numpy(image)[0].astype(int) - pictures[2]).max() <= 1


def test_pictures_follow_weights_that_change() -> None:
    generator = used(Generator(64, width=8, latent=16))
    before = next(sle_gan.generate_images(generator, [0]))
    generator.to_image.kernel.assign(-generator.to_image.kernel)  # sigma changes its sign too
    generator.norm.beta.assign(generator.norm.beta + 1.0)
    after = next(sle_gan.generate_images(generator, [0]))
    assert np.abs(before.astype(int) - after).mean() > 1


def test_a_file_folds_to_the_same_and_a_wrong_one_is_refused(tmp_path: Path) -> None:
    generator = used(Generator(64, width=8, latent=16))
    generator.save_weights(tmp_path / "a.h5")
    for ours, theirs in zip(load_folded(tmp_path / "a.h5").arrays, generator.fold().arrays):
        assert ours.keys() == theirs.keys()
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    sle_gan.Discriminator(64, width=8).save_weights(tmp_path / "d.h5")
    with pytest.raises(UserError, match="not a generator"):
        load_folded(tmp_path / "d.h5")
    import h5py

    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file["extra"] = np.zeros(3, np.float32)
    with pytest.raises(UserError, match=r"extra is \(3,\) in the file, nothing"):
        load_folded(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        file.attrs["architecture"] = file.attrs["architecture"].replace('"width": 8', '"width": 16')
    with pytest.raises(UserError, match=r"a\.h5 is damaged: .* in the file, .* in the network"):
        load_folded(tmp_path / "a.h5")


def test_bfloat16_makes_the_same_pictures_to_the_eye() -> None:
    folded = used(Generator(64, width=8, latent=16)).fold()
    exact = np.concatenate(list(sle_gan.generate_images(folded.in_precision("float32"), range(6)))).astype(int)
    bfloat16 = folded.in_precision("bfloat16")
    pictures = np.concatenate(list(sle_gan.generate_images(bfloat16, range(6))))
    assert exact.std() > 10
    assert 0 < np.abs(pictures - exact).mean() < 1.5  # 0.35 where a generator was trained, whose weights are smaller
    np.testing.assert_array_equal(np.concatenate(list(sle_gan.generate_images(bfloat16, [4, 1]))), pictures[[4, 1]])
    # The other one keeps its own numbers, and what directions are read from stays exact.
    assert all(own["kernel"].dtype == np.float32 for own in folded.arrays)
    first, *others, image = [standardize_dtype(own["kernel"].dtype) for own in bfloat16.arrays]
    assert first == image == "float32" and set(others) == {"bfloat16"}
    assert {standardize_dtype(own["bias"].dtype) for own in bfloat16.arrays} == {"float32"}
    with pytest.raises(ValueError, match="on the device already"):
        bfloat16.in_precision("float32")


@pytest.mark.parametrize(("known", "expected"), [(True, "bfloat16"), (None, "bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_device_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, known: bool | None, expected: str
) -> None:
    monkeypatch.setattr(engine, "faster_in_bfloat16", lambda: known)
    folded = Generator(64, width=8, latent=16).fold()
    assert folded.in_precision("auto").precision == expected
    assert folded.in_precision("float32").precision == "float32"
    with pytest.raises(ValueError, match="'float16'; expected one of float32, bfloat16, auto"):
        folded.in_precision("float16")


def test_a_network_without_a_folded_form_computes_in_bfloat16_too(tmp_path: Path) -> None:
    generator = LightweightGenerator(64, fmap_max=32, latent=16, attn_res_layers=(32,))
    generator.save_weights(tmp_path / "a.h5")
    exact = np.concatenate(list(sle_gan.generate_images(load_folded(tmp_path / "a.h5"), range(4)))).astype(int)
    network = load_folded(tmp_path / "a.h5", "bfloat16")
    pictures = np.concatenate(list(sle_gan.generate_images(network, range(4))))
    assert 0 < np.abs(pictures - exact).mean() < 1.5
    assert keras.config.dtype_policy().name == "float32"
