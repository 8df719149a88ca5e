"""The server of the page."""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sle_gan.errors import UserError
from sle_gan.studio.actions import Actions
from sle_gan.studio.gate import Gate
from sle_gan.studio.outbox import KEPT_SECONDS, Outbox
from sle_gan.studio.runs import Runs
from sle_gan.studio.shelf import Shelf
from sle_gan.studio.uploads import MOST_BYTES

HOST, PORT = "127.0.0.1", 7860


class Server(NamedTuple):
    """A page that is served.

    Attributes:
        url: where.
        folder: of all files that it serves; gone when it is closed.
        blocks: gradio's.
        actions: what its visitors can do.
        ready: set when pictures can be made.
    """

    url: str
    folder: Path
    blocks: Any
    actions: Actions
    ready: threading.Event

    def close(self) -> None:
        self.blocks.close(verbose=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def start(
    shelf: Shelf, host: str, port: int, features: str = "efficientnet_lite0", features_weights: str | None = None
) -> Server:
    """Serves a shelf's models and runs in a page, from a thread; pictures come when `warm_up` was called.

    The engine is imported: what that hides from itself for a moment, gradio would miss.

    Args:
        shelf: of `check`.
        host: an address of this machine; all that reach it can use the page.
        port: a free one, of `check`.
        features, features_weights: see `Actions`.
    """
    folder = Path(tempfile.mkdtemp(prefix="sle_gan_studio_"))
    # Read when gradio is imported: no statistics to its makers, and uploads into a folder of our own.
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "DO_NOT_TRACK": "1"}
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    outbox = Outbox(folder)
    actions, ready = Actions(shelf, outbox, features, features_weights), threading.Event()
    from sle_gan.studio.page import CSS, make_page, make_theme

    try:
        page = make_page(actions, Runs(shelf, outbox), ready)
        page.delete_cache = (KEPT_SECONDS // 6, KEPT_SECONDS)
        page.queue(default_concurrency_limit=2, max_size=64, api_open=False).launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            show_error=False,
            ssr_mode=False,
            enable_monitoring=False,
            max_file_size=MOST_BYTES,
            footer_links=[],
            theme=make_theme(),
            css=CSS,
            app_kwargs={"middleware": [_middleware()], "docs_url": None, "redoc_url": None, "openapi_url": None},
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Server(f"http://{'[' + host + ']' if ':' in host else host}:{port}", folder, page, actions, ready)


def warm_up(server: Server) -> None:
    """Makes a first picture and finds directions, so that no visitor waits for them; the engine is imported."""
    actions = server.actions
    name = next(iter(actions.shelf.generators()), None)
    with suppress(UserError):  # the page says it when it is asked
        if name is not None:
            actions.picture(name, actions.moved(name, 0, "closed-form", ()))
    server.ready.set()
    with suppress(UserError):
        if name is not None:
            actions.moved(name, 0, "closed-form", [1.0])


def wait() -> None:
    """Until Ctrl-C or SIGTERM."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        print("the studio is closed")


def check(models: Sequence[str], runs: str | None, host: str, port: int) -> tuple[Shelf, int]:
    """Opens the models and finds the port, before anything that takes time.

    Args:
        models: what `sle_gan.hub.open_model` opens.
        runs: a folder with the folders of runs, or None.
        host, port: where to listen; port 0 is any that is free.

    Raises:
        UserError: for models that are none, a port that is taken, or without gradio.
    """
    if importlib.util.find_spec("gradio") is None:
        raise UserError('the studio takes gradio: pip install "sle-gan[studio]"')
    if not models and runs is None:
        raise UserError("nothing to show: give --model MODEL, --runs DIR or both")
    return Shelf(models, runs), _free_port(host, port)


def _middleware() -> Any:
    from starlette.middleware import Middleware

    return Middleware(Gate)


def _free_port(host: str, port: int) -> int:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return probe.getsockname()[1]
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--host {host} --port {port} cannot be used: {getattr(error, 'strerror', None) or error}; "
            "give another port, or --port 0 for any"
        ) from error


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt  # so that the page's folder is removed
