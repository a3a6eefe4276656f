"""The second phase: frozen before it starts, the same for all arms, and nothing of it lost."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.load import Results, load_results
from esc50tune.checkpoint import load_checkpoint
from esc50tune.classifier import Classifier
from esc50tune.config import TrialConfig
from esc50tune.data.cache import ClipCache, open_cache
from esc50tune.data.clips import ClipSet, open_confirmation_data
from esc50tune.data.dataset import Dataset
from esc50tune.errors import UserError
from sweeps.confirmation import FOLDER, Confirmation, freeze, plan_confirmation
from sweeps.confirming import ConfirmationDriver
from sweeps.events import EventLog
from sweeps.state import SweepState
from tests.conftest import RATE, SECONDS, SMALL
from tests.sweeps.test_regularization_script import ROOT, command, run

CONFIRM = [sys.executable, str(ROOT / "sweeps" / "confirm.py")]
ARMS = ["baseline", "convnext", "mixup"]


def results_of(dataset: Dataset, scores: dict[str, list[float | None]], test: int | None = 5) -> Results:
    """A sweep's results: each arm's trials with their scores; None did not run in full."""
    arms = [{"name": arm, "parameters": 7, "epochs": 2, "fixed": {}, "space": {}, "against": None} for arm in scores]
    val = 4 if test is not None else 5
    manifest = {
        "name": "made",
        "seed": 0,
        "arms": arms,
        "data": {"root": str(dataset.root), "fingerprint": dataset.fingerprint, "title": "tones", "stand_in": False},
        "split": {"train": [1, 2, 3], "val": val, "test": test, "train_clips": 36},
        "encoders": {},
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


def test_what_is_frozen_stays_frozen(tones: Dataset, tmp_path: Path) -> None:
    first = plan(tones, tmp_path, seeds=1, folds="test")
    first.write()
    better = results_of(tones, {"baseline": [0.4, 0.6, 0.9], "convnext": [0.5, 0.5]})
    again = plan_confirmation(better, tmp_path, 2, "all", 1)
    assert again.frozen == first.frozen
    assert (again.folds, again.seeds) == ([1, 2, 3, 4, 5], 2)
    fewer = plan_confirmation(better, tmp_path, 1, "test", 1)
    again.write()
    assert json.loads((tmp_path / FOLDER / "manifest.json").read_text())["seeds"] == 2
    assert fewer.folds == [5]
    with pytest.raises(UserError, match=r"--top 2: .* has the best 1 of each arm frozen"):
        plan_confirmation(better, tmp_path, 1, "all", 2)


@pytest.mark.parametrize("key", ["code", "data"])
def test_runs_of_other_code_or_data_are_not_added(tones: Dataset, tmp_path: Path, key: str) -> None:
    begun = plan(tones, tmp_path)
    begun.write()
    path = tmp_path / FOLDER / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: "another"}))
    with pytest.raises(UserError, match=f"was begun with {key} another"):
        begun.write()


def test_a_sweep_without_a_full_run_has_nothing_to_confirm(tones: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to confirm"):
        plan_confirmation(results_of(tones, {"convnext": [None]}), tmp_path, 1, "all", 1)


def test_only_what_is_missing_or_damaged_is_run_again(tones: Dataset, tmp_path: Path) -> None:
    confirmation = plan(tones, tmp_path, seeds=1)
    confirmation.write()
    runs = list(confirmation.runs())
    for one in runs[:7]:
        np.save(confirmation.predictions(one), np.zeros((12, 3), np.float32))
    assert confirmation.missing() == runs[7:]
    cut, wrong = (confirmation.predictions(one) for one in runs[:2])
    cut.write_bytes(cut.read_bytes()[:100])
    np.save(wrong, np.zeros((12, 2), np.float32))
    assert confirmation.missing() == runs[:2] + runs[7:]


def test_a_run_that_was_cut_is_dealt_again_under_its_number(tones: Dataset, tmp_path: Path) -> None:
    confirmation = plan(tones, tmp_path, seeds=1)
    confirmation.write()
    for _ in range(2):
        state = SweepState({"baseline": 2, "convnext": 2}, early_stopping=False)
        log = EventLog(confirmation.folder, state.apply)
        driver = ConfirmationDriver(confirmation, log, state)
        assert [driver.deal().number for _ in range(2)] == [0, 1]
        log.close()
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


@pytest.fixture(scope="module")
def confirmed(tones_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep of three arms, confirmed with one seed."""
    results = tmp_path_factory.mktemp("results")
    more = ["--arms", ",".join(ARMS), "--num-samples", "3", "--name", "made", "--no-dashboard"]
    done = run(*command(tones_folder, results, *more))
    assert done.returncode == 0, done.stderr
    assert not (results / "made" / FOLDER).exists()
    done = run(*CONFIRM, str(results / "made"), "--seeds", "1", "--no-dashboard")
    assert done.returncode == 0, done.stdout + done.stderr
    return results / "made"


