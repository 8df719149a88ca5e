"""Convolutions and pooling of the PyTorch engine, on maps NHWC as they lie in memory."""

from __future__ import annotations

from typing import Any

import torch
from keras import ops
from torch.nn import functional


def nchw(x: torch.Tensor) -> torch.Tensor:
    """The same memory, in the order of axes that PyTorch wants; to it these maps are of the format channels_last."""
    return x.permute(0, 3, 1, 2)


def nhwc(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)


def conv(x: Any, kernel: Any, strides: int = 1, padding: str = "valid") -> Any:
    """`keras.ops.conv` of maps NHWC and a kernel (height, width, C / groups, F), without copies of the maps.

    Keras's own copies them twice, and in float64 it has no gradient.
    """
    x, kernel = nchw(ops.convert_to_tensor(x)), ops.convert_to_tensor(kernel).permute(3, 2, 0, 1).contiguous()
    pads = [(0, 0), (0, 0)]
    if padding == "same":
        totals = [max(0, (-(-n // strides) - 1) * strides + k - n) for n, k in zip(x.shape[2:], kernel.shape[2:])]
        pads = [(total // 2, total - total // 2) for total in totals]
    if any(before != behind for before, behind in pads):
        x = functional.pad(x, [*pads[1], *pads[0]])
        pads = [(0, 0), (0, 0)]
    both = pads[0][0], pads[1][0]
    return nhwc(functional.conv2d(x, kernel, None, strides, both, groups=x.shape[1] // kernel.shape[1]))


def conv_transpose(x: Any, kernel: Any, strides: int = 1, padding: str = "valid") -> Any:
    """`keras.ops.conv_transpose` of maps NHWC and a kernel (k, k, F, C), likewise.

    Args:
        strides: k at most.
        padding: with "same", k - strides is even.
    """
    kernel = ops.convert_to_tensor(kernel).permute(3, 2, 0, 1).contiguous()
    beyond = kernel.shape[-1] - strides
    crop = beyond // 2 if padding == "same" else 0
    if beyond < 0 or (padding == "same" and beyond % 2):
        raise ValueError(f"a kernel of {kernel.shape[-1]} with strides of {strides} and padding {padding!r}")
    return nhwc(functional.conv_transpose2d(nchw(ops.convert_to_tensor(x)), kernel, None, strides, crop))


def average_pool(x: Any, size: int | tuple[int, int], strides: int | tuple[int, int]) -> Any:
    """`keras.ops.average_pool` of maps NHWC without padding, likewise."""
    return nhwc(functional.avg_pool2d(nchw(ops.convert_to_tensor(x)), size, strides))
