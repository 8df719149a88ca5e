"""Pictures from a trained generator: image k depends on its own seed and on nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import keras
import numpy as np

from sle_gan import engine, pixels, weights
from sle_gan.errors import UserError
from sle_gan.gans import GANS, find_network, network_class
from sle_gan.models.folded import Folded, Stage, TensorOperations, Weights, run

# Images whose small maps are computed together, where most of the work is to read the kernels. Constant, and the
# last group is filled up, because the kernels for different batch sizes differ in the last bits: an image must
# not depend on how many others were asked for.
GROUP = 4

# Up to this size maps are small. Larger ones are computed for fewer images at once on a CPU, where four are 2 % faster
# than two, and two 5 % faster than one, for 0.1 GB each at 512 pixels. Other devices want more work at once.
SMALL = 64
TOGETHER_ON_CPU = 2


class ImageGenerator(Protocol):
    """What this module asks of a generator.

    Beside these it has `fold()`, which gives the generator as it is now in the form that only generates, or where
    there is no such form `inference`, a function of latents and noise maps.
    """

    @property
    def latent(self) -> int: ...
    @property
    def noise_sizes(self) -> list[int]: ...


def load_generator(path: str | Path) -> Any:
    """Builds the network that a weights file names; see `sle_gan.gans`.

    Args:
        path: a generator_weights.h5, or a PyTorch checkpoint of FastGAN (.pth) or of huggan's lightweight GAN
            (model.pt, pytorch_model.bin), which needs the extra `torch`.

    Returns:
        The generator, built and loaded: for `generate_images`, or to be called with latents (B, latent).

    Raises:
        UserError: if the file is missing, damaged, or holds another network.

    Example:
        >>> import sle_gan
        >>> sle_gan.Generator(64, width=8, latent=16).save_weights("generator_weights.h5")
        >>> sle_gan.load_generator("generator_weights.h5").output_resolution
        64
    """
    make, architecture, arrays, described = _read(path)
    try:
        generator = make(**architecture)
    except (TypeError, ValueError) as error:
        raise UserError(f"{path} holds {described}, which this version cannot build: {error}") from error
    weights.assign(weights.variables_by_path(generator), arrays, f"{path} is damaged")
    return generator


def load_folded(path: str | Path) -> Any:
    """Like `load_generator`, for `generate_images` alone: in less time and memory, as no network is made.

    Args:
        path: as there.

    Returns:
        A `Folded`; the network itself where it has no such form (a lightweight GAN's attention has none).

    Raises:
        UserError: as there.
    """
    make, architecture, arrays, described = _read(path)
    if not hasattr(make, "fold_arrays"):
        return load_generator(path)
    try:
        return make.fold_arrays(Weights(arrays, f"{path} is damaged"), architecture)
    except UserError:
        raise
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(f"{path} holds {described}, which this version cannot build: {error}") from error


def _read(path: str | Path) -> tuple[Any, dict[str, Any], dict[str, np.ndarray], str]:
    """Class, architecture, arrays and description of the generator in a file."""
    from sle_gan.convert import convert_torch, is_torch_file

    if is_torch_file(path):
        name, architecture, arrays = convert_torch(path)["generator"]
    else:
        name, architecture, arrays = weights.read(path)
    gan, described = find_network(name), weights.describe(name, architecture)
    if gan is None or not GANS[gan].networks[name].from_latents:
        raise UserError(f"{path} holds {described}, not a generator")
    return network_class(name), architecture, arrays, described


def create_input_noise(batch_size: int, latent: int = 256, seed: int | None = None) -> np.ndarray:
    """Latent vectors from N(0, 1); new ones each time unless seeded.

    Args:
        batch_size: how many.
        latent: length of one; the generator's own, 256 by default.
        seed: non-negative; the same seed gives the same vectors.

    Returns:
        An array (batch_size, latent) float32.

    Raises:
        ValueError: for a negative number.

    Example:
        >>> import sle_gan
        >>> sle_gan.create_input_noise(2, seed=0).shape
        (2, 256)
    """
    return np.random.default_rng(seed).standard_normal((batch_size, latent), dtype=np.float32)


def postprocess_images(images: Any, dtype: Any = "uint8") -> Any:
    """Generator outputs in (-1, 1) -> pictures 0..255, rounded and clipped.

    Args:
        images: float tensor of any shape.
        dtype: of the result, a Keras or TensorFlow dtype; "uint8" or a float type.

    Returns:
        A tensor of the engine, same shape.

    Raises:
        ValueError: for a dtype that does not exist.

    Example:
        >>> import numpy as np
        >>> import sle_gan
        >>> np.array(sle_gan.postprocess_images(np.array([-1.0, 0.0, 1.0], "float32")))
        array([  0, 128, 255], dtype=uint8)
    """
    return keras.ops.cast(pixels.to_uint8(images), keras.backend.standardize_dtype(dtype))


def seeded_latents(seed: int, latent: int, truncation: float | None = None) -> np.ndarray:
    """The latent vector (latent,) of an image's seed; with truncation, values beyond it are drawn again.

    Truncation as in BigGAN (arXiv 1809.11096, section 3.1): less variety, more typical images.
    """
    random = np.random.default_rng([seed, 0])
    values = random.standard_normal(latent, dtype=np.float32)
    while truncation is not None and (outside := np.abs(values) > truncation).any():
        values[outside] = random.standard_normal(int(outside.sum()), dtype=np.float32)
    return values


def seeded_noise(seed: int, sizes: Sequence[int]) -> list[np.ndarray]:
    """The noise maps (size, size, 1) of an image's seed, independent of its latents."""
    random = np.random.default_rng([seed, 1])
    return [random.standard_normal((size, size, 1), dtype=np.float32) for size in sizes]


def generate_images(
    generator: ImageGenerator, seeds: Iterable[int], truncation: float | None = None
) -> Iterator[np.ndarray]:
    """Generates one image for each seed.

    Args:
        generator: built and loaded.
        seeds: non-negative integers, one for each image; consumed as the images are, one group ahead.
        truncation: draw latent values beyond this again: less variety, more typical images. Below 0.1 it takes long.

    Yields:
        uint8 arrays (b, R, R, C), b <= 4, in the order of the seeds. An image depends on its seed and on nothing
        else. The weights are read when the first images are asked for.

    Raises:
        ValueError: for a negative seed.

    Example:
        >>> import sle_gan
        >>> generator = sle_gan.Generator(64, width=8, latent=16)
        >>> [images.shape for images in sle_gan.generate_images(generator, seeds=range(5))]
        [(4, 64, 64, 3), (1, 64, 64, 3)]
    """

    def inputs() -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        for seed in seeds:
            yield (
                seeded_latents(seed, generator.latent, truncation),
                seeded_noise(seed, generator.noise_sizes),
            )

    yield from generate_from(generator, inputs())


def generate_from(
    generator: ImageGenerator, inputs: Iterable[tuple[np.ndarray, list[np.ndarray]]]
) -> Iterator[np.ndarray]:
    """Generates images from pairs of a latent vector (latent,) and its noise maps (size, size, 1).

    The generator's weights are read when the first images are asked for.
    """
    generate = None
    for count, latents, noise in _made_ahead(_groups(inputs)):
        generate = generate or _group_function(generator)
        yield generate(latents, noise)[:count]


def _groups(
    inputs: Iterable[tuple[np.ndarray, list[np.ndarray]]],
) -> Iterator[tuple[int, np.ndarray, list[np.ndarray]]]:
    """How many images a group has, and the latents and noise maps of `GROUP` images, the last one's repeated."""
    source = iter(inputs)
    while group := list(islice(source, GROUP)):
        padded = group + [group[-1]] * (GROUP - len(group))
        latents = np.stack([latents for latents, _ in padded])
        yield len(group), latents, [np.stack(maps) for maps in zip(*(maps for _, maps in padded))]


def _made_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """The items, each made in a thread while the one before it is in use.

    An image of 512 pixels wants half a million numbers of noise, which take a core a tenth of the image's time.
    """
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item


def _group_function(generator: Any) -> Callable[[np.ndarray, list[np.ndarray]], np.ndarray]:
    """Latents and noise maps of `GROUP` images -> the images (GROUP, R, R, C) uint8."""
    if hasattr(generator, "fold"):
        return functools.partial(_generate_folded, generator.fold().on_device())

    def generate(latents: np.ndarray, noise: list[np.ndarray]) -> np.ndarray:
        return keras.ops.convert_to_numpy(pixels.to_uint8(generator.inference(latents, noise)))

    return generate


def _generate_folded(folded: Folded, latents: np.ndarray, noise: list[np.ndarray]) -> np.ndarray:
    low, high = folded.split(SMALL)
    start, finish = _compiled(low.stages, not high.stages), _compiled(high.stages, True)
    count = sum(stage.noise for stage in low.stages)
    x, gates = start(low.arrays, latents, noise[:count], {})
    if not high.stages:
        return keras.ops.convert_to_numpy(x)
    together = TOGETHER_ON_CPU if engine.on_cpu() else GROUP
    images = []
    for i in range(0, GROUP, together):
        part = slice(i, i + together)
        y, _ = finish(
            high.arrays,
            x[part],
            [maps[part] for maps in noise[count:]],
            {size: gate[part] for size, gate in gates.items()},
        )
        images.append(keras.ops.convert_to_numpy(y))
    return np.concatenate(images)


@functools.lru_cache(maxsize=16)
def _compiled(stages: tuple[Stage, ...], last: bool) -> Callable[..., Any]:
    """(arrays, x, noises, gates) -> what `run` returns, with images (B, R, R, C) uint8 if these are the last stages.

    Compiled for the architecture, not for the weights: those of a training run change between its previews.
    """
    operations = TensorOperations()

    def compute(arrays: Any, x: Any, noises: Any, gates: Any) -> Any:
        y, gates = run(operations, stages, arrays, x, noises, gates)
        return (pixels.to_uint8(y) if last else y), gates

    return engine.compile_function(compute)


def interpolation(
    generator: ImageGenerator, seeds: Sequence[int], frames: int, truncation: float | None = None
) -> Iterator[np.ndarray]:
    """A loop through the images of the seeds, spherically interpolated, and back to the first.

    Args:
        seeds: two or more key images.
        frames: frames from each key image to the next.

    Yields:
        uint8 arrays (b, R, R, C); len(seeds) * frames frames in all. The noise is that of the first
        seed throughout, so that nothing flickers.
    """
    keys = [seeded_latents(seed, generator.latent, truncation) for seed in seeds]
    noise = seeded_noise(seeds[0], generator.noise_sizes)
    path = (
        (slerp(start, end, frame / frames), noise)
        for start, end in zip(keys, keys[1:] + keys[:1])
        for frame in range(frames)
    )
    yield from generate_from(generator, path)


def slerp(start: np.ndarray, end: np.ndarray, t: float) -> np.ndarray:
    """Spherical interpolation between two vectors, t in 0..1; their lengths are interpolated linearly.

    A straight line between two Gaussian vectors passes shorter ones than a Gaussian ever gives.
    """
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    cosine = np.clip(np.dot(start / lengths[0], end / lengths[1]), -1.0, 1.0)
    angle = np.arccos(cosine)
    if np.sin(angle) < 1e-6:
        return (start + t * (end - start)).astype(np.float32)
    weights_ = np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    direction = weights_[0] * start / lengths[0] + weights_[1] * end / lengths[1]
    return (direction * (lengths[0] + t * (lengths[1] - lengths[0]))).astype(np.float32)
