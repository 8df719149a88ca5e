"""The kinds of flowers in the demo set: numbers of petals, outlines, colours."""

from dataclasses import dataclass

from sle_gan.demo.flowers.blossom import PetalShape
from sle_gan.demo.flowers.canvas import Colour
from sle_gan.demo.flowers.canvas import colour as _c

# (base, tip, accent) of the petals
Palette = tuple[Colour, Colour, Colour]


@dataclass(frozen=True)
class Species:
    """`rings` are (length relative to the flower, share of the petal count), from the outermost inwards.

    The centre is a dome of tiny flowers, or, where there are `stamens`, a button with that many threads.
    Its colours run from the rim to the middle; None takes the petals' own.
    `throat` and `stripe` are as in `PetalColours`.
    """

    petals: tuple[int, int]
    rings: tuple[tuple[float, float], ...]
    shape: PetalShape
    palettes: tuple[Palette, ...]
    centre_radius: float
    centre_colours: tuple[Colour, Colour] | None
    stamens: tuple[int, int] = (0, 0)
    throat: tuple[float, float] = (0.0, 0.0)
    stripe: float = 0.0
    veins: float = 0.04


SPECIES = {
    "daisy": Species(
        (15, 24),
        ((1.0, 1.0), (0.9, 0.9)),
        PetalShape(0.125, 1.4, 0.5),
        (
            (_c("#e9e6ee"), _c("#ffffff"), _c("#ffffff")),
            (_c("#f3d3e0"), _c("#fff2f7"), _c("#ffffff")),
            (_c("#c9b6e4"), _c("#e9defa"), _c("#ffffff")),
        ),
        0.29,
        (_c("#f2b705"), _c("#ffdf4f")),
    ),
    "sunflower": Species(
        (17, 23),
        ((1.0, 1.0), (0.86, 1.0)),
        PetalShape(0.14, 0.95, 0.85),
        (
            (_c("#e89005"), _c("#ffd21f"), _c("#b55a00")),
            (_c("#d97706"), _c("#ffbf1f"), _c("#8a3a00")),
            (_c("#f0b400"), _c("#fff07a"), _c("#c98600")),
        ),
        0.42,
        (_c("#3a2114"), _c("#7a4a1f")),
        throat=(0.36, 0.5),
    ),
    "gerbera": Species(
        (19, 26),
        ((1.0, 1.0), (0.84, 1.0), (0.5, 1.0)),
        PetalShape(0.115, 1.4, 0.5),
        (
            (_c("#c81d3a"), _c("#f2415f"), _c("#7d0d22")),
            (_c("#e8590c"), _c("#ff9a3c"), _c("#a33603")),
            (_c("#d6336c"), _c("#ff8fb3"), _c("#8f1444")),
            (_c("#f2c230"), _c("#ffe87a"), _c("#d48806")),
            (_c("#f3dfe4"), _c("#ffffff"), _c("#e8a5b8")),
        ),
        0.2,
        (_c("#4a2b12"), _c("#c9a227")),
        throat=(0.3, 0.45),
    ),
    "cosmos": Species(
        (7, 9),
        ((1.0, 1.0),),
        PetalShape(0.36, 1.9, 0.55, notch=0.07, frill=0.018),
        (
            (_c("#b0307f"), _c("#f08cc4"), _c("#7a1455")),
            (_c("#e27fb4"), _c("#fbd3e6"), _c("#a8246f")),
            (_c("#efe3ec"), _c("#ffffff"), _c("#e7b9d4")),
            (_c("#8c1d4f"), _c("#c8386f"), _c("#4d0a2a")),
        ),
        0.19,
        (_c("#e0a100"), _c("#ffd84a")),
        throat=(0.24, 0.4),
        veins=0.06,
    ),
    "poppy": Species(
        (4, 6),
        ((1.0, 1.0), (0.82, 1.0)),
        PetalShape(0.64, 1.7, 0.42, frill=0.03),
        (
            (_c("#c4170c"), _c("#f2402a"), _c("#2a0a0a")),
            (_c("#e8590c"), _c("#ff8a3d"), _c("#5a1a05")),
            (_c("#f0a202"), _c("#ffd34d"), _c("#b86b00")),
            (_c("#e5738a"), _c("#ffc2cc"), _c("#7a1430")),
        ),
        0.16,
        (_c("#2b1d2e"), _c("#6b8f3a")),
        throat=(0.26, 0.4),
        veins=0.07,
        stamens=(24, 40),
    ),
    "anemone": Species(
        (6, 9),
        ((1.0, 1.0), (0.84, 1.0)),
        PetalShape(0.4, 1.5, 0.45),
        (
            (_c("#3f3fae"), _c("#7b7be8"), _c("#f1eefc")),
            (_c("#6a1b9a"), _c("#b55fe0"), _c("#f6e6fb")),
            (_c("#ede9f2"), _c("#ffffff"), _c("#cfd8b8")),
            (_c("#b3123f"), _c("#ec3f68"), _c("#fbe9ea")),
        ),
        0.2,
        (_c("#191427"), _c("#3a3157")),
        throat=(0.3, 0.38),
        stamens=(26, 44),
    ),
    "primrose": Species(
        (5, 5),
        ((1.0, 1.0),),
        PetalShape(0.5, 1.75, 0.5, notch=0.11),
        (
            (_c("#5b8fe0"), _c("#9fc7ff"), _c("#ffffff")),
            (_c("#f3e27a"), _c("#fff9c8"), _c("#f0a500")),
            (_c("#c2418f"), _c("#f193c8"), _c("#ffe34d")),
            (_c("#7a3fc0"), _c("#b58af0"), _c("#ffe34d")),
            (_c("#d7263d"), _c("#ff6b6b"), _c("#ffd23f")),
        ),
        0.12,
        (_c("#d99a00"), _c("#ffe05c")),
        throat=(0.28, 0.36),
    ),
    "lily": Species(
        (3, 3),
        ((1.0, 1.0), (0.95, 1.0)),
        PetalShape(0.33, 1.15, 0.8),
        (
            (_c("#f3ead0"), _c("#ffffff"), _c("#c9d68a")),
            (_c("#e0528a"), _c("#ffd9e6"), _c("#b01657")),
            (_c("#e86a10"), _c("#ffb04a"), _c("#a33603")),
            (_c("#f2c230"), _c("#fff1a0"), _c("#d48806")),
        ),
        0.1,
        (_c("#8a4a12"), _c("#b7c96a")),
        stripe=0.22,
        stamens=(6, 6),
    ),
    "dahlia": Species(
        (12, 16),
        ((1.0, 1.0), (0.84, 1.0), (0.66, 0.9), (0.47, 0.75), (0.29, 0.6)),
        PetalShape(0.21, 1.15, 0.7),
        (
            (_c("#8f1237"), _c("#d8315b"), _c("#5a0a22")),
            (_c("#7a2a8c"), _c("#c77dd8"), _c("#4a1259")),
            (_c("#e8744a"), _c("#ffc09a"), _c("#b8431c")),
            (_c("#e9b9c8"), _c("#fff1f4"), _c("#c97f98")),
            (_c("#e9a800"), _c("#ffe27a"), _c("#b87400")),
        ),
        0.1,
        None,
        stripe=0.3,
    ),
    "clematis": Species(
        (6, 8),
        ((1.0, 1.0),),
        PetalShape(0.34, 1.1, 0.7, frill=0.015),
        (
            (_c("#5a2ca0"), _c("#9b6fe0"), _c("#e05fb0")),
            (_c("#8e2f9e"), _c("#d98be3"), _c("#5a0f6a")),
            (_c("#3f5fc0"), _c("#8fb0f5"), _c("#dfe8ff")),
            (_c("#e9d3ea"), _c("#ffffff"), _c("#c86fae")),
        ),
        0.15,
        (_c("#f1e3b0"), _c("#e8cf70")),
        stripe=0.2,
        stamens=(16, 26),
    ),
    "buttercup": Species(
        (5, 6),
        ((1.0, 1.0),),
        PetalShape(0.52, 1.5, 0.5, notch=0.03),
        ((_c("#e5a800"), _c("#ffe234"), _c("#b5c21a")), (_c("#f0b800"), _c("#fff06a"), _c("#c9a800"))),
        0.2,
        (_c("#f5c400"), _c("#b9c83a")),
        throat=(0.2, 0.3),
        stamens=(18, 28),
    ),
}
