"""What of an earlier sweep cannot be gone on with is said in one sentence that names the file and the place."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.errors import ResultsError
from esc50tune.config import TrialConfig
from esc50tune.errors import UserError
from esc50tune.knobs import Search
from sweeps.driver import Dealer, Driver
from sweeps.events import EventLog
from sweeps.plan import Plan
from sweeps.resume import check_same, read_sweep
from sweeps.state import SweepState, Trial
from tests.sweeps.test_plan import plan_for


@pytest.fixture(scope="module")
def plan(tones_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_for(tones_folder, tmp_path_factory.mktemp("refusals"))


def begun(plan: Plan, folder: Path) -> Path:
    """Make the folder of a sweep that was stopped while its second trial ran."""
    (folder / "manifest.json").write_text(json.dumps(plan.manifest()))
    log = EventLog(folder)
    for number, arm in enumerate(plan.arms[:2]):
        log.append("deal", trial=number, arm=arm.name, sampled={}, config=arm.config({}, number).to_flat())
    told = {"train_acc": 0.5, "val_acc": 0.5, "val_loss": 0.7, "seconds": 1.0, "diverged": True}
    log.append("epoch", trial=0, arm=plan.arms[0].name, epoch=1, **told)
    log.append("retry", trial=1, arm=plan.arms[1].name, epochs=0, kind="lost", error="gone", config={"batch_parts": 2})
    log.append("end", trial=0, arm=plan.arms[0].name, epochs=1, reason="diverged")
    log.close()
    return folder


def test_a_sound_sweep_goes_on(plan: Plan, tmp_path: Path) -> None:
    assert read_sweep(begun(plan, tmp_path))["arms"] == json.loads(json.dumps(plan.manifest()["arms"]))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda manifest: manifest.pop("code"), "it has no code"),
        (lambda manifest: manifest.pop("encoders"), "it has no encoders"),
        (lambda manifest: manifest["arguments"].pop("seed"), "its arguments has no seed"),
        (lambda manifest: manifest["arguments"].update(address="h:1"), "its arguments has 'address'"),
        (lambda manifest: manifest.update(runs=3), "its runs is 3"),
        (lambda manifest: manifest["machine"].update(cuda=float("nan")), "it is no JSON"),
    ],
)
def test_a_damaged_manifest_is_named(plan: Plan, tmp_path: Path, change: Callable[[dict], object], words: str) -> None:
    manifest = json.loads((begun(plan, tmp_path) / "manifest.json").read_text())
    change(manifest)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ResultsError, match=f"manifest.json' is damaged: {words}"):
        read_sweep(tmp_path)


@pytest.mark.parametrize(
    ("line", "change", "words"),
    [
        (0, {"arm": "mixup"}, "of trial 0, 'mixup' is no arm of the manifest"),
        (0, {"config": TrialConfig().to_flat() | {"lr": 1.1}}, "of trial 0, lr = 1.1"),
        (1, {"config": {"lr": 1e-3, "dropuot": 0.1}}, "of trial 1, no knob is called 'dropuot'; did you mean"),
        (3, {"config": {"batch_parts": 0}}, "of trial 1, batch_parts = 0"),
        (4, {"reason": "tired"}, "of trial 0, its reason is 'tired'"),
    ],
)
def test_a_damaged_log_is_named(plan: Plan, tmp_path: Path, line: int, change: dict, words: str) -> None:
    path = begun(plan, tmp_path) / "events.jsonl"
    events = [json.loads(text) for text in path.read_text().splitlines()]
    if "arm" in change:  # in all of its events, or it would be no trial of this arm
        events = [event | (change if event["trial"] == 0 else {}) for event in events]
    events[line] |= change
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    with pytest.raises(ResultsError, match=f"events.jsonl' is damaged: {words}"):
        read_sweep(tmp_path)


@pytest.mark.parametrize(
    ("line", "change", "words"),
    [
        (3, {"error": None}, "line 4 is damaged: its error is None"),
        (3, {"error": ...}, "line 4 is damaged: it has no error"),
        (3, {"arm": ...}, "line 4 is damaged: it has no arm"),
        (4, {"reason": "error"}, "line 5 is damaged: it has no error"),
        (4, {"reason": "error", "error": 5}, "line 5 is damaged: its error is 5"),
        (4, {"error": 5}, "line 5 is damaged: its error is 5"),
        (4, {"reason": 3}, "line 5 is damaged: its reason is 3"),
        (4, {"clock": None}, "line 5 is damaged: its clock is None"),
    ],
)
def test_a_line_that_could_not_be_told_of_at_the_end_is_named(
    plan: Plan, tmp_path: Path, line: int, change: dict, words: str
) -> None:
    path = begun(plan, tmp_path) / "events.jsonl"
    events = [json.loads(text) for text in path.read_text().splitlines()]
    events[line] = {key: value for key, value in (events[line] | change).items() if value is not ...}
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    for read in (read_sweep, EventLog):  # the second alone reads that of a second phase
        with pytest.raises(ResultsError, match=rf"^'{path}', {words}$"):
            read(tmp_path)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ([1, 3], "line 1 is not event 0"),
        ([0, 1, 3, 4], "line 3 is not event 2: lines were lost, doubled or moved"),
        ([0, 1, 2, 2, 3, 4], "epoch 1 of trial 0 does not follow epoch 1"),
        ([0, 1, 2, 4, 3], "line 4 is not event 3"),
    ],
)
def test_lost_doubled_and_moved_lines_are_no_log_to_write_on(
    plan: Plan, tmp_path: Path, order: list[int], words: str
) -> None:
    path = begun(plan, tmp_path) / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    content = b"".join(lines[number] for number in order)
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=words):
        EventLog(tmp_path)
    assert path.read_bytes() == content


def test_a_trial_that_was_dealt_out_of_turn_is_named(plan: Plan, tmp_path: Path) -> None:
    path = begun(plan, tmp_path) / "events.jsonl"
    path.write_text(path.read_text().replace('"trial": 1', '"trial": 5'))
    with pytest.raises(ResultsError, match="line 2 deals trial 5 in the turn of trial 1"):
        EventLog(tmp_path)


def test_a_trial_that_finished_without_an_epoch_is_damage(plan: Plan, tmp_path: Path) -> None:
    path = begun(plan, tmp_path) / "events.jsonl"
    log = EventLog(tmp_path)
    log.append("end", trial=1, arm=plan.arms[1].name, reason="finished", epochs=0)
    log.close()
    with pytest.raises(ResultsError, match=f"'{path}', line 6 is damaged: trial 1 finished without an epoch"):
        EventLog(tmp_path)


def test_what_differs_between_arms_is_named_value_by_value(plan: Plan) -> None:
    before, now = json.loads(json.dumps(plan.manifest())), plan.manifest()
    before["arms"][1]["fixed"]["dropout"] = 0.7
    del before["split"]["left_out"]
    with pytest.raises(UserError) as caught:
        check_same(before, now, force=False)
    assert str(caught.value) == (
        "what goes on would not be what was begun: split.left_out was null, is 0; arms.convnext.fixed.dropout was 0.7, "
        "is 0.0; go back to it, or --force to mix them"
    )
    assert check_same(copy.deepcopy(now), now, force=False) == []


def test_forced_onto_another_range_a_search_goes_on_and_can_be_gone_on_with(plan: Plan, tmp_path: Path) -> None:
    begun(plan, tmp_path)  # its trials have the default learning rate, 1e-3
    arms = [replace(arm, space={"lr": Search(0.1, 0.9)}) for arm in plan.arms]
    state = SweepState(plan.epochs, "none")
    driver = Driver(arms, 2 * len(arms), "tpe", 0, EventLog(tmp_path, state.apply), state)
    while driver.deal():
        pass
    driver.log.close()
    assert all(0.1 <= state.trials[number].sampled["lr"] <= 0.9 for number in range(len(arms), 2 * len(arms)))
    read_sweep(tmp_path)  # the manifest has the range of the first run, 2e-4 to 5e-3


def test_a_trial_of_a_log_without_batch_parts_is_tried_again_in_two() -> None:
    assert Dealer.second_try(Trial(0, "convnext", {}, {"batch_size": 4}), "memory") == {"batch_parts": 2}


def test_a_batch_that_has_no_two_clips_for_each_half_is_not_halved() -> None:
    assert Dealer.second_try(Trial(0, "convnext", {}, {"batch_size": 3}), "memory") is None
