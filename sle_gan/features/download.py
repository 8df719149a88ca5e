"""One file from the web into the Keras cache, checked before it gets its name."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from pathlib import Path

from tqdm import tqdm

from sle_gan.atomic_files import atomic_path
from sle_gan.errors import UserError

_CHUNK = 1 << 20
_TIMEOUT_SECONDS = 30


class HashMismatch(UserError):
    """The server answered, but with another file."""


def keras_cache() -> Path:
    """Where `keras.utils.get_file` and `keras.applications` keep their downloads: $KERAS_HOME/models.

    As Keras has it: under /tmp where there is no home that can be written.
    """
    home = os.environ.get("KERAS_HOME")
    if home:
        return Path(home) / "models"
    try:
        base = Path.home()
    except RuntimeError:  # no HOME, and a user without an entry
        base = None
    return (base if base and os.access(base, os.W_OK) else Path("/tmp")) / ".keras" / "models"


def download(url: str, target: Path, sha256_prefix: str | None = None) -> Path:
    """Fetches `url` to `target` with a progress bar; nothing is left behind when it fails.

    sha256_prefix: the first digits of the file's SHA-256, as PyTorch Hub's file names carry them. Where no
        hash was published the caller has to check the content.

    Raises:
        OSError: when it cannot be had (no network, no such file, no space).
        HashMismatch: when it is another file.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with atomic_path(target) as temporary:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer, temporary.open("wb") as file:
            size = int(answer.headers.get("Content-Length") or 0) or None
            with tqdm(total=size, unit="B", unit_scale=True, desc=target.name) as bar:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    digest.update(chunk)
                    bar.update(len(chunk))
        if sha256_prefix and not digest.hexdigest().startswith(sha256_prefix):
            raise HashMismatch(
                f"{url} has the SHA-256 {digest.hexdigest()[:16]}..., expected {sha256_prefix}...: "
                "the file was changed on its way and is not used"
            )
    return target
