"""What the second phase can tell: whether an arm differs from another, by how much, and what it could not have seen.

Everything here is a function of arrays and returns shares of clips (0 to 1), not percent. To the noise of the clips and
of the runs (`analysis.accuracy`) comes a third one: the best of many arms is likely to look good by chance. Leaving out
any of the three makes differences look surer than they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtri, stdtr, stdtrit

from analysis.accuracy import Clips, run_variance
from analysis.power import LEVEL, POOLING, Noise, noncentrality

JUST = float(np.finfo(float).tiny)  # a bound that leaves out 0 itself


@dataclass(frozen=True)
class Comparison:
    """An arm against another.

    Attributes:
        arm: its name.
        difference: its accuracy minus that of the arm it is compared with.
        low, high: simultaneous interval of the difference: all arms' intervals hold together. It leaves out 0 exactly
            if the verdict is 'better' or 'worse'.
        p: two-sided, as if it were the only arm.
        p_adjusted: Holm's, over all arms of all groups.
        nadeau_bengio_p: that of Nadeau and Bengio's test; NaN with one fold. It decides nothing.
        detectable: the smallest true difference that a second phase like this one finds with 80 % power; 1 where it can
            find none.
        verdict: 'better', 'worse' or 'no difference seen'.
    """

    arm: str
    difference: float
    low: float
    high: float
    p: float
    p_adjusted: float
    nadeau_bengio_p: float
    detectable: float
    verdict: str


def compare(
    correct: Mapping[str, np.ndarray],
    groups: Mapping[str, Sequence[str]],
    folds: np.ndarray,
    sources: np.ndarray,
    level: float = LEVEL,
    of_folds: int | None = None,
) -> list[Comparison]:
    """Compare arms with the one they are against, clip by clip, so that what is hard for all cancels.

    A difference is that of the accuracies over all clips; it is tested by Student's t. Its error is estimated from the
    arms of its group, in two ways:

    * from how little the arms' differences agree between folds (`error_between_folds`), with three or more folds;
    * from the clips and the seeds within each fold (`error_within_folds`), with two or more seeds.

    Both are pooled where they do not contradict each other (`error_of_differences`). Where neither can be had, nothing
    tells a lucky run from a better arm: the error is then infinite, and no difference is ever seen.

    p values are adjusted by Holm 1979 over all groups, which are those of one table: it answers one question.
    Intervals have Bonferroni's width, which Holm's verdicts contradict only where Holm calls an arm different that
    Bonferroni would not: its interval then ends at 0, as in Guilbaud 2008, "Simultaneous confidence regions
    corresponding to Holm's step-down procedure", Biometrical Journal 50, and in Strassburger and Bretz 2008,
    "Compatible simultaneous lower confidence bounds for the Holm procedure", Statistics in Medicine 27. Those let the
    intervals of all arms called different end at 0 and have the full coverage; here the others keep their width, so as
    to say by how much they differ. That costs coverage where most arms differ and some do not: it stays above
    1 - 2 (1 - level). At level .95, of one null arm among arms all of which are far from 0, it was .92 where 15 are
    compared with one and the same, and .91 where each is compared with one of its own.

    Args:
        correct: for each arm, [seeds, clips] of bool; all of one shape, with the same clips in the same order.
        groups: arms to compare with, each with those that are compared with it.
        folds: the fold of each clip.
        sources: the source recording of each clip.
        level: of the intervals; 1 - level is the chance to call any arm different where none is.
        of_folds: how many folds the data have, where not all of them are compared: a run trained on the others.
    """
    if not any(groups.values()):
        return []
    clips = Clips(folds, sources)
    tested = 1 / (of_folds or len(clips.sizes))
    found = [against(counts, clips, tested) for counts in counts_of_groups(correct, groups, clips)]
    differences, error, df, corrected = (np.concatenate(parts) for parts in zip(*found, strict=True))
    p = 2 * stdtr(df, -np.abs(ratio(differences, error)))
    adjusted, alpha = holm(p), (1 - level) / len(p)
    low, high = agreeing_intervals(differences, error * stdtrit(df, 1 - alpha / 2), adjusted < 1 - level)
    detectable = np.minimum(error * noncentrality(df, alpha), 1)
    return [
        Comparison(
            arm=arm,
            difference=float(differences[i]),
            low=float(low[i]),
            high=float(high[i]),
            p=float(p[i]),
            p_adjusted=float(adjusted[i]),
            nadeau_bengio_p=float(corrected[i]),
            detectable=float(detectable[i]),
            verdict=verdict(differences[i], adjusted[i] < 1 - level),
        )
        for i, arm in enumerate(arm for arms in groups.values() for arm in arms)
    ]


def counts_of_groups(
    correct: Mapping[str, np.ndarray], groups: Mapping[str, Sequence[str]], clips: Clips
) -> list[np.ndarray]:
    """Return how many clips each run got right, [arms, seeds, sources], for each group with the arm it is against
    first."""
    counts = {arm: clips.per_source(runs) for arm, runs in correct.items()}
    return [np.stack([counts[arm] for arm in (base, *arms)]) for base, arms in groups.items() if arms]


def against(
    counts: np.ndarray, clips: Clips, test_share: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return each arm's difference from the first, its standard error, its degrees of freedom, and Nadeau and Bengio's
    p.

    Args:
        counts: [arms, seeds, sources], how many clips each run got right.
        clips: their folds and sources.
        test_share: share of all clips that one fold tests on.
    """
    # Seeds are added up before anything is divided: arms with as many right clips then differ by 0, not by rounding.
    right, seeds = counts.sum(axis=1), counts.shape[1]
    table = clips.per_fold(right) / seeds
    differences = (right[1:].sum(axis=1) - right[0].sum()) / (seeds * clips.takes.sum())
    corrected = [nadeau_bengio(by_fold, test_share)[1] for by_fold in table[1:] - table[0]]
    return differences, *error_of_differences(counts, table, clips), np.array(corrected)


