"""The training loop: which batch each step gets, what is done after it, and what is told. Nothing is trained."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sle_gan import SLEGANConfig
from sle_gan.data import batch_indices
from sle_gan.training import loop
from sle_gan.training.evaluation import Best

IMAGES = np.arange(7 * 2 * 2 * 3, dtype=np.uint8).reshape(7, 2, 2, 3)
EVENTS = ("evaluate", "show", "save")


class Recorded(loop.Trainer):
    """Notes what it would do, as (what, after which step)."""

    def __init__(self, config: SLEGANConfig):
        gan: Any = SimpleNamespace(config=config)
        devices: Any = SimpleNamespace(accelerated=False, fits=lambda nbytes: False, any=lambda flag: flag)
        self.events: list[tuple[str, int]] = []
        self.told: list[tuple[int, dict[str, float]]] = []
        nothing: Any = SimpleNamespace(on_step=lambda step, logs: self.told.append((step, logs)))
        dataset: Any = SimpleNamespace(images=IMAGES, labels=None)
        evaluation: Any = object()
        super().__init__(gan, devices, [dataset], nothing, nothing, nothing, evaluation, Best(3, 1.0, {}))

    def _evaluate(self, evaluation: Any, step: int) -> None:
        self.events.append(("evaluate", step))

    def _show(self, previews: Any, step: int) -> None:
        self.events.append(("show", step))

    def _save(self, step: int) -> None:
        self.events.append(("save", step))
        self._saved = step


@pytest.mark.parametrize("drop_last", (False, True))
def test_a_resumed_run_goes_on_with_its_batches_and_does_what_is_due(
    monkeypatch: pytest.MonkeyPatch, drop_last: bool
) -> None:
    batches: dict[int, np.ndarray] = {}

    def compile_step(*_: Any) -> Any:
        def train(given: Any, k: int) -> list[dict[str, float]]:
            batches.update({k + i: images for i, (images,) in enumerate(given)})
            return [{"real": float(k + i)} for i in range(len(given))]

        return train

    monkeypatch.setattr(loop, "compile_step", compile_step)
    every: dict[str, Any] = {"fid_frequency": 5, "sample_every": 3, "checkpoint_every": 4, "steps_per_call": 2}
    trainer = Recorded(SLEGANConfig(batch_size=3, seed=9, fid=True, drop_last=drop_last, **every))
    outcome = trainer.run(4, 11, show_first=False, signals=SimpleNamespace(received=None))  # type: ignore[arg-type]
    assert outcome.step == 11 and outcome.interrupted_by is None
    assert sorted(batches) == list(range(4, 11))
    for k, images in batches.items():
        np.testing.assert_array_equal(images, IMAGES[batch_indices(7, 3, 9, k, drop_last)], err_msg=str(k))
    steps = {what: [step for name, step in trainer.events if name == what] for what in EVENTS}
    # The last step is measured, shown and saved whatever its number.
    assert steps == {"evaluate": [5, 10, 11], "show": [6, 9, 11], "save": [8, 11]}
    assert [(step, logs["real"]) for step, logs in trainer.told] == [(k + 1, float(k)) for k in range(4, 11)]


def test_the_speed_is_that_of_all_steps_of_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = Recorded(SLEGANConfig(batch_size=4))
    trainer._step_started = 10.0
    monkeypatch.setattr(loop, "time", SimpleNamespace(perf_counter=lambda: 12.0))
    trainer._report(7, [{"real": 1.0}, {"real": 2.0}, {"real": 3.0}])
    assert [step for step, _ in trainer.told] == [8, 9, 10]
    assert {logs["images_per_second"] for _, logs in trainer.told} == {3 * 4 / 2.0}
    assert trainer._step_started == 12.0
