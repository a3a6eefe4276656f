"""`python -m sweeps.simulate`: what a search and its confirmation find where the truth is known, before any training.

The confirmation is simulated from single clips up and judged by `analysis.statistics.compare` itself: how often a true
difference is found, how often one is seen where none is, and how often the intervals hold the truth. The search is
simulated through the project's own driver, ladders and points: how often early stopping keeps an arm's best trial, and
whether every arm gets its share.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich import box
from rich.table import Table
from scipy.optimize import brentq
from scipy.special import owens_t
from scipy.stats import norm

from analysis.statistics import Comparison, compare, seeds_needed
from esc50tune.errors import UserError
from esc50tune.knobs import Search
from sweeps.arms import Arm, make_arms
from sweeps.cli import OneSentenceParser, at_least, end_with
from sweeps.console import Console, say
from sweeps.driver import Driver
from sweeps.events import Event, EventLog
from sweeps.presets import PRESETS
from sweeps.state import SweepState, Trial
from sweeps.studies import regularization

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
TABLE_SEEDS = (3, 5, 10)
TABLE_EFFECTS = (0.0, 0.0, 0.01, 0.02, 0.03)  # of the five arms, in one confirmation

SWEEPS = 40
TRIALS = 8  # for each arm
SLOTS = 4  # trials that run at a time
EPOCHS = 50
VAL_CLIPS = 400
EPOCH_SD = 0.01  # of a trial's accuracy from one epoch to the next


@dataclass(frozen=True)
class Assumptions:
    """What is taken to be true of accuracies, as shares.

    Attributes:
        accuracy: of an arm without an effect.
        discordance: share of clips on which one of any two runs is right and the other wrong.
        run_sd: standard deviation between an arm's runs on a fold, beyond their luck with single clips.
        fold_sd: standard deviation between folds, the same for all runs of a fold.
        shared: share that takes of one source have in common, of a clip's difficulty and of a run's luck with it.
    """

    accuracy: float = 0.75
    discordance: float = 0.2
    run_sd: float = 0.01
    fold_sd: float = 0.01
    shared: float = 0.5


@dataclass(frozen=True)
class Truth:
    """How an arm's trials learn.

    Attributes:
        effect: what its best strength, the middle of its range, adds to the accuracy at the end of the schedule.
        slowness: share of the schedule by which that strength delays learning; a higher one delays it more.
    """

    effect: float
    slowness: float


# Made up: stronger regularization starts slower and ends higher, so that curves cross, between arms and within one.
TRUTHS = {
    "convnext": Truth(0.0, 0.0),
    "label-smoothing": Truth(0.0, 0.02),
    "dropout": Truth(0.01, 0.05),
    "shift": Truth(0.02, 0.1),
    "mixup": Truth(0.03, 0.15),
}


class Variances(NamedTuple):
    """Parts of the latent score's variance, which is 1 in all; a run gets a clip right if its score is above 0."""

    run: float
    fold: float
    difficulty: float
    luck: float


class Clips(NamedTuple):
    """For each clip, the number of its fold and that of its source."""

    folds: np.ndarray
    sources: np.ndarray


def variances(assumed: Assumptions) -> Variances:
    """Return the parts that make the assumptions true.

    Two runs' scores of a clip have its difficulty and its fold in common. They fall on different sides of 0 with a
    probability that Owen's T gives (Owen 1956, "Tables for computing bivariate normal probabilities").
    """
    threshold = norm.ppf(assumed.accuracy)

    def excess(correlation: float) -> float:
        return 4 * owens_t(threshold, math.sqrt((1 - correlation) / (1 + correlation))) - assumed.discordance

    common = brentq(excess, 0, 1)
    run, fold = (np.array([assumed.run_sd, assumed.fold_sd]) / norm.pdf(threshold)) ** 2
    return Variances(run, fold, common - fold, 1 - common - run)


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
    score += np.take(level.astype(np.float32), clips.folds, axis=-1)
    return score > 0


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
    clips: Clips,
    assumed: Assumptions,
    effects: tuple[float, ...],
    seeds: tuple[int, ...],
    draws: int,
    rng: np.random.Generator,
) -> list[Outcome]:
    """Simulate confirmations of arms with these true effects, against one of none; judge each by its first runs alone,
    once for each number of seeds."""
    parts, accuracies = variances(assumed), assumed.accuracy + np.array([0.0, *effects])
    names = [f"arm {number}" for number in range(len(accuracies))]
    judged: list[list[list[Comparison]]] = [[] for _ in seeds]
    for _ in range(draws):
        runs = draw_runs(clips, parts, assumed.shared, accuracies, max(seeds), rng)
        for number, found in zip(seeds, judged, strict=True):
            first = dict(zip(names, runs[:, :number], strict=True))
            found.append(compare(first, names[0], clips.folds, clips.sources))
    return [outcome(found, effects) for found in judged]


