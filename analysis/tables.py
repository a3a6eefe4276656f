"""The two tables of a sweep: baseline against ConvNeXt, and each regularizer against the plain ConvNeXt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.caption import caption, untrained_arms
from analysis.load import Results

BASELINE = "baseline"


@dataclass(frozen=True)
class Table:
    """A table with the caption that says what it is.

    Attributes:
        name: its file name without an ending.
        title: its headline.
        caption: data, folds, and what the figures may not be taken for.
        frame: one row an arm; accuracies and differences in percent and points.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame


def make_tables(results: Results) -> list[Table]:
    """Make the tables whose arms the sweep has, or one of its arms side by side where it has neither's.

    Those of a sweep that ran no trial are empty of scores, not absent.
    """
    manifest, summary = results.manifest, summarise(results)
    reference, tables = manifest["reference"], []
    mark = " [STAND-IN DATA]" * manifest["data"]["stand_in"] + " [UNTRAINED ENCODER]" * bool(untrained_arms(manifest))
    if {BASELINE, reference} <= set(summary.index):
        frame = compared(summary.loc[[BASELINE, reference]], BASELINE)
        title = "Baseline (HiFi-GAN discriminator) against 1d ConvNeXt" + mark
        tables.append(Table("baseline-vs-convnext", title, caption(results), frame))
    if reference in summary.index and len(summary.index.drop(BASELINE, errors="ignore")) > 1:
        others = [arm for arm in summary.index if arm not in (BASELINE, reference)]
        frame = compared(summary.loc[[reference, *others]], reference)
        title = "Regularization ablation: each arm against the plain ConvNeXt" + mark
        tables.append(Table("regularization-ablation", title, caption(results), frame))
    if not tables:
        frame = summary.assign(difference=np.nan)
        tables.append(Table("arms", "The sweep's arms, without one to compare with" + mark, caption(results), frame))
    return tables


def summarise(results: Results) -> pd.DataFrame:
    """Return one row an arm, in the manifest's order: scores in percent, trials by how they ended, and cost."""
    trials = results.trials
    rows = {arm["name"]: summarise_arm(trials[trials["arm"] == arm["name"]], arm) for arm in results.manifest["arms"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def summarise_arm(trials: pd.DataFrame, arm: dict[str, Any]) -> dict[str, Any]:
    full = trials.dropna(subset=["score"])
    best = full.sort_values(["score", "val_loss"], ascending=[False, True]).head(1)
    default = full.loc[full["default"], "score"]
    ended = trials["reason"].value_counts()
    return {
        "best": percent(best["score"].max()),
        "default": percent(default.max()),
        "median": percent(full["score"].median()),
        "train of best": percent(best["train_acc"].max()),
        "trials": len(trials),
        "full": len(full),
        "stopped": int(ended.get("stopped", 0)),
        "diverged": int(ended.get("diverged", 0)),
        "failed": int(ended.get("error", 0)),
        "epochs": int(trials["epochs"].sum()),
        "seconds": round(float(trials["seconds"].sum()), 1),
        "parameters": arm["parameters"],
    }


def percent(share: float) -> float:
    return round(100.0 * float(share), 2) if pd.notna(share) else float("nan")


def compared(summary: pd.DataFrame, against: str) -> pd.DataFrame:
    """Insert the difference, in points, between each arm's best and that of `against`."""
    frame = summary.copy()
    difference = (frame["best"] - frame.loc[against, "best"]).round(2)
    difference[against] = np.nan
    frame.insert(1, "difference", difference)
    return frame
