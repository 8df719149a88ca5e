"""The folder of a shared model -> a commit in a hub repository."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from sle_gan.errors import UserError
from sle_gan.hub import client
from sle_gan.hub.model_files import LIBRARY, PYTORCH, is_ours
from sle_gan.hub.repository import Repository
from sle_gan.hub.shared_folder import shared_files
from sle_gan.storage.json_objects import CONFIG, read_config


class Pushed(NamedTuple):
    """Where a model went."""

    url: str
    commit: str
    private: bool


class Destination:
    """A repository that a model may be pushed to: checked when made, before any work is done for it.

    Args:
        name: `user/name`.
        private: make the repository private.

    Raises:
        UserError: without a network, without a token that the hub accepts, if another model is there, or if it
            is public and was to be private.
    """

    def __init__(self, name: str, private: bool = False):
        client.check_name(name)
        self.name, self._private = name, private
        with client.one_line_errors(name):
            client.library().HfApi().whoami()
        try:
            self._there = Repository(name)
        except client.Missing:
            self._there = None
        else:
            self._check(self._there)

    def _check(self, there: Repository) -> None:
        if self._private and not there.private:
            raise UserError(
                f"{self.name} exists and is public, so nothing was sent: make it private at "
                f"{client.endpoint()}/{self.name}/settings, or choose another name"
            )
        theirs = [name for name in there.names if name in PYTORCH]
        if not theirs and CONFIG in there.names:
            library = read_config(there.fetch(CONFIG).parent).get("library_name")
            theirs = [] if library == LIBRARY else [CONFIG]
        if theirs:
            raise UserError(
                f"{self.name} holds another model ({theirs[0]}), which would be overwritten; choose another name"
            )

    def push(self, folder: Path, message: str = "Share a model") -> Pushed:
        """Sends the files of a folder that `save_pretrained` made, and no others, as one commit.

        The repository is made if it is not there. Weights that are there and not in the folder are deleted in the
        same commit: they would be of another training.

        Raises:
            UserError: if the folder is no shared model, or the hub refuses.
        """
        names = shared_files(folder)
        library = client.library()
        api = library.HfApi()
        with client.one_line_errors(self.name):
            if self._there is None:
                api.create_repo(self.name, private=self._private or None)  # None: as the owner's settings say
                self._there = Repository(self.name)
            stale = [name for name in self._there.names if is_ours(name) and name not in names]
            commit = api.create_commit(
                self.name,
                [
                    *(library.CommitOperationAdd(name, folder / name) for name in names),
                    *(library.CommitOperationDelete(name) for name in stale),
                ],
                commit_message=message,
            )
        return Pushed(f"{client.endpoint()}/{self.name}", commit.oid, self._there.private)
