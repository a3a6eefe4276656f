"""The second phase of a results folder: what counts of it, and what is left out and said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from analysis.alerts import alerts
from analysis.answers import headline
from analysis.confirmed import Block, Confirmed
from analysis.confirmed_tables import clean_table, confirmed_tables
from analysis.effort_tables import effort_tables
from analysis.error_tables import error_tables
from analysis.facts import facts
from analysis.health import health_checks
from analysis.load import Results, load_results
from analysis.outcome import make_outcome
from analysis.search_tables import search_tables
from tests.analysis.made import ARMS, edit_json, predictions, write_events, write_right, write_study


def rows_of_clips(**last) -> bytes:
    """Return a list of 60 clips, the last of which has other entries."""
    rows = [{"filename": "a", "fold": 1, "target": 0, "category": "c", "source": "s"} for _ in range(60)]
    rows[-1] |= last
    return "\n".join([",".join(rows[0]), *(",".join(map(str, row.values())) for row in rows)]).encode()


@pytest.fixture
def study(tmp_path: Path) -> Path:
    return write_study(tmp_path / "study")


def confirmed(folder: Path) -> Confirmed:
    found = load_results(folder).confirmed
    assert found is not None
    return found


def said(folder: Path) -> str:
    return " ".join(alerts(load_results(folder)))


def events_of(folder: Path, log: str = "confirm/events.jsonl") -> list[dict]:
    return [json.loads(line) for line in (folder / log).read_text().splitlines()]


def write_log(folder: Path, events: list[dict]) -> None:
    write_events(folder / "confirm" / "events.jsonl", events)


def of_run(events: list[dict], arm: str, fold: int, seed: int) -> list[dict]:
    """Return the events of a run; of one that is tried again, those of all its tries."""
    keys = [
        (event["arm"], event["fold"], event["seed"], event["trial"]) for event in events if event["event"] == "deal"
    ]
    trials = [trial for *key, trial in keys if key == [arm, fold, seed]]
    return [event for event in events if event["trial"] in trials]


def without(events: list[dict], lost: list[dict]) -> list[dict]:
    return [event for event in events if event not in lost]


def diverge(folder: Path, arm: str, fold: int, seed: int, epochs: int = 2) -> None:
    """Let a run have ended after some epochs because it diverged: it has no predictions then."""
    events = events_of(folder)
    deal, *told, end = of_run(events, arm, fold, seed)
    end |= {"reason": "diverged", "epochs": epochs}
    write_log(folder, [*without(events, [deal, *told, end]), deal, *told[:epochs], end])
    predictions(folder, arm, fold, seed).unlink()


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


def test_a_run_that_diverged_counts_and_all_its_clips_are_wrong(study: Path) -> None:
    write_right(study, {"mixup": [True] * 12})
    diverge(study, "mixup", 1, 0)
    found = confirmed(study)
    assert (found.block.folds, found.block.seeds, found.left_out) == ((1, 2, 3, 4, 5), 2, [])
    correct, folds, _ = found.correct()
    assert not correct["mixup"][0, folds == 1].any()
    assert correct["mixup"][0, folds != 1].all() and correct["mixup"][1].all()
    assert found.costs().loc["mixup", ["runs", "epochs"]].tolist() == [10, 38]


@pytest.mark.parametrize("logit", [np.nan, np.inf, -np.inf])
def test_a_clip_without_a_largest_logit_that_is_a_number_is_wrong(study: Path, logit: float) -> None:
    write_right(study, {"mixup": [True] * 12})
    logits = np.load(predictions(study, "mixup", 1, 0))
    logits[:4] = logit  # of class 0, which the first of equals would name
    np.save(predictions(study, "mixup", 1, 0), logits)
    correct, folds, _ = confirmed(study).correct()
    assert correct["mixup"][0, folds == 1].tolist() == [False] * 4 + [True] * 8


def test_what_diverged_is_said_of_every_figure_and_in_the_checks(study: Path) -> None:
    for arm, fold, seed in [("mixup", 1, 0), ("mixup", 5, 1), ("shift", 2, 0)]:
        diverge(study, arm, fold, seed)
    partly = np.load(predictions(study, "shift", 3, 1))
    partly[0] = np.nan
    np.save(predictions(study, "shift", 3, 1), partly)
    words = "DIVERGED: confirmed runs of mixup (2 of 10), shift (2 of 10); the 37 predictions that they lack count as "
    words += "wrong."
    results = load_results(study)
    outcome = make_outcome(results)
    assert alerts(results) == [words]
    tables = [*confirmed_tables(results, outcome), *clean_table(results, outcome)]
    assert all(words in table.caption for table in [*tables, *error_tables(results, outcome.confirmed)])
    (check,) = (sentence for sentence in health_checks(results, outcome) if "confirmed" in sentence)
    assert check.startswith("Diverged confirmed runs: mixup (2 of 10), shift (2 of 10); what they could not predict ")


def test_what_diverged_outside_of_the_compared_runs_is_not_said_to_count(study: Path) -> None:
    diverge(study, "mixup", 3, 1)
    predictions(study, "shift", 3, 1).unlink()
    assert confirmed(study).block.folds == (1, 2, 4, 5)
    assert "DIVERGED" not in said(study)


def test_log_probabilities_may_be_infinite_below(study: Path) -> None:
    write_right(study, {"mixup": [True] * 12})
    right = np.eye(3, dtype=bool)[[0] * 4 + [1] * 4 + [2] * 4]
    np.save(predictions(study, "mixup", 1, 0), np.where(right, np.float32(0), np.float32(-np.inf)))
    assert confirmed(study).correct()[0]["mixup"].all()


def test_costs_are_those_of_all_runs_and_a_run_that_was_cut_counts_once(study: Path) -> None:
    costs = confirmed(study).costs()
    assert costs.loc["mixup"].to_dict() == {
        "runs": 10,
        "epochs": 40,
        "seconds": 60.0,
        "train_acc": pytest.approx(0.8),
        "parameters": 2_000,
    }
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
        "Predictions of no frozen configuration that is tested are left out: 'mixup-2-fold5-seed0.npy'; "
        "'other-1-fold5-seed0.npy'.",
    ]


def test_predictions_whose_write_was_cut_are_nothing_to_tell(study: Path) -> None:
    (study / "confirm" / "predictions" / ".123-mixup-1-fold5-seed0.npy").write_bytes(b"half")
    assert confirmed(study).left_out == []


def test_a_name_of_a_file_breaks_no_line(study: Path) -> None:
    (study / "confirm" / "predictions" / "a\nb.npy").write_bytes(b"")
    assert confirmed(study).left_out == [
        "Predictions of no frozen configuration that is tested are left out: 'a\\nb.npy'."
    ]


def test_a_knob_that_is_younger_than_the_sweep_makes_no_other_configuration(study: Path) -> None:
    events = events_of(study)
    events[0]["config"]["younger"] = 0
    write_log(study, events)
    assert confirmed(study).left_out == []


def test_a_run_of_another_configuration_than_the_frozen_one_has_no_number(study: Path) -> None:
    events = events_of(study)
    events[0]["config"]["lr"] = 0.123
    write_log(study, events)
    assert ("baseline", 1, 0) not in confirmed(study).logits
    assert "baseline, fold 1, seed 0 had another configuration than the frozen one: left out." in said(study)


@pytest.mark.parametrize("ended", ["error", "interrupted", None])
def test_predictions_of_a_run_that_did_not_finish_have_no_number(study: Path, ended: str | None) -> None:
    events = events_of(study)
    *_, end = of_run(events, "mixup", 3, 1)
    end["reason"] = ended
    write_log(study, events if ended else without(events, [end]))
    found = confirmed(study)
    assert ("mixup", 3, 1) not in found.logits and len(found.logits) == 39
    assert found.left_out[0] == (
        "The log does not say that mixup, fold 3, seed 1 finished: left out, though there are predictions."
    )


def test_predictions_of_a_run_that_was_never_dealt_have_no_number(study: Path) -> None:
    events = events_of(study)
    write_log(study, without(events, of_run(events, "mixup", 3, 1)))
    assert ("mixup", 3, 1) not in confirmed(study).logits
    assert "The log does not say that mixup, fold 3, seed 1 finished" in said(study)


@pytest.mark.parametrize("content", [None, b"", b'{"seq": 0, "ev', b"no json\n"])
def test_without_any_event_no_run_counts_and_that_is_one_sentence(study: Path, content: bytes | None) -> None:
    log = study / "confirm" / "events.jsonl"
    log.unlink() if content is None else log.write_bytes(content)
    results = load_results(study)
    assert results.confirmed is None
    assert alerts(results) == [
        "ALL CONFIRMED RUNS ARE LEFT OUT: 'confirm/events.jsonl' is missing or has no sound line, and it alone tells "
        "which runs finished, and with which configuration; bring it back, or move the folder 'confirm' away and run "
        "sweeps/confirm.py anew."
    ]


def test_a_second_phase_that_has_just_begun_misses_no_log(study: Path) -> None:
    (study / "confirm" / "events.jsonl").unlink()
    for path in (study / "confirm" / "predictions").iterdir():
        path.rename(path.with_name(f".{path.name}"))  # a write that was cut
    assert confirmed(study).left_out[0].startswith("INCOMPLETE: missing 40 of 40 confirmed runs ")


def test_runs_of_an_arm_of_which_the_log_says_nothing_are_named_in_a_sentence(study: Path) -> None:
    events = events_of(study)
    write_log(study, [event for event in events if event["arm"] != "mixup"])
    runs = "fold 1, seed 0; fold 1, seed 1; fold 2, seed 0; fold 2, seed 1 and 6 more"
    assert confirmed(study).left_out[0] == (
        f"The log does not say that mixup, {runs} finished: left out, though there are predictions."
    )


def test_the_last_try_of_a_run_decides(study: Path) -> None:
    events = events_of(study)
    first, again = of_run(events, "mixup", 3, 1), of_run(events, "mixup", 4, 1)
    failed = [{**first[0], "trial": 100}, {**first[-1], "trial": 100, "reason": "error"}]
    anew = {**again[0], "trial": 101}
    write_log(study, [*failed, *events, anew])
    runs = confirmed(study).logits
    assert ("mixup", 3, 1) in runs and ("mixup", 4, 1) not in runs


def entry_of(folder: Path, arm: str) -> dict:
    """Return what was frozen of an arm."""
    frozen = json.loads((folder / "confirm" / "manifest.json").read_text())["frozen"]
    return next(entry for entry in frozen if entry["arm"] == arm)


def freeze_as(folder: Path, arm: str, **changes) -> None:
    """Let an arm have been frozen, and all its runs dealt, with some other entries."""
    manifest = json.loads((folder / "confirm" / "manifest.json").read_text())
    before, entry = entry_of(folder, arm), entry_of(folder, arm) | changes
    frozen = [entry if other == before else other for other in manifest["frozen"]]
    edit_json(folder / "confirm" / "manifest.json", frozen=frozen)
    events = events_of(folder)
    for event in events:
        if event["event"] == "deal" and event["arm"] == arm:
            event["config"] = entry["config"] | {"seed": 7}
    write_log(folder, events)


def test_an_arm_whose_frozen_configuration_the_sweep_never_tried_is_left_out(study: Path) -> None:
    freeze_as(study, "mixup", config=entry_of(study, "mixup")["config"] | {"lr": 0.0123})
    found = confirmed(study)
    assert found.block == Block(("baseline", "convnext", "shift"), (1, 2, 3, 4, 5), 2)
    trial = entry_of(study, "mixup")["trial"]
    assert found.left_out == [f"mixup is left out: its frozen configuration is not that of the sweep's trial {trial}."]


@pytest.mark.parametrize("trial", [1, 999])
def test_an_arm_that_was_frozen_from_a_trial_of_another_arm_or_from_none_is_left_out(study: Path, trial: int) -> None:
    freeze_as(study, "mixup", trial=trial)
    assert confirmed(study).left_out == [
        f"mixup is left out: it was frozen from trial {trial}, and the sweep's log has no such trial of this arm."
    ]


def test_what_a_deal_does_not_tell_of_its_configuration_follows_from_its_arm(study: Path) -> None:
    events = events_of(study, "events.jsonl")
    for event in events:
        event.pop("config", None)
    write_events(study / "events.jsonl", events)
    assert confirmed(study).left_out == []


def damage_search(folder: Path, arm: str, kind: str) -> None:
    """Spoil the first deal, the second epoch or the end of an arm's frozen trial in the search's log."""
    path = folder / "events.jsonl"
    lines, own = path.read_bytes().splitlines(), []
    for place, event in enumerate(events_of(folder, "events.jsonl")):
        if event["trial"] == entry_of(folder, arm)["trial"] and event["event"] == kind:
            own.append(place)
    lines[own[kind == "epoch"]] = b"no json"
    path.write_bytes(b"\n".join([*lines, b""]))


UNSEEN = "; the confirmed runs of {} count, though the trials that they were frozen from are not known."


@pytest.mark.parametrize("arm", ["convnext", "mixup"])  # the reference, and one that is compared with it
@pytest.mark.parametrize("kind", ["deal", "epoch", "end"])
def test_a_bad_line_in_the_searchs_log_hides_no_verdict_and_is_one_sentence(study: Path, arm: str, kind: str) -> None:
    before = load_results(study)
    damage_search(study, arm, kind)
    results = load_results(study)
    found, was = make_outcome(results), make_outcome(before)
    assert (found.comparisons, found.accuracy) == (was.comparisons, was.accuracy)
    assert len(results.trials["score"].dropna()) == len(before.trials["score"].dropna()) - 1
    (sentence,) = alerts(results)
    assert "is damaged: it is no JSON; " in sentence
    lost = f" left out, and trials of {arm} that lost some count as unfinished"
    assert sentence.endswith(lost + (UNSEEN.format(arm) if kind == "deal" else "."))
    assert not [check for check in health_checks(results, found) if check.startswith("Unequal budgets")]


@pytest.mark.parametrize("content", [None, b"", b'{"seq": 0, "ev'])
def test_without_the_searchs_log_the_verdicts_stay_and_one_sentence_tells(study: Path, content: bytes | None) -> None:
    before, log = make_outcome(load_results(study)).comparisons, study / "events.jsonl"
    log.unlink() if content is None else log.write_bytes(content)
    results = load_results(study)
    outcome = make_outcome(results)
    assert outcome.comparisons == before
    lost = "'events.jsonl' is missing or empty: nothing is known of the search's trials"
    cut = ["The last line of 'events.jsonl' was cut, and is left out."] * bool(content)
    assert alerts(results) == [lost + UNSEEN.format("baseline, convnext, mixup, shift"), *cut]
    assert health_checks(results, outcome) == []
    assert all(table.frame["trials"].isna().all() for table in confirmed_tables(results, outcome))
    assert all(lost in table.caption for table in [*search_tables(results), *effort_tables(results)])
    assert dict(facts(results))["Search"].endswith("; 0 epochs, 0 s of training, as far as its log tells")


def test_a_frozen_trial_that_a_sound_log_has_not_is_no_lost_one(study: Path) -> None:
    damage_search(study, "shift", "deal")
    freeze_as(study, "mixup", trial=entry_of(study, "convnext")["trial"])
    found = confirmed(study)
    assert found.unchecked == ["shift"]
    assert found.block.arms == ("baseline", "convnext", "shift")
    assert found.left_out[0].startswith("mixup is left out: it was frozen from trial ")


def test_what_is_left_of_an_arm_has_no_default_setting_where_that_is_lost(study: Path) -> None:
    trials = load_results(study).trials
    lost = int(trials[(trials["arm"] == "mixup") & trials["default"]]["trial"].iloc[0])
    lines = [line for line in (study / "events.jsonl").read_text().splitlines() if f'"trial": {lost},' not in line]
    (study / "events.jsonl").write_text("\n".join([*lines, ""]))
    assert not load_results(study).trials.query("arm == 'mixup'")["default"].any()


def test_which_folds_were_searched_is_the_sweeps_own_word(study: Path) -> None:
    edit_json(study / "confirm" / "manifest.json", test_fold=1, searched=[5, 2])
    results = load_results(study)
    assert results.confirmed.manifest["test_fold"] == 5
    assert results.confirmed.manifest["searched"] == [1, 2, 3, 4]
    correct, folds, _ = results.confirmed.correct()
    assert make_outcome(results).clean["mixup"][0] == pytest.approx(correct["mixup"][:, folds == 5].mean())
    assert alerts(results) == [
        "'confirm/manifest.json' says that the search used folds 2, 5 and kept fold 1; the sweep's manifest says that "
        "the search used folds 1, 2, 3, 4 and kept fold 5, and that is taken."
    ]


def test_a_test_fold_that_the_sweep_did_not_keep_is_none(study: Path) -> None:
    split = json.loads((study / "manifest.json").read_text())["split"]
    edit_json(study / "manifest.json", split=split | {"train": [1, 2, 3, 4], "val": 5, "test": None})
    results = load_results(study)
    assert results.confirmed.manifest["test_fold"] is None
    assert make_outcome(results).clean == {}
    assert "the search used folds 1, 2, 3, 4, 5 and kept no test fold, and that is taken." in said(study)


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


def test_all_that_is_left_out_of_an_arm_is_one_paragraph(study: Path) -> None:
    predictions(study, "mixup", 3, 1).write_bytes(b"no array")
    predictions(study, "mixup", 4, 0).write_bytes(b"no array")
    predictions(study, "shift", 4, 0).write_bytes(b"no array")
    np.save(predictions(study, "mixup", 5, 0), np.zeros((3, 3), np.float32))
    assert alerts(load_results(study))[:2] == [
        "The predictions of mixup, fold 3, seed 1; fold 4, seed 0 are damaged, and are left out. "
        "The predictions of mixup, fold 5, seed 0 are of shape [3, 3] instead of [12, 3], and are left out.",
        "The predictions of shift, fold 4, seed 0 are damaged, and are left out.",
    ]


def test_a_fold_without_clips_has_no_runs(study: Path) -> None:
    edit_json(study / "confirm" / "manifest.json", folds=[1, 2, 3, 4, 5, 9])
    events = events_of(study)
    deal, end = {**events[0], "fold": 9, "trial": 100}, {**events[5], "trial": 100, "reason": "diverged"}
    write_log(study, [*events, deal, end])
    found = confirmed(study)
    assert found.block.folds == (1, 2, 3, 4, 5)
    assert "not every compared arm has its runs: fold 9." in said(study)


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
        ("clips.csv", rows_of_clips(target=3), "clips.csv' is damaged: its column target has values that cannot be."),
        ("clips.csv", rows_of_clips(target=-1), "clips.csv' is damaged: its column target has values that cannot be."),
        ("clips.csv", rows_of_clips(fold="x"), "clips.csv' is damaged: its column fold has values that cannot be."),
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


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"no json", "it is no JSON"),
        (b"\xff", "it is no JSON"),
        (b"[]", "it is []"),
        (b'{"event": "epoch", "trial": 0, "epoch": "4"}', "its epoch is '4'"),
        (b'{"event": "end", "trial": 999, "reason": "finished"}', "no trial 999 of this arm was dealt"),
        (b'{"event": "end", "trial": 0, "reason": 5}', "its reason is 5"),
    ],
)
def test_a_damaged_line_of_the_log_costs_only_the_costs(study: Path, line: bytes, why: str) -> None:
    path = study / "confirm" / "events.jsonl"
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:3], line, *lines[3:], b""]))
    found = confirmed(study)
    assert found.left_out == [
        f"'confirm/events.jsonl', line 4 is damaged: {why}; it is left out, and so are the costs of the confirmed runs."
    ]
    assert len(found.logits) == 40
    assert found.costs()["epochs"].tolist() == [0] * 4


@pytest.mark.parametrize("event", ["deal", "end"])
def test_a_run_whose_deal_or_end_is_damaged_is_named_and_no_other_is_left_out(study: Path, event: str) -> None:
    path = study / "confirm" / "events.jsonl"
    lines = path.read_bytes().splitlines()
    lost = next(place for place, told in enumerate(events_of(study)) if told["event"] == event)
    lines[lost] = lines[lost].replace(b'"trial": 0', b'"trial": "0"')
    path.write_bytes(b"\n".join([*lines, b""]))
    found = confirmed(study)
    assert len(found.logits) == 39 and ("baseline", 1, 0) not in found.logits
    assert f"'confirm/events.jsonl', line {lost + 1} is damaged: its trial is '0';" in found.left_out[0]
    assert ("6 such lines are left out" if event == "deal" else "it is left out") in found.left_out[0]
    assert "The log does not say that baseline, fold 1, seed 0 finished" in found.left_out[1]


def results_with(folder: Path, **changes) -> Results:
    edit_json(folder / "confirm" / "manifest.json", **changes)
    return load_results(folder)


def test_runs_of_other_data_than_the_sweeps_are_left_out_and_that_is_one_sentence(study: Path) -> None:
    data = json.loads((study / "confirm" / "manifest.json").read_text())["data"]
    results = results_with(study, data=data | {"fingerprint": "0123456789abc"}, commit="f" * 40, dirty=True)
    assert make_outcome(results) is None
    assert alerts(results) == [
        "ALL CONFIRMED RUNS ARE LEFT OUT: OTHER DATA: 'confirm/manifest.json' has the fingerprint 0123456789, the "
        "sweep's manifest abc; move the folder 'confirm' to its own sweep, or away, and run sweeps/confirm.py anew."
    ]


def test_runs_of_other_code_than_the_sweeps_count_and_that_is_said(study: Path) -> None:
    before = make_outcome(load_results(study)).comparisons
    results = results_with(study, commit="f" * 40, dirty=True)
    assert make_outcome(results).comparisons == before
    assert alerts(results) == [
        "OTHER CODE: the confirmed runs ran on commit ffffffffff with uncommitted changes, the sweep on commit "
        "0123456789; none is left out, as all share it."
    ]


def test_a_commit_that_changed_nothing_of_the_code_is_no_other_code(study: Path) -> None:
    edit_json(study / "manifest.json", code="same")
    assert alerts(results_with(study, code="same", commit="f" * 40)) == []


def test_changes_that_no_commit_tells_are_other_code(study: Path) -> None:
    edit_json(study / "manifest.json", code="then", dirty=True)
    assert alerts(results_with(study, code="now", dirty=True)) == [
        "OTHER CODE: the confirmed runs ran on commit 0123456789 with uncommitted changes, and on other changes than "
        "the sweep; none is left out, as all share it."
    ]


def test_stand_in_data_of_the_second_phase_alone_are_loud(study: Path) -> None:
    data = json.loads((study / "confirm" / "manifest.json").read_text())["data"]
    assert alerts(results_with(study, data=data | {"stand_in": True}))[0].startswith("STAND-IN DATA")


def test_an_arm_that_was_not_frozen_is_named_with_the_reason(study: Path) -> None:
    left_out = [{"arm": "sam", "why": "none of its trials ran its full schedule"}]
    assert alerts(results_with(study, left_out=left_out)) == [
        "sam was not confirmed: none of its trials ran its full schedule."
    ]
