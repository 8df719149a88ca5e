"""Networks of classes: what labels change and what they leave, the step in all its ways, generation of a class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from double import numbers
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from state import moved, restore
from tiny_gans import CLASSES, make

import sle_gan
from sle_gan import Discriminator, Generator, SLEGANConfig, engine, generation
from sle_gan.engine import RandomStream
from sle_gan.errors import UserError
from sle_gan.gans.base import make_gan
from sle_gan.gans.projected.networks import ProjectedDiscriminator
from sle_gan.generation import between_classes, generate_from, generate_images, one_class
from sle_gan.kernels import kernels
from sle_gan.latents.points import Point, inputs_of
from sle_gan.seeds import seeded_class
from sle_gan.training import transfer
from sle_gan.training.step import compile_step
from sle_gan.weights import variables_by_path

NAMES, PICTURES = ("daisy", "rose", "tulip"), (3, 1, 2)
IMAGES = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 0, 2, 1, 1, 0, 2, 0, 1, 2], np.int32)
RUN: dict[str, Any] = {"resolution": 64, "width": 8, "latent": 16, "batch_size": 4}
CONDITIONAL: dict[str, Any] = {"labels": "folders", "class_names": NAMES, "class_pictures": PICTURES}


def made(**settings: Any) -> Any:
    keras.utils.set_random_seed(0)
    return make_gan(SLEGANConfig(**{**RUN, **CONDITIONAL, **settings}))


@pytest.fixture(scope="module")
def generator() -> Generator:
    keras.utils.set_random_seed(0)
    network = Generator(64, width=8, latent=16, classes=NAMES, class_pictures=PICTURES)
    for path, variable in variables_by_path(network).items():
        if path.endswith(("moving_mean", "beta", "weight")):
            variable.assign(np.random.default_rng(len(path)).normal(0, 0.3, variable.shape))
    return network


def test_networks_without_classes_are_what_they_were() -> None:
    """No variable, argument or kernel more."""
    pairs = [
        (Generator(64, width=8, latent=16), Generator(64, width=8, latent=16, classes=NAMES, class_pictures=PICTURES))
    ]
    pairs += [(Discriminator(64, width=8), Discriminator(64, width=8, class_count=3))]
    for plain, conditional in pairs:
        own, more = variables_by_path(plain), variables_by_path(conditional)
        assert own.keys() < more.keys() and all("class" in path for path in more.keys() - own.keys())
        assert not any("class" in name for name in plain.architecture)
    heads = ProjectedDiscriminator(128, (4, 4, 8, 16), 4)
    assert not any("class" in path for path in variables_by_path(heads))
    assert list(heads.architecture) == ["resolution", "map_channels", "width"]


@pytest.mark.parametrize(
    "network",
    [
        lambda: Generator(64, width=8, latent=16, classes=NAMES, class_pictures=PICTURES),
        lambda: Discriminator(64, width=8, class_count=3),
        lambda: ProjectedDiscriminator(128, (4, 4, 8, 16), 4, class_count=3),
    ],
)
def test_kernels_and_files_of_networks_of_classes(network: Any, tmp_path: Path) -> None:
    made_ = network()
    expected = dict(kernels(type(made_).__name__, made_.architecture))
    own = {path: tuple(v.shape) for path, v in variables_by_path(made_).items() if path.endswith("/kernel")}
    assert own == expected
    made_.save_weights(tmp_path / "n.h5")
    again = type(made_)(**made_.architecture)
    again.load_weights(tmp_path / "n.h5")
    for path, variable in variables_by_path(again).items():
        np.testing.assert_array_equal(variable, variables_by_path(made_)[path])
    with pytest.raises(UserError, match="does not fit"):
        type(made_)(**{k: v for k, v in made_.architecture.items() if "class" not in k}).load_weights(tmp_path / "n.h5")


def test_wrong_classes_are_refused() -> None:
    for names, pictures in ((("a", "a"), (1, 1)), (("a", "b"), (1,))):
        with pytest.raises(ValueError, match="different classes"):
            Generator(64, width=8, latent=16, classes=names, class_pictures=pictures)
    with pytest.raises(ValueError, match="list\\[str\\]"):
        list(
            kernels(
                "Generator",
                {"output_resolution": 64, "width": 8, "latent": 16, "channels": 3, "tanh": True, "classes": [1]},
            )
        )


def test_labels_change_what_is_judged_each_picture_by_its_own() -> None:
    keras.utils.set_random_seed(0)
    maps = [
        np.random.default_rng(i).normal(size=(4, 64 // 2**i, 64 // 2**i, c)).astype("float32")
        for i, c in enumerate((4, 4, 8, 16))
    ]
    images = np.random.default_rng(0).uniform(-1, 1, (4, 64, 64, 3)).astype("float32")
    own = Discriminator(64, width=8, class_count=3)
    heads = ProjectedDiscriminator(128, (4, 4, 8, 16), 4, class_count=3)
    for judge in (lambda labels: own(images, labels=labels), lambda labels: heads(*maps, labels=labels)):
        one, other = (ops.convert_to_numpy(judge(np.array(labels))) for labels in ([0, 1, 2, 0], [0, 1, 1, 0]))
        np.testing.assert_allclose(one[[0, 1, 3]], other[[0, 1, 3]], atol=1e-6)
        assert np.abs(one[2] - other[2]).min() > 1e-6
    with pytest.raises(ValueError, match="give labels"):
        heads(*maps)


def test_a_mixed_batch_is_folded_as_the_network_makes_it(generator: Generator) -> None:
    seeds, labels = range(5), [0, 2, 1, 2, 0]
    folded = np.concatenate(list(generate_images(generator, seeds, labels=labels)))
    inputs = list(inputs_of(generator, [Point(sle_gan.seeds.seeded_latents(s, 16), s) for s in seeds]))
    latents, noise = np.stack([i.latents for i in inputs]), [np.stack(m) for m in zip(*(i.noise for i in inputs))]
    direct = generator(latents, noise=noise, labels=np.array(labels))
    direct = np.clip(np.round(127.5 * (ops.convert_to_numpy(direct) + 1)), 0, 255)
    assert np.abs(direct - folded).max() <= 1 and (direct == folded).mean() > 0.99
    for i, label in enumerate(labels):
        alone = np.concatenate(list(generate_images(generator, [seeds[i]], labels=[label])))
        np.testing.assert_array_equal(alone[0], folded[i])  # whatever is beside it
        one = generator.fold().of_class(one_class(label, 3))
        assert one.classes == () and one.latent == 16
        (of_one,) = generate_images(one, [seeds[i]])
        assert np.abs(of_one[0].astype(int) - folded[i]).max() <= 1
    other = np.concatenate(list(generate_images(generator, seeds, labels=[1, 1, 1, 1, 1])))
    assert np.array_equal(other[2], folded[2]) and not np.array_equal(other[0], folded[0])


def test_between_two_classes(generator: Generator) -> None:
    daisy, tulip = one_class(0, 3), one_class(2, 3)
    np.testing.assert_array_equal(between_classes(daisy, tulip, 0.25), [0.75, 0, 0.25])
    (point,) = inputs_of(generator, [Point(np.ones(16, np.float32), 5)])
    way = [point._replace(classes=between_classes(daisy, tulip, share)) for share in (0, 0.5, 1)]
    start, middle, end = np.concatenate(list(generate_from(generator, way))).astype(int)
    assert np.abs(start - end).mean() > max(np.abs(start - middle).mean(), np.abs(end - middle).mean()) > 0
    loop = np.concatenate(list(generation.interpolation(generator, [5, 6], 2, classes=[daisy, tulip])))
    np.testing.assert_array_equal(loop[0], next(generate_images(generator, [5], labels=[0]))[0])


def test_a_generator_of_classes_says_what_it_wants(generator: Generator) -> None:
    with pytest.raises(ValueError, match="give labels"):
        generator(np.zeros((1, 16), np.float32))
    with pytest.raises(ValueError, match="expected 0 to 2"):
        list(generate_images(generator, [0], labels=[3]))
    with pytest.raises(ValueError, match="no classes"):
        list(generate_images(Generator(64, width=8, latent=16), [0], labels=[0]))


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20), st.integers(0, 10**6))
def test_seeds_have_the_classes_of_the_training_pictures(pictures: list[int], first: int) -> None:
    labels = np.array([seeded_class(first + i, pictures) for i in range(500)])
    counts = np.bincount(labels, minlength=len(pictures))
    assert len(counts) == len(pictures)
    expected = 500 * np.array(pictures) / sum(pictures)
    assert np.abs(counts - expected).max() < 6


@pytest.mark.parametrize("model", sorted(CLASSES))
def test_each_phase_moves_its_own_with_labels(model: str) -> None:
    keras.utils.set_random_seed(0)
    gan = make(CLASSES[model])
    batch, random = (ops.convert_to_tensor(IMAGES[:6]), ops.convert_to_tensor(LABELS[:6])), RandomStream(0, 0, step=0)
    before = numbers(gan.state())
    changed = moved(gan, lambda: gan.train_step(batch, random))
    judges = {"discriminator", "heads"} & gan.networks.keys()
    assert {"generator", "generator_ema", *judges} <= changed
    for name, value in numbers(gan.state()).items():
        if "class" in name and name.endswith("kernel"):
            assert not np.array_equal(value, before[name]), name


def test_the_generated_pictures_of_a_step_are_of_the_classes_of_its_batch() -> None:
    gan, random = made(), RandomStream(0, 0, step=0)
    one = gan.generate_fakes(4, random, ops.convert_to_tensor(LABELS[:4]))
    again = gan.generate_fakes(4, random, ops.convert_to_tensor(LABELS[:4]))
    other = gan.generate_fakes(4, random, ops.convert_to_tensor(LABELS[4:8]))
    np.testing.assert_array_equal(one[0], again[0])
    assert np.abs(ops.convert_to_numpy(one[0]) - ops.convert_to_numpy(other[0])).max() > 1e-3


@pytest.mark.slow
def test_many_steps_in_a_call_and_resident_labels_change_no_bit() -> None:
    rows = [np.arange(4 * k, 4 * k + 4, dtype=np.int32) for k in range(3)]
    batches = [(IMAGES[each], LABELS[each]) for each in rows]
    devices = engine.Devices()
    gan = made()
    step = compile_step(gan, devices)
    logs = [step([batch], k)[0] for k, batch in enumerate(batches)]
    expected = numbers(gan.state())
    for resident, feed in ((None, batches), ([IMAGES, LABELS], [(each, each) for each in rows])):
        gan = made(steps_per_call=2)
        assert compile_step(gan, devices, resident)(feed, 0) == logs
        for name, value in numbers(gan.state()).items():
            np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_accumulation_takes_labels_and_trains_on_them() -> None:
    """Batch norm sees one part at a time: the losses are near those of the whole batch, not equal to them."""
    whole, parts = made(), made(gradient_accumulation=2)
    before, step = numbers(parts.state()), compile_step(parts, engine.Devices())
    (logs,) = step([(IMAGES[:4], LABELS[:4])], 0)
    assert logs.keys() == whole.train_step((IMAGES[:4], LABELS[:4]), RandomStream(0, 0, step=0)).keys()
    for name, value in numbers(parts.state()).items():
        if name.startswith(("generator/class", "discriminator/class")) and name.endswith("kernel"):
            assert not np.array_equal(value, before[name]), name
    restore(parts, before)
    (other,) = step([(IMAGES[:4], LABELS[:4][::-1].copy())], 0)
    assert other["real"] != logs["real"]


@pytest.mark.parametrize("precision", ["bfloat16"])
def test_mixed_precision_with_labels(precision: str) -> None:
    gan = made(mixed_precision=precision)
    logs = gan.train_step((IMAGES[:4], LABELS[:4]), RandomStream(0, 0, step=0))
    assert all(np.isfinite(float(value)) for value in logs.values())
    assert {variable.dtype for name, variable in gan.state().items() if "class" in name} == {"float32"}


def test_weights_without_classes_start_a_run_with_some(tmp_path: Path) -> None:
    keras.utils.set_random_seed(1)
    plain = make_gan(SLEGANConfig(**RUN))
    plain.averaged.save_weights(tmp_path / "generator_weights.h5")
    plain.discriminator.save_weights(tmp_path / "discriminator_weights.h5")
    gan = made()
    loaded = {each.network: each for each in transfer.start_from(gan, transfer.read_source(str(tmp_path)))}
    assert set(loaded["generator"].new) == {"class_embedding", "project_class"}
    assert set(loaded["discriminator"].new) == {"classes", "small_classes", "to_class", "to_small_class"}
    assert not loaded["generator"].unused and "new: class_embedding, project_class" in str(loaded["generator"])
    theirs, ours = variables_by_path(plain.averaged), variables_by_path(gan.generator)
    for path, variable in theirs.items():
        np.testing.assert_array_equal(ours[path], variable)


def test_a_source_with_classes_leaves_its_classes_behind(tmp_path: Path) -> None:
    made().averaged.save_weights(tmp_path / "generator_weights.h5")
    settings = transfer.read_source(str(tmp_path), settings_only=True).settings
    assert settings["resolution"] == 64 and not [name for name in settings if "class" in name]


def test_previews_have_a_row_for_each_class() -> None:
    gan = made()
    samples = gan.previews([IMAGES[:6]])["samples"]
    assert samples.shape[0] == 3 * 66 + 2 and samples.shape[1] > 8 * 66


def test_fastgan_knows_no_classes(generator: Generator) -> None:
    pytest.importorskip("torch")
    from sle_gan.convert.checkpoint import Converted
    from sle_gan.gans.slegan.to_fastgan import save_fastgan
    from sle_gan.weights import arrays_by_path

    architecture = {**generator.architecture, "output_resolution": 256}
    converted = Converted("Generator", architecture, arrays_by_path(generator))
    with pytest.raises(UserError, match="know no classes"):
        save_fastgan("out.pth", {"generator": converted})
