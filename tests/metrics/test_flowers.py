"""Real pictures, real features: every number moves the way it should."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from sle_gan.features import FeatureExtractor
from sle_gan.metrics import (
    ImageFolder,
    frechet_distance,
    kernel_distance,
    memorization_distance,
    precision_recall,
)

RANDOM = np.random.default_rng(0)


def test_halves_are_near_and_other_classes_are_far(flower_features: np.ndarray):
    shuffled = RANDOM.permutation(flower_features)
    halves = frechet_distance(shuffled[:680], shuffled[680:])
    classes = frechet_distance(flower_features[:640], flower_features[640:])
    assert halves == pytest.approx(3.6, abs=0.3)
    assert classes == pytest.approx(21.4, abs=0.5)
    near = kernel_distance(shuffled[:680], shuffled[680:], subsets=20)
    far = kernel_distance(flower_features[:640], flower_features[640:], subsets=20)
    assert abs(near.mean) < 3 * near.std < far.mean


@pytest.fixture(scope="module")
def pictures(flowers: ImageFolder) -> list[Image.Image]:
    """64 pictures of all classes, small enough to be quick."""
    chosen = [Image.fromarray(flowers.load(name)) for name in flowers.names[::21]]  # type: ignore[arg-type]
    return [image.resize((224, 224)) for image in chosen][:64]


def test_distances_grow_with_blur(
    pictures: list[Image.Image], mobilenet: FeatureExtractor, flower_features: np.ndarray
):
    real = flower_features[::4]
    distances = [
        frechet_distance(
            real,
            mobilenet([np.asarray(image.filter(ImageFilter.GaussianBlur(radius))) for image in pictures]),
        )
        for radius in (0, 2, 4)
    ]
    assert distances == sorted(distances)
    assert distances[-1] > 2 * distances[0]


def test_distances_grow_with_noise(
    pictures: list[Image.Image], mobilenet: FeatureExtractor, flower_features: np.ndarray
):
    real, distances = flower_features[::4], []
    for strength in (0, 30, 80):
        noisy = [np.asarray(image) + strength * RANDOM.standard_normal((224, 224, 3)) for image in pictures]
        features = mobilenet([np.clip(image, 0, 255).astype(np.uint8) for image in noisy])
        kid = kernel_distance(real, features, subsets=20).mean
        distances.append((frechet_distance(real, features), kid))
    assert distances == sorted(distances)
    assert [kid for _, kid in distances] == sorted(kid for _, kid in distances)


def test_mode_collapse_shows_in_distance_and_recall_but_not_in_precision(flower_features: np.ndarray):
    """Generators that know ever fewer classes, 320 images each."""
    shuffled = [RANDOM.permutation(flower_features[80 * i : 80 * i + 80]) for i in range(17)]
    real = np.concatenate([features[:40] for features in shuffled])
    distances, precisions, recalls = [], [], []
    for classes in (16, 8, 4, 2):
        # The other half of each class, so that precision is not that of copies; 640 images are thinned out to
        # 320, 80 are repeated.
        pool = np.concatenate([features[40:] for features in shuffled[:classes]])
        fake = pool[np.arange(320) * len(pool) // 320]
        noise = 1e-3 * RANDOM.standard_normal(fake.shape)  # no two alike
        distances.append(frechet_distance(real, fake))
        precision, recall = precision_recall(real, fake + noise)
        precisions.append(precision)
        recalls.append(recall)
    assert distances == sorted(distances)
    assert recalls == sorted(recalls, reverse=True) and recalls[-1] < recalls[0] / 3
    assert min(precisions) > 0.8 * precisions[0]


def test_copies_of_training_pictures_are_seen(flower_features: np.ndarray):
    shuffled = RANDOM.permutation(flower_features)
    training, others = shuffled[:680], shuffled[680:]
    copies = training[:340] + 1e-3 * RANDOM.standard_normal((340, 1024)).astype(np.float32)
    honest, copied = memorization_distance(training, others), memorization_distance(training, copies)
    assert copied < 0.01 < honest
    half = np.concatenate([copies[:170], others[:170]])
    assert copied < memorization_distance(training, half) < honest


def test_order_does_not_change_a_result(flower_features: np.ndarray):
    real, fake = flower_features[:640], flower_features[640:]
    order = RANDOM.permutation(640)
    assert frechet_distance(real[order], fake) == pytest.approx(frechet_distance(real, fake), rel=1e-6)
    assert precision_recall(real[order], fake) == precision_recall(real, fake)
    assert memorization_distance(real[order], fake) == pytest.approx(memorization_distance(real, fake), rel=1e-6)
