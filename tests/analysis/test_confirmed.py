"""The second phase of a results folder: what counts of it, and what is left out and said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.alerts import alerts
from analysis.answers import headline
from analysis.confirmed import Block, Confirmed
from analysis.load import Results, load_results
from analysis.outcome import make_outcome
from tests.analysis.made import ARMS, edit_json, predictions, write_events, write_right, write_study


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study")


def confirmed(folder: Path) -> Confirmed:
    found = load_results(folder).confirmed
    assert found is not None
    return found


def said(folder: Path) -> str:
    return " ".join(alerts(load_results(folder)))


def events_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "confirm" / "events.jsonl").read_text().splitlines()]


def test_a_sweep_without_a_second_phase_has_none(tmp_path: Path) -> None:
    results = load_results(write_study(tmp_path / "sweep", confirm=False))
    assert results.confirmed is None
    assert alerts(results) == []
    assert headline(make_outcome(results)) == "Nothing here is confirmed: the sweep only nominates."


def test_a_whole_second_phase_leaves_nothing_out(study: Path) -> None:
    found = confirmed(study)
    assert found.block == Block(("baseline", "convnext", "mixup", "shift"), (1, 2, 3, 4, 5), 2)
    assert found.left_out == []
    assert len(found.logits) == 4 * 5 * 2
    correct, folds, sources = found.correct()
    assert all(right.shape == (2, 60) and right.dtype == bool for right in correct.values())
    assert folds.tolist() == sorted([1, 2, 3, 4, 5] * 12)
    assert sources[:3].tolist() == ["100", "100", "101"]


def test_predictions_belong_to_the_clips_of_their_fold_in_the_lists_order(study: Path) -> None:
    right = [True] * 6 + [False] * 6
    write_right(study, {"mixup": right})
    correct, _, _ = confirmed(study).correct()
    assert correct["mixup"].tolist() == [right * 5] * 2
    assert confirmed(study).predicted()["mixup"][0, :12].tolist() == [0, 0, 0, 0, 1, 1, 2, 2, 0, 0, 0, 0]


def test_clips_in_another_order_than_their_folds_keep_their_predictions(study: Path) -> None:
    write_right(study, {"mixup": [True] * 6 + [False] * 6})
    header, *lines = (study / "confirm" / "clips.csv").read_text().splitlines()
    turned = [line for fold in (5, 3, 1, 2, 4) for line in lines if line.split(",")[1] == str(fold)]
    (study / "confirm" / "clips.csv").write_text("\n".join([header, *turned]))
    correct, folds, _ = confirmed(study).correct()
    assert folds[0] == 5
    assert correct["mixup"][0, :12].tolist() == [True] * 6 + [False] * 6


def test_further_configurations_of_an_arm_have_labels_of_their_own(tmp_path: Path) -> None:
    found = confirmed(write_study(tmp_path / "study", top=2))
    assert found.block.arms[:4] == ("baseline", "baseline#2", "convnext", "convnext#2")
    assert found.costs().loc["convnext#2", "runs"] == 10


def test_a_diverged_models_predictions_are_wrong(study: Path) -> None:
    write_right(study, {"mixup": [True] * 12})
    np.save(predictions(study, "mixup", 1, 0), np.full((12, 3), np.nan, np.float32))
    correct, folds, _ = confirmed(study).correct()
    assert not correct["mixup"][0, folds == 1].any()
    assert correct["mixup"][1].all()


def test_log_probabilities_may_be_infinite_below(study: Path) -> None:
    write_right(study, {"mixup": [True] * 12})
    right = np.eye(3, dtype=bool)[[0] * 4 + [1] * 4 + [2] * 4]
    np.save(predictions(study, "mixup", 1, 0), np.where(right, np.float32(0), np.float32(-np.inf)))
    assert confirmed(study).correct()[0]["mixup"].all()


def test_costs_are_those_of_all_runs_and_a_run_that_was_cut_counts_once(study: Path) -> None:
    costs = confirmed(study).costs()
    assert costs.loc["mixup"].to_dict() == {"runs": 10, "epochs": 40, "seconds": 60.0, "parameters": 2_000}
    deal, first, *rest = events_of(study)  # the first run is dealt again, after its first epoch
    cut = {"event": "end", "trial": 0, "arm": deal["arm"], "reason": "interrupted", "epochs": 1}
    again = [event | {"trial": 999} if event["trial"] == 0 else event for event in rest]
    write_events(study / "confirm" / "events.jsonl", [deal, first, cut, deal | {"trial": 999}, *again])
    assert confirmed(study).costs().equals(costs)


def test_runs_that_do_not_count_cost_nothing(study: Path) -> None:
    predictions(study, "mixup", 1, 0).unlink()
    assert confirmed(study).costs().loc["mixup", ["runs", "epochs"]].tolist() == [9, 36]


def test_a_fold_without_all_runs_is_left_out_for_every_arm(study: Path) -> None:
    predictions(study, "mixup", 3, 1).unlink()
    found = confirmed(study)
    assert found.block == Block(("baseline", "convnext", "mixup", "shift"), (1, 2, 4, 5), 2)
    assert found.left_out == [
        "INCOMPLETE: missing 1 of 40 confirmed runs (mixup 1).",
        "Left out of every number, since not every compared arm has its runs: fold 3.",
    ]


def test_a_seed_that_has_only_begun_is_left_out_for_every_arm(study: Path) -> None:
    for fold in (2, 3, 4, 5):
        predictions(study, "shift", fold, 1).unlink()
    found = confirmed(study)
    assert (found.block.folds, found.block.seeds) == ((1, 2, 3, 4, 5), 1)
    assert found.left_out[-1].endswith("has its runs: seed 1.")


def test_an_arm_without_predictions_is_left_out_alone(study: Path) -> None:
    for path in (study / "confirm" / "predictions").glob("mixup-*"):
        path.unlink()
    found = confirmed(study)
    assert found.block == Block(("baseline", "convnext", "shift"), (1, 2, 3, 4, 5), 2)
    assert found.left_out == [
        "INCOMPLETE: missing 10 of 40 confirmed runs (mixup 10).",
        "Left out of every number, since most of their runs are missing: mixup.",
    ]
    assert "mixup" not in make_outcome(load_results(study)).accuracy


def test_a_second_phase_without_any_run_confirms_nothing(study: Path) -> None:
    for path in (study / "confirm" / "predictions").iterdir():
        path.unlink()
    results = load_results(study)
    assert make_outcome(results) is None
    assert "INCOMPLETE: missing 40 of 40 confirmed runs" in said(study)


def test_what_was_not_frozen_has_no_number(study: Path) -> None:
    rogue = predictions(study, "mixup", 5, 0, rank=2)
    np.save(rogue, np.zeros((12, 3), np.float32))
    np.save(predictions(study, "other", 5, 0), np.zeros((12, 3), np.float32))
    found = confirmed(study)
    assert {run[0] for run in found.logits} == {"baseline", "convnext", "mixup", "shift"}
    assert found.left_out == [
        "'mixup-2-fold5-seed0.npy' belongs to no frozen configuration that is tested, and is left out.",
        "'other-1-fold5-seed0.npy' belongs to no frozen configuration that is tested, and is left out.",
    ]


def test_a_run_of_another_configuration_than_the_frozen_one_has_no_number(study: Path) -> None:
    events = events_of(study)
    events[0]["config"]["lr"] = 0.123
    write_events(study / "confirm" / "events.jsonl", events)
    run = events[0]["arm"], events[0]["fold"], events[0]["seed"]
    assert run not in confirmed(study).logits
    assert "baseline, fold 1, seed 0 had another configuration than the frozen one, and is left out." in said(study)


def test_a_frozen_configuration_of_an_arm_that_the_sweep_has_not_is_left_out(study: Path) -> None:
    edit_json(study / "manifest.json", arms=ARMS[:3])
    assert "mixup" in confirmed(study).block.arms
    assert "shift" not in confirmed(study).block.arms
    assert "shift is frozen and is no arm of this sweep: left out." in said(study)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            np.zeros((3, 3), np.float32),
            "mixup, fold 3, seed 1 are of shape [3, 3] instead of [12, 3], and are left out.",
        ),
        (np.zeros((12, 4), np.float32), "are of shape [12, 4] instead of [12, 3], and are left out."),
        (np.zeros(36, np.float32), "are of shape [36] instead of [12, 3], and are left out."),
        (np.zeros((12, 3), int), "mixup, fold 3, seed 1 are damaged, and are left out."),
        (b"no array", "mixup, fold 3, seed 1 are damaged, and are left out."),
        (b"", "mixup, fold 3, seed 1 are damaged, and are left out."),
    ],
)
def test_predictions_that_are_unsound_are_left_out_and_named(study: Path, content, words: str) -> None:
    path = predictions(study, "mixup", 3, 1)
    path.write_bytes(content) if isinstance(content, bytes) else np.save(path, content)
    assert words in said(study)
    assert confirmed(study).block.folds == (1, 2, 4, 5)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("manifest.json", b"{", "manifest.json' is damaged: it is no JSON."),
        ("manifest.json", b'{"format": 1}', "manifest.json' is damaged: it has no data."),
        ("manifest.json", b'{"format": 2}', "confirm' has format 2, this program reads up to 1; use a newer version"),
        ("clips.csv", b"", "clips.csv' is damaged: it is no table."),
        ("clips.csv", b"\xff\xfe", "clips.csv' is damaged: it is no table."),
        ("clips.csv", b"filename,fold,target,category\n", "clips.csv' is damaged: it has no column source."),
        ("clips.csv", b"filename,fold,target,category,source\n", "it has 0 clips, the manifest 60."),
        ("clips.csv", None, "clips.csv' is missing."),
    ],
)
def test_a_second_phase_that_cannot_be_read_leaves_the_search(study: Path, file: str, content, words: str) -> None:
    path = study / "confirm" / file
    path.unlink() if content is None else path.write_bytes(content)
    results = load_results(study)
    assert results.confirmed is None
    assert len(results.left_out) == 1
    assert results.left_out[0].startswith("ALL CONFIRMED RUNS ARE LEFT OUT: ")
    assert words in results.left_out[0]


def test_a_frozen_configuration_that_is_damaged_is_named(study: Path) -> None:
    edit_json(study / "confirm" / "manifest.json", frozen=[{"arm": "mixup", "rank": 1}])
    assert "manifest.json' is damaged: one of its frozen configurations has no trial." in said(study)


def test_a_log_that_was_cut_is_said(study: Path) -> None:
    for log in (study / "events.jsonl", study / "confirm" / "events.jsonl"):
        with log.open("a") as file:
            file.write('{"seq": 99, "event": "ep')
    assert "The last line of 'events.jsonl' was cut, and is left out." in said(study)
    assert "The last line of 'confirm/events.jsonl' was cut, and is left out." in said(study)


def test_a_damaged_log_of_the_second_phase_costs_only_the_costs(study: Path) -> None:
    path = study / "confirm" / "events.jsonl"
    path.write_text("no json\n" + path.read_text())
    assert "line 1 is damaged: the costs of the confirmed runs are left out." in said(study)
    assert confirmed(study).block.seeds == 2
    assert confirmed(study).costs()["epochs"].tolist() == [0] * 4


def results_with(folder: Path, **changes) -> Results:
    edit_json(folder / "confirm" / "manifest.json", **changes)
    return load_results(folder)


def test_other_data_or_code_than_the_sweeps_is_said(study: Path) -> None:
    data = json.loads((study / "confirm" / "manifest.json").read_text())["data"]
    results = results_with(study, data=data | {"fingerprint": "other"}, commit="f" * 40, dirty=True)
    assert alerts(results) == [
        "OTHER DATA: the confirmed runs had other clips than the sweep that chose their configurations.",
        "OTHER CODE: the confirmed runs ran on commit ffffffffff with uncommitted changes, the sweep on commit "
        "0123456789.",
    ]


def test_stand_in_data_of_the_second_phase_alone_are_loud(study: Path) -> None:
    data = json.loads((study / "confirm" / "manifest.json").read_text())["data"]
    assert alerts(results_with(study, data=data | {"stand_in": True}))[0].startswith("STAND-IN DATA")


def test_an_arm_that_was_not_frozen_is_named_with_the_reason(study: Path) -> None:
    left_out = [{"arm": "sam", "why": "none of its trials ran its full schedule"}]
    assert alerts(results_with(study, left_out=left_out)) == [
        "sam was not confirmed: none of its trials ran its full schedule."
    ]
