"""One arm's early stopping: the asynchronous successive halving (ASHA) of Li et al. 2020, arXiv 1810.05934.

This is the stopping variant, as Ray Tune and Syne Tune have it: a trial that reaches a rung goes on if it is among the
best 1 / factor of those that reached the rung before it. Nothing here knows of Ray.
"""

from __future__ import annotations

import numpy as np

GRACE = 0.3  # no trial is judged before this share of its epochs: regularized arms start slowly
FACTOR = 2


def rung_epochs(epochs: int, grace: float = GRACE, factor: int = FACTOR) -> list[int]:
    """Return the epochs at which a trial is judged; the last one of the full schedule is none of them."""
    rungs, rung = [], max(1, round(grace * epochs))
    while rung < epochs:
        rungs.append(rung)
        rung *= factor
    return rungs


class Ladder:
    """The rungs of one arm.

    Args:
        epochs: length of the full schedule; the last epoch is no rung.
        grace: share of the epochs before the first rung.
        factor: one in `factor` goes on at a rung.

    Attributes:
        rungs: for each rung's epoch, the scores recorded there, by trial.
    """

    def __init__(self, epochs: int, grace: float = GRACE, factor: int = FACTOR) -> None:
        self.factor = factor
        self.rungs: dict[int, dict[int, float]] = {rung: {} for rung in rung_epochs(epochs, grace, factor)}

    def goes_on(self, trial: int, epoch: int, score: float) -> bool:
        """Record `score` of `trial` if `epoch` is a rung's, and tell whether the trial goes on.

        The first to reach a rung always goes on; an equal score does too.
        """
        rung = self.rungs.get(epoch)
        if rung is None:
            return True
        before = list(rung.values())
        rung[trial] = score
        return not before or score >= float(np.quantile(before, 1.0 - 1.0 / self.factor))
