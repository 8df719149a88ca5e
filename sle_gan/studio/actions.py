"""What a visitor of the page can do with a model. Each is a function that a command has too; none knows the page."""

from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from sle_gan.errors import UserError
from sle_gan.latents.points import Point, parse_seeds
from sle_gan.seeds import seeded_latents
from sle_gan.shapes import as_text, picture_shape
from sle_gan.studio.outbox import Outbox
from sle_gan.studio.shelf import Loaded, Shelf
from sle_gan.studio.uploads import read_cut_upload, read_whole_upload

MOST_PICTURES = 64
MOST_MIXED = 6  # contents, and styles
SLIDERS = 6  # directions that are offered
MOST_STOPS, MOST_SECONDS, FRAMES_PER_SECOND = 24, 20, 25
# Names of searches, with the random latents, how many of them are followed, and steps.
EFFORTS = {"quick": (40, 2, 80), "usual": (200, 4, 300), "thorough": (400, 8, 600)}
_MOST_SEED = 2**53  # what a browser's numbers are exact to


class Created(NamedTuple):
    """Pictures that were made: their files with captions, and an archive of them."""

    pictures: list[tuple[str, str]]
    archive: str


class Seen(NamedTuple):
    """A moment of a search.

    Attributes:
        part: of the search, 0 to 1; it may end before 1.
        step: that came nearest; 0 for the random latents.
        distance: of the nearest so far.
        point: the nearest so far.
        picture: its picture, uint8 (R, R, C).
    """

    part: float
    step: int
    distance: float
    point: Point
    picture: np.ndarray


