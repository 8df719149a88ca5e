"""`sle-gan explore walk`: an animation that goes from picture to picture."""

from __future__ import annotations

import argparse
from typing import Any

from sle_gan.cli import explore_model as shared
from sle_gan.cli.common import add_precision_flag
from sle_gan.errors import UserError, counted

_MOST = 1000  # points


def add_flags(parser: Any) -> None:
    shared.add_model_flags(parser)
    add_precision_flag(parser)
    parser.add_argument(
        "--through", default="0-5", metavar="POINTS", help=f"two or more: {shared.POINTS} (default %(default)s)"
    )
    shared.add_video_flags(parser)
    parser.add_argument(
        "--way",
        choices=("loop", "once", "ping-pong"),
        default="loop",
        help="from the last picture on to the first, no further, or back through the others (default %(default)s)",
    )
    parser.add_argument(
        "--easing",
        choices=("linear", "smooth", "smoother"),
        default="smooth",
        help="evenly, or resting at each picture (default %(default)s)",
    )
    parser.add_argument(
        "--truncation", type=shared.number(0.1, 100), metavar="X", help="of seeds, as in sle-gan generate"
    )


def main(arguments: argparse.Namespace) -> None:
    shared.check_video_flags(arguments)
    stored = shared.open_generator(arguments)
    through = shared.points(stored, arguments.through, "--through", _MOST, arguments.truncation)
    if len(through) < 2:
        raise UserError(f"--through {arguments.through} is one picture; expected at least two to walk between")
    generator = shared.load(stored, arguments, arguments.mixed_precision, through=through)
    from tqdm import tqdm

    from sle_gan.latents.points import images_of, with_classes
    from sle_gan.latents.walks import walk
    from sle_gan.pictures.videos import save_video

    total = shared.frame_count(arguments)
    places = walk(list(with_classes(generator, through)), total, arguments.way, arguments.easing)
    frames = tqdm(images_of(generator, places), total=total, unit="frame", delay=2)
    save_video(frames, shared.made_folder(arguments.video), arguments.fps)
    print(f"wrote {counted(total, 'frame')} through {len(through)} pictures to {arguments.video}")
