"""The tables of the confirmed runs: how right each arm is, and how it compares with what it is against."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.answers import verdict_words
from analysis.caption import clean_caption, confirmed_caption
from analysis.confirmed import arm_of
from analysis.layout import Part, mark, traits
from analysis.load import Results
from analysis.outcome import Interval, Outcome
from analysis.statistics import Comparison
from analysis.table import (
    Column,
    Table,
    arm_name,
    difference,
    figure,
    interval,
    millions,
    number,
    percent,
    points,
    probability,
    signed,
    text,
)


def confirmed_tables(results: Results, outcome: Outcome) -> list[Table]:
    """Make the tables whose arms were confirmed."""
    return [confirmed_table(results, outcome, part) for part in outcome.parts]


def confirmed_table(results: Results, outcome: Outcome, part: Part) -> Table:
    block, costs, trials = outcome.confirmed.block, outcome.confirmed.costs(), results.trials["arm"].value_counts()
    rows = {
        arm: accuracy_cells(outcome.accuracy[arm])
        | {"train": percent(costs.loc[arm, "train_acc"])}
        | comparison_cells(outcome.comparisons[part.name].get(arm))
        | cost_cells(costs.loc[arm])
        | {"trials": trials.get(arm_of(arm), float("nan")), "seeds": block.seeds, "folds": len(block.folds)}
        for arm in part.members
    }
    frame = with_traits(results, rows)
    columns = [
        *([Column(text("feature"), "feature", words=True)] if part.by_feature else []),
        *accuracy_columns(in_terminal=not part.groups),
        Column(number("train"), "training accuracy, %"),
        *(comparison_columns() if part.groups else []),
        *cost_columns(),
    ]
    return Table(
        part.name,
        part.title + mark(results.stand_in, frame["encoder"]),
        confirmed_caption(results, sum(bool(one.groups) for one in outcome.parts)),
        frame if part.by_feature else frame.drop(columns="feature"),
        columns,
        list(part.groups),
        source(results, f"folds {', '.join(map(str, block.folds))}, each by models trained on all others"),
    )


def clean_table(results: Results, outcome: Outcome) -> Iterator[Table]:
    """Yield the table of the clean test fold, where other folds were tested besides."""
    if not outcome.clean or len(outcome.confirmed.block.folds) == 1:
        return
    fold = outcome.confirmed.manifest["test_fold"]
    arms = dict.fromkeys(arm for part in outcome.parts for arm in part.members)
    rows = {arm: accuracy_cells(outcome.clean[arm]) | clean_difference(outcome, arm) for arm in arms}
    frame = with_traits(results, rows).drop(columns="feature")
    columns = [
        *accuracy_columns(),
        Column(difference("difference"), "difference, points"),
        Column(text("against"), "compared with", words=True),
    ]
    yield Table(
        "clean-test-fold",
        f"The clean test fold {fold} alone" + mark(results.stand_in, frame["encoder"]),
        clean_caption(results),
        frame,
        columns,
        [],
        source(results, f"fold {fold}, which the search neither trained nor selected on"),
    )


def clean_difference(outcome: Outcome, arm: str) -> dict[str, Any]:
    if arm not in outcome.against:
        return {"difference": float("nan"), "against": "–"}
    base, _ = outcome.against[arm]
    return {"difference": points(outcome.clean[arm][0] - outcome.clean[base][0]), "against": base}


def with_traits(results: Results, rows: Mapping[str, dict[str, Any]]) -> pd.DataFrame:
    """Return the rows as a frame, with what the arms' models see before their figures."""
    of_arm = {arm["name"]: traits(arm["fixed"]) for arm in results.manifest["arms"]}
    rows = {label: of_arm[arm_of(label)] | row for label, row in rows.items()}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("arm")


def source(results: Results, tested: str) -> dict[str, str]:
    return {"data": results.manifest["data"]["title"], "tested on": tested}


def accuracy_cells(found: Interval) -> dict[str, float]:
    return dict(zip(("accuracy", "accuracy low", "accuracy high"), map(percent, found), strict=True))


def comparison_cells(found: Comparison | None) -> dict[str, Any]:
    """Return the cells of a comparison; empty ones for an arm that is compared with none."""
    if found is None:
        empty = ("difference", "low", "high", "p", "adjusted p", "Nadeau-Bengio p", "detectable")
        return dict.fromkeys(empty, float("nan")) | {"verdict": "", "in words": ""}
    return {
        "difference": points(found.difference),
        "low": points(found.low),
        "high": points(found.high),
        "p": significant(found.p),
        "adjusted p": significant(found.p_adjusted),
        "Nadeau-Bengio p": significant(found.nadeau_bengio_p),
        "detectable": points(found.detectable),
        "verdict": found.verdict,
        "in words": verdict_words(found),
    }


def significant(p: float) -> float:
    return float(f"{p:.3g}")


def cost_cells(costs: pd.Series) -> dict[str, Any]:
    """Return what one run costs; epochs and seconds are missing where the log does not tell."""
    runs = costs["runs"] if costs["epochs"] else float("nan")
    return {
        "epochs": round(costs["epochs"] / runs, 1),
        "seconds": round(costs["seconds"] / runs, 2),
        "parameters": int(costs["parameters"]),
    }


def accuracy_columns(in_terminal: bool = False) -> list[Column]:
    """Return the columns of an arm's accuracy; in a terminal there is room for one interval, that of the difference."""
    short = "95 % interval" if in_terminal else None
    return [
        Column(arm_name, "arm", "arm", words=True),
        Column(number("accuracy"), "accuracy, %", "acc."),
        Column(interval("accuracy low", "accuracy high", figure), "95 % interval", short),
    ]


def comparison_columns() -> list[Column]:
    return [
        Column(difference("difference"), "difference, points", "diff."),
        Column(interval("low", "high", signed), "simultaneous 95 % interval", "95 % interval"),
        Column(lambda row: row["in words"] or "–", "verdict", words=True),
        Column(short_verdict, None, "verdict", words=True),
        Column(probability("adjusted p"), "p (Holm)"),
        Column(probability("Nadeau-Bengio p"), "p (Nadeau-Bengio)"),
    ]


def short_verdict(row: Mapping[str, Any]) -> str:
    if not row["verdict"].startswith("no "):
        return row["verdict"] or "–"
    return row["verdict"] + (f" (≥ {row['detectable']:.1f})" if row["detectable"] < 100 else "")


def cost_columns() -> list[Column]:
    return [
        Column(number("epochs", digits=0), "epochs a run"),
        Column(number("seconds", digits=0), "seconds a run", "secs"),
        Column(lambda row: millions(row["parameters"]), "parameters"),
    ]
