"""The settings of a run: what all GANs share, and the class of each GAN by its name.

Command-line flags, --help and config.json follow from a class's fields.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sle_gan.config.base import CHANNELS, HEADINGS, TO_GENERATE, TrainConfig, flag, parse_value_range, suggestion
from sle_gan.errors import UserError, shown
from sle_gan.gans import GANS, NAMES
from sle_gan.storage.json_objects import read_object
from sle_gan.storage.paths import reason


class _Configs(Mapping[str, "type[TrainConfig]"]):
    """The class of each GAN's settings, imported when it is first asked for: those classes import this package."""

    def __getitem__(self, name: str) -> type[TrainConfig]:
        return GANS[name].config

    def __iter__(self) -> Iterator[str]:
        return iter(GANS)

    def __len__(self) -> int:
        return len(GANS)


CONFIGS: Mapping[str, type[TrainConfig]] = _Configs()
DEFAULT_MODEL = NAMES[0]

__all__ = [
    "CHANNELS",
    "CONFIGS",
    "DEFAULT_MODEL",
    "HEADINGS",
    "TO_GENERATE",
    "TrainConfig",
    "config_class",
    "config_from_dict",
    "flag",
    "parse_value_range",
    "read_config_file",
]


def config_class(model: Any, source: str) -> type[TrainConfig]:
    """The settings' class of a GAN; raises a UserError that names `source` where there is none."""
    if not isinstance(model, str) or model not in CONFIGS:
        hint = suggestion(str(model), list(CONFIGS))
        raise UserError(f"{source}: model is {shown(repr(model))}; expected one of {', '.join(CONFIGS)}{hint}")
    return CONFIGS[model]


def config_from_dict(values: dict[str, Any], source: str) -> TrainConfig:
    """Makes a configuration from JSON values, `model` among them, checking names and types.

    Raises:
        UserError: for an unknown name or a value of the wrong type; `source` is named.
    """
    values = dict(values)
    config = config_class(values.pop("model", DEFAULT_MODEL), source)
    config.check_values(values, source)
    return config(**values)


def read_config_file(path: str | Path, source: str = "") -> dict[str, Any]:
    """The settings in a JSON file, such as a run's config.json, checked for names and types; `model` included.

    Args:
        source: what errors call it; by default the file of --config.

    Raises:
        UserError: if it cannot be read, is no JSON, or holds an unknown name or a value of the wrong type.
    """
    source = source or f"--config {path}"
    try:
        values = read_object(Path(path))
    except OSError as error:
        raise UserError(f"{source}: {reason(error)}; expected a JSON file such as a run's config.json") from error
    except ValueError as error:
        raise UserError(f"{source} is not JSON with an object of settings ({error})") from error
    config_from_dict(values, source)
    return {"model": DEFAULT_MODEL, **values}
