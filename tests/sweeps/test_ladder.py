"""One arm's rungs, against a hand-worked case and against Ray's own ASHA."""

from __future__ import annotations

import numpy as np
import pytest
from ray.tune.schedulers.async_hyperband import _Bracket

from sweeps.ladder import Ladder


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(60, [18, 36]), (100, [30, 60]), (10, [3, 6]), (6, [2, 4]), (3, [1, 2]), (1, [])],
)
def test_rungs_start_at_the_grace_and_double_below_the_last_epoch(epochs: int, rungs: list[int]) -> None:
    assert list(Ladder(epochs).rungs) == rungs


def test_a_trial_below_the_median_of_those_before_it_is_stopped() -> None:
    ladder = Ladder(10)
    assert ladder.goes_on(0, 3, 0.5)  # the first at a rung always goes on
    assert not ladder.goes_on(1, 3, 0.4)  # median of (.5)
    assert ladder.goes_on(2, 3, 0.45)  # median of (.5, .4) is .45: an equal score goes on
    assert not ladder.goes_on(3, 3, 0.44)  # median of (.5, .4, .45) is .45
    assert ladder.rungs[3] == {0: 0.5, 1: 0.4, 2: 0.45, 3: 0.44}


def test_only_a_rungs_epoch_is_recorded_and_judged() -> None:
    ladder = Ladder(10)
    ladder.goes_on(0, 3, 1.0)
    assert all(ladder.goes_on(1, epoch, 0.0) for epoch in (1, 2, 4, 5, 7, 8, 9, 10))
    assert ladder.rungs[6] == {}


@pytest.mark.parametrize("factor", [2, 3])
def test_decisions_equal_those_of_rays_asha(factor: int) -> None:
    rng = np.random.default_rng(factor)
    for _ in range(20):
        ours = Ladder(50, grace=0.1, factor=factor)
        rays = _Bracket(min_t=5, max_t=49, reduction_factor=factor, s=0)
        assert sorted(ours.rungs) == sorted(milestone for milestone, _ in rays._rungs)
        alive = set(range(12))
        for epoch in range(1, 50):
            for trial in rng.permutation(sorted(alive)).tolist():
                score = round(float(rng.uniform()), 2)
                goes_on = rays.on_result(_Named(trial), epoch, score) == "CONTINUE"
                assert ours.goes_on(trial, epoch, score) is goes_on
                if not goes_on:
                    alive.discard(trial)


class _Named:
    def __init__(self, number: int) -> None:
        self.trial_id = number
