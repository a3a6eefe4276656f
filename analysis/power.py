"""What a second phase can see: the difference that it finds with 80 % power, and the seeds that a difference needs."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtri, fdtri, nctdtrinc, ndtr, stdtrit

POWER = 0.8
LEVEL = 0.95
POOLING = 0.25  # level of the F test that keeps two estimates of one error apart
# By how much sources of several takes raise the variance of a mean of clips, where nothing is measured yet: 1.13 with
# ESC-50's sources if takes share half of their luck, as `sweeps.simulated_confirmation` assumes.
CLUSTERING = 1.15
ENDLESS = 10**9  # seeds
GRID = 200  # quantiles of a variance's estimate


@dataclass(frozen=True)
class Noise:
    """The variance of a difference between two arms that do not differ.

    Attributes:
        lasting: what stays however many seeds there are: one arm knows some clips, the other knows others.
        passing: what is divided by the number of seeds: the luck of a run.
    """

    lasting: float
    passing: float

    def variance(self, seeds: int) -> float:
        return self.lasting + self.passing / seeds


def assumed_noise(clips: int, folds: int, same: float = 0.2, different: float = 0.2, run_sd: float = 0.01) -> Noise:
    """Return the noise of a design of which nothing was measured.

    A run gets a clip right with a probability that is its arm's. Two runs of one arm disagree as often as these
    probabilities leave open; two of different arms disagree more often by the mean square of the probabilities'
    difference, which no number of seeds makes smaller.

    Args:
        clips: how many are tested, in all folds together.
        folds: how many are tested.
        same: share of clips on which one of two runs of an arm is right and the other wrong.
        different: the same of two runs of different arms.
        run_sd: standard deviation of a run's accuracy on a fold, beyond the clips' luck.
    """
    of_clips = CLUSTERING / clips
    return Noise(of_clips * (different - same), of_clips * same + 2 * run_sd**2 / folds)


@dataclass(frozen=True)
class Design:
    """What is compared with what.

    Attributes:
        folds: how many are tested.
        group: how many arms are compared with the same one.
        compared: how many arms are compared with any.
    """

    folds: int
    group: int
    compared: int

    @property
    def least_seeds(self) -> int:
        """The number of seeds below which no error can be estimated."""
        return 1 if self.folds >= 3 else 2


def power(difference: float, noise: Noise, seeds: int, design: Design) -> float:
    """Return the chance that `analysis.statistics.compare` finds a true difference, though it were the hardest to find
    of all that are compared.

    The mean over all that may be estimated of the error, by a grid of the quantiles of two chi-squared variables: that
    between folds, and that within, which has the degrees of freedom of the runs, or more. Both are pooled or not as
    `compare` does it.
    """
    error, alpha = math.sqrt(noise.variance(seeds)), (1 - LEVEL) / design.compared
    if not error:
        return 1.0
    within = (design.group + 1) * design.folds * (seeds - 1)
    between = design.group * (design.folds - 1) if design.folds >= 3 else 0
    square, df = estimates(between, within)
    return float(ndtr(difference / error - stdtrit(df, 1 - alpha / 2) * np.sqrt(square)).mean())


def estimates(between: int, within: int) -> tuple[np.ndarray, np.ndarray]:
    """Return equally likely estimates of a variance that is 1, and their degrees of freedom; 0 stands for none."""
    chances = (np.arange(GRID) + 0.5) / GRID
    of_folds, of_runs = (chdtri(df, 1 - chances) / df if df else None for df in (between, within))
    if of_folds is None or of_runs is None:
        one = of_folds if of_runs is None else of_runs
        return one, np.full(GRID, between or within)
    of_folds, both = of_folds[:, None], between + within
    alike = of_folds <= fdtri(between, within, 1 - POOLING) * of_runs
    pooled = (between * of_folds + within * of_runs) / both
    return np.where(alike, pooled, of_folds), np.where(alike, both, between)


def least_difference(noise: Noise, seeds: int, design: Design) -> float:
    """Return the smallest true difference that so many seeds find; 1, the largest there is, where they find none."""

    def short(difference: float) -> float:
        return POWER - power(difference, noise, seeds, design)

    return float(brentq(short, 0, 1)) if short(1.0) < 0 else 1.0


def seeds_needed(difference: float, noise: Noise, design: Design) -> int | None:
    """Return the smallest number of seeds that find a true difference; None if no number does."""
    if power(difference, noise, ENDLESS, design) < POWER:
        return None
    seeds = range(design.least_seeds, ENDLESS)
    return seeds[bisect_left(seeds, POWER, key=lambda many: power(difference, noise, many, design))]


def noncentrality(df: np.ndarray, alpha: float) -> np.ndarray:
    """Return how many standard errors a true difference must be for a t test at `alpha`, two-sided, to find it."""
    return nctdtrinc(df, 1 - POWER, stdtrit(df, 1 - alpha / 2))
