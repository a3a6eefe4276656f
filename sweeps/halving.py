"""One arm's early stopping by successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943): trials wait.

A trial that reaches a rung is put aside, with its checkpoint, until all of its arm have come so far or ended; then the
best of them go on, and the others end. ASHA decides before it has seen all: it lets middling trials go on that came
early, and stops good ones that came late. Other arms run meanwhile, so no slot waits. Nothing here knows of Ray.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from sweeps.ladder import rung_epochs
from sweeps.state import Trial

GO_ON = (1 / 2, 3 / 8)  # share of an arm's trials that go on at its first rung and at its second, rounded up


def judged(trials: Sequence[Trial], planned: int, epochs: int) -> Iterator[tuple[Trial, bool]]:
    """Yield the trials of an arm whose wait is over, and whether they go on.

    Args:
        trials: all that the arm was dealt; one that is yielded must have ended, or wait no more, before the next is
            asked for.
        planned: how many it will be dealt in all.
        epochs: length of the full schedule.
    """
    for rung, share in zip(rung_epochs(epochs), GO_ON, strict=False):  # very short schedules have one rung, or none
        if len(trials) < planned or any(trial.reason is None and len(trial.epochs) < rung for trial in trials):
            return
        waiting = [trial for trial in trials if trial.waiting and len(trial.epochs) == rung]
        if not waiting:
            continue
        best = sorted((trial for trial in trials if reached(trial, rung)), key=lambda trial: place(trial, rung))
        best = best[: math.ceil(share * planned)]
        for trial in waiting:
            yield trial, trial in best


def reached(trial: Trial, rung: int) -> bool:
    return len(trial.epochs) >= rung and not trial.epochs[rung - 1]["diverged"]


def place(trial: Trial, rung: int) -> tuple[float, float, int]:
    """Return what sorts an arm's trials at a rung, best first; equal accuracies are common on few clips."""
    told = trial.epochs[rung - 1]
    return -told["val_acc"], told["val_loss"], trial.number