def outcome(found: list[list[Comparison]], effects: tuple[float, ...]) -> Outcome:
    verdicts = np.array([[arm.verdict for arm in arms] for arms in found])
    low, high = (np.array([[getattr(arm, end) for arm in arms] for arms in found]) for end in ("low", "high"))
    covered = ((low <= effects) & (effects <= high)).all(axis=1)
    return Outcome(verdicts == "better", verdicts != "no difference seen", covered)


def simulate_confirmation(clips: Clips, assumed: Assumptions, draws: int, rng: np.random.Generator) -> dict[str, Any]:
    """Return what confirmations find, as shares of those simulated."""
    none = (0.0,) * (ARMS - 1)
    seeds = seeds_needed(0.02, len(clips.folds), int(clips.folds.max()) + 1, ARMS)
    [null] = simulate_confirmations(clips, assumed, (0.0, *none), (SEEDS,), draws, rng)
    [three] = simulate_confirmations(clips, assumed, (0.03, *none), (SEEDS,), draws, rng)
    [two] = simulate_confirmations(clips, assumed, (0.02, *none), (seeds,), draws, rng)
    table = simulate_confirmations(clips, assumed, TABLE_EFFECTS, TABLE_SEEDS, draws, rng)
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
    }


def simulated_arms() -> list[Arm]:
    return make_arms(regularization(), TRUTHS, PRESETS["small"], {}, {"epochs": EPOCHS})


def positions(arm: Arm, config: dict[str, Any]) -> tuple[float, float]:
    """Return where a configuration's learning rate and strength lie in their ranges, 0 to 1; an arm without any
    strength is in the middle."""
    places = {knob: position(reach, config[knob]) for knob, reach in arm.space.items()}
    rate = places.pop("lr")
    return rate, next(iter(places.values()), 0.5)


def position(reach: Search, value: float) -> float:
    low, high, at = (math.log(number) if reach.log else number for number in (reach.low, reach.high, value))
    return (at - low) / (high - low)


def true_curve(arms: list[Arm], trial: Trial) -> np.ndarray:
    """Return the accuracy that a trial has after each epoch, but for noise.

    Learning rates below the best one are slower, as strengths above 0 are; all end where the schedule does.
    """
    arm = next(arm for arm in arms if arm.name == trial.arm)
    truth, (rate, strength) = TRUTHS[arm.name], positions(arm, trial.config)
    end = 0.75 + truth.effect * (1 - 4 * (strength - 0.5) ** 2) - 0.3 * (rate - 0.7) ** 2
    delay = 0.1 + 0.05 * (1 - rate) + 2 * truth.slowness * strength
    learned = -np.expm1(-np.arange(1, EPOCHS + 1) / EPOCHS / delay)
    return end * learned / learned[-1]


class UnwrittenLog(EventLog):
    """Tells of its events and keeps no file: a simulated sweep needs none, and the disk would take most of its time."""

    def __init__(self, listener: Callable[[Event], None]) -> None:
        self.listener = listener

    def append(self, event: str, **fields: Any) -> None:
        self.listener({"event": event, **fields})


def simulate_sweep(arms: list[Arm], seed: int, trial_sd: float, rng: np.random.Generator) -> dict[int, Trial]:
    """Run a sweep whose trials follow their true curves, with noise of trial and of epoch; return its trials."""
    state = SweepState({arm.name: EPOCHS for arm in arms}, early_stopping=True)
    driver = Driver(arms, TRIALS * len(arms), "sobol", seed, UnwrittenLog(state.apply), state)
    running: dict[int, np.ndarray] = {}
    while True:
        while len(running) < SLOTS and (trial := driver.deal()):
            noise = rng.normal(0, trial_sd) + rng.normal(0, EPOCH_SD, EPOCHS)
            running[trial.number] = true_curve(arms, trial) + noise
        if not running:
            return state.trials
        for number, curve in list(running.items()):
            epoch = len(state.trials[number].epochs)
            result = {"epoch": epoch + 1, "val_acc": float(curve[epoch]), "diverged": False}
            if not driver.record(number, result):
                del running[number]


