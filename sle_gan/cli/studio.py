"""`sle-gan studio`: a page in the browser for trained generators and for runs."""

from __future__ import annotations

from sle_gan.cli.common import REFERENCES, Parser, add_engine_flag, import_engine_to_compute, user_path
from sle_gan.cli.explore_model import number
from sle_gan.features import MAPS

EXAMPLES = """\
examples:
  sle-gan studio --model runs/flowers
  sle-gan studio --model user/flowers --model generator_weights.h5 --port 8000
  sle-gan studio --runs runs

Pictures, mixes, directions, walks, photos found in a generator, translations by a CycleGAN, and training runs as they
go on. The page is for this machine alone unless --host says otherwise, asks no other server for anything, and shows
nothing but what is given here. It takes the extra studio: pip install "sle-gan[studio]".
"""


def make_parser() -> Parser:
    parser = Parser(prog="sle-gan studio", description="Play with trained generators in a browser.", epilog=EXAMPLES)
    parser.add_argument(
        "--model",
        type=user_path,
        action="append",
        default=[],
        metavar="MODEL",
        help=f"a generator or a CycleGAN: {REFERENCES}; may be given several times",
    )
    parser.add_argument("--runs", type=user_path, metavar="DIR", help="a folder of training runs, also of one going on")
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where to listen (default %(default)s, this machine alone; 0.0.0.0: everyone who reaches it)",
    )
    parser.add_argument(
        "--port", type=number(0, 65535, True), default=7860, metavar="N", help="(default %(default)s; 0: any free one)"
    )
    parser.add_argument(
        "--features",
        choices=MAPS,
        default="efficientnet_lite0",
        help="frozen network that compares pictures in Find (default %(default)s, of the extra features)",
    )
    parser.add_argument("--features-weights", type=user_path, metavar="PATH", help="file with that network's weights")
    add_engine_flag(parser)
    return parser


def main(argv: list[str]) -> None:
    """Parses, checks what can be checked without a backend, serves the page until Ctrl-C."""
    arguments = make_parser().parse_args(argv)
    from sle_gan.studio import serve

    shelf, port = serve.check(arguments.model, arguments.runs, arguments.host, arguments.port)
    import_engine_to_compute(arguments.engine)
    server = serve.start(shelf, arguments.host, port, arguments.features, arguments.features_weights)
    try:
        print(f"the studio is at {server.url} (Ctrl-C ends it)", flush=True)
        if not serve.is_loopback(arguments.host):
            print("warning: everyone who can reach this machine can use the page; there is no password", flush=True)
        serve.warm_up(server)
        serve.wait()
    finally:
        server.close()
