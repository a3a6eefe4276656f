"""A sweep that goes on: wherever it was cut, it ends as if it had not been."""

from __future__ import annotations

import argparse
import json
import re
import shutil
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch

import sweeps.runner
import sweeps.same_data
from analysis.files import read_events
from analysis.load import load_results
from esc50tune.checkpoint import save_checkpoint
from esc50tune.errors import UserError
from sweeps.arms import make_arms
from sweeps.console import seconds
from sweeps.driver import LOSSES, Driver
from sweeps.events import FILE, EventLog
from sweeps.failure import Failure
from sweeps.manifest import describe_run
from sweeps.presets import PRESETS
from sweeps.resume import as_asked, check_checkpoints, check_same
from sweeps.runner import only_process
from sweeps.state import SweepState
from sweeps.studies import regularization
from sweeps.trainable import checkpoint_path
from tests.analysis.made import edit_json
from tests.sweeps.conftest import Cut, Whole
from tests.sweeps.scripts import SCRIPT, run_here

ARMS = ["baseline", "convnext", "dropout"]
EPOCHS = 7  # rungs at 2 and 4


def open_driver(
    folder: Path, total: int = 9, search: str = "sobol", budget: float | None = None, scheduler: str = "asha"
) -> Driver:
    arms = make_arms(regularization(), ARMS, PRESETS["small"], {}, {"epochs": EPOCHS})
    state = SweepState(dict.fromkeys(ARMS, EPOCHS), scheduler)
    return Driver(arms, total, search, 0, EventLog(folder, state.apply), state, budget)


def accuracy(number: int, epoch: int) -> float:
    """Curves that cross, so that rungs stop some."""
    return 0.5 + 0.04 * epoch * ((7 * number) % 5 - 2) / 5


def result(number: int, epoch: int) -> dict:
    told = {"train_acc": 0.5, "train_loss": 1.0, "val_loss": 1.0 + (3 * number) % 5, "lr": 1e-3, "seconds": 0.1}
    return told | {"epoch": epoch, "val_acc": accuracy(number, epoch), "diverged": number == 1 and epoch == 2}


def play(driver: Driver, slots: int = 1) -> None:
    """Let the driver's trials run, `slots` at a time; each goes on after the epochs that the log has."""
    running: list[int] = []
    while True:
        while len(running) < slots and (dealt := driver.deal()):
            running.append(dealt.number)
        if not running:
            return driver.log.close()
        for number in list(running):
            if not driver.record(number, result(number, len(driver.state.trials[number].epochs) + 1)):
                running.remove(number)


def events_of(folder: Path) -> list[dict]:
    return [{name: value for name, value in event.items() if name != "clock"} for event in read_events(folder / FILE)]


