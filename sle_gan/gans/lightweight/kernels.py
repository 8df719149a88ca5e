"""The kernels of the lightweight GAN's networks; see `sle_gan.kernels`."""

from __future__ import annotations

from collections.abc import Iterator

from sle_gan.gans.description import Kernel
from sle_gan.gans.lightweight.widths import FULL_WIDTH, discriminator_widths, generator_widths

# Side of a low map: side of the high one whose channels it scales.
GATES = {16: 128, 32: 256, 64: 512, 128: 1024}
ATTENTION_WIDTH = 512  # of all heads together, whatever the map's width


def generator(
    output_resolution: int,
    latent: int,
    channels: int,
    fmap_max: int,
    fmap_inverse_coef: int,
    attn_res_layers: list[int],
    freq_chan_attn: bool,
    antialias: bool,
) -> Iterator[Kernel]:
    del antialias
    widths = {4: latent}
    for i, count in enumerate(generator_widths(output_resolution, fmap_max, fmap_inverse_coef)):
        widths[8 << i] = count
    yield "project", (latent, 4, 4, 2 * latent)
    for side, count in widths.items():
        if side > 4:
            yield f"up_{side}/conv", (3, 3, widths[side // 2], 2 * count)
        if side in attn_res_layers and side < output_resolution:
            yield from _attention(f"attend_{side}", count)
    for low, high in GATES.items():
        if high <= output_resolution:
            squeezed = max(3, widths[high] // (4 if freq_chan_attn else 2))
            if not freq_chan_attn:
                yield f"excite_{high}/to_k", (1, 1, widths[low], 1)
            yield f"excite_{high}/gate/squeeze", (1, 1, widths[low], squeezed)
            yield f"excite_{high}/gate/excite", (1, 1, squeezed, widths[high])
    yield "to_image", (3, 3, widths[output_resolution], channels)


def discriminator(
    input_resolution: int,
    channels: int,
    fmap_max: int,
    fmap_inverse_coef: int,
    attn_res_layers: list[int],
    disc_output_size: int,
    antialias: bool,
) -> Iterator[Kernel]:
    del antialias
    first = min(FULL_WIDTH, input_resolution)
    counts = discriminator_widths(input_resolution, channels, fmap_max, fmap_inverse_coef)
    widths = {first >> i: count for i, count in enumerate(counts)}
    halvings = (input_resolution // first).bit_length() - 1
    for i in range(1, halvings + 1):
        yield f"stem_{i}", (4, 4, channels, widths[first] if i == halvings else channels)
    for side, count in widths.items():
        if side != first:
            yield from _halving(f"down_{side}", widths[2 * side], count)
        if side in attn_res_layers and side > 8:
            yield from _attention(f"attend_{side}", count)
    last = widths[8]
    yield "head", (1, 1, last, last) if disc_output_size == 5 else (3, 3, last, last)
    yield "to_logits", (4, 4, last, 1)
    yield "small_stem", (3, 3, channels, 64)
    yield from _attention("small_attend_32", 64)
    yield from _halving("small_down", 64, 32)
    yield from _attention("small_attend_16", 32)
    yield "to_small_logits", (4, 4, 32, 1)
    for name, side in (("full", 8), ("part", 16)) if input_resolution >= 512 else (("full", 8),):
        before, count = widths[side], widths[side]
        for size in (16, 32, 64, 128):
            after = 2 * channels if size == 128 else count
            yield f"decode_{name}/up_{size}", (3, 3, before, after)
            before, count = after // 2, count // 2


def _attention(path: str, channels: int) -> Iterator[Kernel]:
    yield f"{path}/to_q", (1, 1, channels, ATTENTION_WIDTH)
    yield f"{path}/around", (3, 3, channels, 1)
    yield f"{path}/to_kv", (1, 1, channels, 2 * ATTENTION_WIDTH)
    yield f"{path}/to_out", (1, 1, ATTENTION_WIDTH, channels)


def _halving(path: str, before: int, after: int) -> Iterator[Kernel]:
    yield f"{path}/halve", (4, 4, before, after)
    yield f"{path}/refine", (3, 3, after, after)
    yield f"{path}/pooled", (1, 1, before, after)
