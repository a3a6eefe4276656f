"""The second phase end to end: killed, started again, and what it leaves."""

from __future__ import annotations

import csv
import json
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.files import read_events
from analysis.load import load_results
from esc50tune.checkpoint import load_checkpoint
from esc50tune.classifier import Classifier
from esc50tune.config import TrialConfig
from esc50tune.data.cache import ClipCache, open_cache
from esc50tune.data.clips import ClipSet, open_confirmation_data
from esc50tune.data.dataset import Dataset
from esc50tune.trial import Trainer, train_trial
from esc50tune.winner.chosen import choose
from esc50tune.winner.listening import hear
from esc50tune.winner.predictor import load_predictor
from sweeps.confirmation import FOLDER
from tests.conftest import RATE, SECONDS
from tests.sweeps.conftest import ARMS, Whole
from tests.sweeps.scripts import CONFIRM, killed_at, patched, run, run_here, start
from tests.sweeps.test_tensorboard import read, runs
from tests.sweeps.test_wandb import logged


@dataclass
class Confirmed:
    """A sweep that was confirmed with one seed; that was killed once, and started again.

    Attributes:
        folder: the sweep's results folder.
        kept: the predictions that were there when it was killed, with the times of their writing.
        printed: by the command that went on.
    """

    folder: Path
    kept: dict[str, int]
    printed: str = ""

    @property
    def predictions(self) -> Path:
        return self.folder / FOLDER / "predictions"

    @property
    def left(self) -> set[str]:
        """What was run after the kill, by arm and fold."""
        runs = {path.name.removesuffix("-seed0.npy") for path in self.predictions.iterdir()} - {
            name.removesuffix("-seed0.npy") for name in self.kept
        }
        return {name.replace("-1-", "-") for name in runs}

    @property
    def events(self) -> list[dict]:
        return read_events(self.folder / FOLDER / "events.jsonl")


@pytest.fixture(scope="module")
def confirmed(whole: Whole, tmp_path_factory: pytest.TempPathFactory) -> Confirmed:
    folder = tmp_path_factory.mktemp("confirm") / "made"
    folder.mkdir()
    for name in ("manifest.json", "events.jsonl"):
        shutil.copy(whole.folder / name, folder)
    line = [*CONFIRM, str(folder), "--seeds", "1", "--no-dashboard", "--gpus-per-trial", "0"]
    kill = patched(tmp_path_factory.mktemp("killed"), killed_at("test_acc", 4), after="sweeps.trainable")
    cut, made = start(*line, env=kill), Confirmed(folder, {})
    printed, _ = cut.communicate()
    assert cut.returncode == -signal.SIGKILL, printed
    made.kept = {path.name: path.stat().st_mtime_ns for path in made.predictions.glob("[!.]*.npy")}
    done = run(*line, "--wandb", "offline")
    assert done.returncode == 0, done.stdout + done.stderr
    made.printed = done.stdout
    return made


@pytest.mark.slow
def test_it_says_what_is_run_and_how_much_of_it_is_left(confirmed: Confirmed) -> None:
    """The fourth run had been tested when the command was killed, though the log did not say yet that it had ended."""
    runs = "3 configurations x folds 1, 2, 3, 4, 5 x 1 seed: 15, 11 left"
    assert f"\nruns      {runs}\n" in confirmed.printed


@pytest.mark.slow
def test_every_clip_is_predicted_once_by_every_arm(confirmed: Confirmed, tones: Dataset) -> None:
    manifest = json.loads((confirmed.folder / FOLDER / "manifest.json").read_text())
    assert [frozen["arm"] for frozen in manifest["frozen"]] == ARMS
    assert (manifest["folds"], manifest["test_fold"], manifest["searched"]) == ([1, 2, 3, 4, 5], 5, [1, 2, 3, 4])
    with (confirmed.folder / FOLDER / "clips.csv").open() as file:
        clips = list(csv.DictReader(file))
    assert sorted(clip["filename"] for clip in clips) == sorted(clip.filename for clip in tones.clips)
    for arm in ARMS:
        for fold in range(1, 6):
            logits = np.load(confirmed.predictions / f"{arm}-1-fold{fold}-seed0.npy")
            assert (logits.dtype, logits.shape) == (np.float32, (12, 3))
    assert len(list((confirmed.folder / FOLDER / "checkpoints").iterdir())) == len(ARMS)


@pytest.mark.slow
def test_the_logged_test_accuracy_is_that_of_the_predictions(confirmed: Confirmed) -> None:
    deals = {event["trial"]: event for event in confirmed.events if event["event"] == "deal"}
    tested = [event for event in confirmed.events if "test_acc" in event]
    assert len(tested) == len(deals) == 15
    with (confirmed.folder / FOLDER / "clips.csv").open() as file:
        clips = list(csv.DictReader(file))
    for event in tested:
        deal = deals[event["trial"]]
        logits = np.load(confirmed.predictions / f"{deal['arm']}-1-fold{deal['fold']}-seed0.npy")
        targets = [int(clip["target"]) for clip in clips if int(clip["fold"]) == deal["fold"]]
        assert event["epoch"] == 4
        assert event["val_acc"] is None
        assert event["test_acc"] == pytest.approx(np.mean(logits.argmax(1) == targets))


