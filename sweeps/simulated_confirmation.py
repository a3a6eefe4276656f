"""Confirmations of arms whose true differences are known, simulated from single clips up.

They are judged by `analysis.statistics.compare` and `analysis.accuracy.accuracy_interval` themselves: how often a true
difference is found, how often one is seen where none is, and how often the intervals hold the truth.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import owens_t
from scipy.stats import norm

from analysis.accuracy import accuracy_interval
from analysis.power import Design, Noise, assumed_noise, least_difference, seeds_needed
from analysis.statistics import Comparison, compare
from esc50tune.errors import UserError

# ESC-50's sources: how many have 1, 2, 3, ... takes in each of the five folds.
TAKES = (
    (251, 47, 7, 1, 2, 2, 0, 1),
    (236, 48, 8, 8, 1, 0, 1, 0),
    (243, 47, 12, 3, 3, 0, 0, 0),
    (225, 51, 15, 5, 0, 0, 0, 1),
    (257, 35, 8, 6, 2, 0, 1, 1),
)
SEEDS = 3
ARMS = 5  # that are compared with one more
PAIRS = 5  # of arms, each compared within itself
ABLATION = 6  # arms that `sweeps/regularization.py` compares with the reference, unless told otherwise
TABLE_SEEDS = (3, 5, 10)
TABLE_EFFECTS = (0.0, 0.0, 0.01, 0.02, 0.03)  # of the five arms, in one confirmation
ACCURACY_SEEDS = (1, 3, 10)
RESAMPLES = 300  # of the sources, for an accuracy's interval: 10,000 would take minutes, and hold .003 more
APART = 0.12  # share of clips on which two runs of one arm disagree where arms know different clips


@dataclass(frozen=True)
class Assumptions:
    """What is taken to be true of accuracies, as shares.

    Attributes:
        accuracy: of an arm without an effect.
        discordance: share of clips on which one of two runs of different arms is right and the other wrong.
        same: the same of two runs of one arm; no more than that.
        run_sd: standard deviation between an arm's runs on a fold, beyond their luck with single clips.
        fold_sd: standard deviation between folds, the same for all runs of a fold.
        shared: share that takes of one source have in common, of a clip's difficulty and of a run's luck with it.
    """

    accuracy: float = 0.75
    discordance: float = 0.2
    same: float = 0.2
    run_sd: float = 0.01
    fold_sd: float = 0.01
    shared: float = 0.5


class Variances(NamedTuple):
    """Parts of the latent score's variance, which is 1 in all; a run gets a clip right if its score is above 0."""

    run: float
    fold: float
    difficulty: float
    knowledge: float
    luck: float


class Clips(NamedTuple):
    """For each clip, the number of its fold and that of its source."""

    folds: np.ndarray
    sources: np.ndarray


def variances(assumed: Assumptions) -> Variances:
    """Return the parts that make the assumptions true.

    Two runs' scores of a clip have its difficulty and its fold in common, and what their arm knows of the clip if they
    are of one arm. They fall on different sides of 0 with a probability that Owen's T gives (Owen 1956, "Tables for
    computing bivariate normal probabilities").
    """
    threshold = norm.ppf(assumed.accuracy)

    def in_common(discordance: float) -> float:
        def excess(correlation: float) -> float:
            return 4 * owens_t(threshold, math.sqrt((1 - correlation) / (1 + correlation))) - discordance

        return brentq(excess, 0, 1)

    common, of_arm = in_common(assumed.discordance), in_common(assumed.same)
    run, fold = (np.array([assumed.run_sd, assumed.fold_sd]) / norm.pdf(threshold)) ** 2
    return Variances(run, fold, common - fold, of_arm - common, 1 - of_arm - run)


def esc50_clips() -> Clips:
    """Return clips that share sources as ESC-50's do."""
    takes = np.concatenate([np.repeat(np.arange(len(counts)) + 1, counts) for counts in TAKES])
    folds = np.repeat(np.arange(len(TAKES)), np.sum(TAKES, axis=1))
    return Clips(np.repeat(folds, takes), np.repeat(np.arange(len(takes)), takes))


