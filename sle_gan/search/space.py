"""What a search may try: settings of a GAN, each with its range or its choices."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sle_gan.config import TrainConfig, flag
from sle_gan.config.base import KEPT, QUALITY, is_path, is_union, suggestion
from sle_gan.errors import UserError, shown
from sle_gan.gans import GANS
from sle_gan.storage.json_objects import read_object
from sle_gan.storage.paths import reason

Value = int | float | str | bool | None

# Scores of runs that differ in these do not compare, or nothing is learned from them.
_OF_THE_PICTURES = ("resolution", "aspect", "channels", "enlarge", "value_range", "image_column", "labels")
_OF_THE_TRIAL = ("name", "seed", "steps", "epochs", "cache_folder", "devices", "distributed", "steps_per_call")
_KEYS = {"low", "high", "log", "step", "choices"}


@dataclasses.dataclass(frozen=True)
class Choices:
    """One of these values; whatever lies between them is not thought of."""

    values: tuple[Value, ...]

    def holds(self, value: Any) -> bool:
        return any(value == each and type(value) is type(each) for each in self.values)

    @property
    def ends(self) -> tuple[Value, ...]:
        return self.values

    def to_json(self) -> Any:
        return list(self.values)


@dataclasses.dataclass(frozen=True)
class Range:
    """From low to high, both included; whole numbers where `integer`."""

    low: float
    high: float
    log: bool = False
    step: float | None = None
    integer: bool = False

    def holds(self, value: Any) -> bool:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        steps = (value - self.low) / self.step if self.step else 0.0
        return math.isclose(steps, round(steps), abs_tol=1e-9)

    @property
    def ends(self) -> tuple[Value, ...]:
        return self.low, self.high

    def to_json(self) -> Any:
        kept = {"low": self.low, "high": self.high, "log": self.log, "step": self.step}
        return {name: value for name, value in kept.items() if value not in (None, False)}


Dimension = Choices | Range
Space = dict[str, Dimension]


def default_space(base: TrainConfig, pictures: int) -> Space:
    """The space of the base's GAN; batch sizes that a set of so many pictures has no batch for are left out.

    Raises:
        UserError: if the base is a GAN without a space.
    """
    values = dict(GANS[base.model].search_space)
    if not values:
        raise UserError(f"{base.model} has no search space of its own; give one with --space")
    if base.drop_last and "batch_size" in values:
        fitting = [size for size in values["batch_size"] if size <= pictures]
        values["batch_size"] = fitting or [base.batch_size]
        if len(fitting) < 2:
            del values["batch_size"]
    return parse_space(values, base, f"the default space of {base.model}")


def read_space(path: str, base: TrainConfig) -> Space:
    """The space in a JSON file: {"SETTING": {"low": 1e-4, "high": 1e-2, "log": true}, "OTHER": [1, 2, 3]}.

    Raises:
        UserError: if it cannot be read, or as `parse_space` does.
    """
    try:
        values = read_object(Path(path))
    except OSError as error:
        raise UserError(f"--space {path}: {reason(error)}; expected a JSON file") from error
    except ValueError as error:
        raise UserError(f"--space {path} is not JSON with an object of settings ({error})") from error
    return parse_space(values, base, f"--space {path}")


def parse_space(values: Mapping[str, Any], base: TrainConfig, source: str) -> Space:
    """Checks a space against the settings of the base's class, and each end of each range in the base.

    Raises:
        UserError: for an unknown setting, one that no search can compare, an empty range, a value of the wrong type or
            one that the GAN refuses; `source` is named.
    """
    if not values:
        raise UserError(f"{source} is empty; expected at least one setting with its range")
    fields = {field.name: field for field in dataclasses.fields(base)}
    hints = typing.get_type_hints(type(base))
    space: Space = {}
    for name, entry in values.items():
        if name not in fields:
            raise UserError(f"{source}: unknown setting {shown(name)!r}{suggestion(name, tuple(fields))}")
        _check_searchable(fields[name], f"{source}: {name}")
        space[name] = _dimension(entry, hints[name], f"{source}: {name}")
        _check_ends(base, name, space[name], source)
    return space


def _check_searchable(field: dataclasses.Field[Any], what: str) -> None:
    if is_path(field) or field.name in _OF_THE_PICTURES:
        raise UserError(f"{what} cannot be searched: scores of different pictures do not compare")
    if field.name in _OF_THE_TRIAL or field.metadata.get("hidden") or field.metadata["group"] in (QUALITY, KEPT):
        raise UserError(f"{what} cannot be searched: the search sets it, or pictures do not depend on it")


def _dimension(entry: Any, hint: Any, what: str) -> Dimension:
    if isinstance(entry, list):
        entry = {"choices": entry}
    if not isinstance(entry, dict):
        raise UserError(f"{what} is {shown(repr(entry))}; expected a list of values, or an object with low and high")
    if unknown := set(entry) - _KEYS:
        raise UserError(f"{what}: unknown key {shown(min(unknown))!r}; expected some of {', '.join(sorted(_KEYS))}")
    if "choices" in entry:
        return _choices(entry, what)
    return _range(entry, hint, what)


def _choices(entry: Mapping[str, Any], what: str) -> Choices:
    values = entry["choices"]
    if len(entry) > 1 or not isinstance(values, list):
        raise UserError(f"{what}: expected choices alone, a list of values")
    if not all(value is None or isinstance(value, (bool, int, float, str)) for value in values):
        raise UserError(f"{what}: choices are {shown(repr(values))}; expected numbers, words, true, false or null")
    if len({repr(value) for value in values}) < max(2, len(values)):
        raise UserError(
            f"{what} is an empty range: choices are {shown(repr(values))}; expected at least 2, all different"
        )
    return Choices(tuple(values))


def _range(entry: Mapping[str, Any], hint: Any, what: str) -> Range:
    scalar = next(
        (each for each in (typing.get_args(hint) if is_union(hint) else (hint,)) if each in (int, float)), None
    )
    if scalar is None:
        raise UserError(f"{what} is no number; give its choices, as a list")
    if missing := {"low", "high"} - set(entry):
        raise UserError(f"{what}: {min(missing)} is missing; expected low and high, or a list of choices")
    log = entry.get("log", False)
    if not isinstance(log, bool):
        raise UserError(f"{what}: log is {shown(repr(log))}; expected true or false")
    numbers = {name: entry[name] for name in ("low", "high", "step") if entry.get(name) is not None}
    for name, value in numbers.items():
        right = isinstance(value, (int, scalar)) and not isinstance(value, bool) and math.isfinite(value)
        if not right:
            kind = "a whole number" if scalar is int else "a number"
            raise UserError(f"{what}: {name} is {shown(repr(value))}; expected {kind}")
    low, high, step = scalar(numbers["low"]), scalar(numbers["high"]), numbers.get("step")
    if low >= high:
        raise UserError(f"{what} is an empty range: low is {low} and high is {high}; expected low < high")
    if log and (low <= 0 or step):
        raise UserError(f"{what}: with log, expected low above 0 and no step; low is {low}")
    if step is not None and not 0 < step <= high - low:
        raise UserError(f"{what}: step is {step}; expected more than 0 and at most high - low")
    return Range(low, high, log, step, integer=scalar is int)


def _check_ends(base: TrainConfig, name: str, dimension: Dimension, source: str) -> None:
    """Raises a UserError for an end that the base cannot have, before a trial runs into it."""
    for value in dimension.ends:
        type(base).check_values({name: value}, source)
        try:
            dataclasses.replace(base, **{name: value}).validated()
        except UserError as error:
            raise UserError(f"{source}: {flag(name)[2:]} may be {value}, and then: {error}") from error
