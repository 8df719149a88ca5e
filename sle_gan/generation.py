"""Pictures from a trained generator: image k depends on its own seed and on nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np

from sle_gan import engine
from sle_gan.models.folded import Folded, Stage, TensorOperations, run
from sle_gan.pictures import labelled_rows, pixels
from sle_gan.seeds import seeded_class, seeded_latents, seeded_noise, slerp
from sle_gan.shapes import Size

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
    def noise_sizes(self) -> list[Size]: ...


class Inputs(NamedTuple):
    """All that an image is made of.

    Attributes:
        latents: (latent,) float32.
        noise: maps (H, W, 1) float32, one for each of the generator's `noise_sizes`.
        gates: factors (1, 1, G) float32 in place of those that the generator makes of the latents, by the size of the
            maps that they are for; of none, some or all of the generator's `gate_widths`.
        classes: (classes,) float32, the weights of a generator's classes: 1 for one of them, or a mixture; None of a
            generator that knows none.
    """

    latents: np.ndarray
    noise: list[np.ndarray]
    gates: Mapping[int, np.ndarray] = MappingProxyType({})
    classes: np.ndarray | None = None


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


def generate_images(
    generator: ImageGenerator,
    seeds: Iterable[int],
    truncation: float | None = None,
    labels: Iterable[int] | None = None,
) -> Iterator[np.ndarray]:
    """Generates one image for each seed.

    Args:
        generator: built and loaded.
        seeds: non-negative integers, one for each image; consumed as the images are, one group ahead.
        truncation: draw latent values beyond this again: less variety, more typical images. Below 0.1 it takes long.
        labels: of a generator that was taught classes, the class of each image, an index of `generator.classes`; by
            default each seed has one (`sle_gan.seeds.seeded_class`), all together as often as in the training pictures.

    Yields:
        uint8 arrays (b, H, W, C), b <= 4, in the order of the seeds. An image depends on its seed and on nothing
        else. The weights are read when the first images are asked for.

    Raises:
        ValueError: for a negative seed.

    Example:
        >>> import sle_gan
        >>> generator = sle_gan.Generator(64, width=8, latent=16)
        >>> [images.shape for images in sle_gan.generate_images(generator, seeds=range(5))]
        [(4, 64, 64, 3), (1, 64, 64, 3)]
    """

    pictures = getattr(generator, "class_pictures", ())
    if labels is not None and not pictures:
        raise ValueError("this generator was taught no classes; leave labels out")

    def inputs() -> Iterator[Inputs]:
        given = None if labels is None else iter(labels)
        for seed in seeds:
            yield Inputs(
                seeded_latents(seed, generator.latent, truncation),
                seeded_noise(seed, generator.noise_sizes),
                classes=one_class(next(given) if given else seeded_class(seed, pictures), len(pictures))
                if pictures
                else None,
            )

    yield from generate_from(generator, inputs())


def one_class(label: int, count: int) -> np.ndarray:
    """Weights (count,) float32 that are 1 for one class. Raises a ValueError where there is none of that number."""
    if not 0 <= label < count:
        raise ValueError(f"the class {label}: expected 0 to {count - 1}")
    return np.eye(1, count, label, dtype=np.float32)[0]


def between_classes(start: np.ndarray, end: np.ndarray, share: float) -> np.ndarray:
    """Weights (classes,) float32 on the straight way from `start` to `end`; their sum stays 1."""
    return np.float32(1.0 - share) * start + np.float32(share) * end


def spread_classes(classes: Sequence[str], most: int = 24) -> list[int]:
    """All classes, or `most` of them at equal distances."""
    return [int(i) for i in np.linspace(0, len(classes) - 1, min(most, len(classes)))]


def class_grid(
    generator: Any, labels: Sequence[int], columns: int = 8, seed: int = 0, truncation: float | None = None
) -> np.ndarray:
    """A picture (H, W, 3 | 4) uint8 with a row for each class, its name before it; each column is of one seed."""
    seeds = [seed + column for _ in labels for column in range(columns)]
    each = [label for label in labels for _ in range(columns)]
    images = np.concatenate(list(generate_images(generator, seeds, truncation, each)))
    return labelled_rows(images, [generator.classes[label] for label in labels], columns)


def generate_from(generator: ImageGenerator, inputs: Iterable[Inputs]) -> Iterator[np.ndarray]:
    """Generates images from what they are made of; all name gates of the same sizes.

    The generator's weights are read when the first images are asked for. Where it was taught classes, all name some.
    """
    generate = None
    for count, group in _made_ahead(_groups(inputs)):
        generate = generate or _group_function(generator)
        yield generate(group)[:count]


def gates_from(generator: Any, inputs: Iterable[Inputs]) -> Iterator[dict[int, np.ndarray]]:
    """The gates (1, 1, G) that images are made with, by the size of the maps that they are for.

    Args:
        generator: with `gate_widths`, a `Folded` or a network that has no such form.
        inputs: all name gates of the same sizes, which are among the results as they are.
    """
    make = None
    for count, group in _made_ahead(_groups(inputs)):
        make = make or _gates_function(generator)
        made = {size: keras.ops.convert_to_numpy(gate) for size, gate in make(group).items()}
        for i in range(count):
            yield {size: gate[i] for size, gate in made.items()}


def _groups(inputs: Iterable[Inputs]) -> Iterator[tuple[int, Inputs]]:
    """How many images a group has, and the inputs of `GROUP` images with a batch axis, the last one's repeated."""
    source = iter(inputs)
    while group := list(islice(source, GROUP)):
        padded = group + [group[-1]] * (GROUP - len(group))
        yield (
            len(group),
            Inputs(
                np.stack([each.latents for each in padded]),
                [np.stack(maps) for maps in zip(*(each.noise for each in padded))],
                {size: np.stack([each.gates[size] for each in padded]) for size in group[0].gates},
                np.stack([each.classes for each in padded if each.classes is not None])
                if group[0].classes is not None
                else None,
            ),
        )


