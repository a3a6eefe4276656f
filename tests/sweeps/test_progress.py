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
    return {"epoch": epoch, "val_acc": val_acc, "val_loss": 2.0 - val_acc, "seconds": 2.0, "diverged": diverged}


@pytest.fixture
def shown(tmp_path: Path) -> tuple[Driver, Progress, io.StringIO]:
    """A sweep of two arms with three trials each, two at a time, ten epochs."""
    arms = make_arms(regularization(), ["convnext", "mixup"], PRESETS["small"], {}, {"epochs": 10})
    state = SweepState({arm.name: 10 for arm in arms}, scheduler="none")
    output = io.StringIO()
    progress = Progress(state, 6, 2, Console(file=output, width=120))
    log = EventLog(tmp_path, state.apply, progress.on_event)
    driver = Driver(arms, 6, "sobol", 0, log, state)
    progress.queued = driver.again
    return driver, progress, output


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
    assert lines[2].startswith("[3/6] convnext #2 FAILED: RuntimeError: boom; ")


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


def seen(progress: Progress, width: int = 80) -> list[str]:
    """Return the lines that a terminal shows."""
    terminal = Console(file=io.StringIO(), width=width)
    terminal.print(progress.view())
    return [line.rstrip() for line in terminal.file.getvalue().splitlines()]


def test_below_the_table_stand_the_trials_that_run_and_why_others_failed(shown) -> None:
    driver, progress, _ = shown
    for _ in range(4):
        driver.deal()
    run_epochs(driver, 1, [0.5, 0.625])
    driver.fail(
        2, Failure("error", 'Traceback\n  File "x.py", line 1, in f\n    g()\nRuntimeError: shapes [2] and [3]')
    )
    driver.fail(3, Failure("lost", "killed by signal 9"))
    assert seen(progress)[-6:-1] == [
        "",
        "runs    convnext #0: epoch 0 of 10",
        "runs    mixup #1: epoch 2 of 10, validation 62.5 %",
        "FAILED  convnext #2: RuntimeError: shapes [2] and [3]",
        "again   mixup #3 lost its process: killed by signal 9",
    ]


def test_the_last_line_tells_trials_that_ended_and_the_speed_of_all_together(
    shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, progress, _ = shown
    now = progress.start
    monkeypatch.setattr("sweeps.progress.time.monotonic", lambda: now)
    driver.deal()
    assert "epochs/min" not in seen(progress)[-1]
    for epoch in range(1, 6):
        now += 3.0
        driver.record(0, result(epoch, 0.5))
    assert seen(progress)[-1].startswith("0 of 6 ended; 20 epochs/min; 0:15 gone, at most ")
    now += 12.0  # nothing comes any more: 4 epochs in 24 s
    assert seen(progress)[-1].startswith("0 of 6 ended; 10 epochs/min; 0:27 gone")


def test_of_many_trials_the_newest_are_named_and_the_others_counted(shown) -> None:
    driver, progress, _ = shown
    for number in range(5):
        driver.deal()
        driver.fail(number, Failure("error", f"RuntimeError: {number}"))
    lines = [line for line in seen(progress) if line.startswith(("...", "FAILED"))]
    assert [line.rpartition(" ")[2] for line in lines] == ["before", "2", "3", "4"]
    assert lines[0] == "... and 2 before"


def test_a_trial_that_runs_shows_its_next_rung(shown) -> None:
    driver, progress, _ = shown
    driver.deal()
    driver.state.scheduler = "halving"
    assert "runs    convnext #0: epoch 0 of 10, rung at 4" in seen(progress)
    run_epochs(driver, 0, [0.5] * 4)
    assert not any(line.startswith("runs") for line in seen(progress))  # it waits there
    driver.log.append("promote", trial=0, arm="convnext", epochs=4)
    driver.again.add(0)
    assert not any(line.startswith("runs") for line in seen(progress))  # it has no place to run yet
    assert list(progress.table().columns[1].cells) == ["3", "3"]
    driver.deal()
    assert "runs    convnext #0: epoch 4 of 10, validation 50.0 %" in seen(progress)


def test_the_line_of_a_trial_that_waits_at_a_rung_has_the_loss_that_judges_it(shown) -> None:
    driver, _, output = shown
    driver.state.scheduler = "halving"
    driver.deal()
    run_epochs(driver, 0, [0.5] * 4)
    assert "convnext #0 waits at epoch 4, validation 50.0 %, loss 1.500; " in output.getvalue()


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("output", "environment", "live"),
    [
        (Tty, {}, True),
        (Tty, {"JPY_PARENT_PID": "1", "FORCE_COLOR": "1"}, False),  # what a notebook runs with `!`
        (Tty, {"TERM": "dumb"}, False),
        (io.StringIO, {"FORCE_COLOR": "1"}, False),
    ],
)
def test_the_table_is_live_where_lines_can_be_printed_over(
    shown, monkeypatch: pytest.MonkeyPatch, output: type, environment: dict[str, str], live: bool
) -> None:
    for name in ("JPY_PARENT_PID", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    driver, _, _ = shown
    console = Console(file=output(), width=80)
    with Progress(driver.state, 6, 2, console) as progress:
        driver.log.listeners.append(progress.on_event)
        driver.deal()
        run_epochs(driver, 0, [0.5] * 10)
    said = console.file.getvalue()
    assert ("\x1b[" in said, "epochs" in said) == (live, live)
    assert ("[1/6] convnext #0 finished" in said) != live


def test_the_table_is_whole_at_80_columns(shown) -> None:
    driver, progress, _ = shown
    run_epochs(driver, driver.deal().number, [1.0] * 10)
    driver.state.epochs["convnext-untrained"] = driver.state.epochs.pop("mixup")
    text = "\n".join(seen(progress))
    assert "…" not in text
    assert "100.0 %" in text
