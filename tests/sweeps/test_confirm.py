"""The second phase: frozen before it starts, the same for all arms, and nothing of it lost."""

from __future__ import annotations

import json
import math
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sweeps.confirming
from analysis.errors import ResultsError
from analysis.load import Results
from esc50tune.checkpoint import save_checkpoint
from esc50tune.config import TrialConfig
from esc50tune.data.cache import ClipCache
from esc50tune.data.clips import open_confirmation_data
from esc50tune.data.dataset import Dataset
from esc50tune.errors import UserError
from sweeps.confirm import make_parser
from sweeps.confirmation import FOLDER, Confirmation, Run, freeze, plan_confirmation
from sweeps.confirming import ConfirmationDriver, confirm, open_driver
from sweeps.failure import Failure
from sweeps.runner import only_process, report_end
from tests.analysis.made import captured, edit_json, write_study
from tests.conftest import SMALL


def results_of(dataset: Dataset, scores: dict[str, list[float | None]], test: int | None = 5) -> Results:
    """A sweep's results: each arm's trials with their scores; None did not run in full."""
    same = {"parameters": 7, "epochs": 2, "fixed": {"model": "convnext"}, "space": {}, "against": None}
    arms = [{"name": arm, **same} for arm in scores]
    val = 4 if test is not None else 5
    manifest = {
        "name": "made",
        "seed": 0,
        "arms": arms,
        "data": {
            "root": str(dataset.root),
            "fingerprint": dataset.fingerprint,
            "title": "tones",
            "stand_in": False,
            "clips": len(dataset.clips),
            "classes": list(dataset.classes),
        },
        "split": {"train": [1, 2, 3], "val": val, "test": test, "train_clips": 36},
        "encoders": {},
        "resources": {},
    }
    events, number = [], 0
    for arm, of_arm in scores.items():
        for score in of_arm:
            config = TrialConfig.from_flat(SMALL | {"epochs": 2, "lr": 1e-3 * (number + 1)}).to_flat()
            events.append({"event": "deal", "trial": number, "arm": arm, "sampled": {}, "config": config})
            told = {"train_acc": 0.5, "val_acc": score or 0.9, "val_loss": 1.0 - 0.01 * number, "seconds": 1.0}
            events += [{"event": "epoch", "trial": number, "arm": arm, "epoch": epoch, **told} for epoch in (1, 2)]
            reason = "stopped" if score is None else "finished"
            events.append({"event": "end", "trial": number, "arm": arm, "reason": reason, "epochs": 2})
            number += 1
    return Results(manifest, events)


def plan(dataset: Dataset, folder: Path, seeds: int = 2, folds: str = "all", top: int = 1, **more) -> Confirmation:
    results = results_of(dataset, {"baseline": [0.4, 0.6], "convnext": [0.5, 0.5]}, **more)
    return plan_confirmation(results, folder, seeds, folds, top)


def test_the_best_trials_that_ran_in_full_are_frozen(tones: Dataset) -> None:
    results = results_of(tones, {"convnext": [0.4, None, 0.7, 0.6], "mixup": [None]})
    frozen, left_out = freeze(results, top=2)
    assert [(f.label, f.trial, f.val_acc) for f in frozen] == [("convnext", 2, 0.7), ("convnext#2", 3, 0.6)]
    assert frozen[0].config["lr"] == pytest.approx(3e-3)
    assert "seed" not in frozen[0].config
    assert left_out == [{"arm": "mixup", "why": "none of its trials ran its full schedule"}]


def test_a_tie_goes_to_the_lower_validation_loss(tones: Dataset, tmp_path: Path) -> None:
    assert [frozen.trial for frozen in plan(tones, tmp_path).frozen] == [1, 3]


def test_every_arm_is_run_on_every_fold_with_the_same_seeds(tones: Dataset, tmp_path: Path) -> None:
    runs = list(plan(tones, tmp_path).runs())
    assert len(runs) == 2 * 5 * 2
    seeds = {
        (r.fold, r.seed): {r2.config(0).seed for r2 in runs if (r2.fold, r2.seed) == (r.fold, r.seed)} for r in runs
    }
    assert all(len(of_all_arms) == 1 for of_all_arms in seeds.values())
    assert len(set.union(*seeds.values())) == 10
    assert {run.frozen.arm for run in runs[:2]} == {"baseline", "convnext"}  # partners run side by side


