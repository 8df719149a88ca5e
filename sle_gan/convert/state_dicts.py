"""Removes what training programs add around state dicts and to the names of their tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from sle_gan.errors import shown

# Keys under which checkpoints hold a state dict, beside others such as the epoch.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "GAN")
_DEEPEST = 4
# Parts of a name that come from what was put around a module or around one of its parts: DataParallel and
# DistributedDataParallel, torch.compile, FullyShardedDataParallel, checkpoint_wrapper.
_ADDED = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# torch.nn.utils.parametrizations.spectral_norm keeps the same three tensors as torch.nn.utils.spectral_norm.
_PARAMETRIZED = {
    ".parametrizations.weight.original": ".weight_orig",
    ".parametrizations.weight.0._u": ".weight_u",
    ".parametrizations.weight.0._v": ".weight_v",
}


def unwrapped(content: Any, fits: Callable[[Iterable[str]], bool]) -> tuple[Any, list[str]]:
    """The innermost of the content's wrapped state dicts, or the first whose names fit; and what else was beside it.

    Args:
        content: of a file.
        fits: whether these plain names are those of what is looked for.
    """
    ignored: list[str] = []
    for _ in range(_DEEPEST):
        if not isinstance(content, Mapping) or fits(map(plain_name, map(str, content))):
            break
        key = next((key for key in _WRAPPERS if isinstance(content.get(key), Mapping)), None)
        if key is None:
            break
        ignored += [f"'{shown(other)}'" for other in content if other != key]
        content = content[key]
    return content, ignored


def plain_name(name: str) -> str:
    """A tensor's name without what DataParallel, torch.compile and the like add, spectral norm's in its older form."""
    name = ".".join(part for part in name.split(".") if part not in _ADDED)
    for newer, older in _PARAMETRIZED.items():
        if name.endswith(newer):
            return name.removesuffix(newer) + older
    return name


def named(state: Mapping[Any, Any]) -> dict[str, Any]:
    """The values of a state dict under plain names, in their order.

    Raises:
        ValueError: if two of them have the same one.
    """
    found: dict[str, Any] = {}
    for key, value in state.items():
        name = plain_name(str(key))
        if name in found:
            raise ValueError(f"it holds {shown(name)} twice, under names that differ by what was wrapped around it")
        found[name] = value
    return found


def to_numpy(name: str, tensor: Any) -> np.ndarray:
    """A tensor as float32, without a copy where it is float32.

    Raises:
        ValueError: for anything else than a tensor.
    """
    if not hasattr(tensor, "numpy"):
        raise ValueError(f"{shown(name)} is a {type(tensor).__name__}, no tensor")
    return tensor.detach().float().numpy()
