"""What early stopping spends and loses, beside trials that all run in full: on made-up curves and on recorded ones.

Recorded curves are those of real trials that ran in full. A search on them deals each arm some of its trials in a
random order, and goes by what is recorded, through the project's own driver; nothing is trained.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from bench.base import Options, Outcome
from bench.curves import ESC10, Curve, read_curves
from sweeps.arms import Arm
from sweeps.driver import Driver
from sweeps.simulated_confirmation import Assumptions
from sweeps.simulated_search import (
    FEWER_TRIALS,
    SCHEDULERS,
    SHARED,
    SLOTS,
    SWEEPS,
    TRIALS,
    UnwrittenLog,
    begin_state,
    compare_schedulers,
    play,
)
from sweeps.state import Trial

ORDERS = 100
PARTS = (0.3, 0.4, 0.6)  # of the schedule: both schedulers' rungs
Dealt = dict[str, list[Curve]]  # of each arm, its trials in the order in which they are dealt


def run(options: Options) -> Outcome:
    """Run the searches; nothing of it is about time."""
    simulated = compare_schedulers(Assumptions(), 0, np.random.default_rng(0))
    recorded = read_curves(ESC10)
    replayed = replay_schedulers(recorded, ORDERS)
    return outcome({"simulated": simulated, "recorded": replayed}, foretold(recorded), recorded)


def replay_schedulers(recorded: Dealt, orders: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return what each kind of early stopping costs and loses on recorded curves, by the number of trials an arm."""
    fewest = min(map(len, recorded.values()))
    found: dict[str, dict[str, dict[str, float]]] = {}
    for per_arm in sorted({min(number, fewest) for number in (FEWER_TRIALS, TRIALS)}):
        for scheduler in SCHEDULERS:
            rng = np.random.default_rng(0)  # all schedulers get the same orders
            sweeps = [draw(recorded, per_arm, rng) for _ in range(orders)]
            rows = pd.DataFrame([row for dealt in sweeps for row in judge(dealt, replay(dealt, scheduler))])
            mean = rows[["epochs", "full", "starved", "kept", "lost"]].mean().to_dict()
            found.setdefault(scheduler, {})[str(per_arm)] = mean | {"in_full": epochs_in_full(rows)}
    return found


def foretold(recorded: Dealt) -> dict[str, dict[str, float]]:
    """Return what the accuracy and the loss after a part of the schedule say of the accuracy at its end.

    It is Spearman's rank correlation over an arm's trials, mean over the arms, at each of `PARTS`; of the loss, its
    negative.
    """
    said: dict[str, dict[str, float]] = {}
    for part in PARTS:
        rows = []
        for curves in recorded.values():
            epoch, ends = round(part * len(curves[0].accuracies)) - 1, [curve.accuracies[-1] for curve in curves]
            accuracies, losses = zip(
                *((curve.accuracies[epoch], -curve.losses[epoch]) for curve in curves), strict=True
            )
            rows.append([spearmanr(accuracies, ends).statistic, spearmanr(losses, ends).statistic])
        said[f"{part:g}"] = dict(zip(("accuracy", "loss"), np.mean(rows, axis=0).tolist(), strict=True))
    return said


def draw(recorded: Dealt, per_arm: int, rng: np.random.Generator) -> Dealt:
    """Draw the order of the arms, and `per_arm` trials of each, in an order."""
    dealt = {arm: rng.choice(len(curves), per_arm, replace=False) for arm, curves in recorded.items()}
    return {arm: [recorded[arm][i] for i in dealt[arm]] for arm in rng.permutation(list(recorded)).tolist()}


