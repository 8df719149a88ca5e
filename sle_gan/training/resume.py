"""Which settings a resumed run has: its own, and of the flags those that may change."""

from __future__ import annotations

import dataclasses
from typing import Any

from sle_gan.config import TrainConfig, flag, read_config_file
from sle_gan.errors import UserError
from sle_gan.training.run_folder import RunFolder, check_existing

# A checkpoint does not fit other networks, and the stream of batches and random numbers follows from the rest.
FIXED = ("resolution", "width", "latent", "channels", "seed", "generator_weights", "discriminator_weights")


def resumed_config(given: dict[str, Any]) -> TrainConfig:
    """The configuration of the run named by the flags, updated with the flags given.

    Raises:
        UserError: if there is no such run, or a flag changes what cannot change.
    """
    place = TrainConfig(**{key: given[key] for key in ("name", "output_folder") if key in given})
    check_existing(place.run_folder)
    saved = TrainConfig(**read_config_file(RunFolder(place.run_folder).config))
    for name in FIXED:
        old = getattr(saved, name)
        if given.get(name, old) != old:
            raise UserError(
                f"{flag(name)} is {given[name]}, but {place.run_folder} was trained with {old}; "
                "leave it out to resume, or start a new run"
            )
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if one in given:  # the new length replaces the old one, however that was given
            given = {other: None, **given}
    # The folder may have been moved or renamed since: what the flags say about it holds.
    return dataclasses.replace(saved, **{**given, "name": place.name, "output_folder": place.output_folder}).validated()
