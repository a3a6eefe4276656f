"""The figures of the search phase, from a sweep's events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from analysis.accuracy import expected_best
from analysis.figures.agreement import rank_agreement
from analysis.figures.arms import arm_labels, marks_of
from analysis.figures.best_of_n import best_of_n
from analysis.figures.curves import learning_curves
from analysis.figures.drawing import Drawing
from analysis.figures.slices import slices
from analysis.load import Results


def search_drawings(results: Results) -> Iterator[Drawing | None]:
    manifest, trials = results.manifest, results.trials
    labels = arm_labels(manifest, [arm["name"] for arm in manifest["arms"]])
    best, curves = results.best["trial"].to_dict(), epoch_frame(results)
    marks = [*marks_of(manifest["arms"], manifest["data"]), search_mark(manifest["split"])]
    rungs = {arm["name"]: rung_epochs(arm["epochs"], manifest["scheduler"]) for arm in manifest["arms"]}
    judged = rungs if manifest["scheduler"]["name"] != "none" else {}
    yield learning_curves(curves, best, judged, labels, marks)
    spaces = {arm["name"]: arm["space"] for arm in manifest["arms"]}
    yield slices(trials.assign(config=trials["trial"].map(configs(results))), best, spaces, labels, marks)
    by = manifest["scheduler"].get("by", "accuracy")
    yield rank_agreement(first_and_end(curves, rungs, by), by, labels, marks)
    scores = trials.dropna(subset=["score"]).groupby("arm")["score"]
    yield best_of_n({arm: expected_best_curve(values) for arm, values in scores}, labels, marks)


def search_mark(split: dict[str, Any]) -> str:
    return f"SEARCH ONLY: scored on validation fold {split['val']}, the one that chooses among trials; no test"


def expected_best_curve(scores: pd.Series) -> list[float]:
    return [expected_best(scores.to_numpy(), n) for n in range(1, len(scores) + 1)]


def rung_epochs(epochs: int, scheduler: dict[str, Any]) -> list[int]:
    """Return the epochs at which a trial of `epochs` epochs is judged: the sweep's own rule, from its manifest."""
    rungs, rung = [], max(1, round(scheduler["grace"] * epochs))
    while rung < epochs:
        rungs.append(rung)
        rung *= scheduler["factor"]
    return rungs


def epoch_frame(results: Results) -> pd.DataFrame:
    """Return one row an epoch: arm, trial, reason of the trial's end, epoch, val_acc, val_loss."""
    epochs = [event for event in results.events if event["event"] == "epoch"]
    frame = pd.DataFrame(epochs, columns=["arm", "trial", "epoch", "val_acc", "val_loss"])
    return frame.merge(results.trials[["trial", "reason"]], on="trial")


def configs(results: Results) -> dict[int, dict[str, Any]]:
    return {event["trial"]: event["config"] for event in results.events if event["event"] == "deal"}


def first_and_end(curves: pd.DataFrame, rungs: dict[str, list[int]], by: str) -> pd.DataFrame:
    """Return arm, what the first rung judged by, and accuracy at the end, of each trial that ran in full past one."""
    first_rung = {arm: epochs[0] for arm, epochs in rungs.items() if epochs}
    full = curves[curves["reason"] == "finished"]
    first = full[full["epoch"] == full["arm"].map(first_rung)].set_index("trial")
    end = full.groupby("trial")["val_acc"].last()
    judged = first["val_loss" if by == "loss" else "val_acc"]
    return pd.DataFrame({"arm": first["arm"], "first": judged, "end": end.reindex(first.index)})
