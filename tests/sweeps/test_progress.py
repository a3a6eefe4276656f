"""The live table and its plain lines."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from sweeps.arms import make_arms
from sweeps.console import Console
from sweeps.driver import Driver
from sweeps.events import EventLog
from sweeps.failure import Failure
from sweeps.presets import PRESETS
from sweeps.progress import Progress
from sweeps.state import SweepState
from sweeps.studies import regularization


def result(epoch: int, val_acc: float, diverged: bool = False) -> dict:
    return {"epoch": epoch, "val_acc": val_acc, "seconds": 2.0, "diverged": diverged}


@pytest.fixture
def shown(tmp_path: Path) -> tuple[Driver, Progress, io.StringIO]:
    """A sweep of two arms with three trials each, two at a time, ten epochs."""
    arms = make_arms(regularization(), ["convnext", "mixup"], PRESETS["small"], {}, {"epochs": 10})
    state = SweepState({arm.name: 10 for arm in arms}, scheduler="none")
    output = io.StringIO()
    progress = Progress(state, 6, 2, Console(file=output, width=120))
    log = EventLog(tmp_path, state.apply, progress.on_event)
    return Driver(arms, 6, "sobol", 0, log, state), progress, output


def run_epochs(driver: Driver, number: int, scores: list[float]) -> None:
    for epoch, score in enumerate(scores, start=1):
        driver.record(number, result(epoch, score))


def test_a_log_file_gets_one_plain_line_for_each_ended_trial(shown) -> None:
    driver, _, output = shown
    driver.deal(), driver.deal(), driver.deal()
    run_epochs(driver, 0, [0.5] * 10)
    driver.record(1, result(1, 0.0, diverged=True))
    driver.fail(2, Failure("error", "RuntimeError: boom"))
    lines = output.getvalue().splitlines()
    assert lines[0].startswith("[1/6] convnext #0 finished at epoch 10, validation 50.0 %; 0:0")
    assert lines[1].startswith("[2/6] mixup #1 diverged in epoch 1")
    assert lines[2].startswith("[3/6] convnext #2 FAILED")


@pytest.mark.parametrize(
    ("kind", "words"), [("lost", "lost its process"), ("node", "lost its machine"), ("memory", "ran out of memory")]
)
def test_a_trial_that_is_tried_again_gets_a_line_when_it_happens(shown, kind: str, words: str) -> None:
    driver, _, output = shown
    driver.deal()
    run_epochs(driver, 0, [0.5] * 2)
    driver.fail(0, Failure(kind, "gone"))
    (line,) = output.getvalue().splitlines()
    assert line.startswith(f"[0/6] convnext #0 {words} after epoch 2, and is tried again; 0:0")


def test_time_left_counts_every_epoch_that_may_still_run(shown) -> None:
    driver, progress, _ = shown
    assert progress.seconds_left() is None  # nothing is known before the first epoch
    driver.deal()
    run_epochs(driver, 0, [0.5] * 4)
    # 6 epochs of this trial and 5 trials of 10, at 2 s an epoch, two at a time
    assert progress.seconds_left() == (6 + 50) * 2.0 / 2


def test_the_table_counts_trials_by_state_for_each_arm(shown) -> None:
    driver, progress, _ = shown
    driver.deal(), driver.deal(), driver.deal()
    run_epochs(driver, 0, [0.1] * 9 + [0.75])
    driver.record(1, result(1, 0.0, diverged=True))
    table = progress.table()
    cells = {column.header: list(column.cells) for column in table.columns}
    assert cells["arm"] == ["convnext", "mixup"]
    assert cells["wait"] == ["1", "2"]
    assert cells["run"] == ["1", ""]
    assert cells["full"] == ["1", ""]
    assert cells["div."] == ["", "1"]
    assert cells["best val"] == ["75.0 %", "0.0 %"]


def test_the_table_is_whole_at_80_columns(shown) -> None:
    driver, progress, _ = shown
    run_epochs(driver, driver.deal().number, [0.5] * 10)
    narrow = Console(file=io.StringIO(), width=80)
    narrow.print(progress.table())
    assert "…" not in narrow.file.getvalue()
    assert "50.0 %" in narrow.file.getvalue()