@pytest.mark.slow
def test_every_clip_is_predicted_once_by_every_arm(confirmed: Path, tones: Dataset) -> None:
    manifest = json.loads((confirmed / FOLDER / "manifest.json").read_text())
    assert [frozen["arm"] for frozen in manifest["frozen"]] == ARMS
    assert (manifest["folds"], manifest["test_fold"], manifest["searched"]) == ([1, 2, 3, 4, 5], 5, [1, 2, 3, 4])
    with (confirmed / FOLDER / "clips.csv").open() as file:
        clips = list(csv.DictReader(file))
    assert sorted(clip["filename"] for clip in clips) == sorted(clip.filename for clip in tones.clips)
    for arm in ARMS:
        for fold in range(1, 6):
            logits = np.load(confirmed / FOLDER / "predictions" / f"{arm}-1-fold{fold}-seed0.npy")
            assert (logits.dtype, logits.shape) == (np.float32, (12, 3))
    assert len(list((confirmed / FOLDER / "checkpoints").iterdir())) == len(ARMS)


@pytest.mark.slow
def test_the_logged_test_accuracy_is_that_of_the_predictions(confirmed: Path) -> None:
    events = [json.loads(line) for line in (confirmed / FOLDER / "events.jsonl").read_text().splitlines()]
    deals = {event["trial"]: event for event in events if event["event"] == "deal"}
    tested = [event for event in events if "test_acc" in event]
    assert len(tested) == len(deals) == 15
    with (confirmed / FOLDER / "clips.csv").open() as file:
        clips = list(csv.DictReader(file))
    for event in tested:
        deal = deals[event["trial"]]
        logits = np.load(confirmed / FOLDER / "predictions" / f"{deal['arm']}-1-fold{deal['fold']}-seed0.npy")
        targets = [int(clip["target"]) for clip in clips if int(clip["fold"]) == deal["fold"]]
        assert event["epoch"] == 4
        assert event["val_acc"] is None
        assert event["test_acc"] == pytest.approx(np.mean(logits.argmax(1) == targets))


@pytest.mark.slow
def test_the_kept_weights_give_the_stored_predictions(confirmed: Path, tones: Dataset) -> None:
    state = load_checkpoint(confirmed / FOLDER / "checkpoints" / "convnext.pt")
    classifier = Classifier(TrialConfig.from_flat(state["config"]), 3)
    classifier.load_state_dict(state["classifier"])
    clips = ClipSet(open_cache(tones, RATE, SECONDS), [5])
    with torch.no_grad():
        logits = classifier.eval()(clips.waves(range(len(clips))))
    stored = np.load(confirmed / FOLDER / "predictions" / "convnext-1-fold5-seed0.npy")
    np.testing.assert_allclose(logits.numpy(), stored, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_killed_and_started_again_it_ends_as_if_it_had_not_been(confirmed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    for name in ("manifest.json", "events.jsonl"):
        (folder / name).write_bytes((confirmed / name).read_bytes())
    line = [*CONFIRM, str(folder), "--seeds", "1", "--no-dashboard"]
    cut = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    predictions, deadline = folder / FOLDER / "predictions", time.monotonic() + 120
    while not predictions.is_dir() or len(list(predictions.glob("*.npy"))) < 4:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(cut.pid, signal.SIGKILL)
    cut.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in predictions.glob("*-*.npy") if not path.name.startswith(".")}
    done = run(*line)
    assert done.returncode == 0, done.stdout + done.stderr
    for path in (confirmed / FOLDER / "predictions").iterdir():
        np.testing.assert_array_equal(np.load(path), np.load(predictions / path.name))
    assert all((predictions / name).stat().st_mtime_ns == written for name, written in kept.items())


@pytest.mark.slow
def test_detect_says_what_a_difference_costs_and_starts_nothing(confirmed: Path) -> None:
    before = sorted(confirmed.rglob("*"))
    done = run(*CONFIRM, str(confirmed), "--detect", "20")
    assert done.returncode == 0, done.stderr
    assert "nothing was started" in done.stdout
    assert sorted(confirmed.rglob("*")) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["/nowhere"], "no results folder"),
        (["--detect", "much"], "--detect much"),
        (["--seeds", "0"], "--seeds"),
        (["--folds", "5"], "--folds"),
    ],
)
def test_bad_input_ends_with_2_and_one_sentence(confirmed: Path, more: list[str], words: str) -> None:
    done = run(*CONFIRM, *([str(confirmed)] if more[0].startswith("--") else []), *more)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert words in done.stderr


@pytest.mark.slow
def test_a_search_cannot_predict_its_test_fold(confirmed: Path, tones_folder: Path, tmp_path: Path) -> None:
    """The same sweep with the test fold's clips gone from the cache: it cannot have read them."""
    results = load_results(confirmed)
    assert results.manifest["split"]["test"] == 5
    env = {**os.environ, "ESC50TUNE_CACHE": str(tmp_path / "cache")}
    more = ["--arms", ",".join(ARMS), "--num-samples", "3", "--name", "blind", "--no-dashboard"]
    assert run(*command(tones_folder, tmp_path, *more, "--dry-run"), env=env).returncode == 0  # decodes the clips
    (test_fold,) = (tmp_path / "cache").rglob("fold-5.npy")
    test_fold.unlink()
    done = run(*command(tones_folder, tmp_path, *more), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not list((tmp_path / "blind").rglob("*.npy"))
    blind = load_results(tmp_path / "blind").trials
    assert blind["val_acc"].tolist() == results.trials["val_acc"].tolist()
