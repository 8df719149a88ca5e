"""huggingface_hub, imported where it is used, and its errors in one line each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sle_gan.errors import UserError

TIMEOUT_SECONDS = 10
_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_LOG_IN = "log in with `hf auth login` or set HF_TOKEN"


class Unreachable(UserError):
    """No answer from the hub: no network, a wrong address, or a server that is down."""


class Missing(UserError):
    """The hub has no such repository, or does not show it."""


def library() -> Any:
    """The package huggingface_hub.

    Raises:
        UserError: if it is not installed.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError(
            "repositories on a hub need the package huggingface_hub: pip install 'sle-gan[hub]' "
            "(a folder on this machine works without)"
        ) from error
    return huggingface_hub


def endpoint() -> str:
    """The hub's address: $HF_ENDPOINT, else huggingface.co."""
    library()
    from huggingface_hub import constants

    return constants.ENDPOINT


def is_offline() -> bool:
    """Whether $HF_HUB_OFFLINE forbids every request."""
    library()
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE


def is_name(name: str) -> bool:
    """Whether this may be a repository's name, user/name."""
    return bool(_NAME.fullmatch(name)) and ".." not in name and "--" not in name


def check_name(name: str) -> None:
    """Raises a UserError unless this is a repository's name, user/name."""
    if not is_name(name):
        raise UserError(f"{name!r} is neither a folder on this machine nor a repository's name such as user/flowers")


def check_revision(revision: str | None) -> None:
    """Raises a UserError unless this may be a branch, a tag or a commit."""
    if revision is not None and (not _REVISION.fullmatch(revision) or ".." in revision):
        raise UserError(f"the revision {revision!r} is no name of a branch, a tag or a commit")


@contextmanager
def one_line_errors(name: str, revision: str | None = None) -> Iterator[None]:
    """Turns everything that huggingface_hub may raise into a UserError that says what to do."""
    library()
    from huggingface_hub import errors

    hub = endpoint()
    try:
        yield
    except UserError:
        raise
    except errors.GatedRepoError as error:
        raise UserError(f"{name} is gated: ask for access at {hub}/{name}, then {_LOG_IN}") from error
    except errors.RepositoryNotFoundError as error:
        raise Missing(
            f"{hub} has no model repository {name}, or it is private and you may not see it: "
            f"check the name, or {_LOG_IN}"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{name} has no revision {revision!r}; give a branch, a tag or a full commit hash") from error
    except errors.LocalTokenNotFoundError as error:
        raise UserError(f"no token for {hub} on this machine; {_LOG_IN}") from error
    except errors.OfflineModeIsEnabled as error:
        raise UserError("HF_HUB_OFFLINE is set, so nothing can be sent or fetched; unset it and try again") from error
    except (errors.HTTPError, OSError, ValueError, RuntimeError) as error:  # pyright: ignore[reportPrivateImportUsage]
        # huggingface_hub wraps what happened while one of several files was sent; that is worth more than the wrapping.
        inner = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        raise _explained(inner, name) from error


def _explained(error: BaseException, name: str) -> UserError:
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(name, endpoint(), error)
    # The HTTP client's own, whichever client this version uses: the request never got an answer.
    if isinstance(error, errors.HTTPError):  # pyright: ignore[reportPrivateImportUsage]
        return Unreachable(f"check the network: no answer from {endpoint()} ({_short(error)})")
    return UserError(f"{name}: {_short(error)}")


def _refusal(name: str, hub: str, error: Any) -> UserError:
    """What an HTTP status means for the user."""
    status = error.response.status_code
    if status == 401:
        return UserError(f"{hub} does not accept your token; {_LOG_IN} again")
    if status == 403:
        return UserError(
            f"your token may not do that with {name} ({_said(error)}); {_LOG_IN} with a token that may write"
        )
    if status >= 500 or status == 429:
        return Unreachable(f"try again later: {hub} answers {status} ({_said(error)})")
    return UserError(f"{hub} refuses {name} with {status} ({_said(error)})")


def _said(error: Any) -> str:
    return " ".join((error.server_message or "no reason given").split())[:200]


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
