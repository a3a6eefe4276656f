"""Searches whose trials have known learning curves, through the project's own driver, ladders and points.

They tell how often early stopping keeps an arm's best trial, and whether every arm gets its share.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from esc50tune.knobs import Search
from sweeps.arms import Arm, make_arms
from sweeps.driver import Driver
from sweeps.events import Event, EventLog
from sweeps.ladder import Ladder
from sweeps.presets import PRESETS
from sweeps.simulated_confirmation import Assumptions
from sweeps.state import SweepState, Trial
from sweeps.studies import regularization

SWEEPS = 40
TRIALS = 8  # for each arm
FEWER_TRIALS = 5
SHARED = "asha, one ladder for all arms"  # what Ray Tune's own scheduler does
SCHEDULERS = ("halving", "asha", SHARED, "none")
SLOTS = 4  # trials that run at a time
EPOCHS = 50
VAL_CLIPS = 400
EPOCH_SD = 0.01  # of a trial's accuracy from one epoch to the next


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


def begin_state(epochs: dict[str, int], scheduler: str) -> SweepState:
    """Return the state of a sweep that begins.

    Args:
        epochs: length of the full schedule of each arm; the same for all where they share a ladder.
        scheduler: one of `SCHEDULERS`.
    """
    if scheduler != SHARED:
        return SweepState(epochs, scheduler)
    state = SweepState(epochs, "asha")
    state.ladders = dict.fromkeys(epochs, Ladder(next(iter(epochs.values()))))
    return state


def simulate_sweep(
    arms: list[Arm],
    seed: int,
    trial_sd: float,
    rng: np.random.Generator,
    scheduler: str = "halving",
    per_arm: int = TRIALS,
) -> dict[int, Trial]:
    """Run a sweep whose trials follow their true curves, with noise of trial and of epoch; return its trials."""
    state = begin_state({arm.name: EPOCHS for arm in arms}, scheduler)
    curves: dict[int, np.ndarray] = {}

    def result(trial: Trial) -> dict[str, Any]:
        if trial.number not in curves:
            noise = rng.normal(0, trial_sd) + rng.normal(0, EPOCH_SD, EPOCHS)
            curves[trial.number] = true_curve(arms, trial) + noise
        accuracy = float(curves[trial.number][len(trial.epochs)])
        # A loss that says what the accuracy says: what is known of it beyond that is left to recorded curves.
        return {"val_acc": accuracy, "val_loss": 1 - accuracy}

    play(Driver(arms, per_arm * len(arms), "sobol", seed, UnwrittenLog(state.apply), state), result)
    return state.trials


def play(driver: Driver, result: Callable[[Trial], dict[str, Any]]) -> None:
    """Run a sweep in which nothing is trained: each epoch of a trial in turn comes to what `result` says of it."""
    running: list[int] = []
    while True:
        while len(running) < SLOTS and (trial := driver.deal()):
            running.append(trial.number)
        if not running:
            return
        for number in list(running):
            trial = driver.state.trials[number]
            told = {"epoch": len(trial.epochs) + 1, "diverged": False} | result(trial)
            if not driver.record(number, told):
                running.remove(number)


def simulate_search(
    assumed: Assumptions, seed: int, rng: np.random.Generator, scheduler: str = "halving", per_arm: int = TRIALS
) -> dict[str, dict[str, float]]:
    """Return, for each arm, what the search gave it and what became of its best trial: means over many sweeps."""
    arms = simulated_arms()
    trial_sd = math.hypot(assumed.run_sd, math.sqrt(assumed.discordance / 2 / VAL_CLIPS))  # the run's, and its luck
    rows = []
    for number in range(SWEEPS):
        trials = simulate_sweep(arms, seed + number, trial_sd, rng, scheduler, per_arm)
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
                    "lost": ends.max() - ends[full].max() if full.any() else math.nan,
                    "starved": float(not full.any()),
                }
            )
    by_arm = pd.DataFrame(rows).groupby("arm", sort=False)
    return by_arm.mean().assign(fewest=by_arm["full"].min()).to_dict(orient="index")


def compare_schedulers(
    assumed: Assumptions, seed: int, rng: np.random.Generator
) -> dict[str, dict[str, dict[str, float]]]:
    """Return what each kind of early stopping costs and loses, mean over the arms, by the number of trials an arm."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for per_arm in (FEWER_TRIALS, TRIALS):
        for scheduler in SCHEDULERS:
            arms = pd.DataFrame(simulate_search(assumed, seed, rng, scheduler, per_arm).values())
            mean = arms[["epochs", "full", "starved", "kept", "lost"]].mean().to_dict()
            found.setdefault(scheduler, {})[str(per_arm)] = mean
    return found
