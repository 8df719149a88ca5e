"""The middle of a flower, drawn with Pillow: a dome of florets, or stamens. Units as in `canvas`."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sle_gan.demo.flowers.canvas import LIGHT_ANGLE, Colour, Pose
from sle_gan.demo.flowers.species import Species

_GOLDEN_ANGLE = np.pi * (3 - 5**0.5)


def paint_centre(
    image: Image.Image,
    pose: Pose,
    species: Species,
    size: float,
    colours: tuple[Colour, Colour],
    rng: np.random.Generator,
) -> None:
    """A shaded dome of florets, or stamens around a button, with its shadow on the petals.

    `colours` are those of the rim (and of the anthers) and of the middle (and of the threads).
    """
    radius = species.centre_radius * size * rng.uniform(0.88, 1.12)
    outer, inner = np.array(colours)
    _paint_shadow(image, pose, 1.25 * radius)
    if species.stamens != (0, 0):
        _paint_stamens(image, pose, species, radius, (outer, inner), rng)
        radius *= 0.55
    _paint_florets(image, pose, radius, outer, inner, rng)


def _paint_shadow(image: Image.Image, pose: Pose, radius: float) -> None:
    shadow = Image.new("L", image.size, 0)
    points = _ring_points(image.width, pose, np.full(48, radius), np.linspace(0, 2 * np.pi, 48, endpoint=False))
    ImageDraw.Draw(shadow).polygon([(x + 0.01 * image.width, y + 0.015 * image.width) for x, y in points], fill=120)
    shadow = shadow.filter(ImageFilter.GaussianBlur(0.018 * image.width))
    image.paste((20, 10, 14), mask=shadow)


def _paint_florets(
    image: Image.Image,
    pose: Pose,
    radius: float,
    outer: np.ndarray,
    inner: np.ndarray,
    rng: np.random.Generator,
) -> None:
    draw = ImageDraw.Draw(image)
    count = int(60 + 400 * radius)
    share = np.sqrt((np.arange(count, 0, -1) - 0.5) / count)  # from the rim inwards: a dome
    angles = np.arange(count) * _GOLDEN_ANGLE
    dot = 1.25 * radius / float(np.sqrt(count)) * image.width / 2
    lit = 0.82 + 0.30 * share * np.cos(angles + pose.axis - LIGHT_ANGLE) + 0.22 * (1 - share)
    lit *= rng.uniform(0.85, 1.12, count)
    rgb = (inner + share[:, None] * (outer - inner)) * lit[:, None]
    points = _ring_points(image.width, pose, radius * share, angles)
    for (x, y), dark, bright in zip(points, _bytes(rgb * 0.72), _bytes(rgb * 1.08), strict=True):
        draw.ellipse(_square(x, y, dot), fill=dark)
        draw.ellipse(_square(x, y, dot * 0.66), fill=bright)


def _paint_stamens(
    image: Image.Image,
    pose: Pose,
    species: Species,
    radius: float,
    colours: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> None:
    draw = ImageDraw.Draw(image)
    count = int(rng.integers(species.stamens[0], species.stamens[1] + 1))
    few = count < 10  # a lily's: long, with large anthers
    angles = np.arange(count) * 2 * np.pi / count + rng.normal(0, 0.12, count)
    reach = radius * (rng.uniform(3.2, 3.9, count) if few else rng.uniform(0.75, 1.7, count))
    width = image.width / 2
    tips = _ring_points(image.width, pose, reach, angles)
    middle = _ring_points(image.width, pose, np.zeros(1), np.zeros(1))[0]
    anther, thread = colours
    dark, bright = _bytes(np.stack([anther * 0.8, anther * 1.15 + 0.05]))
    for tip, fill in zip(tips, _bytes(thread * rng.uniform(0.8, 1.1, (count, 1))), strict=True):
        draw.line((middle, tip), fill=fill, width=max(1, round(0.010 * width)))
    for x, y in tips:
        dot = width * (0.034 if few else 0.017) * rng.uniform(0.85, 1.2)
        draw.ellipse(_square(x, y, dot), fill=dark)
        draw.ellipse(_square(x - dot * 0.25, y - dot * 0.25, dot * 0.6), fill=bright)


def _ring_points(width: int, pose: Pose, radii: np.ndarray, angles: np.ndarray) -> list[tuple[float, float]]:
    """Points around the flower's centre, in pixels of a picture `width` wide."""
    x, y = pose.to_canvas(radii * np.cos(angles), radii * np.sin(angles))
    return [(float(a), float(b)) for a, b in zip((x + 1) * width / 2, (y + 1) * width / 2, strict=True)]


def _square(x: float, y: float, radius: float) -> tuple[float, float, float, float]:
    return x - radius, y - radius, x + radius, y + radius


def _bytes(rgb: np.ndarray) -> list[tuple[int, int, int]]:
    """Pillow's colours from (N, 3) in 0..1."""
    return [(r, g, b) for r, g, b in np.clip(rgb * 255, 0, 255).astype(int).tolist()]
