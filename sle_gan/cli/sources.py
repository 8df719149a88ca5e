"""Folders that stand for a generator: a run's, or a shared model's."""

from __future__ import annotations

from pathlib import Path

from sle_gan.errors import UserError


def generator_of(flag: str, path: str | Path) -> Path:
    """The file with the generator of a model's folder: the newest one of a run.

    Raises:
        UserError: if the folder has none that draws pictures from noise.
    """
    from sle_gan.hub import generator_file
    from sle_gan.hub.model_files import is_weights

    folder = Path(path)
    if (folder / "generator_AB_weights.h5").is_file():
        raise UserError(
            f"{flag} {path} is a CycleGAN's run, whose generators draw nothing from noise: translate pictures with "
            "sle-gan translate and give the folder of what it writes"
        )
    if not any(is_weights(file.name) for file in folder.iterdir()):
        raise UserError(f"{flag} {path} is a run without a generator_weights.h5: that comes with the first checkpoint")
    return generator_file(folder)
