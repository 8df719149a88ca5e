"""`--mixed-precision auto`: what it takes by a fact, what by measurement, and that the run keeps it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sle_gan import DCGANConfig, LightweightConfig, engine
from sle_gan.engine import nvidia, processor
from sle_gan.errors import UserError
from sle_gan.gans.base import make_gan
from sle_gan.runs.folder import RunFolder, read_run_config
from sle_gan.training import precision
from sle_gan.training.precision import measure_gain, with_precision
from sle_gan.training.resume import resumed_config
from sle_gan.training.run import train

TINY: dict[str, Any] = {"resolution": 32, "width": 4, "latent": 4, "batch_size": 2, "steps": 2}
AUTO = DCGANConfig(mixed_precision="auto", **TINY)


def devices(bfloat16: bool | None, *others: bool) -> Any:
    """Devices of which one thing is known; and what the other processes of the run say to every question."""
    return SimpleNamespace(bfloat16=bfloat16, any=lambda flag: flag or any(others))


@pytest.fixture
def gain(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets what is measured; `gain.calls` counts."""

    def set_to(value: float) -> None:
        def measured(*_: Any) -> float:
            set_to.calls += 1
            return value

        monkeypatch.setattr(precision, "measure_gain", measured)

    set_to.calls = 0
    set_to(0.0)
    return set_to


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags\t\t: fpu sse avx512f avx512_bf16 clzero", True),
        ("flags\t\t: fpu amx_bf16 amx_tile", True),
        ("flags\t\t: fpu avx512f", False),
        ("flags\t\t: not_avx512_bf16", False),
        ("model name\t: avx512_bf16", False),
        ("", False),
    ],
)
def test_processors(tmp_path: Path, flags: str, expected: bool) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{flags}\n\nprocessor\t: 1\n{flags}\n")
    assert processor.multiplies_bfloat16(file) == expected


def test_a_system_without_that_file_has_no_such_processor(tmp_path: Path) -> None:
    assert not processor.multiplies_bfloat16(tmp_path / "cpuinfo")


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), False), ((8, 0), True), ([9, 0], True), (None, False)])
def test_nvidia_gpus(capability: Any, expected: bool) -> None:
    assert nvidia.multiplies_bfloat16(capability) == expected


def test_what_is_known_is_not_measured(gain: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert with_precision(AUTO, devices(True), started=False).mixed_precision == "bfloat16"
    assert with_precision(AUTO, devices(False), started=False).mixed_precision == "float32"
    assert gain.calls == 0
    assert [line.split()[2].rstrip(":,") for line in capsys.readouterr().out.splitlines()] == ["bfloat16", "float32"]


@pytest.mark.parametrize(("measured", "expected"), [(1.3, "bfloat16"), (1.02, "float32"), (0.6, "float32")])
def test_a_processor_that_may_be_faster_is_measured(gain: Any, measured: float, expected: str) -> None:
    gain(measured)
    assert with_precision(AUTO, devices(None), started=False).mixed_precision == expected
    assert gain.calls == 1


def test_one_machine_that_is_slower_decides_for_all(gain: Any) -> None:
    gain(1.3)
    asked = iter([False, True, True])  # whether another knows that it is slower, has to measure, was slower
    slower = SimpleNamespace(bfloat16=None, any=lambda flag: next(asked) or flag)
    assert with_precision(AUTO, slower, started=False).mixed_precision == "float32"
    # And where another has no such processor, nobody measures: the steps are made together.
    gain.calls = 0
    assert with_precision(AUTO, devices(None, True), started=False).mixed_precision == "float32"
    assert gain.calls == 0


def test_a_given_precision_is_that(gain: Any) -> None:
    for name in ("float32", "bfloat16", "float16"):
        config = dataclasses.replace(AUTO, mixed_precision=name)
        assert with_precision(config, devices(None), started=False) == config
    assert gain.calls == 0


def test_a_run_that_has_begun_keeps_its_own(gain: Any, tmp_path: Path) -> None:
    saved = dataclasses.replace(AUTO, data_folder="x", output_folder=str(tmp_path), mixed_precision="bfloat16")
    RunFolder.create(saved, override=False).close()
    again = dataclasses.replace(saved, mixed_precision="auto")
    assert with_precision(again, devices(False), started=True).mixed_precision == "bfloat16"
    assert gain.calls == 0
    given = {"output_folder": str(tmp_path)}
    assert resumed_config({**given, "mixed_precision": "auto"}).mixed_precision == "bfloat16"
    with pytest.raises(UserError, match=r"--mixed-precision is float32, but .* was trained with bfloat16"):
        resumed_config({**given, "mixed_precision": "float32"})


def test_networks_are_not_made_in_an_open_precision() -> None:
    with pytest.raises(ValueError, match="mixed_precision is 'auto'"):
        make_gan(AUTO)


@pytest.mark.skipif(engine.name == "jax", reason="on JAX nothing is measured")
def test_a_run_after_a_measurement_is_the_run_without(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real steps are timed; the networks, random numbers and files of the run know nothing of it."""
    monkeypatch.setattr(engine.Devices, "bfloat16", None)
    monkeypatch.setattr(precision, "MARGIN", float("inf"))
    weights = []
    for name in ("auto", "float32"):
        config = dataclasses.replace(
            AUTO, data_folder=str(pictures), output_folder=str(tmp_path), name=name, mixed_precision=name
        )
        train(config.validated())
        assert read_run_config(config.run_folder).mixed_precision == "float32"
        with np.load(config.run_folder / "checkpoints" / "step_00000002.npz") as file:
            weights.append({key: file[key] for key in file.files if key != "meta.json"})
    assert weights[0].keys() == weights[1].keys()
    for key, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][key], err_msg=key)


@pytest.mark.slow
def test_what_repeats_only_after_some_steps_is_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lightweight GAN's penalty comes in every fourth step."""
    made: list[int] = []
    monkeypatch.setattr(precision, "compile_step", lambda *_: lambda batches, k: made.append(k))
    config = LightweightConfig(resolution=32, fmap_max=8, latent=4, attn_res_layers="", batch_size=2)
    measure_gain(config, engine.Devices())
    assert made == [k for k in range(5) for _ in range(2)]
