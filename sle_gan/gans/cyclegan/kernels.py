"""The kernels of CycleGAN's networks; see `sle_gan.kernels`."""

from __future__ import annotations

from collections.abc import Iterator

from sle_gan.gans.description import Kernel


def generator(blocks: int, width: int, channels: int) -> Iterator[Kernel]:
    yield "from_image", (7, 7, channels, width)
    yield from (("down_1", (3, 3, width, 2 * width)), ("down_2", (3, 3, 2 * width, 4 * width)))
    for block in range(1, blocks + 1):
        yield from ((f"block_{block}/conv_{i}", (3, 3, 4 * width, 4 * width)) for i in (1, 2))
    yield from (("up_1", (3, 3, 4 * width, 2 * width)), ("up_0", (3, 3, 2 * width, width)))
    yield "to_image", (7, 7, width, channels)


def discriminator(width: int, channels: int) -> Iterator[Kernel]:
    yield "from_image", (4, 4, channels, width)
    yield from ((f"down_{i}", (4, 4, 2 ** (i - 1) * width, 2**i * width)) for i in (1, 2, 3))
    yield "to_logits", (4, 4, 8 * width, 1)
