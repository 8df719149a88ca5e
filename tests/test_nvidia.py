"""What the NVIDIA driver is asked, and what is said of a GPU that is not used; the driver is a double here."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import pytest

from sle_gan.engine import nvidia

INSTALL = 'pip install "framework[cuda]"'


class Driver:
    """As much of libcuda as is asked."""

    def __init__(self, count: int, memory: int = 0, error: int = 0):
        self.count, self.memory, self.error = count, memory, error

    def cuInit(self, flags: int) -> int:
        return self.error

    def cuDeviceGetCount(self, number: Any) -> int:
        number._obj.value = self.count
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:
        device._obj.value = 7
        return 0 if index < self.count else 101

    def cuDeviceTotalMem_v2(self, size: Any, device: ctypes.c_int) -> int:
        size._obj.value = self.memory if device.value == 7 else 0
        return 0


def install(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    def load(name: str) -> Driver:
        if driver is None:
            raise OSError(f"{name}: cannot open shared object file")
        return driver

    monkeypatch.setattr(nvidia.ctypes, "CDLL", load)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_driver_counts_and_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Driver(2, 80 * 2**30))
    assert nvidia.gpu_count() == 2 and nvidia.gpu_memory() == 80 * 2**30
    assert nvidia.resident_bytes(nvidia.gpu_memory()) == 20 * 2**30


@pytest.mark.parametrize("driver", [None, Driver(1, error=100), Driver(0), object()])
def test_no_driver_no_gpu(monkeypatch: pytest.MonkeyPatch, driver: Any, tmp_path: Path) -> None:
    install(monkeypatch, driver)
    assert nvidia.gpu_count() == 0 and nvidia.gpu_memory() is None
    assert nvidia.resident_bytes(None) == 2**30
    assert nvidia.unused_gpu("Framework", INSTALL, tmp_path) is None


def test_a_gpu_that_the_framework_cannot_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install(monkeypatch, Driver(1))
    said = nvidia.unused_gpu("Framework", INSTALL, tmp_path)
    assert said and "Framework sees none and computes on the CPU" in said and INSTALL in said


@pytest.mark.parametrize(
    "trace", ["proc/driver/nvidia/gpus/0000:01:00.0", "dev/nvidia0", "usr/lib/wsl/lib/libcuda.so.1"]
)
def test_a_gpu_that_the_driver_cannot_use(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, trace: str) -> None:
    (tmp_path / trace).mkdir(parents=True)
    for driver in (None, Driver(0), Driver(1, error=100)):
        install(monkeypatch, driver)
        said = nvidia.unused_gpu("Framework", INSTALL, tmp_path)
        assert said and "nvidia-smi" in said and INSTALL not in said


@pytest.mark.parametrize("hidden", ["", "-1", " -1 "])
def test_a_gpu_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hidden: str) -> None:
    (tmp_path / "dev/nvidia0").mkdir(parents=True)
    install(monkeypatch, Driver(1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    assert nvidia.unused_gpu("Framework", INSTALL, tmp_path) is None
