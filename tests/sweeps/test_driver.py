"""The sweep without Ray: what is dealt, what is logged, and who is judged against whom."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from analysis.files import read_events
from sweeps.arms import make_arms
from sweeps.driver import Driver
from sweeps.events import FILE, EventLog
from sweeps.failure import Failure
from sweeps.presets import PRESETS
from sweeps.state import SweepState
from sweeps.studies import regularization

ARMS = ["baseline", "convnext", "dropout"]
EPOCHS = 10


def make_driver(folder: Path, total: int, search: str = "sobol", scheduler: str = "asha") -> Driver:
    arms = make_arms(regularization(), ARMS, PRESETS["small"], {}, {"epochs": EPOCHS})
    state = SweepState({arm.name: EPOCHS for arm in arms}, scheduler)
    return Driver(arms, total, search, 0, EventLog(folder, state.apply), state)


def result(epoch: int, val_acc: float, diverged: bool = False) -> dict:
    return {"epoch": epoch, "val_acc": val_acc, "val_loss": 1.0, "train_acc": 0.5, "seconds": 0.1, "diverged": diverged}


def run(driver: Driver, score, slots: int = 1) -> None:
    """Run trials, `slots` at a time in turns, with `score(arm, number, epoch)` as validation accuracy."""
    running: dict[int, int] = {}
    while True:
        while len(running) < slots and (dealt := driver.deal()):
            running[dealt.number] = len(dealt.epochs)
        if not running:
            return
        for number in list(running):
            running[number] += 1
            arm = driver.state.trials[number].arm
            if not driver.record(number, result(running[number], score(arm, number, running[number]))):
                del running[number]


def test_trials_are_dealt_in_turn_defaults_first_and_equally(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, 9)
    run(driver, lambda *_: 0.5)
    trials = driver.state.trials
    assert [trials[i].arm for i in range(9)] == ARMS * 3
    assert [bool(trials[i].sampled) for i in range(9)] == [False] * 3 + [True] * 6
    assert driver.deal() is None


@pytest.fixture
def interruptible(tmp_path: Path) -> Iterator[Driver]:
    """A driver that a Ctrl-C is told to."""
    driver = make_driver(tmp_path, 9)
    before = signal.signal(signal.SIGINT, driver.interrupt)
    yield driver
    signal.signal(signal.SIGINT, before)


def test_a_point_that_is_chosen_during_an_interrupt_is_a_true_one(
    interruptible: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choose(*_: object) -> dict:
        point = {"lr": "wrong"}
        with suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            point = {}
        return point

    monkeypatch.setattr("sweeps.driver.next_point", choose)
    with pytest.raises(KeyboardInterrupt):
        interruptible.deal()
    assert [event["sampled"] for event in read_events(tmp_path / FILE)] == [{}]


@pytest.mark.parametrize("call", ["record", "fail"])
def test_an_interrupt_leaves_log_and_state_equal(
    interruptible: Driver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    interruptible.deal()
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (fsync(file), os.kill(os.getpid(), signal.SIGINT)))
    with pytest.raises(KeyboardInterrupt):
        if call == "record":
            interruptible.record(0, result(EPOCHS, 0.5) | {"epoch": 1, "diverged": True})
        else:
            interruptible.fail(0, Failure("error", "RuntimeError: boom"))
    replayed = SweepState(interruptible.state.epochs, "none")
    for event in read_events(tmp_path / FILE):
        replayed.apply(event)
    assert replayed.trials == interruptible.state.trials
    assert replayed.trials[0].reason == {"record": "diverged", "fail": "error"}[call]
    with pytest.raises(KeyboardInterrupt):  # it may have been lost within Ray
        interruptible.deal()


def test_trials_of_one_index_share_their_seed_across_arms(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, 6)
    run(driver, lambda *_: 0.5)
    seeds = [driver.state.trials[i].config["seed"] for i in range(6)]
    assert seeds[0] == seeds[1] == seeds[2] != seeds[3] == seeds[4] == seeds[5]


@pytest.mark.parametrize("slots", [1, 4])
def test_a_trial_is_never_stopped_by_another_arms_trial(tmp_path: Path, slots: int) -> None:
    # One arm towers over the others; within each arm later trials are better, so none should be stopped.
    level = {"baseline": 0.9, "convnext": 0.5, "dropout": 0.1}
    driver = make_driver(tmp_path, 24)
    run(driver, lambda arm, number, epoch: level[arm] + 0.001 * number, slots)
    assert {trial.reason for trial in driver.state.trials.values()} == {"finished"}


def test_every_stop_follows_from_the_scores_of_its_own_arm_alone(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).uniform(size=(60, EPOCHS + 1))
    driver = make_driver(tmp_path, 60)
    run(driver, lambda arm, number, epoch: float(scores[number, epoch]), slots=4)
    events = read_events(tmp_path / FILE)
    seen: dict[tuple[str, int], list[float]] = {}
    for event in events:
        if event["event"] == "epoch" and event["epoch"] in (3, 6):
            before = seen.setdefault((event["arm"], event["epoch"]), [])
            stopped = bool(before) and event["val_acc"] < np.median(before)
            before.append(event["val_acc"])
            trial = driver.state.trials[event["trial"]]
            assert stopped == (trial.reason == "stopped" and len(trial.epochs) == event["epoch"])
    reasons = [trial.reason for trial in driver.state.trials.values()]
    assert reasons.count("stopped") > 10
    assert reasons.count("stopped") + reasons.count("finished") == 60


def test_without_early_stopping_every_trial_runs_in_full(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, 12, scheduler="none")
    run(driver, lambda arm, number, epoch: 1.0 / (1 + number))
    assert all(len(trial.epochs) == EPOCHS for trial in driver.state.trials.values())


def test_the_log_replayed_gives_the_same_state(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, 12)
    run(driver, lambda arm, number, epoch: (number * 7 % 5) / 5, slots=3)
    replayed = SweepState(driver.state.epochs, "asha")
    for event in read_events(tmp_path / FILE):
        replayed.apply(event)
    assert replayed.trials == driver.state.trials
    assert {arm: ladder.rungs for arm, ladder in replayed.ladders.items()} == {
        arm: ladder.rungs for arm, ladder in driver.state.ladders.items()
    }


def test_the_log_counts_its_events_and_ends_each_trial_once(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, 6)
    run(driver, lambda *_: 0.5, slots=2)
    events = [json.loads(line) for line in (tmp_path / FILE).read_text().splitlines()]
    assert [event["seq"] for event in events] == list(range(len(events)))
    assert sorted(event["trial"] for event in events if event["event"] == "end") == list(range(6))


def test_a_diverged_trial_ends_with_the_worst_score(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, 3)
    number = driver.deal().number
    assert driver.record(number, result(1, 0.5))
    assert not driver.record(number, result(2, 0.0, diverged=True))
    assert (driver.state.trials[number].reason, driver.state.trials[number].score) == ("diverged", 0.0)


def test_a_failed_trial_keeps_its_error_and_has_no_score(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, 3)
    number = driver.deal().number
    driver.record(number, result(1, 0.9))
    driver.fail(number, Failure("error", "Traceback ...\nRuntimeError: boom"))
    trial = driver.state.trials[number]
    assert (trial.reason, trial.score, trial.error.splitlines()[-1]) == ("error", None, "RuntimeError: boom")


def test_a_stopped_trial_has_no_score(tmp_path: Path) -> None:
    driver = make_driver(tmp_path, 6)
    run(driver, lambda arm, number, epoch: 1.0 - 0.1 * number)
    assert [driver.state.trials[n].reason for n in (3, 4, 5)] == ["stopped"] * 3
    assert all(driver.state.trials[n].score is None for n in (3, 4, 5))