def test_only_the_fold_that_no_search_saw_is_called_the_test_fold(tones: Dataset, tmp_path: Path) -> None:
    assert (plan(tones, tmp_path).test_fold, plan(tones, tmp_path, folds="test").folds) == (5, [5])
    without = plan(tones, tmp_path, test=None)  # as the preset seed: fold 5 selected
    assert (without.test_fold, without.folds) == (None, [1, 2, 3, 4])
    with pytest.raises(UserError, match="--folds test: 'made' kept no test fold: fold 5 selected"):
        plan(tones, tmp_path, folds="test", test=None)


def test_the_weights_of_the_fold_that_no_search_saw_are_kept_whatever_its_number(
    tones: Dataset, tmp_path: Path
) -> None:
    for test_fold, kept in ((5, 5), (0, 0), (None, 4)):
        confirmation = replace(plan(tones, tmp_path, seeds=2, top=2), folds=[0, 5, 4], test_fold=test_fold)
        runs = [run for run in confirmation.runs() if confirmation.kept(run)]
        assert [run.key for run in runs] == [
            (frozen.arm, 1, kept, 0) for frozen in confirmation.frozen if frozen.rank == 1
        ]


def test_what_is_frozen_stays_frozen(tones: Dataset, tmp_path: Path) -> None:
    first = plan(tones, tmp_path, seeds=1, folds="test")
    first.write()
    better = results_of(tones, {"baseline": [0.4, 0.6], "convnext": [0.5, 0.5, 0.9]})
    again = plan_confirmation(better, tmp_path, 2, "all", 1)
    assert again.frozen == first.frozen
    assert (again.folds, again.seeds) == ([1, 2, 3, 4, 5], 2)
    fewer = plan_confirmation(better, tmp_path, 1, "test", 1)
    again.write()
    assert json.loads((tmp_path / FOLDER / "manifest.json").read_text())["seeds"] == 2
    assert fewer.folds == [5]
    with pytest.raises(UserError, match=r"--top 2: .* has the best 1 of each arm frozen"):
        plan_confirmation(better, tmp_path, 1, "all", 2)


def test_a_later_call_leaves_when_and_by_what_was_frozen_as_it_was(tones: Dataset, tmp_path: Path) -> None:
    plan(tones, tmp_path, seeds=1).write()
    rewrite(tmp_path, created="2026-01-02T03:04:05+00:00", command=["confirm.py", "before"])
    before = json.loads((tmp_path / FOLDER / "manifest.json").read_text())
    plan(tones, tmp_path, seeds=2).write()
    after = json.loads((tmp_path / FOLDER / "manifest.json").read_text())
    assert {name: after[name] for name in before if name not in ("seeds", "runs")} == {
        name: before[name] for name in before if name not in ("seeds", "runs")
    }
    assert (before["seeds"], after["seeds"]) == (1, 2)
    first, second = after["runs"]
    assert [first] == before["runs"]
    assert set(second) == {"started", "command", "code", "machine"}
    assert second["started"] > before["created"]


def rewrite(folder: Path, **changes: Any) -> None:
    """Change entries of the manifest of a second phase."""
    path = folder / FOLDER / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("key", ["code", "data"])
def test_runs_of_other_code_or_data_are_not_added(tones: Dataset, tmp_path: Path, key: str) -> None:
    begun = plan(tones, tmp_path)
    begun.write()
    data = {**begun.sweep["data"], "fingerprint": "another"}
    rewrite(tmp_path, **{key: "another" if key == "code" else data})
    with pytest.raises(
        UserError, match=f"was begun with {key} another, and this is [0-9a-f]+.*: runs that are compared"
    ):
        begun.write()


