"""One revision of a hub repository: its checked listing, and its files in the cache of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sle_gan.errors import UserError
from sle_gan.hub import client
from sle_gan.hub.model_files import Listed, check_content, check_listing

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SLACK_BYTES = 1 << 20


class Repository:
    """A repository's listing at a revision.

    Attributes:
        commit: the hash of the commit that the revision is now.
        names: of all its files; none leads out of a folder.
        private: whether only its owners see it.

    Raises:
        UserError: if the repository or revision is not there or may not be seen, or its listing is refused.
        client.Unreachable: if there is no answer.
    """

    def __init__(self, name: str, revision: str | None = None):
        with client.one_line_errors(name, revision):
            info = (
                client.library()
                .HfApi()
                .model_info(name, revision=revision, files_metadata=True, timeout=client.TIMEOUT_SECONDS)
            )
        if not _COMMIT.fullmatch(info.sha or ""):
            raise UserError(f"{client.endpoint()} names no commit of {name}; is it a model hub?")
        self.name, self.revision = name, revision
        self.commit: str = info.sha
        self.private = bool(info.private)
        listed = [_listed(sibling) for sibling in info.siblings or ()]
        self.names = [file.name for file in listed]
        self._known = check_listing(listed, name)

    def fetch(self, name: str) -> Path:
        """Downloads one file into the cache, unless it is there, and checks it.

        It is asked for by the revision, not by the commit, so that the cache remembers which commit the
        revision was: without a network, that is how it is found again.

        Raises:
            UserError: if the repository has no such file, or it fails a check.
        """
        if name not in self._known:
            raise UserError(f"{self.name} holds no {name}")
        file = self._known[name]
        with client.one_line_errors(self.name, self.revision):
            downloaded = client.library().hf_hub_download(
                self.name,
                name,
                revision=self.revision,
                etag_timeout=client.TIMEOUT_SECONDS,
                tqdm_class=_bar(self.name, file),
            )
        path = Path(downloaded)
        if path.parent.name != self.commit:
            raise UserError(f"{self.name} was changed while it was downloaded; try again")
        check_cached(path, file, f"the listing of {self.name}")
        return path


def _listed(sibling: Any) -> Listed:
    if sibling.lfs:
        return Listed(sibling.rfilename, sibling.lfs.size, sibling.lfs.sha256, None)
    return Listed(sibling.rfilename, sibling.size, None, sibling.blob_id)


def _bar(repository: str, file: Listed) -> type:
    """A progress bar that appears after two seconds, and stops a server that goes on sending."""
    # What comes is compared with the listing at the end, to the byte. This only bounds how much that may be:
    # twice the size, because one of the protocols counts what crosses the network and not what it becomes.
    most = 2 * (file.size or 0) + _SLACK_BYTES

    class Bar(tqdm):
        def __init__(self, *args: Any, **options: Any):
            super().__init__(*args, **{**options, "desc": file.name, "delay": 2, "leave": False})

        def update(self, n: float | None = 1) -> bool | None:
            if self.n + (n or 0) > most:
                raise UserError(f"{file.name} of {repository} is larger than its listing says; it was not used")
            return super().update(n)

    return Bar


def check_cached(path: Path, file: Listed, source: str) -> None:
    """Checks a file in the cache. One that fails is deleted, or it would be found there the next time.

    Raises:
        UserError: with what was found and what `source` says.
    """
    try:
        check_content(path, file, source)
    except UserError as error:
        _delete(path)
        raise UserError(f"{error}; it was deleted from the cache, try again") from error


def _delete(path: Path) -> None:
    """Deletes a file and what it links to: the cache's entries are links to the content."""
    target = path.parent / path.readlink() if path.is_symlink() else None
    path.unlink()
    if target is not None and os.path.lexists(target):
        _delete(target)


def named_by_cache(path: Path) -> Listed:
    """A cached file with its hash, which is the name of what it links to (git's hash for small files)."""
    name = path.readlink().name if path.is_symlink() else ""
    sha256 = name if _SHA256.fullmatch(name) else None
    return Listed(path.name, None, sha256, name if _COMMIT.fullmatch(name) else None)
