"""What the second phase's numbers say, against hand-worked cases, brute force, scipy, and simulated noise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from analysis.statistics import Comparison, agreeing_intervals, compare, holm, nadeau_bengio

FOLDS = np.repeat(np.arange(1, 6), 60)
SOURCES = np.array([f"s{i // 2}" for i in range(300)], dtype=object)  # two takes of each source


def noisy_runs(
    rng: np.random.Generator,
    accuracies: list[float],
    seeds: int,
    folds: np.ndarray,
    run_sd: np.ndarray | float = 0.04,
    training_set_sd: float = 0.0,
) -> dict[str, np.ndarray]:
    """Arms whose runs differ from seed to seed on a whole fold, and whose luck is half that of the clip's source.

    Fold difficulty and clip difficulty are common to all arms. `run_sd` may differ between arms; `training_set_sd` is
    that of an arm between folds, whatever the seed.
    """
    arms, clips = len(accuracies), len(folds)
    fold = np.unique(folds, return_inverse=True)[1]
    shift = np.reshape(run_sd, (-1, 1, 1)) * rng.standard_normal((arms, seeds, fold.max() + 1))
    shift = shift + training_set_sd * rng.standard_normal((arms, 1, fold.max() + 1))
    shift += 0.03 * rng.standard_normal(fold.max() + 1)
    hardness = np.repeat(rng.uniform(-0.15, 0.15, clips // 2), 2)
    together = np.repeat(rng.uniform(size=(arms, seeds, clips // 2)), 2, axis=-1)
    luck = np.where(rng.uniform(size=(arms, seeds, clips)) < 0.5, together, rng.uniform(size=(arms, seeds, clips)))
    correct = luck < np.reshape(accuracies, (-1, 1, 1)) + hardness + shift[..., fold]
    return {f"arm{i}": runs for i, runs in enumerate(correct)}


def table_of_folds(correct: dict[str, np.ndarray]) -> np.ndarray:
    return np.array([[runs[:, fold == FOLDS].mean() for fold in range(1, 6)] for runs in correct.values()])


def versus(correct: dict[str, np.ndarray], base: str, *more) -> list[Comparison]:
    """Compare all arms with one."""
    return compare(correct, {base: [arm for arm in correct if arm != base]}, *more)


# compare: the numbers


def test_two_arms_of_one_seed_are_compared_by_the_paired_t_test_over_folds() -> None:
    correct = noisy_runs(np.random.default_rng(0), [0.7, 0.75], 1, FOLDS)
    (arm,) = versus(correct, "arm0", FOLDS, SOURCES)
    base, other = table_of_folds(correct)
    expected = stats.ttest_rel(other, base)
    interval = expected.confidence_interval(0.95)
    assert arm.arm == "arm1"
    assert arm.difference == pytest.approx(correct["arm1"].mean() - correct["arm0"].mean())
    assert (arm.p, arm.p_adjusted) == pytest.approx((expected.pvalue, expected.pvalue))
    assert (arm.low, arm.high) == pytest.approx((interval.low, interval.high))


def test_several_arms_share_the_error_of_the_analysis_of_variance() -> None:
    correct = noisy_runs(np.random.default_rng(1), [0.7, 0.7, 0.75, 0.8], 1, FOLDS)
    table = table_of_folds(correct)
    # The same by least squares: accuracy = arm + fold + residual.
    rows = [(arm, fold) for arm in range(4) for fold in range(5)]
    design = np.array([[*np.eye(4)[arm], *np.eye(5)[fold][1:]] for arm, fold in rows])
    coefficients, residual, *_ = np.linalg.lstsq(design, table.ravel(), rcond=None)
    error = math.sqrt(residual[0] / 12 * 2 / 5)
    for i, arm in enumerate(versus(correct, "arm0", FOLDS, SOURCES), start=1):
        t = (coefficients[i] - coefficients[0]) / error
        assert arm.p == pytest.approx(2 * stats.t.sf(abs(t), 12))
        half_width = stats.t.ppf(1 - 0.05 / 3 / 2, 12) * error
        assert (arm.high - arm.difference, arm.difference - arm.low) == pytest.approx((half_width, half_width))


def test_difficult_folds_and_clips_do_not_count_as_noise() -> None:
    correct = noisy_runs(np.random.default_rng(2), [0.7, 0.7, 0.7], 3, FOLDS)
    harder = {name: runs & (FOLDS != 2) for name, runs in correct.items()}  # all fail all of fold 2
    widths = [arm.high - arm.low for arm in versus(harder, "arm0", FOLDS, SOURCES)]
    plain = [arm.high - arm.low for arm in versus(correct, "arm0", FOLDS, SOURCES)]
    assert max(widths) < 1.2 * min(plain)


def test_folds_of_unequal_size_count_by_their_clips() -> None:
    folds = np.repeat([1, 2, 3], [20, 40, 140])
    correct = noisy_runs(np.random.default_rng(3), [0.6, 0.7], 1, folds)
    (arm,) = versus(correct, "arm0", folds, SOURCES[:200])
    by_fold = [correct["arm1"][:, folds == k].mean() - correct["arm0"][:, folds == k].mean() for k in (1, 2, 3)]
    error = np.std(by_fold, ddof=1) * math.sqrt(0.1**2 + 0.2**2 + 0.7**2)
    assert arm.difference == pytest.approx(np.dot([0.1, 0.2, 0.7], by_fold))
    assert arm.p == pytest.approx(2 * stats.t.sf(abs(arm.difference) / error, 2))


def brute_force_within_folds(
    correct: dict[str, np.ndarray], folds: np.ndarray, sources: np.ndarray
) -> tuple[float, float]:
    """Variance of arm1 - arm0 and its degrees of freedom, from folds of equal size, written out clip by clip."""
    names, seeds, arms = np.unique(folds), len(correct["arm0"]), len(correct)

    def of_sources(values: np.ndarray, fold: int) -> float:
        own, source = values[folds == fold], sources[folds == fold]
        sums = [(own[source == name] - own.mean()).sum() for name in set(source)]
        return len(sums) / (len(sums) - 1) * sum(total**2 for total in sums) / len(own) ** 2

    difference = correct["arm1"].mean(axis=0) - correct["arm0"].mean(axis=0)
    clip_part = np.mean([of_sources(difference, fold) for fold in names]) / len(names)
    between = np.mean([runs[:, folds == k].mean(axis=1).var(ddof=1) for runs in correct.values() for k in names])
    luck = [
        sum(of_sources(run - runs.mean(axis=0), fold) for run in runs) / (seeds - 1)
        for runs in correct.values()
        for fold in names
    ]
    variance = clip_part + 2 / seeds / len(names) * max(0, between - np.mean(luck))
    spread = clip_part**2 / (len(set(sources)) - len(names))
    spread += (2 / seeds / len(names) * between) ** 2 / (arms * len(names) * (seeds - 1))
    return variance, variance**2 / spread


@pytest.mark.parametrize("folds", [np.full(120, 5), np.repeat([4, 5], 60)], ids=["one fold", "two folds"])
def test_one_or_two_folds_are_judged_by_their_sources_and_seeds(folds: np.ndarray) -> None:
    correct = noisy_runs(np.random.default_rng(4), [0.6, 0.8, 0.7], 4, folds, run_sd=0.08)
    variance, df = brute_force_within_folds(correct, folds, SOURCES[:120])
    arm = versus(correct, "arm0", folds, SOURCES[:120])[0]
    assert arm.p == pytest.approx(2 * stats.t.sf(abs(arm.difference) / math.sqrt(variance), df))
    assert arm.high - arm.difference == pytest.approx(stats.t.ppf(1 - 0.05 / 4, df) * math.sqrt(variance))


def test_folds_that_agree_as_well_as_clips_and_seeds_explain_are_pooled_with_them() -> None:
    correct = noisy_runs(np.random.default_rng(0), [0.7, 0.75], 3, FOLDS)
    base, other = table_of_folds(correct)
    between, (within, df) = np.var(other - base, ddof=1) / 5, brute_force_within_folds(correct, FOLDS, SOURCES)
    assert between / within < stats.f.ppf(0.75, 4, df)
    error = math.sqrt((4 * between + df * within) / (4 + df))
    (arm,) = versus(correct, "arm0", FOLDS, SOURCES)
    assert arm.p == pytest.approx(2 * stats.t.sf(abs(arm.difference) / error, 4 + df))


def test_folds_that_disagree_more_decide_alone() -> None:
    correct = noisy_runs(np.random.default_rng(0), [0.6, 0.7], 3, FOLDS, run_sd=0.0)
    correct["arm1"] |= (FOLDS == 3) & (np.arange(300) % 2 == 0)  # it suits one training set far better
    base, other = table_of_folds(correct)
    (arm,) = versus(correct, "arm0", FOLDS, SOURCES)
    assert arm.p == pytest.approx(stats.ttest_rel(other, base).pvalue)


def test_a_source_with_takes_in_two_folds_counts_as_two() -> None:
    folds = np.repeat([4, 5], 150)
    correct = noisy_runs(np.random.default_rng(4), [0.6, 0.8], 3, folds)
    reused = np.tile(SOURCES[:150], 2)
    (arm,), (same,) = (versus(correct, "arm0", folds, sources) for sources in (reused, SOURCES))
    assert (arm.p, arm.low, arm.high) == pytest.approx((same.p, same.low, same.high))


def test_one_run_of_each_arm_on_one_fold_never_tells_a_difference() -> None:
    folds = np.full(300, 5)
    correct = {"bad": np.zeros((1, 300), bool), "good": np.ones((1, 300), bool)}
    (arm,) = versus(correct, "bad", folds, SOURCES)
    assert (arm.difference, arm.low, arm.high, arm.p, arm.detectable) == (1.0, -1.0, 1.0, 1.0, 1.0)
    assert arm.verdict == "no difference seen"


def test_one_seed_on_five_folds_can_tell_a_difference() -> None:
    correct = noisy_runs(np.random.default_rng(5), [0.5, 0.8], 1, FOLDS)
    assert versus(correct, "arm0", FOLDS, SOURCES)[0].verdict == "better"
    assert versus(correct, "arm1", FOLDS, SOURCES)[0].verdict == "worse"


def test_folds_decide_alone_where_each_is_of_one_source() -> None:
    correct = noisy_runs(np.random.default_rng(0), [0.6, 0.7], 3, FOLDS)
    base, other = table_of_folds(correct)
    (arm,) = versus(correct, "arm0", FOLDS, FOLDS)
    assert arm.p == pytest.approx(stats.ttest_rel(other, base).pvalue)


def test_a_fold_of_a_single_source_tells_nothing() -> None:
    correct = noisy_runs(np.random.default_rng(5), [0.3, 0.9], 3, np.full(60, 1))
    (arm,) = versus(correct, "arm0", np.full(60, 1), np.full(60, "one"))
    assert (arm.low, arm.high, arm.verdict) == (-1.0, 1.0, "no difference seen")


@pytest.mark.parametrize("folds", [FOLDS, np.full(300, 1)], ids=["five folds", "one fold"])
def test_arms_with_equal_counts_differ_by_nothing(folds: np.ndarray) -> None:
    # A seventh has no exact binary form: sums of sevenths in another order would differ in their last digits.
    runs = np.random.default_rng(6).uniform(size=(7, 300)) < 0.7
    shuffled = np.concatenate(
        [np.random.default_rng(7).permutation(runs[:, i : i + 60], axis=1) for i in range(0, 300, 60)], axis=1
    )
    for twin in (runs, shuffled):
        (arm,) = versus({"a": runs, "b": twin}, "a", folds, SOURCES)
        assert (arm.difference, arm.p, arm.verdict) == (0.0, 1.0, "no difference seen")
        assert math.isnan(arm.nadeau_bengio_p) or arm.nadeau_bengio_p == 1.0


def test_an_arm_alone_is_compared_with_nothing() -> None:
    assert versus({"a": np.ones((2, 300), bool)}, "a", FOLDS, SOURCES) == []


def test_detectable_is_found_with_80_percent_power() -> None:
    correct = noisy_runs(np.random.default_rng(8), [0.7, 0.7, 0.7], 1, FOLDS)
    arm = versus(correct, "arm0", FOLDS, SOURCES)[0]
    bound = stats.t.ppf(1 - 0.05 / 2 / 2, 8)
    error = max(arm.high - arm.difference, arm.difference - arm.low) / bound
    assert stats.nct.sf(bound, 8, arm.detectable / error) == pytest.approx(0.8, abs=1e-6)


# compare: verdicts and intervals agree


@settings(max_examples=300)
@given(st.data())
def test_an_interval_leaves_out_0_exactly_where_holm_sees_a_difference(data: st.DataObject) -> None:
    seeds, folds, arms = (data.draw(st.integers(low, high)) for low, high in ((1, 3), (1, 4), (2, 6)))
    level = data.draw(st.sampled_from([0.5, 0.8, 0.95]))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    fold, source = np.repeat(np.arange(folds), 6), np.tile([0, 0, 1, 2, 2, 3], folds)
    # Few clips, so that ties, arms without any error, and arms that equal each other are common.
    correct = {
        f"arm{i}": rng.uniform(size=(seeds, 6 * folds)) < rng.choice([0.0, 0.1, 0.5, 0.9, 1.0]) for i in range(arms)
    }
    for arm in versus(correct, "arm0", fold, source, level):
        assert (arm.low > 0 or arm.high < 0) == (arm.p_adjusted < 1 - level)
        assert (arm.verdict == "better") == (arm.low > 0)
        assert (arm.verdict == "worse") == (arm.high < 0)
        assert -1 <= arm.low <= arm.difference <= arm.high <= 1


def test_an_arm_that_only_holm_calls_different_gets_an_interval_that_ends_at_0() -> None:
    differences, width = np.array([0.1, 0.02, -0.02, 0.02]), np.full(4, 0.03)
    low, high = agreeing_intervals(differences, width, np.array([True, True, True, False]))
    assert low == pytest.approx([0.07, 0, -0.05, -0.01])
    assert high == pytest.approx([0.13, 0.05, 0, 0.05])
    assert low[1] > 0 > high[2]


def test_an_interval_whose_bound_is_0_but_for_rounding_follows_the_verdict() -> None:
    differences, width = np.array([0.03, -0.03]), np.full(2, np.nextafter(0.03, 0))
    low, high = agreeing_intervals(differences, width, np.array([False, False]))
    assert low[0] == 0 == high[1]


# compare: how often it errs, under noise that it is not told of


def share_called_different(arms: int, seeds: int, folds: np.ndarray, draws: int, **noise) -> tuple[float, float]:
    """Share of draws in which any arm is called different where none is, and in which all intervals hold 0."""
    rng, called, covered = np.random.default_rng(9), 0, 0
    for _ in range(draws):
        found = versus(noisy_runs(rng, [0.7] * arms, seeds, folds, **noise), "arm0", folds, SOURCES)
        called += any(arm.verdict != "no difference seen" for arm in found)
        covered += all(arm.low <= 0 <= arm.high for arm in found)
    return called / draws, covered / draws


@pytest.mark.parametrize(
    ("folds", "seeds"),
    [(FOLDS, 1), (FOLDS, 3), (np.full(300, 5), 3), (np.repeat([4, 5], 150), 3)],
    ids=["five folds, one seed", "five folds", "one fold", "two folds"],
)
def test_a_difference_is_seen_in_one_of_twenty_comparisons_at_most_where_none_is(folds: np.ndarray, seeds: int) -> None:
    draws = 1000
    called, covered = share_called_different(4, seeds, folds, draws)
    # 3 standard errors of the share; runs that move a whole fold by 4 points make the clips alone look far too sure
    assert called < 0.05 + 3 * math.sqrt(0.05 * 0.95 / draws)
    assert 0.95 - 3 * math.sqrt(0.05 * 0.95 / draws) < covered < 0.99


@pytest.mark.parametrize("training_set_sd", [0.02, 0.04, 0.1])
def test_arms_that_suit_one_training_set_better_are_not_called_different_much_more_often(
    training_set_sd: float,
) -> None:
    # Worst where folds disagree more than they should, but not by enough to be told.
    called, _ = share_called_different(4, 3, FOLDS, 1000, training_set_sd=training_set_sd)
    assert called < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


def test_an_arm_of_noisier_runs_does_not_raise_the_share_of_false_calls() -> None:
    # Its runs vary 5 times as much as the others', of which the pooled error knows only the mean.
    called, _ = share_called_different(6, 3, FOLDS, 1000, run_sd=np.array([0.02] * 5 + [0.1]))
    assert called < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)


# holm, Nadeau and Bengio's test


def test_holm_on_a_hand_worked_case() -> None:
    # 3 * .01; 2 * .03; 1 * .04, raised to the one before it
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == pytest.approx([1.0, 1.0])


@given(st.lists(st.sampled_from([0.0, 0.001, 0.01, 0.02, 0.04, 0.3, 0.5, 1.0]), min_size=1, max_size=5))
def test_holm_is_the_closed_test_by_bonferroni(p: list[float]) -> None:
    # An arm is rejected if every set of arms that holds it is: its p is the largest of theirs.
    sets = [s for size in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), size)]
    expected = [max(min(1, len(s) * min(p[j] for j in s)) for s in sets if i in s) for i in range(len(p))]
    assert holm(p) == pytest.approx(expected)


def test_nadeau_and_bengios_t_on_a_hand_worked_case() -> None:
    # mean .03; variance .00025; (1/5 + .2/.8) * .00025 = .0001125; .03 / sqrt(.0001125) = 2 sqrt(2)
    t, p = nadeau_bengio([0.01, 0.02, 0.03, 0.04, 0.05], 0.2)
    assert t == pytest.approx(2 * math.sqrt(2))
    assert p == pytest.approx(2 * stats.t.sf(2 * math.sqrt(2), 4))


def test_nadeau_and_bengios_t_without_a_test_share_is_the_plain_one() -> None:
    differences = np.random.default_rng(0).normal(0.1, 1, 10)
    assert nadeau_bengio(differences, 0.0) == pytest.approx(tuple(stats.ttest_1samp(differences, 0)))


@pytest.mark.parametrize(("differences", "p"), [([0.0, 0.0], 1.0), ([0.5, 0.5], 0.0), ([0.5], math.nan)])
def test_nadeau_and_bengios_p_where_nothing_varies(differences: list[float], p: float) -> None:
    assert nadeau_bengio(differences, 0.2)[1] == pytest.approx(p, nan_ok=True)


def test_a_comparison_shows_nadeau_and_bengios_p_of_its_folds() -> None:
    correct = noisy_runs(np.random.default_rng(10), [0.7, 0.75], 3, FOLDS)
    base, other = table_of_folds(correct)
    (arm,) = versus(correct, "arm0", FOLDS, SOURCES)
    assert arm.nadeau_bengio_p == pytest.approx(nadeau_bengio(other - base, 1 / 5)[1])


def test_where_only_some_folds_are_compared_each_still_tests_its_share_of_all_clips() -> None:
    some = FOLDS <= 2
    correct = {
        arm: right[:, some] for arm, right in noisy_runs(np.random.default_rng(10), [0.7, 0.75], 3, FOLDS).items()
    }
    base, other = (np.array([own[:, FOLDS[some] == fold].mean() for fold in (1, 2)]) for own in correct.values())
    (arm,) = compare(correct, {"arm0": ["arm1"]}, FOLDS[some], SOURCES[some], of_folds=5)
    assert arm.nadeau_bengio_p == pytest.approx(nadeau_bengio(other - base, 1 / 5)[1])
