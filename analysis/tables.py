"""The two tables of a sweep: baseline against ConvNeXt, and each regularizer against the plain ConvNeXt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

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
    """Make the tables whose arms the sweep has; those of a sweep that ran no trial are empty of scores, not absent."""
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


def untrained_arms(manifest: dict[str, Any]) -> list[str]:
    """Return the arms whose features come from an encoder with random weights."""
    wanted = {"feature": "encodec", "encodec_weights": "untrained"}
    return [arm["name"] for arm in manifest["arms"] if wanted.items() <= arm["fixed"].items()]


def caption(results: Results) -> str:
    """Say what the figures are and what they are not."""
    manifest, split = results.manifest, results.manifest["split"]
    clips = split["val_clips"]
    error = 100.0 * np.sqrt(0.25 / clips)
    parts = [
        f"Data: {manifest['data']['title']}.",
        f"Preset {manifest['preset']['name']}: {manifest['preset']['says']}.",
        f"Accuracy in % on the validation fold {split['val']} ({clips} clips), trained on folds "
        f"{', '.join(map(str, split['train']))} ({split['train_clips']} clips); a trial's score is that of its full "
        "schedule's last epoch. Training accuracy is that of clips as they were trained on, shifted and mixed.",
        "These are search results: the best of several trials is chosen on the very clips it is scored on, which "
        f"makes it optimistic; on {clips} clips one score has a standard error of up to {error:.1f} points, so a "
        "difference of a few points may be noise.",
    ]
    if split["left_out"]:
        parts.insert(3, f"{split['left_out']} clips are left out: their source recording has takes on another side.")
    if untrained_arms(manifest):
        parts.insert(
            0,
            f"UNTRAINED ENCODER: {', '.join(untrained_arms(manifest))}: EnCodec with random weights, a control "
            "that says nothing about EnCodec itself.",
        )
    if manifest["data"]["stand_in"]:
        parts.insert(0, "STAND-IN DATA: procedural sounds, no recordings; these figures say nothing about ESC-50.")
    if split["test"] is None:
        parts.append("NO TEST FOLD: this preset selects on the fold that it reports, as the original study did.")
    missing = manifest["trials"] - int(
        results.trials["reason"].isin(["finished", "stopped", "diverged", "error"]).sum()
    )
    if missing:
        parts.append(f"INCOMPLETE: {missing} of {manifest['trials']} trials have not ended.")
    return " ".join(parts)
