"""What Optuna reads of a sweep, by its own reader."""

from __future__ import annotations

import io
from datetime import timedelta
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial

from analysis.files import read_events
from sweeps.arms import make_arms
from sweeps.console import Console
from sweeps.driver import Driver
from sweeps.events import FILE, EventLog
from sweeps.failure import Failure
from sweeps.optuna_journal import write_journal
from sweeps.presets import PRESETS
from sweeps.state import SweepState
from sweeps.studies import regularization
from tests.sweeps.conftest import Cut

ARMS = ["convnext", "mixup"]
START = 1e9


def studies(folder: Path) -> dict[str, list[FrozenTrial]]:
    """Return the trials of each study of a results folder, by the study's name."""
    storage = JournalStorage(JournalFileBackend(str(folder / "optuna.log")))
    found = {}
    for name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        assert study.direction == optuna.study.StudyDirection.MAXIMIZE
        found[name] = study.trials
    return found


def made(folder: Path) -> Driver:
    """Run two arms of three trials: of each way to end there is one, and two have not ended."""
    arms = make_arms(regularization(), ARMS, PRESETS["small"], {}, {"epochs": 10})
    state = SweepState(dict.fromkeys(ARMS, 10), scheduler="asha")
    driver = Driver(arms, 6, "sobol", 0, EventLog(folder, state.apply), state)
    for _ in range(6):
        driver.deal()
    for number, epochs, best in ((0, 10, 0.8), (2, 3, 0.1), (3, 2, 0.5)):
        for epoch in range(1, epochs + 1):
            driver.record(number, result(epoch, best * epoch / 10))
    driver.record(1, result(1, 0.0) | {"diverged": True})
    driver.fail(5, Failure("error", "RuntimeError: boom"))
    return driver


def result(epoch: int, accuracy: float) -> dict:
    told = {"train_loss": 1.0, "train_acc": 0.5, "val_loss": 1.0, "val_acc": accuracy, "lr": 1e-3}
    return {"epoch": epoch, **told, "seconds": 2.0, "diverged": False}


def test_each_arm_is_a_study_with_the_states_values_and_points_of_its_trials(tmp_path: Path) -> None:
    driver, said = made(tmp_path), io.StringIO()
    driver.state.trials[4].waiting = True  # at a rung: it has not ended
    write_journal(tmp_path, driver.arms, driver.state, START, Console(file=said))
    found = studies(tmp_path)
    assert said.getvalue() == "" and [*found] == ARMS
    events = read_events(tmp_path / FILE)
    deals = {event["trial"]: event for event in events if event["event"] == "deal"}
    states = {}
    for arm, space in zip(ARMS, (["lr"], ["lr", "mixup"]), strict=True):
        for trial in found[arm]:
            number = trial.user_attrs["trial"]
            states[number] = trial.state.name
            assert deals[number]["arm"] == arm
            assert trial.params == {knob: deals[number]["config"][knob] for knob in space}
            assert trial.intermediate_values == {
                event["epoch"]: event["val_acc"]
                for event in events
                if event["event"] == "epoch" and event["trial"] == number
            }
            begun = trial.datetime_start.timestamp() - START
            assert begun == pytest.approx(deals[number]["clock"], abs=1e-3)
    assert states == {0: "COMPLETE", 1: "COMPLETE", 2: "PRUNED", 3: "RUNNING", 4: "RUNNING", 5: "FAIL"}
    assert (found["convnext"][0].value, found["mixup"][0].value) == (pytest.approx(0.8), 0.0)
    assert found["convnext"][0].duration < timedelta(seconds=60)


def test_a_point_beyond_a_range_that_was_changed_since_is_stored_as_it_was(tmp_path: Path) -> None:
    driver = made(tmp_path)
    driver.state.trials[0].config["lr"] = 7.0
    write_journal(tmp_path, driver.arms, driver.state, START, Console(file=io.StringIO()))
    assert studies(tmp_path)["convnext"][0].params == {"lr": 7.0}


def test_where_it_cannot_be_written_it_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    driver, said = made(tmp_path), io.StringIO()
    (tmp_path / "optuna.log").mkdir()
    write_journal(tmp_path, driver.arms, driver.state, START, Console(file=said, width=300))
    assert "optuna.log' cannot be written" in said.getvalue()
    assert sorted(path.name for path in tmp_path.iterdir()) == [FILE, "optuna.log"]


@pytest.mark.slow
def test_a_sweep_that_was_killed_and_interrupted_has_its_studies(cut: Cut) -> None:
    scores = {
        event["trial"]: event["val_acc"]
        for event in read_events(cut.folder / FILE)
        if event["event"] == "epoch" and event["epoch"] == 4
    }
    found = studies(cut.folder)
    trials = [trial for study in found.values() for trial in study]
    assert {trial.user_attrs["trial"]: trial.value for trial in trials if trial.value is not None} == scores
    assert [*found] == ["baseline", "convnext", "mixup"] and len(trials) == 6
