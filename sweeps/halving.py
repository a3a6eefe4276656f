"""One arm's early stopping by successive halving (Jamieson and Talwalkar 2016, arXiv 1502.07943), with one rung.

A trial that reaches it is put aside, with its checkpoint, until all of its arm have come so far or ended; then the best
of them run in full, and the others end. ASHA decides before it has seen all: it lets middling trials go on that came
early, and stops good ones that came late. Other arms run meanwhile, so no slot waits. Nothing here knows of Ray.

The validation loss says who is best. On few clips, in the middle of a schedule, the accuracy says little of how a trial
will end, the loss more: `python -m bench search`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeps.state import Trial

GRACE = 0.4  # share of the schedule before the rung
GO_ON = 3 / 8  # share of an arm's trials that run in full, rounded up


def rung_epoch(epochs: int) -> int:
    """Return the epoch after which trials of `epochs` epochs are judged; those of one epoch have ended by then."""
    return max(1, round(GRACE * epochs))


def judged(trials: Sequence[Trial], planned: int, epochs: int) -> Iterator[tuple[Trial, bool]]:
    """Yield the trials of an arm whose wait is over, and whether they go on.

    Args:
        trials: all that the arm was dealt.
        planned: how many it will be dealt in all.
        epochs: length of the full schedule.
    """
    rung = rung_epoch(epochs)
    if len(trials) < planned or any(trial.reason is None and len(trial.epochs) < rung for trial in trials):
        return
    # Those that ended early are not of them: after --extend they would take places that they do not use.
    running = (trial for trial in trials if trial.reason in (None, "finished") and reached(trial, rung))
    best = sorted(running, key=lambda trial: place(trial, rung))[: math.ceil(GO_ON * planned)]
    for trial in [trial for trial in trials if trial.waiting]:
        yield trial, trial in best


def reached(trial: Trial, rung: int) -> bool:
    return len(trial.epochs) >= rung and not trial.epochs[rung - 1]["diverged"]


def place(trial: Trial, rung: int) -> tuple[float, float, int]:
    """Return what sorts an arm's trials at the rung, best first."""
    told = trial.epochs[rung - 1]
    return told["val_loss"], -told["val_acc"], trial.number