def test_the_same_data_may_lie_elsewhere_by_now(tones: Dataset, tmp_path: Path) -> None:
    begun = plan(tones, tmp_path)
    begun.write()
    rewrite(tmp_path, data=begun.sweep["data"] | {"root": "/before"})
    begun.write()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"format": 2}, r"/confirm' has format 2, this program reads up to 1; use a newer version of it$"),
        ({"format": None}, "manifest.json' is damaged: it has no format$"),
        ({"frozen": [{"arm": "convnext"}]}, "manifest.json' is damaged: one of its frozen configurations has no rank$"),
        ({"frozen": []}, "there is nothing to confirm$"),
        ({"seeds": 10**9}, "manifest.json' is damaged: it has 2 frozen configurations, 5 folds and 1000000000 seeds$"),
        ({"folds": [5, 5]}, "manifest.json' is damaged: one of its folds is there twice$"),
        ({"folds": [5, 9]}, "/confirm' tests fold 9, which cannot be tested; move it away to start anew$"),
    ],
)
def test_a_second_phase_that_cannot_be_read_is_refused(
    tones: Dataset, tmp_path: Path, changes: dict, words: str
) -> None:
    plan(tones, tmp_path).write()
    rewrite(tmp_path, **changes)
    with pytest.raises((UserError, ResultsError), match=words):
        plan(tones, tmp_path)


def test_entries_of_the_manifest_that_this_version_does_not_know_are_no_matter(tones: Dataset, tmp_path: Path) -> None:
    first = plan(tones, tmp_path)
    first.write()
    rewrite(tmp_path, frozen=[vars(frozen) | {"new": 1} for frozen in first.frozen], new=1)
    assert plan(tones, tmp_path).frozen == first.frozen


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"arm": "mixup"}, "of mixup, it is no arm of this sweep"),
        ({"trial": 99}, "of baseline, it was frozen from trial 99, and the sweep's log has no such trial of this arm"),
        ({"trial": 0}, "of baseline, its frozen configuration is not that of the sweep's trial 0"),
    ],
)
def test_what_the_sweep_did_not_try_is_not_gone_on_with(
    tones: Dataset, tmp_path: Path, changes: dict, words: str
) -> None:
    first = plan(tones, tmp_path)
    first.write()
    rewrite(tmp_path, frozen=[vars(first.frozen[0]) | changes, vars(first.frozen[1])])
    with pytest.raises(UserError, match=f"/confirm' cannot be gone on with: {words}; move it away to start anew"):
        plan(tones, tmp_path)


def test_what_was_frozen_from_a_trial_that_the_log_has_lost_is_gone_on_with(tones: Dataset, tmp_path: Path) -> None:
    first = plan(tones, tmp_path)
    first.write()
    results = results_of(tones, {"baseline": [0.4, 0.6], "convnext": [0.5, 0.5]})
    left = [event for event in results.events if event["trial"] != first.frozen[1].trial]
    lossy = replace(results, events=left, lost="'events.jsonl', line 9 is damaged.")
    again = plan_confirmation(lossy, tmp_path, 3, "all", 1)
    assert (again.frozen, again.seeds) == (first.frozen, 3)
    rewrite(tmp_path, frozen=[vars(first.frozen[0]) | {"trial": 0}, vars(first.frozen[1])])
    with pytest.raises(UserError, match="its frozen configuration is not that of the sweep's trial 0"):
        plan_confirmation(lossy, tmp_path, 3, "all", 1)  # what the log tells is held against it, still