def measured_noise(
    correct: Mapping[str, np.ndarray], groups: Mapping[str, Sequence[str]], folds: np.ndarray, sources: np.ndarray
) -> Noise | None:
    """Return the mean noise of the differences that `compare` tells, from the same arguments; None where it cannot be
    told how much of it other seeds would change: with one seed, or with nothing to compare.

    What passes with more seeds is how much those of an arm differ on a fold. What lasts is the rest of the error within
    folds: what the arms know of different clips.
    """
    if not any(groups.values()) or len(next(iter(correct.values()))) == 1:
        return None
    clips = Clips(folds, sources)
    grouped = counts_of_groups(correct, groups, clips)
    error = np.concatenate([error_within_folds(counts, clips)[0] for counts in grouped])
    passing = 2 * run_variance(np.concatenate(grouped), clips)[0] * float((clips.weights**2).sum())
    return Noise(max(0.0, float((error**2).mean()) - passing / grouped[0].shape[1]), passing)


def error_of_differences(counts: np.ndarray, table: np.ndarray, clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard error of each arm's difference from the first, and its degrees of freedom.

    Folds that disagree no more than clips and seeds explain add to what these tell: the two variances are then pooled,
    each by its degrees of freedom. Where folds disagree more, as they do if an arm suits one training set better than
    another, they alone decide. This is the sometimes-pool rule of Bancroft and Han 1983, "A Note on Pooling Variances",
    JASA 78: an F test decides, at a level so high that it seldom pools what differs. In the worst case found, of folds
    that disagree, but not by enough to be told, the share of false calls was .07 instead of .05 with two arms, and .05
    with six.

    Args:
        counts: [arms, seeds, sources], how many clips each run got right.
        table: [arms, folds], accuracies with seeds averaged.
        clips: their folds and sources.
    """
    within, within_df = error_within_folds(counts, clips)
    if len(clips.sizes) < 3:
        return within, within_df
    between, between_df = error_between_folds(table, clips.weights)
    bound = fdtri(between_df, within_df.mean(), 1 - POOLING)
    if not np.isfinite(within).all() or between**2 > bound * (within**2).mean():
        return np.full(len(within), between), np.full(len(within), between_df)
    df = between_df + within_df
    return np.sqrt((between_df * between**2 + within_df * within**2) / df), df


def error_between_folds(table: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Return the standard error of a difference between two arms, and its degrees of freedom.

    The analysis of variance of randomized blocks (Fisher 1935, "The Design of Experiments"), with folds as the blocks:
    in the table of arms by folds, what is left after the arms' and the folds' means holds every noise that an arm does
    not share with the others, that of clips, of sources, of seeds and of training sets, whatever their shares. What the
    arms of a fold have in common drops out. The noise is taken to be equal in all arms; one whose runs are noisier
    than the others' takes more than its share of the false calls, but all arms together stay within theirs (see tests).

    Args:
        table: [arms, folds], accuracies with seeds averaged.
        weights: share of the clips that each fold has.
    """
    arms, folds = table.shape
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    df = (arms - 1) * (folds - 1)
    error = math.sqrt(2 * (residual**2).sum() / df * (weights**2).sum())
    return error, float(df)


def error_within_folds(counts: np.ndarray, clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Return the standard error of each arm's difference from the first, and its degrees of freedom.

    The variance is the sum of two: that of the clips, from each arm's differences clip by clip, and that of the runs
    beyond what the clips explain, pooled over arms and folds. The degrees of freedom are Satterthwaite's (1946, "An
    approximate distribution of estimates of variance components", Biometrics Bulletin 2). What an arm owes to a fold's
    training set is not in it. With one seed it is infinite.

    Args:
        counts: [arms, seeds, sources], how many clips each run got right.
        clips: their folds and sources.
    """
    arms, seeds, _ = counts.shape
    if seeds == 1:
        return np.full(arms - 1, np.inf), np.ones(arms - 1)
    means = counts.mean(axis=1)
    of_clips = clips.sampling_variance(means[1:] - means[0]) @ clips.weights**2
    share = 2 / seeds * (clips.weights**2).sum()
    between, beyond = run_variance(counts, clips)
    variance = of_clips + share * beyond
    of_clips_df, of_runs_df = max((clips.sources - 1).sum(), 1), arms * len(clips.sizes) * (seeds - 1)
    with np.errstate(invalid="ignore"):  # not a number where nothing varies, or where a fold is of one source
        df = variance**2 / (of_clips**2 / of_clips_df + (share * between) ** 2 / of_runs_df)
    return np.sqrt(variance), np.fmax(df, 1)


def ratio(value: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Divide; 0 by 0 is 0, anything else by 0 infinite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(value == 0, 0.0, np.divide(value, error))


def agreeing_intervals(
    differences: np.ndarray, width: np.ndarray, different: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return lower and upper bounds, of which those of arms called `different` leave out 0, and no others."""
    low, high = np.maximum(differences - width, -1), np.minimum(differences + width, 1)
    above, below = different & (differences > 0), different & (differences < 0)
    low = np.where(above, np.maximum(low, JUST), np.where(below, low, np.minimum(low, 0)))
    high = np.where(below, np.minimum(high, -JUST), np.where(above, high, np.maximum(high, 0)))
    return low, high


def verdict(difference: float, different: bool) -> str:
    if not different:
        return "no difference seen"
    return "better" if difference > 0 else "worse"


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the adjusted p values of Holm 1979, "A simple sequentially rejective multiple test procedure",
    Scandinavian Journal of Statistics 6: the chance of any false claim is kept, whatever the p values' dependence."""
    p = np.asarray(p, float)
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)), 1)
    return adjusted


def nadeau_bengio(differences: Sequence[float] | np.ndarray, test_share: float) -> tuple[float, float]:
    """Return t and two-sided p of the corrected resampled t test of Nadeau and Bengio 2003, "Inference for the
    generalization error", Machine Learning 52: training sets overlap, so their differences vary too little.

    Args:
        differences: one for each fold, seeds averaged.
        test_share: share of all clips that one fold tests on.
    """
    differences = np.asarray(differences, float)
    count = len(differences)
    if count < 2:
        return math.nan, math.nan
    variance = (1 / count + test_share / (1 - test_share)) * differences.var(ddof=1)
    t = float(ratio(differences.mean(), np.sqrt(variance)))
    return t, float(2 * stdtr(count - 1, -abs(t)))
