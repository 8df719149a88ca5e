"""Checkpoints as FastGAN's train.py writes them, made with PyTorch alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch checkpoints need the extra `torch`")

BUFFERS = ("running_mean", "running_var", "num_batches_tracked", "weight_u", "weight_v")


def parameters(state: dict[str, Any]) -> list[str]:
    return [name for name in state if name.rpartition(".")[2] not in BUFFERS]


def trained_checkpoint(golden: dict[str, Any], path: Path, step: int = 3) -> dict[str, Any]:
    """all_N.pth as FastGAN's train.py writes it, around the golden networks: a real Adam, a list as the average.

    Adam has made three steps on random gradients; its state is made that of `step` if there were more.
    """
    content: dict[str, Any] = {"g": golden["g"], "d": golden["d"]}
    for key in ("g", "d"):
        tensors = [torch.nn.Parameter(golden[key][name].clone()) for name in parameters(golden[key])]
        optimizer = torch.optim.Adam(tensors, lr=2e-4, betas=(0.5, 0.999))
        generator = torch.Generator().manual_seed(0)
        for _ in range(3):
            for tensor in tensors:
                tensor.grad = torch.randn(tensor.shape, generator=generator)
            optimizer.step()
        content[f"opt_{key}"] = optimizer.state_dict()
        for slot in content[f"opt_{key}"]["state"].values():
            slot["step"].fill_(step)
            slot["exp_avg_sq"] *= (1 - 0.999**step) / (1 - 0.999**3)
    content["g_ema"] = [0.5 * golden["g"][name] for name in parameters(golden["g"])]
    torch.save(content, path)
    return content
