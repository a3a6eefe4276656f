"""A sweep whose files are damaged goes on, or is refused; never anything else, and no code in a checkpoint is run."""

from __future__ import annotations

import io
import itertools
import json
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from analysis.load import Results
from esc50tune.checkpoint import load_checkpoint, save_checkpoint
from esc50tune.config import TrialConfig
from esc50tune.data.dataset import Dataset
from sweeps.cli import make_parser
from sweeps.confirmation import FOLDER, Confirmation, plan_confirmation
from sweeps.confirming import ConfirmationDriver
from sweeps.console import Console
from sweeps.driver import Driver
from sweeps.events import EventLog
from sweeps.failure import Failure
from sweeps.manifest import begin_run, write_manifest
from sweeps.plan import Plan, make_plan
from sweeps.progress import Progress
from sweeps.resources import Machine
from sweeps.resume import as_asked, check_checkpoints, check_same, read_sweep
from sweeps.runner import report_end
from sweeps.state import SweepState, Trial
from sweeps.trainable import checkpoint_path
from tests.fuzz.damage import VALUES, accepted_or_refused, altered, damaged_bytes, inputs, shuffled
from tests.fuzz.test_results_fuzz import as_json, as_lines, instead, read_lines
from tests.sweeps.test_confirm import results_of
from tests.sweeps.test_plan import plan_for


