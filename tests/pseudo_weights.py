"""Weights that are functions of their tensors' names: the golden files were made with these."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np


def pseudo_weight(name: str, shape: Sequence[int], kind: str | None = None) -> np.ndarray:
    """The rule of golden/README.md for inception_fid.npz, torch layout.

    kind: "scale" for a tensor that takes the rule of `bn.weight` under another name; "half" for normal numbers of
        deviation 0.5.
    """
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        values = 0.5 + random.random(shape)
    elif name.endswith(("running_mean", ".bias")):
        values = 0.1 * random.standard_normal(shape)
    elif kind == "half":
        values = 0.5 * random.standard_normal(shape)
    elif kind == "scale" or name.endswith("bn.weight"):
        values = 0.8 + 0.4 * random.random(shape)
    else:
        values = random.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:] or shape))
    return values.astype(np.float32)
