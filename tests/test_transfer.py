"""--init-from: what fits is loaded, the rest is named; frozen layers stay bit for bit."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from helpers import TINY, assert_refused, run
from keras import ops

from sle_gan import SLEGANConfig, engine, weights
from sle_gan.errors import UserError
from sle_gan.gans.base import GAN, make_gan
from sle_gan.runs import checkpoints
from sle_gan.runs.folder import RunFolder
from sle_gan.training.step import compile_step
from sle_gan.training.transfer import freeze_discriminators, read_source, source_settings, start_from

SMALL = SLEGANConfig(resolution=64, width=8, latent=16, channels="grey", init_from="x")


def arrays(network) -> dict[str, np.ndarray]:
    return {path: ops.convert_to_numpy(v.value) for path, v in weights.variables_by_path(network).items()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, GAN]:
    """A run folder of step 3 whose average differs from its generator, and the GAN that it was made of."""
    config = dataclasses.replace(SMALL, name="a", output_folder=str(tmp_path_factory.mktemp("runs")), init_from=None)
    gan = make_gan(config)
    gan.networks["generator_ema"].set_weights([0.5 * x for x in gan.networks["generator"].get_weights()])
    with RunFolder.create(config, override=False) as folder:
        checkpoints.save(checkpoints.path_of(folder.checkpoints, 3), gan.state(), {"step": 3})
        for name, network in gan.exports.items():
            network.save_weights(folder.path / name)
    return folder.path, gan


def assert_loaded(key: str, gan: GAN, source: GAN, from_key: str | None = None) -> None:
    expected = arrays(source.networks[from_key or key])
    for path, array in arrays(gan.networks[key]).items():
        np.testing.assert_array_equal(array, expected[path], err_msg=f"{key}/{path}")


def test_a_run_brings_weights_and_average(source) -> None:
    path, theirs = source
    for name in (path, path / "checkpoints" / "step_00000003.npz"):
        gan = make_gan(SMALL)
        loaded = start_from(gan, read_source(str(name)))
        assert [str(one) for one in loaded] == [
            "generator: 22 of 22 layers",
            "discriminator: 43 of 43 layers",
            "generator_ema: 22 of 22 layers",
        ]
        for key in gan.networks:
            assert_loaded(key, gan, theirs)
        assert all(not np.any(v.numpy()) for v in gan.optimizers["generator"].variables if "velocity" in v.path)


def test_the_networks_settings_are_those_of_the_source(source) -> None:
    path, _ = source
    expected = {"resolution": 64, "width": 8, "latent": 16, "channels": "grey", "tanh": True}
    for name in (path, path / "generator_weights.h5"):
        model, settings = source_settings(str(name), "slegan")
        # A run's settings say that it is square, a file's architecture leaves it out.
        assert {"aspect": "1:1", **settings} == {"aspect": "1:1", **expected} and model in ("slegan", None)
    assert source_settings(str(path), None)[0] == "slegan"
    with pytest.raises(UserError, match="is a model of slegan, but --model is dcgan"):
        source_settings(str(path), "dcgan")


def test_files_and_folders_of_exports(source, tmp_path: Path) -> None:
    """An export is the average; with nothing else, the raw generator starts from it too."""
    path, theirs = source
    for name in ("generator_weights.h5", "discriminator_weights.h5"):
        (tmp_path / name).write_bytes((path / name).read_bytes())
    (tmp_path / "best_generator_weights.h5").write_bytes(b"not looked at")
    gan = make_gan(SMALL)
    start_from(gan, read_source(str(tmp_path)))
    assert_loaded("generator", gan, theirs, "generator_ema")
    assert_loaded("generator_ema", gan, theirs)
    assert_loaded("discriminator", gan, theirs)

    (tmp_path / "any_name.h5").write_bytes((path / "discriminator_weights.h5").read_bytes())
    gan = make_gan(SMALL)
    lines = [str(one) for one in start_from(gan, read_source(str(tmp_path / "any_name.h5")))]
    assert lines[0] == "generator: none of 22 layers, it starts anew" and lines[1].startswith("discriminator: 43 of 43")
    assert_loaded("discriminator", gan, theirs)


def test_another_resolution(source) -> None:
    """64 -> 128 px: every layer of a map that both have loads; a layer loads whole or not at all."""
    path, theirs = source
    gan = make_gan(dataclasses.replace(SMALL, resolution=128))
    before = {key: arrays(network) for key, network in gan.networks.items()}
    generator, discriminator, _ = start_from(gan, read_source(str(path)))
    assert generator.new == ["excite_128", "to_image", "up_128"]
    assert generator.unused == ["to_image"] and generator.loaded == generator.total - 9
    assert {"stem_1", "down_64", "excite_16", "small_32"} <= set(discriminator.new)
    for key, one in (("generator", generator), ("discriminator", discriminator)):
        old = arrays(theirs.networks[key])
        for name, array in arrays(gan.networks[key]).items():
            new = any(name.startswith(f"{layer}/") for layer in one.new)
            np.testing.assert_array_equal(array, before[key][name] if new else old[name], err_msg=name)
    with pytest.raises(UserError, match="would freeze stem_1, which --init-from did not load"):
        freeze_discriminators(gan, 1, [generator, discriminator])


def test_what_fits_nothing_is_refused(source, tmp_path: Path) -> None:
    path, _ = source
    gan = make_gan(dataclasses.replace(SMALL, width=16))
    before = gan.networks["generator"].get_weights()
    with pytest.raises(UserError, match=r"none of its layers fits this run; .*width 8.*those of the run .*width 16"):
        start_from(gan, read_source(str(path / "generator_weights.h5")))
    for old, new in zip(before, gan.networks["generator"].get_weights()):
        np.testing.assert_array_equal(old, new)
    (tmp_path / "text.h5").write_text("text")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for name, words in {"text.h5": "damaged", "run": "no training run", "nowhere.h5": "nowhere.h5"}.items():
        with pytest.raises(UserError, match=words):
            read_source(str(tmp_path / name))


@pytest.mark.parametrize("resolution", (64, 256, 512, 1024))
def test_stages_go_from_the_image_to_the_last_map(resolution: int) -> None:
    from sle_gan import Discriminator

    groups = [[layer.name for layer in group] for group in Discriminator(resolution, width=8).layer_groups]
    assert groups[0][0] == "stem_1" and groups[-1][:2] == ["down_8", "excite_8"][: len(groups[-1])]
    assert len(groups) == {64: 4, 256: 6, 512: 6, 1024: 7}[resolution]
    small = [name for group in groups for name in group if name.startswith("small")]
    assert small == sorted(small, key=lambda name: -int(name.removeprefix("small_")))


FROZEN = ("stem_1", "small_16", "down_32", "small_8")


def assert_frozen(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> None:
    """Of the frozen layers no bit has changed and Adam keeps nothing; of all others every kernel has changed."""
    for name, old in before.items():
        if name.startswith(tuple(f"discriminator/{layer}/" for layer in FROZEN)):
            np.testing.assert_array_equal(after[name], old, err_msg=name)
        elif name.startswith(("discriminator/", "generator/")) and name.endswith(("kernel", "gamma", "moving_mean")):
            assert np.any(after[name] != old), name
    for name, array in after.items():
        if name.startswith("optimizer/discriminator/") and name.endswith("velocity"):
            assert np.any(array) != any(f"_{layer}_" in name for layer in FROZEN), name


@pytest.mark.parametrize("parts", (1, pytest.param(2, marks=pytest.mark.slow)))
def test_frozen_layers_stay_and_the_others_do_not(source, parts: int) -> None:
    gan = make_gan(dataclasses.replace(SMALL, gradient_accumulation=parts))
    loaded = start_from(gan, read_source(str(source[0])))
    assert freeze_discriminators(gan, 2, loaded) == list(FROZEN)
    state = gan.state()
    before = {name: ops.convert_to_numpy(variable.value).copy() for name, variable in state.items()}
    train = compile_step(gan, engine.Devices())
    images = np.random.default_rng(0).integers(0, 255, (4, 64, 64, 1), np.uint8)
    for step in range(2):
        train([[images]], step)
    assert_frozen(before, {name: ops.convert_to_numpy(variable.value) for name, variable in state.items()})


@pytest.mark.slow
@pytest.mark.parametrize("backend", ("tensorflow", "jax"))
def test_a_run_with_frozen_layers(source, pictures: Path, tmp_path: Path, backend: str) -> None:
    """Two steps and, resumed, a third, by the command."""
    path, _ = source
    place = ("--output-folder", tmp_path, "--engine", backend)
    started = ("--init-from", path, "--freeze-discriminator-layers", 2, "--data-folder", pictures, "--batch-size", 4)
    result = run("train", *place, *started, "--name", "b", "--steps", 2)
    assert result.returncode == 0, result.stderr
    assert f"frozen layers of the discriminator: {', '.join(FROZEN)}" in result.stdout
    assert "generator: 22 of 22 layers" in result.stdout
    resumed = run("train", *place, "--name", "b", "--resume", "--steps", 3)
    assert resumed.returncode == 0 and "frozen layers" in resumed.stdout, resumed.stderr
    _, before = checkpoints.read(path / "checkpoints" / "step_00000003.npz")
    _, after = checkpoints.read(tmp_path / "b" / "checkpoints" / "step_00000003.npz")
    assert {int(after[f"optimizer/{key}/iteration"]) for key in ("generator", "discriminator")} == {3}
    assert_frozen(before, after)


def test_refusals(source, pictures: Path, tmp_path: Path) -> None:
    path, _ = source
    output = ("--data-folder", pictures, "--output-folder", tmp_path / "runs")
    assert_refused(run("train", *output, *TINY, "--freeze-discriminator-layers", 2), "--init-from beside it")
    assert_refused(run("train", *output, "--init-from", tmp_path / "none.h5"), "none.h5")
    many = run("train", *output, "--init-from", path, "--freeze-discriminator-layers", 5)
    assert_refused(many, "--freeze-discriminator-layers is 5; expected at most 4")
    assert not (tmp_path / "runs").exists()
