"""Images to features: resizing, batching, MobileNet's weights."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sle_gan.errors import UserError
from sle_gan.features import FeatureExtractor, load_extractor, load_maps
from sle_gan.features.resize import resize_bilinear

RANDOM = np.random.default_rng(0)


def picture(height: int, width: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_resize_by_hand():
    # Two pixels to four: centres at -0.25, 0.25, 0.75, 1.25; the outer two lie beyond and take the edge.
    image = np.zeros((2, 2, 3), np.uint8)
    image[:, 1] = 100
    np.testing.assert_allclose(resize_bilinear(image, 4)[0, :, 0], [0, 25, 75, 100])
    # Four to two without antialiasing: the mean of the two pixels around each centre.
    image = np.repeat(np.array([0, 10, 40, 80], np.uint8)[None, :, None], 3, axis=2).repeat(4, axis=0)
    np.testing.assert_allclose(resize_bilinear(image, 2)[0, :, 0], [5, 60])


@pytest.mark.parametrize("size", [(7, 5), (256, 256), (299, 299), (500, 333), (1, 1)])
def test_resize_equals_pytorch(size: tuple[int, int]):
    torch = pytest.importorskip("torch", reason="needs the extra torch")
    image = picture(*size)
    tensor = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    expected = torch.nn.functional.interpolate(tensor, size=(299, 299), mode="bilinear", align_corners=False)
    np.testing.assert_allclose(resize_bilinear(image, 299), expected[0].permute(1, 2, 0).numpy(), atol=1e-3)


def test_features_do_not_depend_on_batches_or_order(mobilenet: FeatureExtractor):
    images = np.stack([picture(64, 64) for _ in range(37)])
    together = mobilenet(images)
    assert together.shape == (37, 1024) and together.dtype == np.float32
    tolerance = 1e-6 * np.abs(together).max()
    np.testing.assert_allclose(mobilenet(images[5:6])[0], together[5], rtol=0, atol=tolerance)
    np.testing.assert_allclose(mobilenet(images[::-1])[::-1], together, rtol=0, atol=tolerance)
    alone = np.concatenate([mobilenet(images[start : start + 9]) for start in range(0, 37, 9)])
    np.testing.assert_allclose(alone, together, rtol=0, atol=tolerance)


def test_pictures_of_many_sizes_share_a_batch(mobilenet: FeatureExtractor):
    pictures = [picture(30, 50), picture(224, 224), picture(9, 8)]
    together = mobilenet(pictures)
    for i, alone in enumerate(pictures):
        np.testing.assert_allclose(mobilenet(alone[None])[0], together[i], rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((2, 8, 8, 1), np.uint8),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 0, 8, 3), np.uint8),
        np.zeros((0, 8, 8, 3), np.uint8),
    ],
)
def test_bad_images_are_an_error(mobilenet: FeatureExtractor, images: np.ndarray):
    with pytest.raises(UserError, match=r"expected uint8|empty set"):
        mobilenet(images)


def test_mixed_precision_and_layout_of_the_training_do_not_reach_the_features(
    mobilenet: FeatureExtractor, mobilenet_weights: Path
):
    import keras

    keras.config.set_dtype_policy("mixed_float16")
    try:
        other = load_extractor("mobilenet", mobilenet_weights)
    finally:
        keras.config.set_dtype_policy("float32")
    images = picture(64, 64)[None]
    np.testing.assert_array_equal(other(images), mobilenet(images))


def test_batch_size_is_a_matter_of_speed(mobilenet: FeatureExtractor, mobilenet_weights: Path):
    other = load_extractor("mobilenet", mobilenet_weights, batch_size=3)
    images = np.stack([picture(64, 64) for _ in range(5)])
    expected = mobilenet(images)
    np.testing.assert_allclose(other(images), expected, rtol=0, atol=1e-6 * np.abs(expected).max())
    assert other.version == mobilenet.version


def test_unknown_extractors_and_sizes_are_errors(mobilenet_weights: Path):
    with pytest.raises(UserError, match="expected one of inception, mobilenet, efficientnet_lite0"):
        load_extractor("clip")
    with pytest.raises(UserError, match="batch size 0"):
        load_extractor("mobilenet", mobilenet_weights, batch_size=0)


def test_weights_come_from_the_environment(
    mobilenet: FeatureExtractor, mobilenet_weights: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SLE_GAN_FEATURES_WEIGHTS", str(mobilenet_weights))
    assert load_extractor("mobilenet").version == mobilenet.version


@pytest.fixture(scope="module")
def keras_mobilenet(mobilenet_weights: Path):
    """Keras's own network, and proof that Keras's own loading did load."""
    import keras

    full = keras.applications.MobileNet(input_shape=(224, 224, 3), include_top=False, weights=None)
    network = keras.Model(full.input, full.get_layer("conv_pw_12_relu").output)
    network.load_weights(mobilenet_weights)
    assert np.std(network.get_layer("conv1_bn").get_weights()[2]) > 0  # moving means start as zeros
    return network


def test_equals_the_network_of_keras_applications(mobilenet: FeatureExtractor, keras_mobilenet):
    images = np.stack([picture(224, 224) for _ in range(3)])
    expected = keras_mobilenet.predict(images / np.float32(127.5) - 1, verbose=0).mean(axis=(1, 2))
    np.testing.assert_allclose(mobilenet(images), expected, rtol=0, atol=1e-5 * expected.max())


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (load_extractor, r"with --features-weights; \(3\) set SLE_GAN_FEATURES_WEIGHTS"),
        (load_maps, r"with --feature-weights; \(3\) take --feature-network efficientnet_lite0"),
    ],
)
def test_without_a_network_the_message_names_the_flag_of_what_was_started(load, words, monkeypatch):
    def unreachable(url: str, target: Path) -> Path:
        raise OSError("no route")

    monkeypatch.setattr("sle_gan.features.mobilenet.download", unreachable)
    with pytest.raises(UserError, match=rf"no route.*go online once; .*{words}"):
        load("mobilenet")


def test_the_download_of_keras_applications_fits(mobilenet: FeatureExtractor, keras_mobilenet, tmp_path: Path):
    """Its file is in the older layout: layers by name."""
    import h5py

    path = tmp_path / "mobilenet_1_0_224_tf_no_top.h5"
    layers = [layer for layer in keras_mobilenet.layers if layer.weights]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0" for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, layer.get_weights()):
                group[name] = values
    assert load_extractor("mobilenet", path).version == mobilenet.version
    with h5py.File(path, "r+") as file:
        file["conv1"].attrs["weight_names"] = [b"narrow"]
        file["conv1"]["narrow"] = np.zeros((3, 3, 3, 16), np.float32)
    with pytest.raises(UserError, match="conv1 has arrays of shapes"):
        load_extractor("mobilenet", path)


def test_a_file_of_another_network_is_refused(tmp_path: Path):
    import keras

    other = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
    path = tmp_path / "other.weights.h5"
    other.save_weights(path)
    with pytest.raises(UserError, match="holds no MobileNet weights"):
        load_extractor("mobilenet", path)


def test_importing_the_metrics_loads_no_backend():
    code = "import sys, sle_gan.features, sle_gan.metrics, sle_gan.cli.evaluate\n"
    code += "print({'keras', 'tensorflow', 'jax'} & set(sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"
    assert importlib.util.find_spec("keras") is not None
