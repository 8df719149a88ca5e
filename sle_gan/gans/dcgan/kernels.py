"""The kernels of DCGAN's networks; see `sle_gan.kernels`."""

from __future__ import annotations

from collections.abc import Iterator

from sle_gan.gans.description import Kernel


def generator(output_resolution: int, width: int, latent: int, channels: int) -> Iterator[Kernel]:
    multiple = output_resolution // 8  # of the width, of the 4x4 map
    yield "project", (latent, 16 * multiple * width)
    while multiple > 1:
        multiple //= 2
        yield f"up_{multiple}", (4, 4, multiple * width, 2 * multiple * width)
    yield "to_image", (4, 4, channels, width)


def discriminator(input_resolution: int, width: int, channels: int) -> Iterator[Kernel]:
    yield "down_1", (4, 4, channels, width)
    multiple = 1
    while multiple < input_resolution // 8:
        multiple *= 2
        yield f"down_{multiple}", (4, 4, multiple // 2 * width, multiple * width)
    yield "to_logit", (16 * multiple * width, 1)