def simulate_search(assumed: Assumptions, seed: int, rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Return, for each arm, what the search gave it and what became of its best trial: means over many sweeps."""
    arms = simulated_arms()
    trial_sd = math.hypot(assumed.run_sd, math.sqrt(assumed.discordance / 2 / VAL_CLIPS))  # the run's, and its luck
    rows = []
    for number in range(SWEEPS):
        trials = simulate_sweep(arms, seed + number, trial_sd, rng)
        for arm in arms:
            own = [trial for trial in trials.values() if trial.arm == arm.name]
            ends = np.array([true_curve(arms, trial)[-1] for trial in own])
            full = np.array([trial.reason == "finished" for trial in own])
            rows.append(
                {
                    "arm": arm.name,
                    "trials": len(own),
                    "epochs": sum(len(trial.epochs) for trial in own) / len(own) / EPOCHS,
                    "full": full.sum(),
                    "kept": float(full[ends.argmax()]),
                    "lost": ends.max() - ends[full].max(),
                }
            )
    by_arm = pd.DataFrame(rows).groupby("arm", sort=False)
    return by_arm.mean().assign(fewest=by_arm["full"].min()).to_dict(orient="index")


def print_confirmation(found: dict[str, Any], draws: int, console: Console) -> None:
    say(console, f"confirmation: {ARMS} arms against one, {draws} simulated of each kind")
    lines = (
        (f"+3 points found with {SEEDS} seeds", "power_3pt"),
        (f"+2 points found with {found['seeds_2pt']} seeds, as many as seeds_needed proposes", "power_2pt"),
        ("any arm called different where none is", "false_positive"),
        ("all intervals hold the truth", "coverage"),
    )
    for text, key in lines:
        say(console, f"{100 * found[key]:6.1f} %  {text}")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("called different, in %")
    for effect in found["found"][str(TABLE_SEEDS[0])]:
        table.add_column(f"+{effect} points", justify="right")
    for seeds, shares in found["found"].items():
        table.add_row(f"{seeds} seeds", *(f"{100 * share:.1f}" for share in shares.values()))
    console.print(table)


def print_search(arms: dict[str, dict[str, float]], console: Console) -> None:
    say(console, f"search: {SWEEPS} simulated sweeps, with early stopping")
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("arm", no_wrap=True)
    for name in ("effect", "trials", "epochs %", "full", "fewest", "kept %", "lost"):
        table.add_column(name, justify="right")
    for name, row in arms.items():
        table.add_row(
            name,
            f"{100 * TRUTHS[name].effect:+.0f}",
            f"{row['trials']:.0f}",
            f"{100 * row['epochs']:.0f}",
            f"{row['full']:.1f}",
            f"{row['fewest']:.0f}",
            f"{100 * row['kept']:.0f}",
            f"{100 * row['lost']:.2f}",
        )
    console.print(table)
    say(console, "full: trials that ran in full, and the fewest in any sweep; kept: the arm's truly best trial was one")
    say(console, "of them; lost: points by which the best of them is worse than that trial")


def main() -> int:
    parser = OneSentenceParser(prog="python -m sweeps.simulate", description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the tables")
    parser.add_argument(
        "--draws", type=at_least(1), default=2000, help="simulated confirmations of each kind (default 2000)"
    )
    parser.add_argument("--seed", type=at_least(0), default=0, help="seed of all draws (default 0)")
    parser.add_argument("--sources", type=Path, metavar="CSV", help="whose clips share sources as they do in this csv")
    args = parser.parse_args()
    clips = read_clips(args.sources) if args.sources else esc50_clips()
    assumed, rng = Assumptions(), np.random.default_rng(args.seed)
    found = simulate_confirmation(clips, assumed, args.draws, rng)
    arms = simulate_search(assumed, args.seed, rng)
    if args.json:
        facts = {"clips": len(clips.folds), "sources": len(np.unique(clips.sources)), "arms": ARMS, "seeds": SEEDS}
        print(json.dumps(found | {"draws": args.draws, "assumptions": asdict(assumed) | facts, "search": arms}))
    else:
        console = Console()
        print_confirmation(found, args.draws, console)
        print_search(arms, console)
    return 0


if __name__ == "__main__":
    end_with(main)
