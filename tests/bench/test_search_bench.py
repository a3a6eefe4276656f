"""Searches that are replayed on recorded curves: who goes on, what it costs, and what is lost by it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bench import search
from bench.base import Options
from bench.curves import Curve
from sweeps.simulated_search import SCHEDULERS, SHARED
from tests.bench.test_plain import CPU

EPOCHS = 10  # halving's rung is at 4, those of ASHA at 3 and 6


def curve(arm: str, early: float, end: float, loss: float | None = None) -> Curve:
    """A trial that has one accuracy at the rungs, and another at the end; its loss falls as the former rises."""
    return Curve(arm, 0, [early] * 9 + [end], [1 - early if loss is None else loss] * EPOCHS)


def epochs_of(dealt: search.Dealt, scheduler: str) -> list[int]:
    return [len(trial.epochs) for trial in search.replay(dealt, scheduler).values()]


FOUR = {"a": [curve("a", 0.9, 0.6), curve("a", 0.2, 0.8), curve("a", 0.5, 0.5), curve("a", 0.3, 0.4)]}


def test_without_early_stopping_all_run_in_full():
    assert epochs_of(FOUR, "none") == [10, 10, 10, 10]


def test_halving_goes_by_what_is_recorded_at_the_rung():
    assert epochs_of(FOUR, "halving") == [10, 4, 10, 4]  # 3/8 of four, rounded up, go on


def test_halving_judges_by_the_loss_and_asha_by_the_accuracy():
    dealt = {"a": [curve("a", 0.2, 0.5, 1.0), curve("a", 0.1, 0.5, 2.0), curve("a", 0.3, 0.5, 3.0)]}
    assert epochs_of(dealt, "halving") == [10, 10, 4]
    assert epochs_of(dealt, "asha") == [10, 3, 10]


def test_one_ladder_for_all_arms_starves_the_slower_one():
    dealt = {arm: [curve(arm, early, 0.5)] * 4 for arm, early in (("fast", 0.6), ("slow", 0.1))}
    slow = {scheduler: epochs_of(dealt, scheduler)[1::2] for scheduler in ("asha", SHARED)}
    assert slow == {"asha": [10] * 4, SHARED: [3] * 4}


def test_what_is_lost_is_against_the_arms_best_trial():
    (told,) = search.judge(FOUR, search.replay(FOUR, "halving"))
    assert told["epochs"] == pytest.approx((10 + 4 + 10 + 4) / 40)
    assert (told["full"], told["starved"], told["kept"]) == (2, 0.0, 0.0)
    assert told["lost"] == pytest.approx(0.8 - 0.6)
    assert told["reached"] == 0.6
    assert told["best_of"].tolist() == [0.6, 0.8, 0.8, 0.8]


def test_what_a_part_of_the_schedule_foretells_is_a_rank_correlation_of_an_arms_trials():
    # Early accuracies rank as the ends do but for one swap of neighbours: of three, Spearman's rho 0.5. Losses fall so.
    known = [(0.1, 0.4, 1.0), (0.2, 0.6, 2.0), (0.3, 0.5, 3.0)]
    told = search.foretold({arm: [curve(arm, *each) for each in known] for arm in "ab"})
    assert told["0.3"] == pytest.approx({"accuracy": 0.5, "loss": -0.5})


def test_of_equal_ends_the_one_with_the_lower_loss_is_the_best():
    dealt = {"a": [curve("a", 0.9, 0.5, 2.0), curve("a", 0.1, 0.5, 1.0)]}
    (told,) = search.judge(dealt, search.replay(dealt, "asha"))
    assert (told["kept"], told["lost"]) == (0.0, 0.0)


def test_an_arm_without_a_full_trial_has_no_result():
    dealt = {arm: [curve(arm, early, 0.5)] * 4 for arm, early in (("fast", 0.6), ("slow", 0.1))}
    fast, slow = search.judge(dealt, search.replay(dealt, SHARED))
    assert (fast["starved"], slow["starved"], slow["kept"]) == (0.0, 1.0, 0.0)
    assert np.isnan(slow["lost"])


def rows(*each: tuple[float, float, list[float]]) -> pd.DataFrame:
    names = ("starved", "reached", "best_of")
    return pd.DataFrame([dict(zip(names, (a, b, np.array(c)), strict=True)) for a, b, c in each])


def test_the_same_result_in_full_is_read_between_numbers_of_trials():
    # The best of one has 0.55 in the mean, that of two 0.65, that of three 0.8.
    found = rows((0.0, 0.5, [0.5, 0.7, 0.7]), (0.0, 0.7, [0.6, 0.6, 0.9]))
    assert search.epochs_in_full(found) == pytest.approx(1.5 / 3)
    starved = rows((0.0, 0.5, [0.5, 0.7, 0.7]), (0.0, 0.7, [0.6, 0.6, 0.9]), (1.0, np.nan, [0.1, 0.1, 0.1]))
    assert search.epochs_in_full(starved) == pytest.approx(1.5 / 3)


def test_a_trial_that_adds_nothing_need_not_run():
    assert search.epochs_in_full(rows((0.0, 0.7, [0.5, 0.7, 0.7]))) == pytest.approx(2 / 3)


def test_each_arm_is_dealt_some_of_its_own_trials_once():
    recorded = {arm: [Curve(arm, number, [0.5], [1.0]) for number in range(6)] for arm in "abc"}
    dealt = [search.draw(recorded, 4, rng) for rng in [np.random.default_rng(0)] for _ in range(30)]
    for one in dealt:
        assert sorted(one) == ["a", "b", "c"]
        assert all(len({curve.trial for curve in own}) == 4 for own in one.values())
        assert all(curve.arm == arm for arm, own in one.items() for curve in own)
    assert {next(iter(one)) for one in dealt} == {"a", "b", "c"}  # arms take turns at being first
    assert {curve.trial for one in dealt for curve in one["a"]} == set(range(6))


def test_all_schedulers_are_compared_with_no_more_trials_than_are_recorded(monkeypatch):
    monkeypatch.setattr(search, "FEWER_TRIALS", 2)
    found = search.replay_schedulers(FOUR, orders=20)
    assert list(found) == list(SCHEDULERS)
    assert all(list(sizes) == ["2", "4"] for sizes in found.values())
    none = found["none"]["4"]
    assert (none["epochs"], none["full"], none["starved"], none["kept"], none["lost"]) == (1.0, 4.0, 0.0, 1.0, 0.0)
    halving = found["halving"]["4"]
    assert (halving["epochs"], halving["kept"], halving["lost"]) == pytest.approx((0.7, 0.0, 0.2))
    assert found["halving"]["2"]["in_full"] == 0.5  # the worse of two goes on in half of the pairs: one is as good


def test_the_table_has_a_line_for_each_size_and_scheduler(monkeypatch):
    simulated = {"epochs": 0.5, "full": 2.0, "starved": 0.25, "kept": 0.75, "lost": 0.0123}
    monkeypatch.setattr(search, "compare_schedulers", lambda *_: {one: {"5": simulated} for one in SCHEDULERS})
    monkeypatch.setattr(search, "ORDERS", 2)
    told = search.run(Options(CPU, rounds=1))
    assert told.rows[0] == ("simulated × 5", "halving", "50", "–", "25.0", "75", "1.23")
    assert [row[1] for row in told.rows[:4]] == ["halving", "asha", "shared asha", "none"]
    assert len(told.rows) > 4
    assert all(len(row) == len(told.columns) for row in told.rows)
    assert all(row[2:] == ("100", row[3], "0.0", "100", "0.00") for row in told.rows[4:] if row[1] == "none")
