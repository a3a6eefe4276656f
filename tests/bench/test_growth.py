"""The benchmark of growth: its folders are what a sweep leaves, and its figures what was spent."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from analysis.files import read_events
from bench import growth, memory
from bench.base import Options
from bench.made_sweep import EPOCHS, NAMES, epoch_result, made_arms, write_sweep
from sweeps.driver import Driver
from sweeps.simulated_search import UnwrittenLog
from sweeps.state import SweepState
from tests.bench.test_plain import CPU

TRIALS = 8 * len(NAMES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_sweep(tmp_path / "made", TRIALS)


def ends(events: list[dict]) -> dict[int, tuple[str, int]]:
    return {event["trial"]: (event["reason"], event["epochs"]) for event in events if event["event"] == "end"}


def test_a_made_sweep_is_what_the_driver_makes_of_its_accuracies(folder: Path):
    events = read_events(folder / "events.jsonl")
    accuracies = {event["trial"]: event["val_acc"] for event in events if event["event"] == "epoch"}
    told, state = [], SweepState(dict.fromkeys(NAMES, EPOCHS), "halving")
    log = UnwrittenLog(lambda event: (told.append(event), state.apply(event)))
    driver = Driver(made_arms(), TRIALS, "sobol", 0, log, state)
    while trial := driver.deal():
        while driver.record(trial.number, epoch_result(len(trial.epochs) + 1, accuracies[trial.number])):
            pass
    assert ends(events) == ends(told)
    assert sorted(event["event"] for event in events) == sorted(event["event"] for event in told)


def test_a_made_sweep_is_resumed_with_nothing_left_to_do(folder: Path):
    growth.resume(folder)
    assert growth.open_driver(folder, TRIALS).left == 0


def test_the_driver_deals_each_arm_another_trial(folder: Path, monkeypatch: pytest.MonkeyPatch):
    drivers, original = [], growth.open_driver
    monkeypatch.setattr(growth, "open_driver", lambda *given: drivers.append(original(*given)) or drivers[0])
    told = growth.drive(folder, TRIALS)
    new = [trial for trial in drivers[0].state.trials.values() if trial.number >= TRIALS]
    assert [trial.arm for trial in new] == list(NAMES)
    assert [len(trial.epochs) for trial in new] == [2] * len(NAMES)  # up to the first of 2, 4 and 6
    assert all(told[what]["seconds"] > 0 for what in ("deal", "record"))


@pytest.mark.slow
def test_a_report_is_written(folder: Path):
    growth.tell(folder)
    assert (folder / "report" / "index.html").is_file()


@pytest.mark.skipif(not memory.TOLD, reason="this system does not tell it")
def test_memory_is_that_of_the_peak():
    # In a process of its own: another test may have made this one keep what it frees.
    assert growth.in_process(bytes_of_50_million_after_a_higher_peak) == pytest.approx(50_000_000, rel=0.1)


def bytes_of_50_million_after_a_higher_peak() -> int:
    np.ones(200_000_000, np.uint8)  # freed at once
    return growth.measured(np.ones, 50_000_000, np.uint8)["bytes"]


def test_work_is_done_in_another_process():
    assert growth.in_process(os.getpid) != os.getpid()


def test_a_line_tells_how_many_times_more_it_was_than_the_one_before():
    sizes = {
        100: {"seconds": 2.0, "bytes": 5e6},
        200: {"seconds": 3.0, "bytes": 2e7},
        600: {"seconds": 9.0, "bytes": 1e7},
    }
    assert [growth.row("report", size, sizes) for size in sizes] == [
        ("report of 100 trials", "", "2 s", "", "5.0 MB", ""),
        ("report of 200 trials", "2", "3 s", "1.5", "20.0 MB", "4.0"),
        ("report of 600 trials", "3", "9 s", "3.0", "10.0 MB", "0.5"),
    ]


def test_where_memory_is_not_told_there_is_only_time():
    assert growth.row("deal", 10, {10: {"seconds": 2.0}}) == ("deal a trial after 10", "", "2 s", "", "", "")


def test_everything_is_done_at_each_size(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(growth, "CLIPS", (2, 4))
    monkeypatch.setattr(growth, "SECONDS", 0.1)
    monkeypatch.setattr(growth, "TRIALS", (5, 10))
    monkeypatch.setattr(growth, "in_process", lambda work, *given: work(*given))
    monkeypatch.setattr(growth, "tell", lambda folder: None)
    told = growth.run(Options(CPU, rounds=1))
    assert [row[0] for row in told.rows] == [
        *("decode 2 clips", "decode 4 clips", "resume after 5 trials", "resume after 10 trials"),
        *("deal a trial after 5", "deal a trial after 10", "record an epoch after 5", "record an epoch after 10"),
        *("report of 5 trials", "report of 10 trials"),
    ]
    assert all(len(row) == len(told.columns) for row in told.rows)
    assert set(told.figures["decode"]) == {"2", "4"}