def test_nothing_is_frozen_from_a_damaged_log(tones: Dataset, tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").write_text("no json\n")
    with pytest.raises(ResultsError, match="line 1 is damaged: it is no JSON"):
        plan(tones, tmp_path)


def test_a_log_of_other_runs_is_not_gone_on_with(tones: Dataset, tmp_path: Path) -> None:
    confirmation = plan(tones, tmp_path, seeds=1)
    confirmation.write()
    driver = open_driver(plan(tones, tmp_path, seeds=2))
    while driver.left:
        driver.deal()
    driver.log.close()
    with pytest.raises(UserError, match="trial 10 in its log is no run that its manifest asks for; move it away"):
        open_driver(confirmation)


def test_a_second_phase_waits_for_no_sweep_that_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_study(tmp_path / "made", confirm=False)
    monkeypatch.setattr(sweeps.confirming, "plan_confirmation", lambda *_: pytest.fail("it was planned"))
    args = make_parser().parse_args([str(folder)])
    with only_process(folder), pytest.raises(UserError, match=f"'{folder}' is being run by another process") as caught:
        confirm(args)
    assert len(str(caught.value).splitlines()) == 1
    assert not (folder / FOLDER).exists()


def test_nothing_is_frozen_without_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_study(tmp_path / "made", confirm=False)

    def planned(*_) -> None:
        with pytest.raises(UserError, match="is being run by another process"), only_process(folder):
            pytest.fail("another process would freeze, too")
        raise UserError("far enough")

    monkeypatch.setattr(sweeps.confirming, "plan_confirmation", planned)
    with pytest.raises(UserError, match="far enough"):
        confirm(make_parser().parse_args([str(folder)]))
    with only_process(folder):  # it is let go again
        pass


def test_what_another_process_froze_meanwhile_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is read anew once nobody else can change it."""
    folder, seen = write_study(tmp_path / "made", confirm=False), []

    def locked(path: Path) -> AbstractContextManager:
        edit_json(path / "manifest.json", seed=77)
        return only_process(path)

    def planned(results: Results, *_) -> None:
        seen.append(results.manifest["seed"])
        raise UserError("far enough")

    monkeypatch.setattr(sweeps.confirming, "only_process", locked)
    monkeypatch.setattr(sweeps.confirming, "plan_confirmation", planned)
    with pytest.raises(UserError, match="far enough"):
        confirm(make_parser().parse_args([str(folder)]))
    assert seen == [77]


def test_a_folder_that_is_none_is_refused_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="is no results folder"):
        confirm(make_parser().parse_args([str(tmp_path / "nowhere")]))
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_without_a_full_run_has_nothing_to_confirm(tones: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to confirm"):
        plan_confirmation(results_of(tones, {"convnext": [None]}), tmp_path, 1, "all", 1)


EPOCH = {"train_acc": 0.5, "val_acc": None, "val_loss": None, "seconds": 1.0, "diverged": False}


def end_runs(driver: ConfirmationDriver, count: int, **last: Any) -> None:
    """Deal some runs, train each for its two epochs, predict, and close the log; `last` is of the last epochs."""
    for _ in range(count):
        trial = driver.deal()
        state = driver.plan.checkpoint(driver.run_of(trial))
        state.parent.mkdir(exist_ok=True)
        assert driver.record(trial.number, EPOCH | {"epoch": 1})
        state.write_bytes(b"after an epoch")
        np.save(driver.plan.predictions(driver.run_of(trial)), np.zeros((12, 3), np.float32))
        driver.record(trial.number, EPOCH | {"epoch": 2, "test_loss": 0.7, "test_acc": 0.5} | last)
    driver.log.close()


def left_after(confirmation: Confirmation) -> list[Run]:
    """Return what a further call would do."""
    driver = open_driver(confirmation)
    driver.log.close()
    return driver.to_do


def ends(confirmation: Confirmation) -> list[str]:
    events = [json.loads(line) for line in (confirmation.folder / "events.jsonl").read_text().splitlines()]
    return [event["reason"] for event in events if event["event"] == "end"]


@pytest.fixture
def begun(tones: Dataset, tmp_path: Path) -> Confirmation:
    """Ten runs, none of which has begun."""
    confirmation = plan(tones, tmp_path, seeds=1)
    confirmation.write()
    return confirmation


def test_a_run_that_failed_once_and_then_ended_is_no_failure(begun: Confirmation) -> None:
    driver = open_driver(begun)
    driver.fail(driver.deal().number, Failure("error", "RuntimeError: boom"))
    end_runs(driver, 9)
    runs = list(begun.runs())
    console = captured()
    assert report_end(begun.folder, [*driver.last_tries.values()], len(runs), "done", console) == 1
    assert "RuntimeError: boom" in console.file.getvalue()
    again = open_driver(begun)
    assert again.to_do == runs[:1]
    end_runs(again, 1)
    console = captured()
    assert report_end(begun.folder, [*again.last_tries.values()], len(runs), "done", console) == 0
    assert "FAILED" not in console.file.getvalue()


def test_only_what_is_missing_or_damaged_is_run_again(begun: Confirmation) -> None:
    runs = list(begun.runs())
    end_runs(open_driver(begun), 7)
    assert left_after(begun) == runs[7:]
    cut, wrong = (begun.predictions(one) for one in runs[:2])
    cut.write_bytes(cut.read_bytes()[:100])
    np.save(wrong, np.zeros((12, 2), np.float32))
    assert left_after(begun) == runs[:2] + runs[7:]


def test_predictions_that_the_log_does_not_know_are_made_anew(begun: Confirmation) -> None:
    first = next(iter(begun.runs()))
    np.save(begun.predictions(first), np.zeros((12, 3), np.float32))
    driver = open_driver(begun)
    assert driver.to_do == list(begun.runs())
    assert driver.run_of(driver.deal()) == first
    assert not begun.predictions(first).exists()  # or the run that was dealt would take them for its own


@pytest.mark.parametrize("last", [{"diverged": True}, {"test_loss": math.nan}])
def test_a_run_that_diverged_is_not_tried_until_it_does_not(begun: Confirmation, last: dict) -> None:
    end_runs(open_driver(begun), 1, **last)
    assert ends(begun) == ["diverged"]
    assert left_after(begun) == list(begun.runs())[1:]
    assert list((begun.folder / "checkpoints").iterdir()) == []


def test_a_test_loss_that_is_not_a_number_is_null_in_the_log_and_nothing_is_right(begun: Confirmation) -> None:
    end_runs(open_driver(begun), 1, test_loss=math.nan)
    last = json.loads((begun.folder / "events.jsonl").read_text().splitlines()[-2])
    assert (last["test_loss"], last["test_acc"], last["diverged"]) == (None, 0.0, True)


def test_a_clip_whose_class_was_given_no_chance_is_no_divergence(begun: Confirmation) -> None:
    end_runs(open_driver(begun), 1, test_loss=math.inf)
    last = json.loads((begun.folder / "events.jsonl").read_text().splitlines()[-2])
    assert (last["test_loss"], last["test_acc"], ends(begun)) == (None, 0.5, ["finished"])


def test_the_state_of_a_run_that_is_tried_again_is_not_that_of_its_earlier_try(begun: Confirmation) -> None:
    first = next(iter(begun.runs()))
    end_runs(open_driver(begun), 10)
    begun.predictions(first).unlink()
    driver = open_driver(begun)
    again = driver.deal()
    assert driver.run_of(again) == first
    save_checkpoint(begun.checkpoint(first), {"config": again.config, "result": {"epoch": 1}})
    driver.log.close()
    assert left_after(begun) == [first]
    assert begun.checkpoint(first).is_file()


def test_a_damaged_checkpoint_of_a_run_that_goes_on_is_named(begun: Confirmation) -> None:
    first, driver = next(iter(begun.runs())), open_driver(begun)
    driver.deal()
    driver.log.close()
    begun.checkpoint(first).parent.mkdir(exist_ok=True)
    begun.checkpoint(first).write_bytes(b"half of a checkpoint")
    with pytest.raises(UserError, match=r"-fold1-seed0\.pt' is damaged or no checkpoint: remove it"):
        open_driver(begun)
    begun.checkpoint(first).unlink()
    assert open_driver(begun).deal().number == 0


def test_a_run_that_was_cut_is_dealt_again_under_its_number(begun: Confirmation) -> None:
    confirmation = begun
    for _ in range(2):
        driver = open_driver(confirmation)
        assert [driver.deal().number for _ in range(2)] == [0, 1]
        driver.log.close()
    lines = [json.loads(line) for line in (confirmation.folder / "events.jsonl").read_text().splitlines()]
    assert [(line["seq"], line["event"], line["arm"]) for line in lines] == [
        (0, "deal", "baseline"),
        (1, "deal", "convnext"),
    ]


def test_no_training_clip_has_its_source_in_the_test_fold(tones_cache: ClipCache) -> None:
    for fold in range(1, 6):
        data = open_confirmation_data(tones_cache, fold)
        assert data.val is None
        assert data.train.folds == tuple(other for other in range(1, 6) if other != fold)
        assert not set(data.train.sources) & set(tones_cache.sources[fold])
