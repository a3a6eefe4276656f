"""What a trial is told to cost, from some timed steps."""

from __future__ import annotations

from collections.abc import Iterable
from types import SimpleNamespace

import pytest

from esc50tune.config import TrialConfig
from esc50tune.trial import Trainer
from sweeps import cost

TRAINER = SimpleNamespace(data=SimpleNamespace(train=range(4)))


def instead(monkeypatch: pytest.MonkeyPatch, seconds: Iterable[float]) -> list[int]:
    """Let steps take `seconds`; return the list in which the clips of each step will be counted."""
    clock, sizes = iter(seconds), []

    def timed(trainer: Trainer, size: int) -> float:
        sizes.append(size)
        return next(clock)

    monkeypatch.setattr(cost, "timed_step", timed)
    return sizes


def test_the_first_steps_which_are_slow_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = instead(monkeypatch, [0.4, 0.5, 0.4, 0.3, 0.25, 0.3, 0.26, 0.3])
    assert cost.step_seconds(TRAINER) == 0.25
    assert sizes == [1, *[4] * 6]  # after 2 s it is enough


def test_quick_steps_are_not_timed_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = instead(monkeypatch, [0.01] * 20)
    assert cost.step_seconds(TRAINER) == 0.01
    assert len(sizes) == 11


@pytest.mark.parametrize(
    ("seconds", "told", "steps"),
    [([0.9, 5.0, 3.0], 3.0, 3), ([1.5], 6.0, 1)],
    ids=["two steps where one is long", "one clip, times four, where that is long"],
)
def test_a_slow_model_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float], told: float, steps: int
) -> None:
    sizes = instead(monkeypatch, seconds)
    assert cost.step_seconds(TRAINER) == told
    assert len(sizes) == steps


def test_evaluation_counts_as_a_third_of_a_step_for_as_many_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "step_seconds", lambda trainer: 1.0)
    config = TrialConfig(
        sample_rate=2_000,
        clip_seconds=0.5,
        logmel_bands=16,
        convnext_width=4,
        convnext_depths=[1],
        batch_size=4,
        epochs=3,
    )
    assert cost.measure(config, 3, train_clips=10, val_clips=24).seconds == 3 * (3 + 2)  # 24 clips are 6 batches
