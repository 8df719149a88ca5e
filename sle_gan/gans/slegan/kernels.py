"""The widths of SLE-GAN's networks and the kernels that follow from them; see `sle_gan.kernels`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sle_gan.gans.description import Kernel
from sle_gan.shapes import SQUARE, start_map

# The generator: channels of the maps by their size, as multiples of the width.
GENERATOR_WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 1 / 2, 512: 1 / 4, 1024: 1 / 8}
# Maps made by the longer block, with noise and a second convolution.
COMPOSED = (8, 32, 128, 512)
# Skip-layer excitation: size of the map that is scaled -> size of the map that scales it.
GENERATOR_EXCITATIONS = {64: 4, 128: 8, 256: 16, 512: 32}

# The discriminator: its full-size branch, its small branch, its decoders.
DISCRIMINATOR_WIDTHS = {512: 1 / 8, 256: 1 / 4, 128: 1 / 2, 64: 1, 32: 2, 16: 4, 8: 8}
SMALL_WIDTHS = {64: 1 / 2, 32: 1, 16: 2, 8: 4}
HEAD_WIDTH = 16
DECODER_FILTERS = {16: 128, 32: 64, 64: 64, 128: 32}
# How classes are judged: numbers of a class's vector, and channels of the maps that are compared with it.
EMBEDDED, PROJECTED = 128, 64
DISCRIMINATOR_EXCITATIONS = {32: 256, 16: 128, 8: 64}


def generator(
    output_resolution: int,
    width: int,
    latent: int,
    channels: int,
    tanh: bool,
    aspect: str = SQUARE,
    classes: list[str] = [],  # noqa: B006  # never changed
    class_pictures: list[int] = [],  # noqa: B006
) -> Iterator[Kernel]:
    del tanh, class_pictures
    filters = _scaled(GENERATOR_WIDTHS, width)
    start = start_map(aspect)
    yield "project", (latent, *start, 2 * filters[4])
    if classes:
        yield "class_embedding", (len(classes), latent)
        yield "project_class", (latent, *start, 2 * filters[4])
    for size in filters:
        if 4 < size <= output_resolution:
            yield f"up_{size}/up", (3, 3, filters[size // 2], 2 * filters[size])
            if size in COMPOSED:
                yield f"up_{size}/conv_2", (3, 3, filters[size], 2 * filters[size])
    for size, source in GENERATOR_EXCITATIONS.items():
        if size <= output_resolution:
            yield from _excitation(size, filters[source], filters[size])
    yield "to_image", (3, 3, filters[output_resolution], channels)
    yield "to_small_image", (1, 1, filters[min(128, output_resolution // 2)], channels)


def discriminator(
    input_resolution: int, width: int, channels: int, aspect: str = SQUARE, class_count: int = 0
) -> Iterator[Kernel]:
    start_map(aspect)  # the kernels are those of squares
    filters = _scaled(DISCRIMINATOR_WIDTHS, width)
    first, small = min(256, input_resolution), min(128, input_resolution // 2)
    if input_resolution <= 256:
        yield "stem_1/conv", (3, 3, channels, filters[input_resolution])
    else:
        yield "stem_1/conv", (4, 4, channels, filters[input_resolution // 2])
    if input_resolution == 1024:
        yield "stem_2/conv", (4, 4, filters[512], filters[256])
    for size in filters:
        if size < first:
            before, count = filters[2 * size], filters[size]
            yield f"down_{size}/down/conv", (4, 4, before, count)
            yield f"down_{size}/conv/conv", (3, 3, count, count)
            yield f"down_{size}/direct/conv", (1, 1, before, count)
    for size, source in DISCRIMINATOR_EXCITATIONS.items():
        if source <= first:
            yield from _excitation(size, filters[source], filters[size])
    yield "head/conv", (1, 1, filters[8], HEAD_WIDTH * width)
    yield "to_logits", (4, 4, HEAD_WIDTH * width, 1)
    before = channels
    for size, count in _scaled(SMALL_WIDTHS, width).items():
        if size < small:
            yield f"small_{size}/conv", (4, 4, before, count)
            before = count
    yield "to_small_logits", (4, 4, before, 1)
    if class_count:
        yield "to_class", (4, 4, HEAD_WIDTH * width, PROJECTED)
        yield "to_small_class", (4, 4, before, PROJECTED)
        for name in ("classes", "small_classes"):
            yield from class_projection(name, class_count)
    for name, source in (("full", filters[8]), ("small", before), ("part", filters[16])):
        for size, count in DECODER_FILTERS.items():
            if size <= small:
                yield f"decode_{name}/up_{size}/up", (3, 3, source, 2 * count)
                source = count
        yield f"decode_{name}/to_image", (3, 3, source, channels)


def class_projection(name: str, class_count: int) -> Iterator[Kernel]:
    """Of a `sle_gan.models.classes.ClassProjection`."""
    yield f"{name}/embedding", (class_count, EMBEDDED)
    yield f"{name}/dense", (EMBEDDED, PROJECTED)


def _excitation(size: int, low: int, high: int) -> Iterator[Kernel]:
    yield f"excite_{size}/squeeze", (4, 4, low, high)
    yield f"excite_{size}/excite", (1, 1, high, high)


def _scaled(widths: Mapping[int, float], width: int) -> dict[int, int]:
    return {size: int(multiple * width) for size, multiple in widths.items()}
