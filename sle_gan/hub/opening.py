"""What a user means by a run, a checkpoint, a folder, a weights file, a PyTorch file or a repository: one answer.

Every command that takes a model opens it here, so that all of them take the same references and say the same about
wrong ones. Which network a file holds is read and checked first; its arrays are read when they are asked for.
"""

from __future__ import annotations

import functools
import os
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from sle_gan import weights
from sle_gan.errors import UserError
from sle_gan.gans import GANS, find_network
from sle_gan.hub import client
from sle_gan.hub.download import local_folder
from sle_gan.hub.model_files import GENERATOR, check_stated, foreign_file
from sle_gan.storage.paths import expanded
from sle_gan.storage.torch_files import is_torch_file
from sle_gan.weights import StoredNetwork

if TYPE_CHECKING:
    from sle_gan.config import TrainConfig
    from sle_gan.convert.checkpoint import TorchCheckpoint

TRANSLATOR = "ResNetGenerator"
_FILE_SUFFIXES = (".h5", ".hdf5", ".npz", ".json")  # beside PyTorch's: no repository is called so


class Kind(Enum):
    """What a reference leads to, in the words of messages."""

    RUN = "a training run"
    CHECKPOINT = "a checkpoint of a training run"
    FOLDER = "a folder of weights files"
    FILE = "a weights file"
    TORCH = "a PyTorch file"


class Model:
    """A model that a reference leads to; `open_model` makes it.

    Attributes:
        name: the reference as the user gave it, behind the flag where there is one: how messages begin.
        kind: what it is. A repository is what it was downloaded as: a folder, or the PyTorch file in it.
        path: the run, the checkpoint, the folder or the file.
        commit: of a repository.
    """

    def __init__(self, name: str, kind: Kind, path: Path, commit: str | None = None):
        self.name, self.kind, self.path, self.commit = name, kind, path, commit

    @functools.cached_property
    def run(self) -> tuple[TrainConfig, Path] | None:
        """The settings of a run and its newest checkpoint, or the one that was named; None for other kinds.

        Raises:
            UserError: if the settings are damaged, or the run has no checkpoint.
        """
        if self.kind not in (Kind.RUN, Kind.CHECKPOINT):
            return None
        from sle_gan.runs.folder import read_run

        return read_run(self.path)

    @functools.cached_property
    def torch(self) -> TorchCheckpoint | None:
        """A PyTorch checkpoint with all that it holds beside networks; None for other kinds, and for CycleGAN's files.

        Raises:
            UserError: if the file is of no layout that we know, or damaged.
        """
        if self.kind is not Kind.TORCH:
            return None
        from sle_gan.convert import read_torch
        from sle_gan.gans.cyclegan.huggan import is_cyclegan_file

        return None if is_cyclegan_file(self.path) else read_torch(self.path)

    @functools.cached_property
    def networks(self) -> dict[str, StoredNetwork]:
        """All networks that it holds.

        Of a run or a checkpoint by their names in `GAN.networks`, of a PyTorch file by "generator", "generator_ema" and
        "discriminator", of a folder by the names of their files; of a file with one network by its name.

        Raises:
            UserError: where a file is damaged, or does not hold what it says.
        """
        if self.run:
            from sle_gan.runs.networks import open_networks

            return open_networks(*self.run)
        if self.torch:
            return {key: each.stored(self.path) for key, each in self.torch.networks.items()}
        if self.kind is Kind.TORCH:
            return {self.path.name: self._cyclegan()}
        if self.kind is Kind.FILE:
            return {self.path.name: weights.open_network(self.path)}
        return {name: self._file(name) for name in _exports(self.path)}

    def generator(self) -> StoredNetwork:
        """The network to make pictures with: the export of a run, the average where there is one.

        Raises:
            UserError: if the model has no network that makes pictures from latents.
        """
        if self.kind in (Kind.RUN, Kind.FOLDER):
            found = self._file(GENERATOR) if (self.path / GENERATOR).is_file() else None
        else:
            found = self._averaged("generator") or self._only()
        if found is None:
            raise UserError(f"{self.name} holds {self._listing()} but no {self._missing_generator()}")
        if not _is_from_latents(found.network):
            hint = "; sle-gan translate takes it" if found.network == TRANSLATOR else ""
            raise UserError(f"{self.name} holds {found}, not a generator that makes pictures from latents{hint}")
        return found

    def _listing(self) -> str:
        if self.kind in (Kind.RUN, Kind.FOLDER):
            return ", ".join(_exports(self.path)) or "its settings"
        return ", ".join(self.networks)

    def _missing_generator(self) -> str:
        if self.kind not in (Kind.RUN, Kind.FOLDER):
            return "generator that makes pictures from latents"
        if any(self.path.glob("generator_??_weights.h5")):
            return f"{GENERATOR}, the one that makes pictures from latents: translate pictures with sle-gan translate"
        if self.kind is Kind.RUN:
            return f"{GENERATOR}: that comes with the first checkpoint"
        return f"{GENERATOR}, the one that makes pictures from latents"

    def translator(self, direction: str | None = None) -> StoredNetwork:
        """The generator of a CycleGAN.

        Args:
            direction: "AB" or "BA"; by default AB, or the one that a file holds.

        Raises:
            UserError: if it holds none of that direction.
        """
        key = f"generator_{direction or 'AB'}"
        if self.kind in (Kind.FILE, Kind.TORCH):
            opposite = {"AB": "BA", "BA": "AB"}.get(direction or "")
            if opposite and f"generator_{opposite}" in self.path.name:
                raise UserError(
                    f"{self.name}: its name says that it goes the other way than {direction}; leave the direction out"
                )
            # Of a PyTorch file as what it has to be, so that the message says what it lacks for that.
            found = self._cyclegan() if self.kind is Kind.TORCH else self._only()
        elif self.kind is Kind.CHECKPOINT:
            found = self.networks.get(key)
        else:
            name = f"{key}_weights.h5"
            found = self._file(name) if (self.path / name).is_file() else None
        if found is None:
            lacking = key if self.kind is Kind.CHECKPOINT else f"{key}_weights.h5"
            raise UserError(f"{self.name} is {self.kind.value} without {lacking}; expected one of --model cyclegan")
        if found.network != TRANSLATOR:
            raise UserError(f"{self.name} holds {found}, not a CycleGAN's generator ({TRANSLATOR})")
        return found

    def network(self, key: str) -> StoredNetwork:
        """The network of that name in `GAN.networks`, as others use it: the average where there is one.

        Raises:
            UserError: if there is none; a file with one network is taken for it.
        """
        name = f"{key}_weights.h5"
        if self.kind in (Kind.RUN, Kind.FOLDER):
            found = self._file(name) if (self.path / name).is_file() else None
        else:
            found = self._averaged(key)
            # A PyTorch file names its networks, a file of ours or of CycleGAN's layout has one without a name.
            found = found or (None if self.torch else self._only())
        if found is None:
            raise UserError(f"{self.name} holds no {key}, but {self._listing()}")
        return found

    def _averaged(self, key: str) -> StoredNetwork | None:
        return self.networks.get(f"{key}_ema") or self.networks.get(key)

    def _only(self) -> StoredNetwork | None:
        return next(iter(self.networks.values())) if len(self.networks) == 1 else None

    def _file(self, name: str) -> StoredNetwork:
        check_stated(self.path / name)
        return weights.open_network(self.path / name)

    def _cyclegan(self) -> StoredNetwork:
        from sle_gan.gans.cyclegan.huggan import convert_cyclegan

        return convert_cyclegan(self.path).stored(self.path)


