"""What the browser may ask the server for: the page's own needs, and nothing else that gradio offers.

gradio's server also fetches addresses for who asks it (`/file=https://...`, a picture whose path is an address),
records screens and lists runs. None of that is needed here; what is, is named below. A policy in the headers forbids
the page to ask any other server.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

# Under what /gradio_api holds: sending a visitor's wishes, and what comes of them.
_API = (
    "app_id",
    "call",
    "cancel",
    "heartbeat",
    "info",
    "queue",
    "reset",
    "run",
    "startup-events",
    "upload",
    "upload_progress",
)
_PATHS = re.compile(
    r"/"
    r"|/(assets|static|svelte|_app)/.*"
    r"|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?"
    rf"|/gradio_api/({'|'.join(_API)})(/.*)?"
    r"|/gradio_api/file=(?!\s*[a-zA-Z][a-zA-Z0-9+.-]*:).*"
)
MOST_JSON = 1 << 20
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' data: "
        "blob:; worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class Gate:
    """An ASGI middleware around gradio's server; see the module.

    Args:
        app: the server.
    """

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if not _PATHS.fullmatch(scope["path"]):
            await _refuse(send, 404, "there is nothing here")
            return
        if scope["method"] == "POST" and not scope["path"].endswith("/upload"):
            body = await _body(receive)
            problem = _problem(body)
            if problem:
                await _refuse(send, 400, problem)
                return
            receive = _Replay(body, receive)
        await self._app(scope, receive, _with_headers(send))


async def _body(receive: Any) -> bytes | None:
    """All that is sent; None where it is too much."""
    body, more = b"", True
    while more and len(body) <= MOST_JSON:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body if len(body) <= MOST_JSON else None


class _Replay:
    """Gives what was received once more, then what follows, such as that the visitor is gone."""

    def __init__(self, body: bytes | None, receive: Any):
        self._body, self._receive = body, receive

    async def __call__(self) -> Any:
        if self._body is None:
            return await self._receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


def _problem(body: bytes | None) -> str | None:
    if body is None:
        return "too much was sent"
    try:
        sent = json.loads(body) if body else None
    except (ValueError, RecursionError):
        return "expected JSON"
    if any(re.match(r"\s*[a-zA-Z][a-zA-Z0-9+.-]+:", path) for path in _paths(sent)):
        return "a file of another server is not fetched"
    return None


def _paths(sent: Any) -> Iterator[str]:
    """The paths of the files in what was sent."""
    waiting = [sent]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if isinstance(value.get("path"), str):
                yield value["path"]
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


async def _refuse(send: Any, status: int, text: str) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _with_headers(send: Any) -> Any:
    own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]

    async def sending(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *own]}
        await send(message)

    return sending