@pytest.mark.parametrize("scheduler", ["halving", "asha"])
@pytest.mark.parametrize("search", ["sobol", "tpe"])
def test_cut_after_any_event_or_within_one_a_sweep_ends_as_an_uninterrupted_one(
    tmp_path: Path, search: str, scheduler: str
) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    play(open_driver(whole, search=search, scheduler=scheduler))
    expected, lines = events_of(whole), (whole / FILE).read_bytes().splitlines(keepends=True)
    assert {event.get("reason") for event in expected} == {None, "finished", "stopped", "diverged"}
    for kept in range(len(lines)):
        cut = tmp_path / f"{kept}"
        cut.mkdir()
        (cut / FILE).write_bytes(b"".join(lines[:kept]) + lines[kept][: len(lines[kept]) // 2])
        play(open_driver(cut, search=search, scheduler=scheduler))
        assert events_of(cut) == expected, kept


@pytest.mark.parametrize("scheduler", ["halving", "asha"])
def test_cut_with_several_trials_at_a_time_none_is_lost_or_run_twice(tmp_path: Path, scheduler: str) -> None:
    whole = tmp_path / "whole"
    whole.mkdir()
    play(open_driver(whole, scheduler=scheduler), slots=3)
    lines = (whole / FILE).read_bytes().splitlines(keepends=True)
    for kept in range(len(lines)):
        cut = tmp_path / f"{kept}"
        cut.mkdir()
        (cut / FILE).write_bytes(b"".join(lines[:kept]))
        driver = open_driver(cut, scheduler=scheduler)
        play(driver, slots=3)
        trials = driver.state.trials
        assert [trial.arm for trial in trials.values()] == ARMS * 3
        assert all(trial.reason for trial in trials.values())
        for trial in trials.values():
            assert [event["epoch"] for event in trial.epochs] == list(range(1, len(trial.epochs) + 1))
        assert [event["seq"] for event in events_of(cut)] == list(range(len(events_of(cut))))


def test_the_rungs_are_those_of_before(tmp_path: Path) -> None:
    first = open_driver(tmp_path)
    play(first, slots=2)
    assert any(ladder.rungs[2] for ladder in first.state.ladders.values())
    again = open_driver(tmp_path)
    assert {arm: ladder.rungs for arm, ladder in again.state.ladders.items()} == {
        arm: ladder.rungs for arm, ladder in first.state.ladders.items()
    }


def test_more_trials_end_as_if_they_had_been_asked_for_at_once(tmp_path: Path) -> None:
    for name, totals in {"at once": [9], "in two": [6, 9]}.items():
        (tmp_path / name).mkdir()
        for total in totals:
            play(open_driver(tmp_path / name, total))
    assert events_of(tmp_path / "in two") == events_of(tmp_path / "at once")


def test_out_of_time_nothing_more_is_dealt_and_what_runs_stops_unended(tmp_path: Path) -> None:
    driver = open_driver(tmp_path, budget=3600.0)
    number = driver.deal().number
    assert driver.record(number, result(number, 1))
    driver.budget = 0.0
    assert not driver.record(number, result(number, 2))
    assert driver.deal() is None
    assert driver.done
    assert driver.state.trials[number].reason is None
    driver.log.close()
    play(open_driver(tmp_path))
    (tmp_path / "whole").mkdir()
    play(open_driver(tmp_path / "whole"))
    assert events_of(tmp_path) == events_of(tmp_path / "whole")


def test_the_time_of_all_runs_counts(tmp_path: Path) -> None:
    driver = open_driver(tmp_path)
    driver.log._start -= 100.0
    driver.deal()
    driver.log.close()
    again = open_driver(tmp_path, budget=100.0)
    assert again.out_of_time


def test_a_trial_that_lost_its_process_goes_on_after_its_last_epoch(tmp_path: Path) -> None:
    driver = open_driver(tmp_path)
    number = driver.deal().number
    driver.record(number, result(number, 1))
    driver.fail(number, Failure("lost", "its node died"))
    assert not driver.done
    again = driver.deal()
    assert (again.number, len(again.epochs), again.config["batch_parts"]) == (number, 1, 1)
    assert driver.record(number, result(number, 2))


def test_a_machine_that_dies_is_no_fault_of_the_trial(tmp_path: Path) -> None:
    driver = open_driver(tmp_path)
    for _ in range(2 * LOSSES):
        trial = driver.deal()
        driver.fail(trial.number, Failure("node", "The actor died because its node has died."))
    assert (trial.number, trial.reason, trial.config["batch_parts"]) == (0, None, 1)


def test_a_trial_that_loses_its_process_again_and_again_ends(tmp_path: Path) -> None:
    driver, parts = open_driver(tmp_path), []
    for _ in range(LOSSES):
        trial = driver.deal()
        parts.append(trial.config["batch_parts"])
        driver.fail(trial.number, Failure("lost", "killed"))
    assert (trial.number, trial.reason) == (0, "error")
    assert trial.error == "its process was lost 3 times in one epoch: killed"
    assert parts == [1, 1, 2]  # killed twice before an epoch ended: perhaps for its memory


def test_a_trial_out_of_memory_has_one_more_try_with_half_the_batch(tmp_path: Path) -> None:
    driver = open_driver(tmp_path)
    trial = driver.deal()
    driver.fail(trial.number, Failure("memory", "CUDA out of memory"))
    assert driver.deal().config == trial.dealt["config"] | {"batch_parts": 2}
    driver.log.close()
    resumed = open_driver(tmp_path)  # a resumed sweep knows of it
    trial = resumed.deal()
    assert trial.config["batch_parts"] == 2
    resumed.fail(trial.number, Failure("memory", "CUDA out of memory"))
    assert trial.reason == "error"


def test_a_disk_without_room_stops_the_sweep_and_ends_no_trial(tmp_path: Path) -> None:
    driver = open_driver(tmp_path)
    number = driver.deal().number
    with pytest.raises(UserError, match=r"trial 0 \(baseline\) cannot read or write its files: 'x\.pt': full$"):
        driver.fail(number, Failure("storage", "'x.pt': full"))
    assert driver.state.trials[number].reason is None


def test_an_epoch_out_of_turn_is_no_result(tmp_path: Path) -> None:
    driver = open_driver(tmp_path)
    number = driver.deal().number
    with pytest.raises(RuntimeError, match="trial 0 reports epoch 2 after epoch 0"):
        driver.record(number, result(number, 2))


@pytest.mark.parametrize(("text", "value"), [("90s", 90), ("45m", 2700), ("1.5h", 5400)])
def test_a_time_budget_is_read(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["", "2", "h", "-1h", "0s", "1d", "1h30m"])
def test_a_time_budget_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="90s, 45m or 2h"):
        seconds(text)


def manifest(**changes) -> dict:
    arms = [{"name": "convnext", "epochs": 3, "fixed": {"lr": 1e-3}}]
    asked = {"data": "auto", "arms": "convnext", "num_samples": 9}
    told = {
        "data": {"fingerprint": "a", "root": "/", "stand_in": False},
        "split": {},
        "arms": arms,
        "search": "sobol",
        "trials": 6,
    }
    told |= {"scheduler": {}, "seed": 0, "arguments": asked, "resources": {"share": {"gpus": 0}}}
    return describe_run() | told | changes


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"code": "f00d"}, "code was f00d, is "),
        ({"packages": {"torch": "1.0"}}, "torch was 1.0, is "),
        ({"data": {"fingerprint": "b"}}, 'data was "b", is "a"'),
        ({"seed": 7}, "seed was 7, is 0"),
        ({"resources": {"share": {"gpus": 0.5}}}, "a GPU for each trial was True, is False"),
    ],
)
def test_what_differs_is_refused_and_named_or_forced(changes: dict, words: str) -> None:
    before = manifest(**changes)
    with pytest.raises(UserError) as error:
        check_same(before, manifest(), force=False)
    assert words in str(error.value)
    assert any(words in difference for difference in check_same(before, manifest(), force=True))


