"""What the NVIDIA driver knows, asked without the engines, which are silent where they cannot use a GPU."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path

# Where the driver shows its GPUs on Linux, and Windows its own to a Linux within it.
TRACES = "proc/driver/nvidia/gpus/*", "dev/nvidia[0-9]*", "usr/lib/wsl/lib/libcuda.so.1"
# The share of a card's memory that a training set may take, and what it may take of a card that keeps silent.
RESIDENT_SHARE = 4
RESIDENT_BYTES = 2**30
# The compute capability from which GPUs have matrix units for bfloat16: Ampere's.
BFLOAT16_FROM = (8, 0)


def _ask(question: Callable[[ctypes.CDLL], tuple[int, int]]) -> int | None:
    """The driver's answer, or None where it is not installed or refuses. A question gives (error code, answer)."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        error = driver.cuInit(0)
        code, answer = question(driver) if error == 0 else (error, 0)
        return answer if code == 0 else None
    except (OSError, AttributeError):
        return None


def gpu_count() -> int:
    """GPUs that a program of this process can use, CUDA_VISIBLE_DEVICES considered."""

    def count(driver: ctypes.CDLL) -> tuple[int, int]:
        number = ctypes.c_int()
        return driver.cuDeviceGetCount(ctypes.byref(number)), number.value

    return _ask(count) or 0


def gpu_memory() -> int | None:
    """Bytes of memory of the first GPU that this process can use; None where it is not known."""

    def memory(driver: ctypes.CDLL) -> tuple[int, int]:
        device, size = ctypes.c_int(), ctypes.c_size_t()
        error = driver.cuDeviceGet(ctypes.byref(device), 0)
        return error or driver.cuDeviceTotalMem_v2(ctypes.byref(size), device), size.value

    return _ask(memory)


def multiplies_bfloat16(capability: Sequence[int] | None) -> bool:
    """Whether a GPU of this compute capability (major, minor) has matrix units for bfloat16."""
    return tuple(capability or ()) >= BFLOAT16_FROM


def resident_bytes(memory: int | None) -> int:
    """How large a training set may stay on a GPU of so much memory."""
    return memory // RESIDENT_SHARE if memory else RESIDENT_BYTES


def unused_gpu(framework: str, install: str, root: Path = Path("/")) -> str | None:
    """Why a machine with an NVIDIA GPU computes on its CPU, and what to do; None if it has none, or none is wanted.

    Args:
        framework: that sees no GPU.
        install: the command that installs it with what a GPU needs.
        root: of the file system.
    """
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1", "NoDevFiles"):
        return None
    way = "CUDA_VISIBLE_DEVICES=-1 keeps this line away"
    if gpu_count():
        return f"this machine has an NVIDIA GPU, but {framework} sees none and computes on the CPU: {install}; {way}"
    if any(next(root.glob(trace), None) for trace in TRACES):
        return (
            f"this machine has an NVIDIA GPU, but its driver gives this process none, and {framework} computes on the "
            f"CPU: `nvidia-smi` should list the GPU (in a container, start it with --gpus all); {way}"
        )
    return None
