"""The kernels of the discriminator on projections; see `sle_gan.kernels`."""

from __future__ import annotations

from collections.abc import Iterator

from sle_gan.gans.description import Kernel
from sle_gan.gans.slegan.kernels import PROJECTED, class_projection

# A head halves its map until what was 128, 64, 32 or 16 pixels wide for images of 256 pixels is 8 wide.
DOWNS = (4, 3, 2, 1)


def discriminator(resolution: int, map_channels: list[int], width: int, class_count: int = 0) -> Iterator[Kernel]:
    del resolution
    for head, (before, downs) in enumerate(zip(map_channels, DOWNS)):
        for i in range(downs):
            count = width * 2 ** (DOWNS[0] - downs + i)
            yield f"head_{head}_down_{i}/conv", (4, 4, before, count)
            before = count
        yield f"head_{head}_to_logits", (4, 4, before, PROJECTED if class_count else 1)
        if class_count:
            yield from class_projection(f"head_{head}_classes", class_count)
