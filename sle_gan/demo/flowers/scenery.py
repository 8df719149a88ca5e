"""What surrounds a flower: soft backgrounds, stems and leaves. Units as in `canvas`."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from sle_gan.demo.flowers.blossom import PetalShape, petal
from sle_gan.demo.flowers.canvas import LIGHT_ANGLE, Canvas, Colour, colour, plane, varied

# (top, bottom, lights): a vertical gradient and the colours of the blurred lights in it.
_SCENES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("#b9d68a", "#2f5d2a", ("#e8f3a8", "#8fc45a", "#f6f0b0", "#5f9a3c")),  # meadow
    ("#24452f", "#0d2018", ("#7fb069", "#d9e8a0", "#4f8f55", "#a8d08d")),  # forest
    ("#79b5ea", "#cfe7f7", ("#ffffff", "#e9f5ff", "#d3eafb")),  # sky
    ("#8cc4f0", "#5d9440", ("#f4fbff", "#a7d27a", "#78b04c")),  # sky over grass
    ("#f6b58a", "#7c4a7a", ("#ffe0a8", "#ffb385", "#e77f8e", "#ffd1b0")),  # dusk
    ("#3b2f55", "#15122a", ("#8a78c9", "#c9a0dc", "#5f6fb8")),  # night
    ("#f4e3dc", "#dcbfc0", ("#fff6ee", "#f3cfcf", "#fbe9d0")),  # pastel
    ("#d8efe6", "#8fc0ae", ("#ffffff", "#bfe3cf", "#eaf7d8")),  # mint
    ("#efd9a0", "#8d8a3c", ("#fff3c4", "#e9c46a", "#b7b04a")),  # late summer
)
_LEAF = PetalShape(width=0.26, belly=0.8, roundness=0.9)


def paint_background(size: int, rng: np.random.Generator) -> Image.Image:
    """A scene out of focus: RGB, `size` pixels square."""
    top, bottom, lights = _SCENES[rng.integers(len(_SCENES))]
    half = size // 2  # everything is blurred: half the pixels show all of it
    ramp = np.linspace(0, 1, half, dtype=np.float32)[:, None]
    ramp = np.clip(ramp + rng.normal(0, 0.1) + 0.25 * rng.normal() * (ramp.T - 0.5), 0, 1)
    first, last = (plane(varied(colour(c), rng)) for c in (top, bottom))
    rgb = first + ramp * (last - first)
    rgb *= 1 + 0.22 * _clouds(half, 4, rng) + 0.10 * _clouds(half, 9, rng)
    image = Canvas(Image.new("RGB", (half, half)))
    image.rgb = rgb
    backdrop = image.image()
    _paint_bokeh(backdrop, [colour(c) for c in lights], rng)
    return backdrop.resize((size, size), Image.Resampling.BICUBIC)


def _clouds(size: int, cells: int, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, about -1..1, with `cells` bumps a side."""
    noise = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(noise.resize((size, size), Image.Resampling.BICUBIC))


def _paint_bokeh(image: Image.Image, colours: list[Colour], rng: np.random.Generator) -> None:
    """Lights out of focus: far ones are large and faint, near ones smaller, with a clear edge."""
    size = image.width
    for share, radii, blur in ((0.6, (0.10, 0.26), 0.04), (0.4, (0.03, 0.09), 0.008)):
        overlay = Image.new("RGBA", image.size, (0, 0, 0, 0))
        draw = ImageDraw.Draw(overlay)
        for _ in range(round(share * rng.integers(6, 24))):
            x, y = rng.uniform(-0.05, 1.05, 2) * size
            radius = rng.uniform(*radii) * size
            rgb = varied(colours[rng.integers(len(colours))], rng)
            fill = (*(round(255 * c) for c in rgb), int(rng.integers(45, 150)))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        # Blurred with its colours weighted by alpha; straight RGBA would bleed black into the edges.
        soft = overlay.convert("RGBa").filter(ImageFilter.GaussianBlur(max(blur * size, 1.2))).convert("RGBA")
        image.paste(soft, mask=soft)


def paint_stem(canvas: Canvas, x: float, y: float, rng: np.random.Generator) -> None:
    """A stem from (x, y) down out of the picture, with up to three leaves."""
    green = varied(colour(("#4f8a3a", "#3f7a34", "#6a9a45")[rng.integers(3)]), rng)
    lean, bend = rng.normal(0, 0.10), rng.normal(0, 0.14)
    width = rng.uniform(0.022, 0.036)
    part, columns, rows = canvas.window(0, 0, 1)
    drop = np.maximum(rows - np.float32(y), 0)
    across = (columns - (x + lean * drop + bend * drop**2)) / width
    alpha = np.clip((1 - np.abs(across)) * (width * canvas.size / 2) + 0.5, 0, 1) * (rows > y)
    shade = 0.85 - 0.35 * np.clip(across, -1, 1)
    canvas.blend(part, plane(green) * shade, alpha)
    for side in rng.permutation([-1, 1, -1, 1])[: rng.integers(1, 4)]:
        height = rng.uniform(0.35, 1.0)
        angle = np.pi / 2 - side * rng.uniform(0.75, 1.75)
        foot = (x + lean * height + bend * height**2, y + height)
        _paint_leaf(canvas, foot, angle, rng.uniform(0.45, 0.8), varied(green, rng, 1.4), rng)


def _paint_leaf(
    canvas: Canvas,
    foot: tuple[float, float],
    angle: float,
    length: float,
    green: Colour,
    rng: np.random.Generator,
) -> None:
    part, x, y = canvas.window(*foot, 1.05 * length)
    dx, dy = x - np.float32(foot[0]), y - np.float32(foot[1])
    radius = np.sqrt(dx * dx + dy * dy)
    delta = np.arctan2(dy, dx) - np.float32(angle)
    delta = (delta + np.pi) % (2 * np.pi) - np.pi + rng.normal(0, 0.25) * radius  # a leaf is seldom straight
    along, across, _, edge = petal(radius, delta, length, _LEAF)
    alpha = canvas.sharp(edge)
    shade = 0.80 + 0.25 * along - 0.16 * across * math.sin(angle - LIGHT_ANGLE)
    shade += 0.30 * np.exp(-np.square(across / 0.07)) * (1 - along)  # the midrib
    shade += 0.05 * np.cos(along * 26 - np.abs(across) * 6)  # side veins
    canvas.blend(part, plane(green) * shade, alpha)