def read_clips(path: Path) -> Clips:
    """Read the clips' folds and sources from a csv in ESC-50's layout."""
    try:
        frame = pd.read_csv(path, usecols=["fold", "src_file"], dtype=str)
    except OSError as error:
        raise UserError(f"--sources '{path}' cannot be read: {error.strerror}") from None
    except ValueError:
        raise UserError(f"--sources '{path}' is no csv with the columns fold and src_file") from None
    if frame.empty or frame.isna().any(axis=None):
        raise UserError(f"--sources '{path}' has no clips, or clips without a fold or source")
    folds = pd.factorize(frame["fold"])[0]
    return Clips(folds, pd.factorize(frame["fold"] + " " + frame["src_file"])[0])


def draw_runs(
    clips: Clips, parts: Variances, shared: float, accuracies: np.ndarray, seeds: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw one confirmation; return which clips each run gets right, [arms, seeds, clips]."""
    several = np.flatnonzero(np.bincount(clips.sources)[clips.sources] > 1)  # the others have no take to share with
    names, source = np.unique(clips.sources[several], return_inverse=True)

    def of_clips(variance: float, *shape: int) -> np.ndarray:
        own = rng.standard_normal((*shape, len(clips.sources)), dtype=np.float32)
        alike = rng.standard_normal((*shape, len(names)), dtype=np.float32)[..., source]
        own[..., several] = math.sqrt(1 - shared) * own[..., several] + math.sqrt(shared) * alike
        return np.float32(math.sqrt(variance)) * own

    folds = int(clips.folds.max()) + 1
    level = norm.ppf(accuracies)[:, None, None] + math.sqrt(parts.fold) * rng.standard_normal(folds)
    level = level + math.sqrt(parts.run) * rng.standard_normal((len(accuracies), seeds, folds))
    score = of_clips(parts.luck, len(accuracies), seeds)
    score += of_clips(parts.difficulty)
    if parts.knowledge:
        score += of_clips(parts.knowledge, len(accuracies), 1)
    score += np.take(level.astype(np.float32), clips.folds, axis=-1)
    return score > 0


@dataclass(frozen=True)
class Study:
    """Arms whose truth is known.

    Attributes:
        effects: by how much the accuracy of each arm is above the assumed one.
        tables: each with arms to compare with, and those that are compared with them; by number.
    """

    effects: tuple[float, ...]
    tables: tuple[dict[int, tuple[int, ...]], ...]

    @property
    def differences(self) -> np.ndarray:
        """The true ones, in the order of `compare`, table by table."""
        pairs = [(base, arm) for groups in self.tables for base, arms in groups.items() for arm in arms]
        return np.array([self.effects[arm] - self.effects[base] for base, arm in pairs])


def against_one(*effects: float) -> Study:
    """Return a study of arms that are all compared with one without an effect."""
    return Study((0.0, *effects), ({0: tuple(range(1, len(effects) + 1))},))


def in_pairs(*effects: float) -> Study:
    """Return a study of arms each of which is compared with an arm of its own, without an effect."""
    several = tuple(effect for each in effects for effect in (0.0, each))
    return Study(several, ({base: (base + 1,) for base in range(0, len(several), 2)},))


def in_two_tables() -> Study:
    """Return the study of a report of `sweeps/regularization.py`, no arm of which has an effect: the reference, 1, is
    compared with the baseline, 0, in one table, and all others with the reference in another."""
    return Study((0.0,) * (ABLATION + 2), ({0: (1,)}, {1: tuple(range(2, ABLATION + 2))}))


@dataclass(frozen=True)
class Outcome:
    """What `compare` said of many confirmations.

    Attributes:
        better: [draws, arms], which arms it called better.
        different: [draws, arms], which arms it called better or worse.
        covered: [draws], whether all intervals of one held the true differences.
    """

    better: np.ndarray
    different: np.ndarray
    covered: np.ndarray


def simulate_confirmations(
    clips: Clips, assumed: Assumptions, study: Study, seeds: tuple[int, ...], draws: int, rng: np.random.Generator
) -> list[Outcome]:
    """Simulate confirmations of a study; judge each by its first runs alone, once for each number of seeds, and each
    table apart, as a report does."""
    parts, accuracies = variances(assumed), assumed.accuracy + np.array(study.effects)
    judged: list[list[list[Comparison]]] = [[] for _ in seeds]
    for _ in range(draws):
        runs = draw_runs(clips, parts, assumed.shared, accuracies, max(seeds), rng)
        for number, found in zip(seeds, judged, strict=True):
            correct = dict(enumerate(runs[:, :number]))
            tables = (compare(correct, groups, clips.folds, clips.sources) for groups in study.tables)
            found.append([comparison for table in tables for comparison in table])
    return [outcome(found, study.differences) for found in judged]


def outcome(found: list[list[Comparison]], differences: np.ndarray) -> Outcome:
    verdicts = np.array([[arm.verdict for arm in arms] for arms in found])
    low, high = (np.array([[getattr(arm, end) for arm in arms] for arms in found]) for end in ("low", "high"))
    covered = ((low <= differences) & (differences <= high)).all(axis=1)
    return Outcome(verdicts == "better", verdicts != "no difference seen", covered)


def simulate_confirmation(clips: Clips, assumed: Assumptions, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return what confirmations find, as shares of those simulated."""
    none, design = (0.0,) * (ARMS - 1), Design(int(clips.folds.max()) + 1, ARMS, ARMS)
    seeds = seeds_needed(0.02, noise_of(clips, assumed), design)
    if seeds is None:
        raise UserError(f"{len(clips.folds)} clips are too few: no number of seeds finds a difference of 2 points")

    def simulate(study: Study, *seeds: int, more: Assumptions = assumed) -> list[Outcome]:
        return simulate_confirmations(clips, more, study, seeds, draws, rng)

    [null], [three], [two] = (
        simulate(against_one(effect, *none), many) for effect, many in ((0.0, SEEDS), (0.03, SEEDS), (0.02, seeds))
    )
    table = simulate(against_one(*TABLE_EFFECTS), *TABLE_SEEDS)
    apart = replace(assumed, same=APART)
    least = least_difference(noise_of(clips, apart), SEEDS, design)
    [different] = simulate(against_one(least, *none), SEEDS, more=apart)
    [pairs] = simulate(in_pairs(*(0.0,) * PAIRS), SEEDS)
    return {
        "power_3pt": float(three.better[:, 0].mean()),
        "power_2pt": float(two.better[:, 0].mean()),
        "seeds_2pt": seeds,
        "false_positive": float(null.different.any(axis=1).mean()),
        "coverage": float(np.mean([each.covered.mean() for each in (null, three, two)])),
        "found": {
            str(many): {
                f"{100 * effect:g}": float(each.different[:, np.equal(TABLE_EFFECTS, effect)].mean())
                for effect in sorted(set(TABLE_EFFECTS))
            }
            for many, each in zip(TABLE_SEEDS, table, strict=True)
        },
        "apart": {
            "same": APART,
            "points": 100 * least,
            "power": float(different.better[:, 0].mean()),
            "false_positive": float(different.different[:, 1:].any(axis=1).mean()),
            "coverage": float(different.covered.mean()),
        },
        "pairs": {
            "false_positive": float(pairs.different.any(axis=1).mean()),
            "coverage": float(pairs.covered.mean()),
        },
    }


def simulate_report(clips: Clips, assumed: Assumptions, draws: int, rng: np.random.Generator) -> dict[str, float]:
    """Return what reports of two tables say where no arm has an effect, as shares of those simulated."""
    [null] = simulate_confirmations(clips, assumed, in_two_tables(), (SEEDS,), draws, rng)
    return {"false_positive": float(null.different.any(axis=1).mean()), "coverage": float(null.covered.mean())}


def simulate_accuracy(clips: Clips, assumed: Assumptions, draws: int, rng: np.random.Generator) -> dict[str, float]:
    """Return, by the number of seeds, how often an arm's accuracy interval holds its accuracy on all clips there could
    be, as shares of the confirmations simulated."""
    parts, held = variances(assumed), Counter()
    for draw in range(draws):
        [runs] = draw_runs(clips, parts, assumed.shared, np.array([assumed.accuracy]), max(ACCURACY_SEEDS), rng)
        for seeds in ACCURACY_SEEDS:
            # With one seed for all, the errors of few resamples would be the same in all, and never even out.
            _, low, high = accuracy_interval(runs[:seeds], clips.folds, clips.sources, draws=RESAMPLES, seed=draw)
            held[seeds] += low <= assumed.accuracy <= high
    return {str(seeds): held[seeds] / draws for seeds in ACCURACY_SEEDS}


def noise_of(clips: Clips, assumed: Assumptions) -> Noise:
    return assumed_noise(
        len(clips.folds), int(clips.folds.max()) + 1, assumed.same, assumed.discordance, assumed.run_sd
    )
