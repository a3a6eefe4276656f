"""An arm's interval, and the expected best of its trials, against cases worked by hand, brute force and simulation."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from analysis.accuracy import accuracy_interval, expected_best
from tests.analysis.test_statistics import FOLDS, SOURCES


def test_takes_of_one_source_count_once() -> None:
    rng = np.random.default_rng(11)
    one = rng.uniform(size=(1, 100)) < 0.7
    folds, sources = np.ones(100, int), np.arange(100)
    accuracy, low, high = accuracy_interval(one, folds, sources)
    four = accuracy_interval(np.repeat(one, 4, axis=1), np.repeat(folds, 4), np.repeat(sources, 4))
    assert four == pytest.approx((accuracy, low, high), abs=0.005)
    apart = accuracy_interval(np.repeat(one, 4, axis=1), np.repeat(folds, 4), np.arange(400))
    assert apart[2] - apart[1] == pytest.approx((high - low) / 2, rel=0.1)


def test_a_source_counts_by_its_takes() -> None:
    sources = np.concatenate([np.repeat(np.arange(100), 4), np.arange(100, 200)])
    accuracy, low, high = accuracy_interval((sources < 100)[None], np.ones(500, int), sources)
    assert accuracy == 0.8
    assert 0.7 < low < 0.8 < high < 0.9


def test_arms_that_are_right_equally_often_have_the_same_accuracy_to_the_last_digit() -> None:
    rng = np.random.default_rng(12)
    right = np.arange(240) < 206
    first, *others = (
        accuracy_interval(rng.permutation(right).reshape(3, 80), np.ones(80, int), np.arange(80) // 2, draws=100)[0]
        for _ in range(50)
    )
    assert {first} == {*others}


def test_the_interval_of_a_single_run_is_that_of_its_clips() -> None:
    correct = np.arange(400)[None] < 300
    accuracy, low, high = accuracy_interval(correct, np.ones(400, int), np.arange(400))
    error = math.sqrt(0.75 * 0.25 / 400)
    assert accuracy == 0.75
    assert (low, high) == pytest.approx((0.75 - 1.96 * error, 0.75 + 1.96 * error), abs=0.003)


def test_one_seed_on_many_folds_has_no_more_noise_than_its_clips_explain() -> None:
    correct = np.random.default_rng(14).uniform(size=(1, 4000)) < 0.7
    _, low, high = accuracy_interval(correct, np.repeat(np.arange(80), 50), np.arange(4000), draws=2000)
    assert high - low == pytest.approx(2 * 1.96 * math.sqrt(0.21 / 4000), rel=0.15)


def test_an_arm_that_is_always_right_has_no_doubt_and_the_same_seed_the_same_interval() -> None:
    assert accuracy_interval(np.ones((3, 300), bool), FOLDS, SOURCES) == (1.0, 1.0, 1.0)
    runs = np.random.default_rng(12).uniform(size=(3, 300)) < 0.7
    assert accuracy_interval(runs, FOLDS, SOURCES, seed=1) == accuracy_interval(runs, FOLDS, SOURCES, seed=1)
    assert accuracy_interval(runs, FOLDS, SOURCES, seed=1) != accuracy_interval(runs, FOLDS, SOURCES, seed=2)


@pytest.mark.parametrize(("seeds", "run_sd"), [(1, 0.06), (3, 0.06), (3, 0.0)])
def test_accuracy_intervals_hold_the_true_accuracy(seeds: int, run_sd: float) -> None:
    rng, held, draws = np.random.default_rng(13), 0, 500
    for _ in range(draws):
        shift = 0.03 * rng.standard_normal(5)  # of the folds, whose truth is that of clips like theirs
        hardness = np.repeat(rng.uniform(-0.15, 0.15, 150), 2)
        runs = run_sd * rng.standard_normal((seeds, 5))
        chance = 0.7 + hardness + np.repeat(shift + runs, 60, axis=-1)
        _, low, high = accuracy_interval(rng.uniform(size=chance.shape) < chance, FOLDS, SOURCES, draws=400)
        held += low <= 0.7 + shift.mean() <= high
    assert 0.95 - 3.5 * math.sqrt(0.05 * 0.95 / draws) < held / draws < 0.99


@pytest.mark.parametrize("n", [1, 2, 5, 7])
def test_the_expected_best_is_the_mean_best_of_all_subsets(n: int) -> None:
    values = [0.3, 0.9, 0.5, 0.5, 0.1, 0.7, 0.65]
    assert expected_best(values, n) == pytest.approx(np.mean([max(s) for s in itertools.combinations(values, n)]))


@pytest.mark.parametrize("n", [0, 4])
def test_the_expected_best_of_more_values_than_there_are_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match=f"best of {n}.* 3 values"):
        expected_best([0.1, 0.2, 0.3], n)


def test_what_all_runs_of_a_fold_share_is_in_the_interval_however_many_seeds_there_are() -> None:
    # Five training sets of .5, .6, .7, .8 and .9: their mean has a standard error of sqrt(.025 / 5), t of 4 degrees.
    place = np.tile(np.arange(1000) / 1000, 5)
    correct = np.repeat((place < np.repeat([0.5, 0.6, 0.7, 0.8, 0.9], 1000))[None], 3, axis=0)
    accuracy, low, high = accuracy_interval(correct, np.repeat(np.arange(5), 1000), np.arange(5000))
    assert accuracy == pytest.approx(0.7)
    assert (accuracy - low, high - accuracy) == pytest.approx([2.776 * np.sqrt(0.025 / 5)] * 2, rel=0.05)