def test_the_same_data_in_another_place_are_the_same() -> None:
    assert check_same(manifest(data={"fingerprint": "a", "root": "/y"}), manifest(), force=False) == []


def test_other_arms_cannot_be_forced() -> None:
    with pytest.raises(UserError, match="start a new sweep"):
        check_same(manifest(), manifest(arms=[{"name": "mixup", "epochs": 3}]), force=True)


def asked(tmp_path: Path, given: set[str] = frozenset(), **flags) -> argparse.Namespace:
    usual = {"resume": tmp_path, "extend": None, "force": False, "data": "auto", "given": {"resume", *given}}
    return argparse.Namespace(**usual | flags)


def test_a_resumed_sweep_is_asked_for_what_it_was_asked_for(tmp_path: Path) -> None:
    again = as_asked(asked(tmp_path), manifest())
    assert (again.arms, again.num_samples, again.data) == ("convnext", 6, "/")
    assert as_asked(asked(tmp_path, {"extend"}, extend=3), manifest()).num_samples == 9


def test_clips_that_were_moved_are_asked_for(tmp_path: Path) -> None:
    moved = manifest(data={"fingerprint": "a", "root": str(tmp_path / "gone"), "stand_in": False})
    with pytest.raises(UserError, match=r"the sweep's clips are not in '.*gone' any more; --data FOLDER says where"):
        as_asked(asked(tmp_path), moved)
    assert as_asked(asked(tmp_path, {"data"}, data="/y"), moved).data == "/y"


def test_a_sweep_on_the_stand_in_goes_on_with_it_though_real_clips_have_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps.same_data, "stand_in_folder", lambda: tmp_path / "stand-in")
    before = manifest(data={"fingerprint": "a", "root": "/x", "stand_in": True})
    assert as_asked(asked(tmp_path), before).data == str(tmp_path / "stand-in")
    assert as_asked(asked(tmp_path, {"data"}, data="/y"), before).data == "/y"


