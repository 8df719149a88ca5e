"""The settings of a resumed run: its own, and from the flags those that may change."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from sle_gan.config import TrainConfig, flag
from sle_gan.errors import UserError
from sle_gan.runs.folder import check_existing, read_run_config
from sle_gan.storage.paths import expanded


def resumed_config(given: dict[str, Any]) -> TrainConfig:
    """The configuration of the run named by the flags, updated with the flags given.

    What a setting's `fixed` marks cannot change: a checkpoint does not fit other networks, and the stream of
    batches and random numbers follows from the rest.

    Raises:
        UserError: if there is no such run, or a flag changes what cannot change.
    """
    given = dict(given)
    place = Path(expanded(given.get("output_folder", TrainConfig.output_folder))) / given.get("name", TrainConfig.name)
    check_existing(place)
    saved = read_run_config(place)
    fixed = {"model": saved.model}
    fixed |= {
        field.name: getattr(saved, field.name) for field in dataclasses.fields(saved) if field.metadata.get("fixed")
    }
    if given.get("mixed_precision") == "auto":
        del given["mixed_precision"]  # it was decided when the run began
    for name, old in fixed.items():
        if given.get(name, old) != old:
            raise UserError(
                f"{flag(name)} is {given[name]}, but {place} was trained with {old}; "
                "leave it out to resume, or start a new run"
            )
    given.pop("model", None)
    for one, other in (("steps", "epochs"), ("epochs", "steps")):
        if one in given:  # the new length replaces the old one, however that was given
            given = {other: None, **given}
    # The folder may have been moved or renamed since: what the flags say about it holds.
    return dataclasses.replace(saved, **{**given, "name": place.name, "output_folder": str(place.parent)}).validated()
