"""The tables of a sweep: HiFi-GAN baselines against ConvNeXts, and each regularizer against the arm without any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from analysis.caption import caption
from analysis.features import encoder, feature_words
from analysis.load import Results


@dataclass(frozen=True)
class Table:
    """A table with the caption that says what it is.

    Attributes:
        name: its file name without an ending.
        title: its headline.
        caption: data, folds, and what the figures may not be taken for.
        frame: one row an arm; accuracies and differences in percent and points.
        baselines: the arms that the rows below them are compared with.
    """

    name: str
    title: str
    caption: str
    frame: pd.DataFrame
    baselines: list[str]


def make_tables(results: Results) -> list[Table]:
    """Make the tables whose arms the sweep has, and one of the arms that stand in neither, side by side.

    Those of a sweep that ran no trial are empty of scores, not absent.
    """
    manifest, summary = results.manifest, summarise(results)
    groups, reference = compared_arms(manifest), manifest["reference"]
    versus = {base: others for base, others in groups.items() if base != reference}
    ablation = {base: others for base, others in groups.items() if base == reference}
    alone = summary.drop(index=[*members(versus), *members(ablation)])
    tables = []
    if versus:
        frame, title = compared(summary, versus), "Baseline (HiFi-GAN discriminator) against 1d ConvNeXt"
        if len(versus) > 1:
            frame, title = with_features(frame, manifest), title + ", by feature"
        tables.append(make_table(results, "baseline-vs-convnext", title, frame, list(versus)))
    if ablation:
        frame = compared(summary, ablation)
        tables.append(make_table(results, "regularization-ablation", ablation_title(manifest), frame, [reference]))
    if len(alone):
        frame = alone.assign(difference=np.nan)
        tables.append(make_table(results, "arms", "The sweep's arms, without one to compare with", frame, []))
    return tables


def compared_arms(manifest: dict[str, Any]) -> dict[str, list[str]]:
    """Return the arms that others are compared with, each with those others, all in the manifest's order."""
    arms = manifest["arms"]
    groups = {base["name"]: [arm["name"] for arm in arms if arm["against"] == base["name"]] for base in arms}
    return {base: others for base, others in groups.items() if others}


def members(groups: dict[str, list[str]]) -> list[str]:
    return [arm for base, others in groups.items() for arm in (base, *others)]


def make_table(results: Results, name: str, title: str, frame: pd.DataFrame, baselines: list[str]) -> Table:
    """Return the table with its caption, and with a mark in its title where its figures are of no real data or encoder.

    The mark has a star where only some of its arms use an untrained encoder: their names have it too.
    """
    mark = " [STAND-IN DATA]" if results.manifest["data"]["stand_in"] else ""
    untrained = frame["encoder"] == "untrained"
    if untrained.any():
        mark += " [UNTRAINED ENCODER]" if untrained.all() else " [* UNTRAINED ENCODER]"
    return Table(name, title + mark, caption(results), frame, baselines)


def ablation_title(manifest: dict[str, Any]) -> str:
    reference = manifest["reference"]
    models = {arm["name"]: arm["fixed"]["model"] for arm in manifest["arms"]}
    if reference == "convnext":
        plain = "the plain ConvNeXt"
    elif models[reference] == "convnext":
        plain = f"{reference}, the plain ConvNeXt"
    else:
        plain = f"{reference}, without regularizers"
    return f"Regularization ablation: each arm against {plain}"


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
        "encoder": encoder(arm["fixed"]),
    }


def percent(share: float) -> float:
    return round(100.0 * float(share), 2) if pd.notna(share) else float("nan")


def with_features(frame: pd.DataFrame, manifest: dict[str, Any]) -> pd.DataFrame:
    words = {arm["name"]: feature_words(arm["fixed"]) for arm in manifest["arms"]}
    return frame.assign(feature=frame.index.map(words))


def compared(summary: pd.DataFrame, groups: dict[str, list[str]]) -> pd.DataFrame:
    """Return each group's rows, with the difference, in points, between each arm's best and that of its group's first.

    Args:
        summary: one row an arm.
        groups: arms that are compared with, each with those that are compared with it.
    """
    frame = summary.loc[members(groups)]
    difference = pd.Series(np.nan, frame.index)
    for base, others in groups.items():
        difference[others] = (frame.loc[others, "best"] - frame.loc[base, "best"]).round(2)
    frame.insert(1, "difference", difference)
    return frame
