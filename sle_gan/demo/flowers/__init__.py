"""Flowers drawn by a program: no two alike, each a function of two integers."""

import numpy as np
from PIL import Image, ImageFilter

from sle_gan.demo.flowers.blossom import PetalColours, paint_ring
from sle_gan.demo.flowers.canvas import Canvas, Pose, varied
from sle_gan.demo.flowers.centre import paint_centre
from sle_gan.demo.flowers.scenery import paint_background, paint_stem
from sle_gan.demo.flowers.species import SPECIES, Species

__all__ = ["draw_flower"]

_SUPERSAMPLING = 1.5  # edges are antialiased as they are painted; this is for the textures


def draw_flower(resolution: int, seed: int, number: int) -> Image.Image:
    """Flower `number` of the set `seed`: an RGB image, `resolution` pixels square."""
    rng = np.random.default_rng([seed, number])
    species = SPECIES[sorted(SPECIES)[rng.integers(len(SPECIES))]]
    canvas = Canvas(paint_background(round(_SUPERSAMPLING * resolution), rng))
    pose = Pose(rng.normal(0, 0.04), rng.normal(-0.06, 0.04), rng.uniform(0.76, 1.0), rng.uniform(0, np.pi))
    paint_stem(canvas, pose.x, pose.y, rng)
    _soften(canvas)
    size = rng.uniform(0.68, 0.86)
    colours = _paint_petals(canvas, pose, species, size, rng)
    image = canvas.image()
    outer, inner = species.centre_colours or (colours.base, colours.tip)
    paint_centre(image, pose, species, size, (varied(outer, rng), varied(inner, rng)), rng)
    return image.resize((resolution, resolution), Image.Resampling.LANCZOS)


def _soften(canvas: Canvas) -> None:
    """Puts what was painted so far a little out of focus: the flower is what the picture is about."""
    canvas.set_image(canvas.image().filter(ImageFilter.GaussianBlur(canvas.size * 0.006)))


def _paint_petals(canvas: Canvas, pose: Pose, species: Species, size: float, rng: np.random.Generator) -> PetalColours:
    base, tip, accent = (varied(c, rng) for c in species.palettes[rng.integers(len(species.palettes))])
    throat = rng.uniform(*species.throat)
    colours = PetalColours(base, tip, accent, throat, species.stripe, species.veins)
    petals = int(rng.integers(species.petals[0], species.petals[1] + 1))
    phase = rng.uniform(0, 2 * np.pi)
    for length, share in species.rings:
        count = max(3, round(petals * share))
        paint_ring(canvas, pose, count, size * length, species.shape, colours, phase, rng)
        phase += np.pi / count  # the next ring shows in the gaps of this one
    return colours
