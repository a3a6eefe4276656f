"""All arms of several sweeps in one table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis.caption import divergences, warnings
from analysis.confirmed import arm_of, label_of
from analysis.confirmed_tables import accuracy_cells, accuracy_columns, comparison_cells
from analysis.layout import mark
from analysis.provenance import discrepancies
from analysis.search_tables import summarise
from analysis.study import Study
from analysis.table import Column, Table, difference, interval, number, percent, signed, text


def joined_table(studies: Mapping[str, Study]) -> Table:
    """Return the table of all arms: what is confirmed of each, and beside it what its search found."""
    frame = pd.DataFrame([row for name, study in studies.items() for row in rows(name, study)]).set_index("arm")
    columns = [
        Column(text("sweep"), "sweep", words=True),
        *accuracy_columns(),
        Column(text("against"), "compared with", words=True),
        Column(difference("difference"), "difference, points"),
        Column(interval("low", "high", signed), "simultaneous 95 % interval"),
        Column(lambda row: row["in words"] or "not confirmed", "verdict", words=True),
        Column(number("search best"), "best of the search, % (not tested)"),
    ]
    stand_in = any(study.results.stand_in for study in studies.values())
    title = "All arms of all sweeps" + mark(stand_in, frame["encoder"])
    return Table("all-arms", title, " ".join(cautions(studies)), frame, columns)


def rows(name: str, study: Study) -> Iterator[dict[str, Any]]:
    data, confirmed = study.results.manifest["data"]["title"], study.results.confirmed
    frozen = {label_of(entry): percent(entry["val_acc"]) for entry in confirmed.manifest["frozen"]} if confirmed else {}
    for arm, row in summarise(study.results).iterrows():
        own = {arm: row["best"]} | {label: score for label, score in frozen.items() if arm_of(label) == arm}
        for label, score in own.items():
            about = {"sweep": name, "arm": label, "data": data, "encoder": row["encoder"], "search best": score}
            yield about | confirmed_cells(study, label)


def confirmed_cells(study: Study, arm: str) -> dict[str, Any]:
    outcome = study.outcome
    if outcome is None or arm not in outcome.accuracy:
        return accuracy_cells((float("nan"),) * 3) | comparison_cells(None) | {"against": "–"}
    cells = accuracy_cells(outcome.accuracy[arm])
    if arm not in outcome.against:
        return cells | comparison_cells(None) | {"against": "–", "in words": "–"}
    base, found = outcome.against[arm]
    return cells | comparison_cells(found) | {"against": base}


def cautions(studies: Mapping[str, Study]) -> Iterator[str]:
    manifests = [study.results.manifest for study in studies.values()]
    if len({manifest["data"].get("fingerprint") for manifest in manifests}) > 1:
        yield "DIFFERENT DATA: these sweeps did not have the same clips, so that accuracies of two sweeps say nothing."
    for name, study in studies.items():
        told = [*warnings(study.results), *discrepancies(study.results), *divergences(study.results)]
        told += [*study.results.left_out, *(study.results.confirmed.left_out if study.results.confirmed else [])]
        yield from (f"{name}: {sentence}" for sentence in told)
    yield (
        "Accuracy in % on the tested folds. Only arms of one sweep are compared with each other; verdicts and "
        "intervals are those of their own sweep."
    )