def replay(dealt: Dealt, scheduler: str) -> dict[int, Trial]:
    """Run a sweep whose trials come to what is recorded of them; return its trials."""
    arms = [Arm(name, {}) for name in dealt]
    per_arm, epochs = (len(part) for part in (dealt[arms[0].name], dealt[arms[0].name][0].accuracies))
    state = begin_state(dict.fromkeys(dealt, epochs), scheduler)

    def result(trial: Trial) -> dict[str, Any]:
        curve, epoch = dealt[trial.arm][trial.number // len(arms)], len(trial.epochs)
        return {"val_acc": curve.accuracies[epoch], "val_loss": curve.losses[epoch]}

    play(Driver(arms, per_arm * len(arms), "sobol", 0, UnwrittenLog(state.apply), state), result)
    return state.trials


def judge(dealt: Dealt, trials: dict[int, Trial]) -> list[dict[str, Any]]:
    """Return, for each arm, what a search gave it and what became of its best trial, by its last recorded epoch."""
    rows = []
    for arm, curves in dealt.items():
        own = [trial for trial in trials.values() if trial.arm == arm]
        ends = np.array([curve.accuracies[-1] for curve in curves])
        full = np.array([trial.reason == "finished" for trial in own])
        best = max(range(len(curves)), key=lambda i: (curves[i].accuracies[-1], -curves[i].losses[-1]))
        reached = ends[full].max() if full.any() else np.nan
        rows.append(
            {
                "epochs": sum(len(trial.epochs) for trial in own) / len(own) / len(curves[0].accuracies),
                "full": full.sum(),
                "starved": float(not full.any()),
                "kept": float(full[best]),
                "lost": ends.max() - reached,
                "reached": reached,
                "best_of": np.maximum.accumulate(ends),  # the first trial, the first two, ... if all run in full
            }
        )
    return rows


def epochs_in_full(rows: pd.DataFrame) -> float:
    """Return the epochs after which trials that all run in full come to the same result in the mean.

    A share of those of all trials in full, one trial's at least. Arms without a full trial have no result: left out.
    """
    fed = rows[rows["starved"] == 0]
    best_of = np.mean(np.stack(fed["best_of"]), axis=0)
    levels, first = np.unique(best_of, return_index=True)  # another trial may add nothing
    return float(np.interp(fed["reached"].mean(), levels, first + 1) / len(best_of))


def outcome(
    figures: dict[str, dict[str, dict[str, dict[str, float]]]], said: dict[str, dict[str, float]], recorded: Dealt
) -> Outcome:
    trials, epochs = sum(map(len, recorded.values())), len(next(iter(recorded.values()))[0].accuracies)
    correlations = "; ".join(
        f"at {100 * float(part):.0f} % {of['accuracy']:.2f} (accuracy), {of['loss']:.2f} (loss)"
        for part, of in said.items()
    )
    return Outcome(
        "Early stopping: epochs spent, and what is lost, against trials that all run in full",
        ("curves × trials", "early stopping", "epochs", "in full", "starved", "kept", "lost"),
        [
            row(f"{curves} × {per_arm}", scheduler, schedulers[scheduler][per_arm])
            for curves, schedulers in figures.items()
            for per_arm in schedulers["none"]
            for scheduler in SCHEDULERS
        ],
        (
            f"Simulated: {SWEEPS} sweeps of made-up curves that cross, as in `python -m sweeps.simulate`. Recorded:",
            f"{trials} trials of {len(recorded)} arms, {epochs} epochs each, on ESC-10; in {ORDERS} random orders.",
            "Where all of an arm's are dealt, their order differs, not which they are. × trials: of each arm. Means",
            f"over arms. {SLOTS} trials run at a time, an epoch in turn. Shared asha: one ladder for all arms, as Ray",
            "Tune's own scheduler has it. Epochs: in % of those of all trials in full. In full: what fewer trials that",
            "all run in full need for the same mean result, in the same %. Starved: % of arms without a full trial.",
            "Kept: % of arms whose best trial ran in full. Lost: points by which the best of those that did is worse.",
            "Halving judges by validation loss, asha by accuracy. Recorded, their rank correlations with the",
            f"accuracy at the schedule's end are: {correlations}.",
        ),
        figures | {"foretold": said},
    )


def row(what: str, scheduler: str, told: dict[str, float]) -> tuple[str, ...]:
    in_full = f"{100 * told['in_full']:.0f}" if "in_full" in told else "–"
    name = "shared asha" if scheduler == SHARED else scheduler
    shares = (f"{100 * told['starved']:.1f}", f"{100 * told['kept']:.0f}", f"{100 * told['lost']:.2f}")
    return what, name, f"{100 * told['epochs']:.0f}", in_full, *shares