class Actions:
    """All that the page does.

    Args:
        shelf: the models.
        outbox: for the files that are made.
        features: the frozen network that compares pictures in a search, of `sle_gan.features.MAPS`.
        features_weights: its file, where no package brings it.
    """

    def __init__(
        self, shelf: Shelf, outbox: Outbox, features: str = "efficientnet_lite0", features_weights: str | None = None
    ):
        self.shelf, self.outbox = shelf, outbox
        self._features, self._features_weights, self._maps = features, features_weights, None

    def describe(self, model: str) -> str:
        """The generator in a line."""
        loaded = self.shelf.generator(model)
        size = as_text(*picture_shape(loaded.resolution, loaded.aspect))
        sizes = ", ".join(map(str, loaded.network.gate_widths))
        gates = f"styles for maps of {sizes} pixels" if sizes else "no styles to mix"
        return f"Pictures of {size} pixels from {loaded.network.latent} numbers; {gates}."

    def create(self, model: str, seed: float, count: float, truncation: float = 0) -> Created:
        """Pictures of `count` seeds from `seed` on, as `sle-gan generate`; truncation 0 is none."""
        loaded = self.shelf.generator(model)
        first, number = _whole("the seed", seed, 0, _MOST_SEED), _whole("the count", count, 1, MOST_PICTURES)
        limit = _within("the truncation", truncation, 0, 10) or None
        if limit is not None and limit < 0.1:
            raise UserError(f"truncation {limit:g}: expected 0 for none, or at least 0.1")
        points = [_point(loaded, each, limit) for each in range(first, first + number)]
        names = [f"{each:06d}.png" for each in range(first, first + number)]
        paths = [self.outbox.picture(image, name) for image, name in zip(self._pictures(loaded, points), names)]
        archive = self.outbox.zipped(dict(zip(names, paths)), "pictures.zip")
        return Created([(path, point.name) for path, point in zip(paths, points)], archive)

    def mix(self, model: str, contents: str, styles: str, strength: float) -> np.ndarray:
        """The sheet of `sle-gan explore mix`, uint8 (H, W, 3)."""
        from sle_gan.latents.mixing import mixed_points
        from sle_gan.latents.sheets import mix_sheet

        loaded = self.shelf.generator(model)
        strength = _within("the strength", strength, 0, 3)
        own, others = (_points(loaded, text, MOST_MIXED) for text in (contents, styles))
        mixed = self._pictures(loaded, list(mixed_points(loaded.network, own, others, strength)))
        return mix_sheet(loaded.network, own, others, list(mixed), strength)

    def restyled(self, model: str, point: Point, seed: float, strength: float) -> Point:
        """The point with the gates of a seed's picture, as far as `strength` says; itself at 0."""
        from sle_gan.latents.mixing import mixed_points

        if not _within("the strength", strength, 0, 3):
            return point
        loaded = self.shelf.generator(model)
        style = _point(loaded, _whole("the seed", seed, 0, _MOST_SEED))
        return next(mixed_points(loaded.network, [point], [style], strength))

    def moved(self, model: str, point: Point | float, method: str, lengths: Sequence[float]) -> Point:
        """The point, or that of a seed, moved along the first directions, as `sle-gan generate --direction`."""
        from sle_gan.latents.directions import METHODS, Move, find, moved

        loaded = self.shelf.generator(model)
        if method not in METHODS:
            raise UserError(f"method {method!r}: expected one of {', '.join(METHODS)}")
        if not isinstance(point, Point):
            point = _point(loaded, _whole("the seed", point, 0, _MOST_SEED))
        if len(point.latents) != loaded.network.latent:
            raise UserError("this photo was found in another model: find it again")
        moves = [Move(i + 1, _within("the length", length, -100, 100)) for i, length in enumerate(lengths)]
        if not any(move.length for move in moves):
            return point
        if method not in loaded.found:
            loaded.found[method] = find(loaded.network, method, min(SLIDERS, loaded.network.latent))
        directions = loaded.found[method]
        return moved(point, directions, moves[: len(directions)])

    def picture(self, model: str, point: Point) -> np.ndarray:
        """The picture uint8 (R, R, C) of a point."""
        from sle_gan.latents.points import check_gates

        loaded = self.shelf.generator(model)
        check_gates([point], loaded.network, "this point")
        return next(self._pictures(loaded, [point]))

    def walk(
        self, model: str, through: str, seconds: float, way: str, easing: str,
        progress: Callable[[float], None] | None = None,
    ) -> str:  # fmt: skip
        """The file of an animation, as `sle-gan explore walk`: an .mp4 where PyAV is installed, else a .webp."""
        from sle_gan.latents.points import with_classes
        from sle_gan.latents.walks import EASINGS, WAYS, walk
        from sle_gan.pictures.videos import save_video

        loaded = self.shelf.generator(model)
        if way not in WAYS or easing not in EASINGS:
            raise UserError(f"way {way!r} and easing {easing!r}: expected one of {', '.join((*WAYS, *EASINGS))}")
        stops = list(with_classes(loaded.network, _points(loaded, through, MOST_STOPS)))
        if len(stops) < 2:
            raise UserError(f"{through} is one picture; give two or more seeds, such as 3,14,15")
        total = round(_within("the seconds", seconds, 0.5, MOST_SECONDS) * FRAMES_PER_SECOND)

        def frames() -> Iterator[np.ndarray]:
            for i, frame in enumerate(self._pictures(loaded, walk(stops, total, way, easing))):
                if progress:
                    progress(i / total)
                yield frame

        suffix = ".mp4" if importlib.util.find_spec("av") else ".webp"
        path = self.outbox.place(f"walk{suffix}")
        save_video(frames(), path, FRAMES_PER_SECOND)
        return str(path)

    def photo(self, model: str, upload: str | None) -> np.ndarray:
        """What a search looks for of an upload: the part that has the generator's shape, uint8 (H, W, C)."""
        loaded = self.shelf.generator(model)
        return read_cut_upload(upload, loaded.resolution, loaded.stored.architecture["channels"], loaded.aspect)

    def find(self, model: str, photo: np.ndarray, effort: str = "usual", gates: bool = False) -> Iterator[Seen]:
        """The search of `sle-gan explore project`, for as long as it is asked to go on; the last is what was found."""
        from sle_gan.latents.projection import Search, search_steps

        loaded = self.shelf.generator(model)
        if effort not in EFFORTS:
            raise UserError(f"effort {effort!r}: expected one of {', '.join(EFFORTS)}")
        if getattr(loaded.network, "classes", ()):
            raise UserError(f"a photo is searched in one class: choose one of the models that begin with {model}:")
        if gates and not loaded.network.gate_widths:
            raise UserError("this generator has no gates; leave them out")
        candidates, starts, steps = EFFORTS[effort]
        search = Search(candidates, starts, steps, gates=gates)
        before, picture = None, photo
        point: Any = None
        for i, found in enumerate(search_steps(loaded.network, self._feature_maps(), photo, search)):
            if before is None or found.point is not before:
                before, picture = found.point, next(self._pictures(loaded, [found.point]))
                point = found.point._replace(classes=loaded.class_weights)
            yield Seen((i + 1) / search.rounds, found.step, found.distance, point, picture)

    def latents_file(self, point: Point) -> str:
        """The file of a point, for `sle-gan generate --latents` and the other commands."""
        from sle_gan.latents.points import save_points

        path = self.outbox.place("found.npz")
        save_points([point], path)
        return str(path)

    def translate(self, model: str, direction: str, upload: str | None) -> tuple[np.ndarray, np.ndarray]:
        """An upload and its translation, as `sle-gan translate`; large ones are reduced first."""
        from sle_gan.translation import translate

        loaded = self.shelf.translator(model, direction)
        picture = read_whole_upload(upload, loaded.network.channels)
        return picture, translate(loaded.network, picture)

    def _feature_maps(self) -> Any:
        if self._maps is None:
            from sle_gan.features import load_maps

            self._maps = load_maps(self._features, self._features_weights)
        return self._maps

    def _pictures(self, loaded: Loaded, points: Any) -> Iterator[np.ndarray]:
        from sle_gan.latents.points import images_of

        # A group of pictures has gates of the same sizes.
        parts = itertools.groupby(points, lambda point: tuple(point.gates))
        return itertools.chain.from_iterable(images_of(loaded.network, part) for _, part in parts)


def _point(loaded: Loaded, seed: int, truncation: float | None = None) -> Point:
    return Point(seeded_latents(seed, loaded.network.latent, truncation), seed, name=str(seed))


def _points(loaded: Loaded, text: str, most: int) -> list[Point]:
    """Points of seeds alone: what a visitor types is never the name of a file."""
    seeds = parse_seeds(str(text))
    if seeds is None:
        raise UserError(f"{str(text)[:60]!r}: expected seeds such as 0,3,7-9")
    if len(seeds) > most:
        raise UserError(f"{len(seeds)} pictures are too many here; at most {most}")
    return [_point(loaded, seed) for seed in seeds]


def _within(what: str, value: Any, low: float, high: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise UserError(f"{what} is {value!r}; expected a number from {low:g} to {high:g}")
    return float(value)


def _whole(what: str, value: Any, low: int, high: int) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{what} is {value!r}; expected a whole number from {low} to {high:,}")
    return value
