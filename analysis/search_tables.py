"""The tables of a search: its best trials, which nominate and do not decide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.caption import caption
from analysis.layout import Part, make_parts, mark, traits
from analysis.load import Results
from analysis.table import Column, Table, arm_name, difference, millions, number, percent, text


def search_tables(results: Results, beside_confirmed: bool = False) -> list[Table]:
    """Make the tables whose arms the sweep has, and one of the arms that stand in neither, side by side.

    Those of a sweep that ran no trial are empty of scores, not absent.

    Args:
        results: the sweep.
        beside_confirmed: names and titles say that these are the search's, since there are confirmed ones of them.
    """
    summary, parts = summarise(results), make_parts(results.manifest, [arm["name"] for arm in results.manifest["arms"]])
    if beside_confirmed:
        parts = [replace(p, name=f"search-{p.name}", title=f"Search results, not confirmed: {p.title}") for p in parts]
    return [search_table(results, part, compared_frame(summary, part)) for part in parts]


def search_table(results: Results, part: Part, frame: pd.DataFrame) -> Table:
    return Table(
        part.name,
        part.title + mark(results.stand_in, frame["encoder"]),
        caption(results),
        frame,
        columns(frame),
        list(part.groups),
        source(results),
    )


def source(results: Results) -> dict[str, str]:
    split = results.manifest["split"]
    kept = f"test fold {split['test']} untouched" if split["test"] is not None else "NO TEST FOLD"
    selected = f"validation fold {split['val']}, best of a search: optimistic; {kept}"
    return {"data": results.manifest["data"]["title"], "selected on": selected}


def columns(frame: pd.DataFrame) -> list[Column]:
    feature = [Column(text("feature"), "feature", words=True)] if "feature" in frame else []
    ended_badly = [Column(number(name), name) for name in ("diverged", "failed") if frame[name].any()]
    return [
        *feature,
        Column(arm_name, "arm", "arm", words=True),
        Column(number("best"), "best, %", "best"),
        Column(difference("difference"), "difference, points", "diff."),
        Column(number("default"), "default setting, %", "default"),
        Column(number("median"), "median, %", "median"),
        Column(number("train of best"), "training accuracy of the best, %", "train"),
        Column(number("trials"), "trials"),
        Column(number("full"), "full runs"),
        Column(lambda row: f"{row['full']}/{row['trials']}", None, "full"),
        Column(number("stopped"), "stopped"),
        *ended_badly,
        Column(number("epochs"), "epochs", "epochs"),
        Column(number("seconds", digits=0), "seconds", "secs"),
        Column(number("parameters"), "parameters"),
        Column(lambda row: millions(row["parameters"]), None, "params"),
    ]


def summarise(results: Results) -> pd.DataFrame:
    """Return one row an arm, in the manifest's order: scores in percent, trials by how they ended, and cost."""
    trials, arms = results.trials, {arm["name"]: arm for arm in results.manifest["arms"]}
    best = results.best.reindex(list(arms))
    rows = {name: summarise_arm(trials[trials["arm"] == name], best.loc[name], arm) for name, arm in arms.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def summarise_arm(trials: pd.DataFrame, best: pd.Series, arm: dict[str, Any]) -> dict[str, Any]:
    full = trials.dropna(subset=["score"])
    default = full.loc[full["default"], "score"]
    ended = trials["reason"].value_counts()
    return {
        "best": percent(best["score"]),
        "default": percent(default.max()),
        "median": percent(full["score"].median()),
        "train of best": percent(best["train_acc"]),
        "trials": len(trials),
        "full": len(full),
        "stopped": int(ended.get("stopped", 0)),
        "diverged": int(ended.get("diverged", 0)),
        "failed": int(ended.get("error", 0)),
        "epochs": int(trials["epochs"].sum()),
        "seconds": round(float(trials["seconds"].sum()), 1),
        "parameters": arm["parameters"],
        **traits(arm["fixed"]),
    }


def compared_frame(summary: pd.DataFrame, part: Part) -> pd.DataFrame:
    """Return a part's rows, with the difference, in points, between each arm's best and that of what it is against."""
    frame = summary.loc[part.members]
    difference = pd.Series(np.nan, frame.index)
    for base, others in part.groups.items():
        difference[others] = (frame.loc[others, "best"] - frame.loc[base, "best"]).round(2)
    frame.insert(1, "difference", difference)
    return frame if part.by_feature else frame.drop(columns="feature")