@pytest.mark.slow
def test_tensorboard_has_each_run_by_arm_fold_and_seed_with_its_test(confirmed: Confirmed) -> None:
    deals = {event["trial"]: event for event in confirmed.events if event["event"] == "deal"}
    tested = {event["trial"]: event["test_acc"] for event in confirmed.events if "test_acc" in event}
    found = {name: read(path)[0] for name, path in runs(confirmed.folder / FOLDER).items()}
    assert {name: scalars["test_acc"] for name, scalars in found.items()} == {
        f"{deals[number]['arm']}/fold{deals[number]['fold']}/seed0": [(4, pytest.approx(accuracy))]
        for number, accuracy in tested.items()
    }
    for scalars in found.values():
        assert [step for step, _ in scalars["loss"]] == [1, 2, 3, 4]
        assert "eval_acc" not in scalars


@pytest.mark.slow
def test_wandb_has_the_runs_that_ended_after_the_kill_by_arm_fold_and_seed(confirmed: Confirmed) -> None:
    found = {got.about["name"]: got for got in logged(confirmed.folder / FOLDER)}
    assert {f"{name}-seed0" for name in confirmed.left} <= set(found)
    for name, got in found.items():
        arm, fold, _ = name.split("-")
        assert (got.about["group"], got.about["job_type"], got.about["tags"]) == ("first", "confirm", [arm])
        assert fold == f"fold{got.config['fold']}" and got.config["lr"] and got.exit_code == 0
        assert 0 <= got.history[-1]["test_acc"] <= 1


@pytest.mark.slow
def test_the_kept_weights_give_the_stored_predictions(confirmed: Confirmed, tones: Dataset) -> None:
    state = load_checkpoint(confirmed.folder / FOLDER / "checkpoints" / "convnext.pt")
    classifier = Classifier(TrialConfig.from_flat(state["config"]), 3)
    classifier.load_state_dict(state["classifier"])
    clips = ClipSet(open_cache(tones, RATE, SECONDS), [5])
    with torch.no_grad():
        logits = classifier.eval()(clips.waves(range(len(clips))))
    stored = np.load(confirmed.predictions / "convnext-1-fold5-seed0.npy")
    np.testing.assert_allclose(logits.numpy(), stored, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_the_kept_weights_carry_what_is_needed_to_predict_files_as_they_did(
    confirmed: Confirmed, tones: Dataset, tmp_path: Path
) -> None:
    chosen = choose(confirmed.folder, False)
    arm = chosen.about["arm"]
    predictor = load_predictor(choose(Path(shutil.copy(chosen.checkpoint, tmp_path)), False))
    data = {"title": tones.title, "stand_in": False, "fingerprint": tones.fingerprint, "classes": [*tones.classes]}
    assert chosen.about == predictor.about == {"arm": arm, "fold": 5, "seed": 0, "encoders": {}} | data
    paths = [tones.audio_path(clip) for clip in tones.clips if clip.fold == 5]
    found = [heard.probabilities for heard in hear(predictor, paths, torch.device("cpu"), {})]
    stored = torch.from_numpy(np.load(confirmed.predictions / f"{arm}-1-fold5-seed0.npy"))
    np.testing.assert_allclose(found, stored.softmax(-1), atol=1e-5)


@pytest.mark.slow
def test_killed_and_started_again_its_runs_end_as_trainings_that_were_left_alone(
    confirmed: Confirmed, tones_cache: ClipCache
) -> None:
    for deal in (event for event in confirmed.events if event["event"] == "deal"):
        expected = []
        data, config = open_confirmation_data(tones_cache, deal["fold"]), TrialConfig.from_flat(deal["config"])

        def test(trainer: Trainer, fold: int = deal["fold"], expected: list = expected) -> dict[str, float]:
            expected.append(trainer.predict(ClipSet(tones_cache, [fold])).numpy())
            return {}

        losses = [result.train_loss for result in train_trial(config, data, torch.device("cpu"), finish=test)]
        told = [e for e in confirmed.events if e["event"] == "epoch" and e["trial"] == deal["trial"]]
        assert [(event["epoch"], event["train_loss"]) for event in told] == list(enumerate(losses, start=1))
        stored = np.load(confirmed.predictions / f"{deal['arm']}-1-fold{deal['fold']}-seed0.npy")
        np.testing.assert_array_equal(stored, *expected)


@pytest.mark.slow
def test_what_was_predicted_before_the_kill_is_not_predicted_again(confirmed: Confirmed) -> None:
    assert 4 <= len(confirmed.kept) < 15
    now = {path.name: path.stat().st_mtime_ns for path in confirmed.predictions.iterdir()}
    assert {name: now[name] for name in confirmed.kept} == confirmed.kept


@pytest.mark.slow
def test_detect_says_what_a_difference_costs_and_starts_nothing(
    confirmed: Confirmed, capsys: pytest.CaptureFixture
) -> None:
    before = sorted(confirmed.folder.rglob("*"))
    assert run_here(*CONFIRM, str(confirmed.folder), "--detect", "20") == 0
    assert "nothing was started" in capsys.readouterr().out
    assert sorted(confirmed.folder.rglob("*")) == before


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
def test_bad_input_ends_with_2_and_one_sentence(
    confirmed: Confirmed, more: list[str], words: str, capsys: pytest.CaptureFixture
) -> None:
    assert run_here(*CONFIRM, *([str(confirmed.folder)] if more[0].startswith("--") else []), *more) == 2
    said = capsys.readouterr().err
    assert len(said.splitlines()) == 1
    assert words in said


@pytest.mark.slow
def test_a_search_cannot_predict_its_test_fold(whole: Whole) -> None:
    """Its clips were gone from the cache, and what came of it is what comes with them: see test_resume.py."""
    assert load_results(whole.folder).manifest["split"]["test"] == 5
    assert not (whole.folder / FOLDER).exists()
    assert not list(whole.folder.rglob("*.npy"))