def test_a_resumed_sweep_takes_no_other_study(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="leave out --num-samples"):
        as_asked(asked(tmp_path, {"num_samples"}), manifest())
    (tmp_path / "confirm").mkdir()
    with pytest.raises(UserError, match="is confirmed"):
        as_asked(asked(tmp_path, {"extend"}, extend=3), manifest())


def test_a_damaged_checkpoint_is_named_before_anything_starts(tmp_path: Path) -> None:
    driver = open_driver(tmp_path)
    trial, path = driver.deal(), checkpoint_path(tmp_path, 0)
    save_checkpoint(path, {"config": trial.config, "result": {"epoch": 1}, "weights": torch.zeros(1_000)})
    check_checkpoints(tmp_path, {0: trial})
    content = path.read_bytes()
    save_checkpoint(path, {"config": trial.config, "result": {"epoch": 2}})
    with pytest.raises(UserError, match=r"trial-0000.pt' is 2 epochs ahead of the log, .*remove it"):
        check_checkpoints(tmp_path, {0: trial})
    driver.record(0, result(0, 1))
    check_checkpoints(tmp_path, {0: trial})
    save_checkpoint(path, {"config": trial.config | {"lr": 0.5}, "result": {"epoch": 1}})
    with pytest.raises(UserError, match=r"trial-0000.pt' is not of trial 0"):
        check_checkpoints(tmp_path, {0: trial})
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"trial-0000.pt' is damaged .*remove it"):
        check_checkpoints(tmp_path, {0: trial})


@pytest.mark.parametrize(("kept", "words"), [(1, r"trial-0001.pt'\)"), (0, r"trial-0000.pt' and 1 more there\)")])
def test_checkpoints_that_the_log_does_not_know_are_named(tmp_path: Path, kept: int, words: str) -> None:
    driver = open_driver(tmp_path)
    for trial in (driver.deal(), driver.deal()):
        save_checkpoint(checkpoint_path(tmp_path, trial.number), {"config": trial.config, "result": {"epoch": 1}})
    check_checkpoints(tmp_path, driver.state.trials)
    known = {number: driver.state.trials[number] for number in range(kept)}
    with pytest.raises(UserError, match=rf"events.jsonl' lacks trials that have checkpoints .*{words}: it was cut"):
        check_checkpoints(tmp_path, known)


@pytest.mark.slow
def test_killed_and_interrupted_it_ends_as_an_uninterrupted_sweep(cut: Cut, whole: Whole) -> None:
    assert (cut.interrupted[0], cut.resumed[0]) == (130, 0), cut.resumed[1]
    assert "resumed" in cut.resumed[1]

    def told(folder: Path) -> list[dict]:
        return [{**event, "seconds": 0, "clock": 0} for event in load_results(folder).events]

    assert told(cut.folder) == told(whole.folder)
    runs = json.loads((cut.folder / "manifest.json").read_text())["runs"]
    assert [run.get("how") for run in runs] == [None, "interrupted", "done"]


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_the_tables_of_what_finished(cut: Cut) -> None:
    code, printed = cut.interrupted
    assert code == 130, printed
    assert re.search("interrupted: ([23] trials have|1 trial has) not ended", printed)
    assert f"--resume {cut.folder} --max-concurrent 1 --no-dashboard --wandb offline" in printed
    assert "Traceback" not in printed
    assert "INCOMPLETE" in cut.tables


@pytest.mark.slow
def test_another_study_is_refused_for_a_resumed_sweep(cut: Cut, capsys: pytest.CaptureFixture) -> None:
    assert run_here(*SCRIPT, "--resume", str(cut.folder), "--arms", "convnext") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_what_another_process_did_meanwhile_is_not_written_over(
    whole: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Between the reading of a manifest and the lock there may be minutes, on a GPU, and another process's run."""
    folder = shutil.copytree(whole.folder, tmp_path / "made")

    def locked(path: Path) -> AbstractContextManager:
        edit_json(path / "manifest.json", trials=99)
        return only_process(path)

    monkeypatch.setattr(sweeps.runner, "only_process", locked)
    assert run_here(*SCRIPT, "--resume", str(folder), "--no-dashboard") == 2
    assert "was run by another process meanwhile; the same command goes on" in capsys.readouterr().err
    assert json.loads((folder / "manifest.json").read_text())["trials"] == 99