def _made_ahead(items: Iterator[Any]) -> Iterator[Any]:
    """The items, each made in a thread while the one before it is in use.

    An image of 512 pixels wants half a million numbers of noise, which take a core a tenth of the image's time.
    """
    with ThreadPoolExecutor(1) as thread:
        following = thread.submit(next, items, None)
        while (item := following.result()) is not None:
            following = thread.submit(next, items, None)
            yield item


def _group_function(generator: Any) -> Callable[[Inputs], np.ndarray]:
    """The inputs of `GROUP` images -> the images (GROUP, H, W, C) uint8."""
    if hasattr(generator, "fold"):
        return functools.partial(_generate_folded, generator.fold().on_device())

    def generate(group: Inputs) -> np.ndarray:
        gates = [dict(group.gates)] if group.gates else []
        return keras.ops.convert_to_numpy(pixels.to_uint8(generator.inference(group.latents, group.noise, *gates)))

    return generate


def _gates_function(generator: Any) -> Callable[[Inputs], dict[int, Any]]:
    """The inputs of `GROUP` images -> their gates (GROUP, 1, 1, G)."""
    if not hasattr(generator, "fold"):
        return lambda group: generator.gates_inference(group.latents, group.noise, dict(group.gates))
    folded = generator.fold().on_device()
    count = 1 + max(i for i, stage in enumerate(folded.stages) if stage.excites is not None)
    stages = folded.stages[:count]
    noises = sum(stage.noise for stage in stages)
    compute = _compiled_gates(stages)
    return lambda group: compute(
        folded.arrays[:count], _with_classes(folded, group), group.noise[:noises], dict(group.gates)
    )


def _with_classes(folded: Folded, group: Inputs) -> np.ndarray:
    """The latents, and of a generator of classes the vectors of these behind them: (GROUP, latent + E)."""
    if not folded.class_vectors:
        return group.latents
    if group.classes is None:
        raise ValueError(f"the generator makes {len(folded.classes)} classes; say which, or take `of_class`")
    return np.concatenate([group.latents, group.classes @ folded.class_vectors.vectors], 1)


def _generate_folded(folded: Folded, group: Inputs) -> np.ndarray:
    latents = _with_classes(folded, group)
    low, high = folded.split(SMALL)
    start, finish = _compiled(low.stages, not high.stages), _compiled(high.stages, True)
    count, noise = sum(stage.noise for stage in low.stages), group.noise
    x, gates = start(low.arrays, latents, noise[:count], dict(group.gates))  # all gates are of small maps
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
    """(arrays, x, noises, gates) -> what `run` returns, with images (B, H, W, C) uint8 if these are the last stages.

    The gates are those that earlier stages left, and those to use in place of what these stages would make.

    Compiled for the architecture, not for the weights: those of a training run change between its previews.
    """
    operations = TensorOperations()

    def compute(arrays: Any, x: Any, noises: Any, gates: Any) -> Any:
        y, left = run(operations, stages, arrays, x, noises, gates, lambda size, made: gates.get(size, made))
        return (pixels.to_uint8(y) if last else y), left

    return engine.compile_function(compute)


@functools.lru_cache(maxsize=16)
def _compiled_gates(stages: tuple[Stage, ...]) -> Callable[..., Any]:
    """(arrays, latents, noises, gates) -> the gates that the stages make, or those given in their place."""

    def compute(arrays: Any, latents: Any, noises: Any, given: Any) -> dict[int, Any]:
        used: dict[int, Any] = {}

        def steer(size: int, made: Any) -> Any:
            used[size] = given.get(size, made)
            return used[size]

        run(TensorOperations(), stages, arrays, latents, noises, given, steer)
        return used

    return engine.compile_function(compute)


def interpolation(
    generator: ImageGenerator,
    seeds: Sequence[int],
    frames: int,
    truncation: float | None = None,
    classes: Sequence[np.ndarray] | None = None,
) -> Iterator[np.ndarray]:
    """A loop through the images of the seeds, spherically interpolated, and back to the first.

    Args:
        seeds: two or more key images.
        frames: frames from each key image to the next.
        classes: of a generator that was taught some, the weights (classes,) of each key image's classes; by default
            those of the seeds.

    Yields:
        uint8 arrays (b, H, W, C); len(seeds) * frames frames in all. The noise is that of the first
        seed throughout, so that nothing flickers.
    """
    keys = [seeded_latents(seed, generator.latent, truncation) for seed in seeds]
    noise = seeded_noise(seeds[0], generator.noise_sizes)
    pictures = getattr(generator, "class_pictures", ())
    if pictures and classes is None:
        classes = [one_class(seeded_class(seed, pictures), len(pictures)) for seed in seeds]
    turns = list(zip(classes, [*classes[1:], classes[0]])) if classes else [None] * len(keys)
    path = (
        Inputs(
            slerp(start, end, frame / frames), noise, classes=between_classes(*turn, frame / frames) if turn else None
        )
        for start, end, turn in zip(keys, keys[1:] + keys[:1], turns)
        for frame in range(frames)
    )
    yield from generate_from(generator, path)
