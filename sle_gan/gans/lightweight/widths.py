"""The channels of a lightweight GAN's maps. Arithmetic alone: files are read without a backend.

The map that is s pixels wide has 2^(c + 1) / s channels in the generator and 2^c / s in the discriminator, where c is
`fmap_inverse_coef`, and never more than `fmap_max`.
"""

FULL_WIDTH = 256  # side of the discriminator's largest map with residual blocks


def generator_widths(resolution: int, fmap_max: int, fmap_inverse_coef: int) -> list[int]:
    """Channels of the maps of 8, 16, ... resolution pixels; from 512 on the published code has 3."""
    exponents = range(2, resolution.bit_length() - 1)
    return [3 if n >= 8 else min(2 ** (fmap_inverse_coef - n), fmap_max) for n in exponents]


def discriminator_widths(resolution: int, channels: int, fmap_max: int, fmap_inverse_coef: int) -> list[int]:
    """Channels of the maps from 256 pixels, or from the image where that is smaller, down to 8."""
    exponents = range(min(8, resolution.bit_length() - 1), 2, -1)
    widths = [min(2 ** (fmap_inverse_coef - n), fmap_max) for n in exponents]
    return widths if resolution > FULL_WIDTH else [channels, *widths[1:]]
