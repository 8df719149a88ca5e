"""Style mixing as FastGAN's authors do it: one picture's maps, another one's gates.

The content gives all maps, the style gives the gates of the skip-layer excitations for maps of more than 64 pixels:
factors of channels, so that colours and textures change and shapes stay (their scripts/style_mix.py). A generator of 64
pixels has a single gate, that for its last map, which is mixed instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sle_gan.errors import UserError
from sle_gan.generation import gates_from
from sle_gan.latents.points import Point, inputs_of

_TRUNK = 64  # pixels: gates for maps up to this size belong to the content


def mixed_sizes(generator: Any) -> list[int]:
    """Sizes of the maps whose gates are the style.

    Raises:
        UserError: if the generator has no gates.
    """
    sizes = sorted(generator.gate_widths)
    if not sizes:
        raise UserError(
            "this generator has no gates from small maps to large ones, so there is no style to mix; SLE-GAN and "
            "projected generators have them, and lightweight ones from 128 pixels on"
        )
    return [size for size in sizes if size > _TRUNK] or sizes


def with_gates(generator: Any, points: Sequence[Point]) -> list[Point]:
    """The same points with all of their gates written out."""
    made = gates_from(generator, inputs_of(generator, points))
    return [
        point._replace(gates={size: np.asarray(gate[0, 0]) for size, gate in gates.items()})
        for point, gates in zip(points, made)
    ]


def mixed_points(
    generator: Any, contents: Sequence[Point], styles: Sequence[Point], strength: float = 1.0
) -> Iterator[Point]:
    """Each content with each style, a content's row after the other's.

    Args:
        generator: see `sle_gan.latents`.
        contents, styles: with gates of the same sizes, or none.
        strength: 0 is the content itself, 1 the style's gates; gates beyond 0 and 1 are clipped.

    Raises:
        UserError: if the generator has no gates.
    """
    sizes = mixed_sizes(generator)
    own, others = with_gates(generator, contents), with_gates(generator, styles)
    for content, full in zip(contents, own):
        for style in others:
            gates = {
                size: np.clip(full.gates[size] + strength * (style.gates[size] - full.gates[size]), 0, 1)
                for size in sizes
            }
            yield content._replace(gates={**content.gates, **gates}, name=f"{content.name} x {style.name}")
