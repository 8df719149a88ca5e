"""What trial k tries: a function of the seed, its number and the trials before it, and of nothing else.

Optuna's samplers carry a random state from trial to trial, which a killed process takes with it. Here every number of a
trial comes from a sampler of its own, seeded by what it is for.
"""

from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from sle_gan.search.space import Choices, Dimension, Space

if TYPE_CHECKING:
    from optuna import Study

# Fewer random trials than Optuna's 10: a trial is a training, and a search has tens of them.
_RANDOM_TRIALS = 6


def distribution(dimension: Dimension) -> BaseDistribution:
    """Optuna's form of a dimension."""
    if isinstance(dimension, Choices):
        return CategoricalDistribution(dimension.values)
    if dimension.integer:
        step = int(dimension.step or 1)
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def sample(study: Study, number: int, space: Space, seed: int, base: dict[str, Any]) -> dict[str, Any]:
    """The values of trial `number`, by a tree-structured Parzen estimator over the trials that are in the study.

    Trial 0 has the base's own values, as far as the space holds them: what is found can be compared with them.
    """
    trial = FrozenTrial(
        number=number,
        state=TrialState.RUNNING,
        value=None,
        datetime_start=None,
        datetime_complete=None,
        params={},
        distributions={},
        user_attrs={},
        system_attrs={},
        intermediate_values={},
        trial_id=-1,
    )
    values = {}
    for name, dimension in space.items():
        if number == 0 and dimension.holds(base[name]):
            values[name] = base[name]
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # Not multivariate: then each name is sampled by itself. Trials that run elsewhere count as poor ones, so
            # that processes that share a search do not all try the same.
            sampler = optuna.samplers.TPESampler(
                seed=_seed_of(seed, number, name),
                n_startup_trials=_RANDOM_TRIALS,
                multivariate=False,
                constant_liar=True,
            )
        values[name] = sampler.sample_independent(study, trial, name, distribution(dimension))
    return values


def _seed_of(seed: int, number: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}/{number}/{name}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")