def open_model(reference: str | Path, flag: str = "", revision: str | None = None) -> Model:
    """Finds out what a reference is, before anything of it is read; starts no backend.

    Args:
        reference: a run's folder, a checkpoint in it (.npz), a folder of weights files such as a shared model, one
            weights file (.h5), a PyTorch file, or a repository on a hub: user/name or user/name@revision.
        flag: that it was given with, for messages.
        revision: of a repository: a branch, a tag or a full commit hash.

    Raises:
        UserError: if there is no such thing, or it is no model. The message begins with flag and reference.
    """
    name = f"{flag} {reference}" if flag else str(reference)
    path = Path(expanded(os.fspath(reference)))
    if not path.exists():
        return _open_repository(str(reference), name, revision)
    if revision is not None:
        raise UserError(f"{name} is on this machine and has no revision {revision!r}; leave the revision out")
    if path.is_file():
        if path.suffix.lower() == ".npz":
            return Model(name, Kind.CHECKPOINT, path)
        return Model(name, Kind.TORCH if is_torch_file(path) else Kind.FILE, path)
    if (path / "checkpoints").is_dir():
        return Model(name, Kind.RUN, path)
    return _open_folder(path, name, f"{name} is neither a training run nor a model's folder: it")


def _open_folder(path: Path, name: str, source: str, commit: str | None = None) -> Model:
    if _exports(path):
        return Model(name, Kind.FOLDER, path, commit)
    return Model(name, Kind.TORCH, foreign_file(path, source), commit)


def _is_from_latents(network: str) -> bool:
    gan = find_network(network)
    return gan is not None and GANS[gan].networks[network].from_latents


def _exports(folder: Path) -> list[str]:
    """The names of the weights files of ours in a folder, but for the best generator, which is there a second time."""
    names = (path.name for path in folder.iterdir() if path.is_file())
    return sorted(name for name in names if name.endswith("weights.h5") and not name.startswith("best_"))


def _open_repository(reference: str, name: str, revision: str | None) -> Model:
    repository, _, stated = reference.partition("@")
    if stated and revision:
        raise UserError(f"{name} names a revision, and {revision!r} was given beside it; give one of them")
    revision = stated or revision
    if not client.is_name(repository) or Path(repository).suffix.lower() in _FILE_SUFFIXES or is_torch_file(repository):
        raise UserError(
            f"{name}: there is no such file or folder; expected a run, a checkpoint, a weights file, a folder with "
            "weights, or a repository's name such as user/flowers"
        )
    folder = Path(repository).parent
    if revision is None and folder.is_dir():
        # Rather a mistyped path: its name is not sent to a server unless that is asked for.
        raise UserError(
            f"{name}: there is no such file or folder in {folder}; for the repository of that name give "
            f"{repository}@main"
        )
    try:
        folder = local_folder(repository, revision)
    except UserError as error:
        raise UserError(f"{name}: there is no such file or folder, and as a repository: {error}") from error
    return _open_folder(folder, name, name, folder.name)
