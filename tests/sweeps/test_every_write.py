"""A sweep whose process stops at any of its writes leaves a folder that can be read, and goes on as if it had not."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from analysis.files import read_events
from analysis.study import read_study
from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData
from esc50tune.trial import train_trial
from sweeps.driver import Driver
from sweeps.events import FILE, EventLog
from sweeps.manifest import begin_run, end_run, write_manifest
from sweeps.plan import Plan
from sweeps.resume import check_checkpoints
from sweeps.runner import only_process
from sweeps.state import SweepState
from sweeps.trainable import checkpoint_path
from tests.sweeps.scripts import SETTINGS
from tests.sweeps.test_plan import plan_for

STOPPED = 86  # exit code of a process that stopped at a write


def run(plan: Plan, data: TrialData) -> None:
    """Run the plan, or go on with it, as driver and worker do it together, without Ray."""
    folder = plan.folder
    folder.mkdir(parents=True, exist_ok=True)
    with only_process(folder):
        go_on(plan, data)


def go_on(plan: Plan, data: TrialData) -> None:
    folder, manifest = plan.folder, begin_run(plan.manifest(), forced=[])
    write_manifest(folder, manifest)
    state = SweepState(plan.epochs, plan.scheduler)
    log = EventLog(folder, state.apply)
    check_checkpoints(folder, state.trials)
    driver = Driver(plan.arms, plan.trials, plan.search, plan.seed, log, state)
    while trial := driver.deal():
        config, checkpoint = TrialConfig.from_flat(trial.config), checkpoint_path(folder, trial.number)
        for result in train_trial(config, data, torch.device("cpu"), checkpoint, known=len(trial.epochs)):
            if not driver.record(trial.number, result.flat()):
                break
    end_run(folder, manifest, "done", [])
    log.close()


class Stop:
    """Counts the writes of this process, and ends it at one: before, after, or with half of it done."""

    def __init__(self, at: int, how: str) -> None:
        self.at, self.how, self.count = at, how, 0
        self.write, self.replace = os.write, os.replace

    def install(self) -> None:
        os.write = lambda file, text: self.around(lambda: self.write(file, text), lambda: self.write(file, text[:9]))
        os.replace = lambda a, b, **more: self.around(lambda: self.replace(a, b, **more), lambda: None)

    def around(self, whole: Callable, half: Callable) -> object:
        self.count += 1
        if self.count == self.at and self.how == "half":
            half()
            os._exit(STOPPED)
        done = whole()
        if self.count == self.at:
            os._exit(STOPPED)
        return done


def stopped(work: Callable[[], None], at: int, how: str) -> bool:
    """Do `work` in a process of its own that stops at a write; tell whether it came to that one."""
    child = os.fork()
    if child == 0:
        try:
            Stop(at, how).install()
            work()
        except BaseException:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, STOPPED)
    return code == STOPPED


def told(folder: Path) -> list[dict]:
    return [{**event, "clock": 0, "seconds": 0} for event in read_events(folder / FILE)]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["half", "whole"])
def test_stopped_at_any_write_nothing_is_lost(
    tones_folder: Path, tones_data: TrialData, tmp_path: Path, how: str
) -> None:
    knobs = [part for knob, value in (SETTINGS | {"epochs": 2}).items() for part in ("--set", f"{knob}={value}")]
    more = ["--arms", "mixup", "--num-samples", "2", "--name", "whole", *knobs]
    whole = plan_for(tones_folder, tmp_path, *more)
    run(whole, tones_data)
    at = 0
    while True:
        at += 1
        cut = replace(whole, folder=tmp_path / f"{at}")
        if not stopped(lambda cut=cut: run(cut, tones_data), at, how):
            break
        if (cut.folder / "manifest.json").is_file():
            read_study(cut.folder)
        run(cut, tones_data)
        assert told(cut.folder) == told(whole.folder), at
        assert [path.name for path in cut.folder.rglob(".*")] == [".lock"]  # checkpoints take bounded room
    assert at > 12
    assert {event["event"] for event in told(whole.folder)} == {"deal", "epoch", "promote", "end"}
