"""`sle-gan explore project`: a photo -> the latents whose picture is most like it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sle_gan.cli import explore_model as shared
from sle_gan.cli.common import user_path
from sle_gan.errors import UserError
from sle_gan.features import MAPS
from sle_gan.shapes import SQUARE

if TYPE_CHECKING:
    import numpy as np

    from sle_gan.weights import StoredNetwork


def add_flags(parser: Any) -> None:
    shared.add_model_flags(parser)
    parser.add_argument(
        "--photo",
        type=user_path,
        required=True,
        metavar="FILE",
        help="the picture to find; its largest centred square is taken",
    )
    parser.add_argument("--save", type=user_path, metavar="FILE", help="the latents that were found, .npz")
    parser.add_argument("--picture", type=user_path, metavar="FILE", help="what they give, a .png or .jpg")
    shared.add_video_flags(parser, required=False)
    parser.add_argument("--gates", action="store_true", help="find the gates too, which comes nearer")
    parser.add_argument(
        "--steps", type=shared.number(1, 100_000, True), default=300, metavar="N", help="at most (default %(default)s)"
    )
    parser.add_argument(
        "--patience",
        type=shared.number(1, 100_000, True),
        default=60,
        metavar="N",
        help="end after so many steps that came no nearer (default %(default)s)",
    )
    parser.add_argument(
        "--starts",
        type=shared.number(1, 64, True),
        default=4,
        metavar="N",
        help="how many of the candidates are followed (default %(default)s)",
    )
    parser.add_argument(
        "--candidates",
        type=shared.number(1, 100_000, True),
        default=200,
        metavar="N",
        help="random latents, of which the nearest are starts (default %(default)s)",
    )
    parser.add_argument(
        "--seed", type=shared.number(0, 10**9, True), default=0, metavar="N", help="of the first candidate (default 0)"
    )
    parser.add_argument(
        "--features",
        choices=MAPS,
        default="efficientnet_lite0",
        help="frozen network that compares the pictures (default %(default)s, of the extra features)",
    )
    parser.add_argument("--features-weights", type=user_path, metavar="PATH", help="file with that network's weights")


def main(arguments: argparse.Namespace) -> None:
    _check(arguments)
    stored = shared.open_generator(arguments, one_class=True)
    photo = _read(arguments, stored)
    generator = shared.load(stored, arguments)
    from tqdm import tqdm

    from sle_gan.features import load_maps
    from sle_gan.latents.points import images_of, save_points
    from sle_gan.latents.projection import Search, project
    from sle_gan.pictures import save_picture

    if arguments.gates and not generator.gate_widths:
        raise UserError("--gates: this generator has no gates; leave the flag out")
    try:
        maps = load_maps(arguments.features, arguments.features_weights)
    except UserError as error:
        raise UserError(f"--features-weights: {error}") from error
    names = ("candidates", "starts", "steps", "patience", "gates", "seed")
    search = Search(**{name: getattr(arguments, name) for name in names})
    with tqdm(total=search.rounds, unit="step", delay=2) as bar:

        def progress(distance: float) -> None:
            bar.update()
            bar.set_postfix_str(f"distance {distance:.4f}", refresh=False)

        history = project(generator, maps, photo, search, progress)
    found = history[-1]
    print(f"distance {found.distance:.4f}, from {history[0].distance:.4f} of the nearest of {search.candidates} random")
    if arguments.save:
        save_points(shared.of_class([found.point], stored, arguments), shared.made_folder(arguments.save))
        print(f"wrote the latents to {arguments.save}")
    if arguments.picture:
        (picture,) = images_of(generator, [found.point])
        save_picture(picture, shared.made_folder(arguments.picture))
        print(f"wrote the picture to {arguments.picture}")
    if arguments.video:
        _write_film(arguments, generator, photo, history)


def _check(arguments: argparse.Namespace) -> None:
    if not (arguments.save or arguments.picture or arguments.video):
        raise UserError("nowhere to write to: give --save FILE.npz, --picture FILE.png or --video FILE.gif")
    shared.check_npz("--save", arguments.save)
    shared.check_picture("--picture", arguments.picture)
    if arguments.video:
        shared.check_video_flags(arguments)
    if not Path(arguments.photo).is_file():
        raise UserError(f"--photo {arguments.photo}: there is no such file")


def _read(arguments: argparse.Namespace, stored: StoredNetwork) -> np.ndarray:
    """The photo as the generator would make it, uint8 (H, W, C).

    Raises:
        UserError: if it cannot be read.
    """
    from sle_gan.config import CHANNELS
    from sle_gan.data import decode_failure, decode_image, quiet_pillow

    channels = next(name for name, count in CHANNELS.items() if count == stored.architecture["channels"])
    try:
        with quiet_pillow():
            resolution, aspect = stored.architecture["output_resolution"], stored.architecture.get("aspect", SQUARE)
            return decode_image(Path(arguments.photo), resolution, channels, aspect=aspect)
    except Exception as error:  # Pillow has no closed list of what a hostile file makes it raise
        raise UserError(f"--photo {arguments.photo} cannot be read: {decode_failure(error)}") from error


def _write_film(arguments: argparse.Namespace, generator: Any, photo: np.ndarray, history: list[Any]) -> None:
    """The photo at the left, the nearest picture so far at the right."""
    import itertools

    import numpy as np
    from tqdm import tqdm

    from sle_gan.latents.points import images_of
    from sle_gan.latents.projection import film
    from sle_gan.pictures.videos import save_video

    total = shared.frame_count(arguments)
    frames = list(film(history, total))
    # Of latents alone first, then of those with gates: a group of pictures has gates of the same sizes.
    parts = itertools.groupby((found.point for found in frames), lambda point: tuple(point.gates))
    pictures = itertools.chain.from_iterable(images_of(generator, part) for _, part in parts)
    pairs = (np.concatenate([photo, picture], axis=1) for picture in pictures)
    save_video(tqdm(pairs, total=total, unit="frame", delay=2), shared.made_folder(arguments.video), arguments.fps)
    print(f"wrote the film of the search to {arguments.video}, the photo at the left")
