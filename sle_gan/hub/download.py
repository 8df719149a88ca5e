"""A folder or a hub repository -> a folder on this machine whose model files are whole."""

from __future__ import annotations

import os
from pathlib import Path

from sle_gan.errors import UserError
from sle_gan.hub import client
from sle_gan.hub.model_files import GENERATOR, PYTORCH, is_weights, weights_names
from sle_gan.hub.repository import Repository, check_cached, named_by_cache
from sle_gan.storage.json_objects import CONFIG, read_config
from sle_gan.storage.paths import expanded


def local_folder(name: str | Path, revision: str | None = None) -> Path:
    """The folder of a model: `name` itself if it is one, else the hub repository of that name, downloaded.

    Downloads go to huggingface_hub's cache ($HF_HOME) and are made once for each commit. Only config.json and
    weights are fetched, and each is checked against size and hash of the repository's listing. Without
    a network, or with HF_HUB_OFFLINE=1, what the cache holds of the revision is checked and used.

    Args:
        name: a folder, or `user/name` on the hub ($HF_ENDPOINT, default huggingface.co).
        revision: of the repository: a branch, a tag, or a full commit hash, which pins it.

    Returns:
        The folder. Of a repository, its last part is the commit's hash.

    Raises:
        UserError: if there is no such folder or repository, it holds no model that we read, it cannot be
            reached and is not in the cache, or a file fails a check.
    """
    path = Path(expanded(os.fspath(name)))
    if path.is_dir():
        if revision is not None:
            raise UserError(f"{name} is a folder and has no revision {revision!r}; leave the revision out")
        return path
    if path.is_file():
        raise UserError(f"{name} is a file; expected the folder it is in, or a repository's name such as user/flowers")
    repository = str(name)
    client.check_name(repository)
    client.check_revision(revision)
    if client.is_offline():
        return _cached(repository, revision, "HF_HUB_OFFLINE is set")
    try:
        return _download(Repository(repository, revision))
    except client.Unreachable as error:
        return _cached(repository, revision, str(error))


def repository_file(name: str, file: str) -> Path:
    """One weights file of a repository of any library, in the cache of this machine, checked as `local_folder` does.

    Raises:
        UserError: if it is not there, cannot be reached and is not in the cache, or fails a check.
    """
    if client.is_offline():
        return _cached_file(name, file, "HF_HUB_OFFLINE is set")
    try:
        return Repository(name).fetch(file)
    except client.Unreachable as error:
        return _cached_file(name, file, str(error))


def _cached_file(repository: str, name: str, why: str) -> Path:
    found = client.library().try_to_load_from_cache(repository, name)
    if not isinstance(found, str):
        raise UserError(f"{why}, and {name} of {repository} is not in the cache of this machine")
    check_cached(Path(found), named_by_cache(Path(found)), "the cache")
    return Path(found)


def _download(repository: Repository) -> Path:
    config = {}
    if CONFIG in repository.names:  # first, so that another library's gigabytes are refused before they are fetched
        config = read_config(repository.fetch(CONFIG).parent)
    files = [repository.fetch(name) for name in weights_names(repository.names, config, repository.name)]
    return files[0].parent


def _cached(repository: str, revision: str | None, why: str) -> Path:
    """What huggingface_hub's cache holds of a revision, checked as far as the cache knows hashes."""
    lookup = client.library().try_to_load_from_cache
    found = (lookup(repository, name, revision=revision) for name in (CONFIG, GENERATOR, *PYTORCH))
    first = next((path for path in found if isinstance(path, str)), None)
    this = f"{repository} at {revision!r}" if revision else repository
    if first is None:
        raise UserError(f"{why}, and {this} is not in the cache of this machine")
    folder = Path(first).parent
    names = [path.name for path in folder.iterdir() if path.name == CONFIG or is_weights(path.name)]
    for name in names:
        check_cached(folder / name, named_by_cache(folder / name), "the cache")
    if not any(map(is_weights, names)):  # a download that was broken off
        raise UserError(f"{why}, and {this} is not whole in the cache of this machine")
    weights_names(names, read_config(folder), repository)
    return folder
