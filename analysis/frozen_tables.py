"""What the confirmed runs are of: each arm's frozen configuration, and how right it is on each fold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.caption import errors_caption, warnings
from analysis.confirmed import Confirmed, label_of
from analysis.confirmed_tables import with_traits
from analysis.layout import mark
from analysis.load import Results
from analysis.provenance import discrepancies
from analysis.table import Column, Table, arm_name, number, percent, text


def frozen_tables(results: Results, confirmed: Confirmed) -> list[Table]:
    return [frozen_table(results, confirmed), *fold_table(results, confirmed)]


def frozen_table(results: Results, confirmed: Confirmed) -> Table:
    """Return the configuration of each arm that was frozen: its trial, and the knobs that the search varied."""
    arms = {arm["name"]: arm for arm in results.manifest["arms"]}
    configs = {event["trial"]: event["config"] for event in results.events if event["event"] == "deal"}
    rows = {
        label_of(entry): {
            "trial": entry["trial"],
            "validation": percent(entry["val_acc"]),
            "setting": setting(configs.get(entry["trial"]), arms[entry["arm"]]),
        }
        for entry in confirmed.manifest["frozen"]
    }
    frame = with_traits(results, rows).drop(columns="feature")
    columns = [
        Column(arm_name, "arm", words=True),
        Column(number("trial"), "trial"),
        Column(number("validation"), "validation, % (not tested)"),
        Column(text("setting"), "what the search varied", words=True),
    ]
    caption = "The best of each arm's trials that ran their full schedule; default: the setting of its first trial."
    title = "What was frozen, by arm" + mark(results.stand_in, frame["encoder"])
    return Table("frozen", title, " ".join([*warnings(results), *discrepancies(results), caption]), frame, columns)


def setting(config: dict[str, Any] | None, arm: dict[str, Any]) -> str:
    """Return the values of the knobs that the search varied, in words; a dash where the search's log has lost them."""
    if config is None:
        return "–"
    varied = [f"{knob} {config[knob]:.3g}" for knob in arm["space"]]
    is_default = all(config[knob] == arm["fixed"][knob] for knob in arm["space"])
    return ", ".join(varied) + " (default)" * (is_default and bool(varied))


def fold_table(results: Results, confirmed: Confirmed) -> Iterator[Table]:
    """Yield the accuracy of each arm on each fold, where several were tested."""
    folds = confirmed.block.folds
    if len(folds) == 1:
        return
    correct, fold, _ = confirmed.correct()
    rows = {
        label: {f"fold {k}": percent(right[:, fold == k].mean()) for k in folds} for label, right in correct.items()
    }
    frame = with_traits(results, rows).drop(columns="feature")
    columns = [Column(arm_name, "arm", words=True), *(Column(number(f"fold {k}"), f"fold {k}") for k in folds)]
    title = "Accuracy in % by fold, mean of all seeds" + mark(results.stand_in, frame["encoder"])
    yield Table("by-fold", title, errors_caption(results, "Accuracy in %"), frame, columns)
