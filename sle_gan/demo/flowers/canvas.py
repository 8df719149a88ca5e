"""What flowers are painted on.

Lengths are in units of half the canvas, angles in radians, x points right and y down, colours are RGB in
0..1. All arrays are float32. Scalars are Python's own, for a numpy float64 would turn arrays into float64.
"""

import colorsys
import math
from dataclasses import dataclass

import numpy as np
from PIL import Image

Colour = tuple[float, float, float]
Part = tuple[slice, slice]
LIGHT_ANGLE = -2.2  # the light comes from the upper left


def colour(text: str) -> Colour:
    """ "#rrggbb" as RGB in 0..1."""
    red, green, blue = (int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def varied(rgb: Colour, rng: np.random.Generator, amount: float = 1.0) -> Colour:
    """A colour like `rgb`: a little other hue, saturation and brightness."""
    hue, saturation, value = colorsys.rgb_to_hsv(*rgb)
    hue = (hue + amount * rng.normal(0, 0.012)) % 1
    saturation = min(max(saturation * (1 + amount * rng.normal(0, 0.08)), 0), 1)
    value = min(max(value * (1 + amount * rng.normal(0, 0.05)), 0), 1)
    return colorsys.hsv_to_rgb(hue, saturation, value)


@dataclass(frozen=True)
class Pose:
    """Where a flower is: its centre, and how its disc is rotated and tilted (`squash` 1: seen from above)."""

    x: float
    y: float
    squash: float = 1.0
    axis: float = 0.0

    def to_canvas(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points of the flower's own plane, on the canvas."""
        v = v * self.squash
        cos, sin = math.cos(self.axis), math.sin(self.axis)
        return self.x + u * cos - v * sin, self.y + u * sin + v * cos

    def to_plane(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points of the canvas, in the flower's own plane."""
        cos, sin = math.cos(self.axis), math.sin(self.axis)
        x, y = x - self.x, y - self.y
        return x * cos + y * sin, (y * cos - x * sin) / self.squash


class Canvas:
    """A square picture: `rgb` (3, S, S) in 0..1, and `cover` (S, S), how much of a pixel the flower hides.

    Planes, for numpy is faster on long rows than on pixels of three numbers.
    """

    def __init__(self, image: Image.Image) -> None:
        self.size = image.width
        self.cover = np.zeros((self.size, self.size), np.float32)
        self.set_image(image)

    def set_image(self, image: Image.Image) -> None:
        self.rgb = np.ascontiguousarray(np.asarray(image, np.float32).transpose(2, 0, 1)) / 255

    def image(self) -> Image.Image:
        pixels = np.clip(self.rgb, 0, 1) * 255 + 0.5
        return Image.fromarray(np.ascontiguousarray(pixels.astype(np.uint8).transpose(1, 2, 0)))

    def window(self, x: float, y: float, reach: float) -> tuple[Part, np.ndarray, np.ndarray]:
        """The part within `reach` of (x, y): its slices, and its pixels' x (1, w) and y (h, 1)."""
        columns, rows = (self._span(c, reach) for c in (x, y))
        return (rows, columns), self._positions(columns)[None, :], self._positions(rows)[:, None]

    def _span(self, centre: float, reach: float) -> slice:
        first = int((centre - reach + 1) / 2 * self.size) - 1
        last = int((centre + reach + 1) / 2 * self.size) + 2
        return slice(min(max(first, 0), self.size), min(max(last, 0), self.size))

    def _positions(self, span: slice) -> np.ndarray:
        return (np.arange(span.start, span.stop, dtype=np.float32) + 0.5) * np.float32(2 / self.size) - 1

    def sharp(self, depth: np.ndarray) -> np.ndarray:
        """How much of each pixel is inside, from the depth inside the edge: an antialiased outline."""
        return np.clip(depth * (self.size / 2) + 0.5, 0, 1)

    def blend(self, part: Part, rgb: np.ndarray, alpha: np.ndarray) -> None:
        """Paints `rgb` (3, h, w) over a window, where `alpha` (h, w) is 1."""
        rows, columns = part
        under = self.rgb[:, rows, columns]
        under += alpha * (np.clip(rgb, 0, 1) - under)

    def blend_petals(self, part: Part, rgb: np.ndarray, alpha: np.ndarray, shadow: np.ndarray) -> None:
        """The same, after darkening by `shadow` (h, w) what of the flower lies below (all else is far)."""
        rows, columns = part
        self.rgb[:, rows, columns] *= 1 - shadow * self.cover[part]
        self.blend(part, rgb, alpha)
        self.cover[part] += alpha * (1 - self.cover[part])


def plane(rgb: Colour) -> np.ndarray:
    """A colour to multiply planes with: (3, 1, 1)."""
    return np.array(rgb, np.float32)[:, None, None]