@pytest.fixture(scope="module")
def begun(tones_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A sweep that was stopped while three of its trials ran, one of them without an event but its deal."""
    plan = plan_for(tones_folder, tmp_path_factory.mktemp("fuzz"), "--name", "begun")
    plan.folder.mkdir(parents=True)
    (plan.folder / "manifest.json").write_bytes(as_json(plan.manifest()))
    log = EventLog(plan.folder)
    for number, arm in enumerate([*plan.arms, plan.arms[0]]):
        log.append("deal", trial=number, arm=arm.name, sampled={}, config=arm.config({}, number).to_flat())
    for epoch in (1, 2):
        told = {"train_acc": 0.5, "val_acc": 0.5, "val_loss": 0.7, "seconds": 1.0, "diverged": False}
        log.append("epoch", trial=0, arm=plan.arms[0].name, epoch=epoch, **told)
    log.append("retry", trial=1, arm=plan.arms[1].name, epochs=0, kind="lost", error="gone", config={"batch_parts": 2})
    log.append("end", trial=3, arm=plan.arms[0].name, epochs=0, reason="error", error="Traceback\nValueError")
    log.close()
    return plan


def go_on(plan: Plan) -> None:
    """Do what `--resume` does, but for reading data and starting Ray, with a search that looks at all trials."""
    log = plan.folder / "events.jsonl"
    with instead(log, log.read_bytes()):
        went_on = False
        with accepted_or_refused():
            driver = resumed(plan)
            for trial in itertools.takewhile(bool, (driver.deal() for _ in range(3 * plan.trials))):
                TrialConfig.from_flat(trial.config)
                driver.fail(trial.number, Failure("memory", "no memory"))
            driver.log.close()
            console = Console(file=io.StringIO())
            console.print(Progress(driver.state, plan.trials, 1, console).table())
            report_end(plan.folder, [*driver.state.trials.values()], plan.trials, "done", console)
            went_on = True
        if went_on:
            EventLog(plan.folder).close()  # what was written can be gone on with again


def resumed(plan: Plan) -> Driver:
    parser = make_parser("regularization", "", ("baseline", "convnext"))
    args = parser.parse_args(["--resume", str(plan.folder), "--force", "--data", "nowhere"])
    args.given = {"resume", "force", "data"}
    before = read_sweep(plan.folder)
    asked = as_asked(args, before)
    with accepted_or_refused():
        make_plan(asked, [Machine(2, 0)])
    check_same(before, plan.manifest(), force=True)
    state = SweepState(plan.epochs, plan.scheduler)
    driver = Driver(plan.arms, plan.trials, "tpe", plan.seed, EventLog(plan.folder, state.apply), state)
    write_manifest(plan.folder, begin_run(before, forced=[]))
    return driver


@inputs(few=30, percent=3)
@given(data=st.data())
def test_any_values_in_the_manifest_of_a_sweep_that_goes_on(begun: Plan, data: st.DataObject) -> None:
    path = begun.folder / "manifest.json"
    with instead(path, as_json(data.draw(altered(json.loads(path.read_bytes()))))):
        go_on(begun)


def with_log(begun: Plan, content: bytes) -> None:
    path, manifest = begun.folder / "events.jsonl", begun.folder / "manifest.json"
    with instead(path, content), instead(manifest, manifest.read_bytes()):
        go_on(begun)


@inputs(few=40, percent=4)
@given(data=st.data())
def test_any_values_in_the_log_of_a_sweep_that_goes_on(begun: Plan, data: st.DataObject) -> None:
    with_log(begun, as_lines(data.draw(altered(read_lines(begun.folder / "events.jsonl")))))


@inputs(few=10, percent=1)
@given(data=st.data())
def test_any_lines_and_bytes_of_the_log_of_a_sweep_that_goes_on(begun: Plan, data: st.DataObject) -> None:
    lines = as_lines(data.draw(shuffled(read_lines(begun.folder / "events.jsonl"))))
    with_log(begun, data.draw(st.one_of(st.just(lines), damaged_bytes(lines))))


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trial]:
    """A results folder with the checkpoint of a trial."""
    folder, config = tmp_path_factory.mktemp("fuzz"), TrialConfig().to_flat()
    model = torch.nn.Linear(4, 3)
    state = {"config": config, "classifier": model.state_dict(), "result": {"epoch": 1, "val_loss": None}}
    save_checkpoint(checkpoint_path(folder, 0), state)
    return folder, Trial(0, "convnext", {"config": config}, config)


def check(trial: tuple[Path, Trial]) -> None:
    with accepted_or_refused():
        check_checkpoints(trial[0], {0: trial[1]})


@inputs(few=60, percent=3)
@given(data=st.data())
def test_any_bytes_of_a_checkpoint(trial: tuple[Path, Trial], data: st.DataObject) -> None:
    path = checkpoint_path(trial[0], 0)
    with instead(path, data.draw(damaged_bytes(path.read_bytes()))):
        check(trial)


@inputs(few=30, percent=0.7)
@given(state=st.one_of(VALUES, st.builds(dict, config=VALUES)))
def test_any_values_in_a_checkpoint(trial: tuple[Path, Trial], state: object) -> None:
    path = checkpoint_path(trial[0], 0)
    with instead(path, path.read_bytes()):
        save_checkpoint(path, state)
        check(trial)


@pytest.mark.parametrize("archive", [False, True])
def test_a_checkpoint_that_runs_a_command_is_refused_unrun(trial: tuple[Path, Trial], tmp_path: Path, archive: bool):
    path, owned = checkpoint_path(trial[0], 0), tmp_path / "owned"
    code = f"cos\nsystem\n(S'touch {owned}'\ntR.".encode()
    with instead(path, in_archive(path.read_bytes(), code) if archive else code):
        with pytest.raises(pickle.UnpicklingError):
            load_checkpoint(path)
        check(trial)
    assert not owned.exists()
    pickle.loads(code)  # the same does run where code is allowed
    assert owned.exists()


def in_archive(content: bytes, code: bytes) -> bytes:
    """Return a checkpoint with another pickle in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            new.writestr(name, code if name.endswith("data.pkl") else old.read(name))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def confirming(tones: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Results]:
    """A second phase that was stopped while its second run was trained."""
    folder = tmp_path_factory.mktemp("fuzz")
    results = results_of(tones, {"baseline": [0.4, 0.6], "convnext": [0.5, 0.5]})
    plan = plan_confirmation(results, folder, 1, "all", 1)
    plan.write()
    log, driver = open_confirmation(plan)
    for _ in range(2):
        run = driver.deal()
    told = {"train_acc": 0.5, "val_acc": None, "val_loss": None, "seconds": 1.0, "diverged": False}
    log.append("epoch", trial=run.number, arm=run.arm, epoch=1, **told)
    log.close()
    return folder, results


def open_confirmation(plan: Confirmation) -> tuple[EventLog, ConfirmationDriver]:
    state = SweepState({frozen.arm: frozen.epochs for frozen in plan.frozen}, scheduler="none")
    log = EventLog(plan.folder, state.apply)
    return log, ConfirmationDriver(plan, log, state)


def confirm_on(folder: Path, results: Results) -> None:
    """Do what `confirm.py` does before it starts Ray."""
    with accepted_or_refused():
        plan = plan_confirmation(results, folder, 1, "all", 1)
        for run in plan.runs():
            run.config(0)
        plan.write()
        log, _ = open_confirmation(plan)
        log.close()


@pytest.mark.parametrize("file", ["manifest.json", "events.jsonl"])
@inputs(few=6, percent=0.5)
@given(data=st.data())
def test_any_values_in_a_second_phase_that_goes_on(
    confirming: tuple[Path, Results], file: str, data: st.DataObject
) -> None:
    folder, results = confirming
    path, manifest = folder / FOLDER / file, folder / FOLDER / "manifest.json"
    lines = [json.loads(manifest.read_bytes())] if path == manifest else read_lines(path)
    changed = as_lines(data.draw(st.one_of(altered(lines), shuffled(lines))))
    with instead(manifest, manifest.read_bytes()), instead(path, changed):
        confirm_on(folder, results)
