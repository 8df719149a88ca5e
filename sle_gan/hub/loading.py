"""Networks of models, built and loaded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sle_gan.hub.opening import open_model
from sle_gan.models.building import build_network, fold_network


def load_generator(path: str | Path) -> Any:
    """Builds the generator that a model holds.

    Args:
        path: a generator_weights.h5, a run, or whatever else `sle_gan.hub.open_model` takes: also a PyTorch checkpoint
            of FastGAN (.pth) or of huggan's lightweight GAN (model.pt, pytorch_model.bin), which needs the extra
            `torch`.

    Returns:
        The generator, built and loaded: for `generate_images`, or to be called with latents (B, latent).

    Raises:
        UserError: if the file is missing, damaged, or holds another network.

    Example:
        >>> import sle_gan
        >>> sle_gan.Generator(64, width=8, latent=16).save_weights("generator_weights.h5")
        >>> sle_gan.load_generator("generator_weights.h5").output_resolution
        64
    """
    return build_network(open_model(path).generator())


def load_folded(path: str | Path, precision: str = "float32") -> Any:
    """Like `load_generator`, for `generate_images` alone: see `sle_gan.models.building.fold_network`."""
    return fold_network(open_model(path).generator(), precision)


def load_translator(path: str | Path, direction: str | None = None) -> Any:
    """Builds a generator of a CycleGAN.

    Args:
        path: one that was trained here or a file or folder of huggan's layout; see `sle_gan.hub.open_model`.
        direction: "AB" or "BA", where it holds both.

    Raises:
        UserError: if the file is missing, damaged, or holds another network.
    """
    return build_network(open_model(path).translator(direction))


def from_pretrained(repo_or_folder: str | Path, revision: str | None = None) -> Any:
    """The generator of a shared model.

    Args:
        repo_or_folder: `user/name` on a hub, or a folder: a shared model, a training run, or another project's
            model that we read; or a file of weights, as `sle_gan.load_generator` takes it.
        revision: of the repository: a branch, a tag or a full commit hash.

    Returns:
        A generator for `sle_gan.generate_images`.

    Raises:
        UserError: see `sle_gan.hub.open_model`; or if the weights are of no generator that we know.

    Example:
        >>> import sle_gan
        >>> folder = sle_gan.save_pretrained(sle_gan.Generator(64, width=8, latent=16), "shared")
        >>> sle_gan.from_pretrained(folder).output_resolution
        64
    """
    return build_network(open_model(repo_or_folder, revision=revision).generator())
