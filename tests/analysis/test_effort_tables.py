"""The tables of a search's effort, from trials that are worked by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.effort_tables import effort_tables
from analysis.load import load_results
from analysis.table import Table
from tests.analysis.made import ARMS, edit_json, epoch_event, write_events, write_study

# arm: for each of its trials, its accuracy at the end, how many epochs it ran, and why it ended
TRIALS = {
    "baseline": [(0.5, 4, "finished"), (0.2, 1, "stopped"), (0.3, 2, "stopped"), (0.3, 2, "stopped")],
    "convnext": [(0.6, 4, "finished"), (0.4, 4, "finished"), (0.5, 4, "finished"), (0.0, 3, "diverged")],
    "mixup": [(0.7, 4, "finished"), (0.5, 4, "finished"), (0.1, 1, "error"), (0.1, 1, "error")],
    "shift": [(0.1, 1, "stopped")],
}


def events(trials: dict[str, list]) -> Iterator[dict]:
    dealt = [(arm, *trial) for arm, own in trials.items() for trial in own]
    for number, (arm, accuracy, epochs, reason) in enumerate(dealt):
        yield {"event": "deal", "trial": number, "arm": arm, "sampled": {}, "config": {}}
        for epoch in range(1, epochs + 1):
            yield epoch_event(number, arm, epoch) | {"val_acc": accuracy, "val_loss": 1.0}
        yield {"event": "end", "trial": number, "arm": arm, "epochs": epochs, "reason": reason}


def tables_of(folder: Path, trials: dict[str, list] = TRIALS) -> dict[str, Table]:
    write_events(folder / "events.jsonl", list(events(trials)))
    return {table.name: table for table in effort_tables(load_results(folder))}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return write_study(tmp_path / "sweep", confirm=False)


def test_trials_are_counted_by_how_they_ended(sweep: Path) -> None:
    table = tables_of(sweep)["search"]
    assert table.cells(table.on_paper) == [
        # arm, trials, finished, stopped at epoch, diverged, failed, best, median
        ["baseline", "4", "1", "1 at 1, 2 at 2", "0", "0", "50.0", "50.0"],
        ["convnext", "4", "3", "–", "1", "0", "60.0", "50.0"],
        ["mixup", "4", "2", "–", "0", "2", "70.0", "60.0"],
        ["shift", "1", "0", "1 at 1", "0", "0", "–", "–"],
    ]
    assert "no test" in table.caption


def test_the_expected_best_is_of_full_runs_and_of_no_more_than_an_arm_has(sweep: Path) -> None:
    table = tables_of(sweep)["best-of-n"]
    frame = table.frame
    assert frame.index.tolist() == ["baseline", "convnext", "mixup"]
    assert frame["full"].tolist() == [1, 3, 2]
    assert frame["n = 1"].tolist() == [50.0, 50.0, 60.0]  # their means
    assert frame["n = 2"].tolist()[1:] == [56.67, 70.0]  # of .4, .5, .6 two of the three pairs have .6, one has .5
    assert frame.loc["convnext", "n = 3"] == 60.0
    assert math.isnan(frame.loc["baseline", "n = 2"]) and math.isnan(frame.loc["mixup", "n = 3"])
    assert table.cells(table.on_paper)[0] == ["baseline", "1", "50.0", "–", "–"]
    assert "n = 5" not in frame


def test_without_two_full_runs_in_any_arm_nothing_is_expected(sweep: Path) -> None:
    assert "best-of-n" not in tables_of(sweep, {"baseline": TRIALS["baseline"]})


@pytest.mark.parametrize(
    ("search", "trials", "words"),
    [
        ("random", TRIALS, "It assumes that their points are random and independent."),
        ("sobol", TRIALS, "spread more evenly than random ones"),
        ("tpe", TRIALS, "THEY ARE NOT: this search (tpe) chose its points from earlier ones."),
        ("random", TRIALS, "Weak trials were stopped early and are missing here"),
    ],
)
def test_the_expected_best_says_what_it_assumes(tmp_path: Path, search: str, trials: dict, words: str) -> None:
    folder = write_study(tmp_path / "sweep", confirm=False, search=search)
    assert words in tables_of(folder, trials)["best-of-n"].caption


def test_without_early_stopping_nothing_is_said_of_it(sweep: Path) -> None:
    caption = tables_of(sweep, {"convnext": TRIALS["convnext"]})["best-of-n"].caption
    assert "stopped early" not in caption


def test_the_budget_is_told_for_each_arm(sweep: Path) -> None:
    table = tables_of(sweep)["budget"]
    assert table.cells(table.on_paper)[:2] == [["baseline", "4", "9", "14"], ["convnext", "4", "15", "22"]]
    assert "early stopping, or trials that were lost, make epochs differ" in table.caption


def test_equal_epochs_are_not_said_to_differ(tmp_path: Path) -> None:
    (table,) = budgets(write_study(tmp_path / "study"))
    assert table.frame["epochs"].nunique() == 1
    assert "differ" not in table.caption


def budgets(folder: Path) -> list[Table]:
    return [table for table in effort_tables(load_results(folder)) if table.name == "budget"]


def test_the_budget_of_confirmed_runs_is_that_of_all_an_arms_configurations(tmp_path: Path) -> None:
    (table,) = budgets(write_study(tmp_path / "study", top=2))
    assert [column.heading for column in table.on_paper][4:] == [
        "confirmed runs",
        "confirmed epochs",
        "confirmed seconds",
    ]
    assert {cells[0]: cells[4:] for cells in table.cells(table.on_paper)} == {
        arm["name"]: ["20", "80", "120"] for arm in ARMS
    }


def test_an_arm_that_was_not_frozen_had_no_budget_of_confirmed_runs(tmp_path: Path) -> None:
    folder = write_study(tmp_path / "study")
    frozen = load_results(folder).confirmed.manifest["frozen"]
    edit_json(folder / "confirm" / "manifest.json", frozen=frozen[:-1])
    (table,) = budgets(folder)
    assert table.cells(table.on_paper)[-1][4:] == ["0", "0", "0"]
