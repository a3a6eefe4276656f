"""What a design can see, against scipy's noncentral t, brute force, and runs whose noise is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from analysis.power import Design, Noise, assumed_noise, least_difference, power, seeds_needed
from analysis.statistics import measured_noise

NOISE = Noise(0.0, 0.04**2)
SOME = np.random.default_rng(0)


@pytest.mark.parametrize("arms", [1, 5])
def test_folds_alone_find_a_difference_as_often_as_the_t_test(arms: int) -> None:
    # One seed tells nothing of its own noise: what is left is the arms' table of folds, with 4 degrees of freedom each.
    bound, df = stats.t.ppf(1 - 0.05 / arms / 2, 4 * arms), 4 * arms
    expected = stats.nct.sf(bound, df, 0.1 / 0.04)
    assert power(0.1, NOISE, 1, Design(5, arms, arms)) == pytest.approx(expected, abs=0.003)


def test_seeds_alone_find_a_difference_as_often_as_the_t_test() -> None:
    # Four arms on one fold with three seeds: 4 * 2 degrees of freedom.
    bound = stats.t.ppf(1 - 0.05 / 3 / 2, 8)
    expected = stats.nct.sf(bound, 8, 0.08 / (0.04 / math.sqrt(3)))
    assert power(0.08, NOISE, 3, Design(1, 3, 3)) == pytest.approx(expected, abs=0.003)


@pytest.mark.parametrize("arms", [1, 4])
def test_folds_and_seeds_together_find_a_difference_as_often_as_when_played_out(arms: int) -> None:
    rng, draws = np.random.default_rng(1), 100_000
    between, within = 4 * arms, (arms + 1) * 5 * 2
    of_folds, of_runs = rng.chisquare(between, draws) / between, rng.chisquare(within, draws) / within
    pooled = of_folds / of_runs <= stats.f.ppf(0.75, between, within)
    square = np.where(pooled, (between * of_folds + within * of_runs) / (between + within), of_folds)
    bound = stats.t.ppf(1 - 0.05 / arms / 2, np.where(pooled, between + within, between))
    found = rng.standard_normal(draws) + 0.07 / (0.04 / math.sqrt(3)) > bound * np.sqrt(square)
    assert power(0.07, NOISE, 3, Design(5, arms, arms)) == pytest.approx(found.mean(), abs=0.006)


def test_arms_compared_elsewhere_make_a_difference_harder_to_find() -> None:
    alone, among = (power(0.07, NOISE, 3, Design(5, 1, compared)) for compared in (1, 5))
    assert among < alone


@pytest.mark.parametrize(("difference", "arms"), [(0.03, 5), (0.02, 5), (0.03, 1), (0.01, 7)])
def test_the_proposed_seeds_are_the_fewest_that_find_it_in_8_of_10(difference: float, arms: int) -> None:
    noise, design = assumed_noise(2000, 5), Design(5, arms, arms)
    seeds = seeds_needed(difference, noise, design)
    assert power(difference, noise, seeds, design) >= 0.8
    assert seeds == 1 or power(difference, noise, seeds - 1, design) < 0.8


def test_one_fold_needs_two_seeds_at_least_and_more_for_smaller_differences() -> None:
    noise = assumed_noise(400, 1)
    needed = [seeds_needed(difference, noise, Design(1, 3, 3)) for difference in (0.5, 0.05, 0.02, 0.01, 0.0001)]
    assert needed == sorted(needed)
    assert needed[0] == 2
    assert needed[-1] > 100_000  # found without trying each


def test_what_arms_know_of_different_clips_is_a_floor_that_no_number_of_seeds_goes_below() -> None:
    noise, design = assumed_noise(400, 5, same=0.12, different=0.2), Design(5, 5, 5)
    floor = least_difference(noise, 10**8, design)
    assert seeds_needed(0.99 * floor, noise, design) is None
    seeds = seeds_needed(1.05 * floor, noise, design)
    assert least_difference(noise, seeds, design) <= 1.05 * floor
    assert least_difference(noise, seeds - 1, design) > 1.05 * floor


def test_runs_without_any_noise_show_every_difference() -> None:
    assert seeds_needed(0.001, Noise(0.0, 0.0), Design(5, 1, 1)) == 1


def test_noise_that_nothing_tells_hides_every_difference() -> None:
    assert seeds_needed(0.9, Noise(math.inf, 0.1), Design(1, 1, 1)) is None
    assert least_difference(Noise(math.inf, 0.1), 3, Design(1, 1, 1)) == 1.0


def probable_runs(rng: np.random.Generator, seeds: int, run_sd: float) -> dict[str, np.ndarray]:
    """Runs of two arms that get a clip right with probabilities of their own: .1 or .9, each arm for other clips."""
    chances = np.where(np.random.default_rng(5).uniform(size=(2, 1, 2000)) < 0.8, 0.9, 0.1)
    shift = run_sd * rng.standard_normal((2, seeds, 5))
    return dict(enumerate(rng.uniform(size=(2, seeds, 2000)) < chances + np.repeat(shift, 400, axis=-1)))


def test_the_assumed_noise_is_that_of_runs_drawn_with_the_arms_chances() -> None:
    # Two runs of an arm disagree on 2 * .9 * .1; two of different arms also where one has .9 and the other .1, on
    # 2 * .8 * .2 of clips, where they disagree with .82 instead of .18.
    same, different = 0.18, 0.18 + 0.32 * 0.64
    rng = np.random.default_rng(2)
    drawn = [np.subtract(*(runs.mean() for runs in probable_runs(rng, 4, 0.03).values())) for _ in range(400)]
    luck = assumed_noise(2000, 5, same, different, run_sd=0.03).passing
    clustered = luck - 0.15 * 0.18 / 2000  # these clips share no sources
    assert np.var(drawn) * 4 == pytest.approx(clustered, rel=0.25)
    assert assumed_noise(2000, 5, same, different).lasting == pytest.approx(1.15 * 0.32 * 0.64 / 2000)


def test_measured_noise_tells_what_passes_with_seeds_from_what_lasts() -> None:
    rng, folds = np.random.default_rng(3), np.repeat(np.arange(5), 400)
    found = [measured_noise(probable_runs(rng, 3, 0.03), {0: [1]}, folds, np.arange(2000)) for _ in range(100)]
    passing, lasting = np.mean([[noise.passing, noise.lasting] for noise in found], axis=0)
    assert passing == pytest.approx(0.18 / 2000 + 2 * 0.03**2 / 5, rel=0.1)
    assert lasting == pytest.approx(0.32 * 0.64 / 2000, rel=0.25)


@pytest.mark.parametrize(("seeds", "groups"), [(1, {0: [1]}), (3, {}), (3, {0: []})])
def test_noise_cannot_be_measured_with_one_seed_or_with_nothing_to_compare(seeds: int, groups: dict) -> None:
    folds = np.repeat(np.arange(5), 400)
    assert measured_noise(probable_runs(SOME, seeds, 0.0), groups, folds, np.arange(2000)) is None
