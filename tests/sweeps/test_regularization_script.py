"""The real command, end to end, as a user types it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch

from analysis.load import load_results
from sweeps import dry_run
from sweeps.cost import Cost
from tests.sweeps.conftest import Whole
from tests.sweeps.scripts import SCRIPT, command, patched, run, run_here


@pytest.mark.slow
def test_a_sweep_prints_what_it_runs_and_both_tables(whole: Whole) -> None:
    assert "2 for each of 3 arms, 6 of 7 in all;" in whole.printed
    assert "Baseline (HiFi-GAN discriminator) against 1d ConvNeXt" in whole.printed
    assert "Regularization ablation" in whole.printed


@pytest.mark.slow
def test_a_sweep_leaves_manifest_events_checkpoints_and_both_tables(whole: Whole) -> None:
    sweep = whole.folder
    results = load_results(sweep)
    assert results.manifest["commit"] is None or len(results.manifest["commit"]) == 40
    assert results.trials["arm"].tolist() == ["baseline", "convnext", "mixup"] * 2
    assert set(results.trials["reason"]) <= {"finished", "stopped"}
    assert results.trials["score"].notna().sum() >= 3  # one of each arm goes on at every rung
    assert len(list((sweep / "checkpoints").iterdir())) == 6
    for name in ("baseline-vs-convnext", "regularization-ablation"):
        assert "optimistic" in (sweep / "tables" / f"{name}.md").read_text()
        with (sweep / "tables" / f"{name}.csv").open() as file:
            assert len(list(csv.DictReader(file))) == 2


@pytest.mark.slow
def test_debug_runs_a_trial_of_a_sweep_again_with_the_same_results(whole: Whole) -> None:
    done = run(*SCRIPT, "--debug", "--trial", "2", "--name", whole.folder.name, "--results", str(whole.folder.parent))
    assert done.returncode == 0, done.stderr
    events = [e for e in load_results(whole.folder).events if e["event"] == "epoch" and e["trial"] == 2]
    lines = done.stdout.splitlines()[-4:][: len(events)]  # it was stopped, perhaps; this one is not
    assert [line.split()[1] for line in lines] == [f"{event['train_loss']:.4f}" for event in events]
    assert [line.split()[5] for line in lines] == [f"{100 * event['val_acc']:.1f}" for event in events]


@pytest.mark.slow
def test_a_trial_that_is_run_again_cannot_be_changed(whole: Whole, capsys: pytest.CaptureFixture) -> None:
    more = ["--debug", "--trial", "2", "--name", whole.folder.name, "--results", str(whole.folder.parent)]
    assert run_here(*SCRIPT, *more, "--set", "epochs=2") == 2
    assert "--trial runs a trial as it was" in capsys.readouterr().err


@pytest.mark.slow
def test_a_breakpoint_in_the_model_stops_in_debug_mode(tones_folder: Path, tmp_path: Path) -> None:
    code = """
from esc50tune.models.convnext import ConvNeXt
def stop(self, x):
    breakpoint()
    return self.trunk(x)
ConvNeXt.frames = stop
"""
    env = patched(tmp_path, code, after="sweeps.debug") | {"PYTHONBREAKPOINT": "ray.util.rpdb._driver_set_trace"}
    done = run(*command(tones_folder, tmp_path, "--debug", "--arm", "convnext"), env=env, input="p tuple(x.shape)\nq\n")
    assert "(Pdb)" in done.stdout
    assert "(8, 16," in done.stdout  # 8 clips, 16 mel bands
    assert (done.returncode, done.stderr) == (0, "")  # `q` leaves it without a traceback
    assert done.stdout.endswith("left the debugger\n")
    assert "early stopping" not in done.stdout  # of one trial there is none


@pytest.mark.slow
def test_debug_says_in_a_sentence_that_clips_are_too_short_for_a_model(
    tones_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    more = ["--debug", "--arm", "convnext", "--set", "convnext_stem_kernel=4000"]
    assert run_here(*command(tones_folder, tmp_path, *more)) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and said.startswith("error: clips of 0.25 s are too short for model 'convnext'")
    assert "or lower convnext_stem_kernel" in said


@pytest.mark.slow
def test_a_dry_run_prints_arms_parameters_time_and_disk_and_writes_nothing(
    tones_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert run_here(*command(tones_folder, tmp_path / "results", "--num-samples", "8", "--dry-run")) == 0
    said = capsys.readouterr().out
    for word in ("baseline", "label-smoothing", "parameters", "points", "about", "checkpoints", "nothing was started"):
        assert word in said
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_a_dry_run_holds_its_memory_as_trials_do_before_it_times_them(
    tones_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without, a step of the preset `best` took 1.6 times as long."""
    done: list[str] = []
    monkeypatch.setattr(dry_run, "keep_freed_memory", lambda: done.append("kept"))
    monkeypatch.setattr(dry_run, "measure", lambda *_: done.append("timed") or Cost(1.0, 0))
    assert run_here(*command(tones_folder, tmp_path, "--arms", "convnext,sam", "--num-samples", "8", "--dry-run")) == 0
    assert done == ["kept", "timed", "timed"]


@pytest.mark.slow
def test_a_dry_run_names_the_arm_whose_step_does_not_fit_the_gpu(
    tones_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def full(*_: object) -> Cost:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(dry_run, "measure", full)
    assert run_here(*command(tones_folder, tmp_path, "--arms", "sam", "--num-samples", "1", "--dry-run")) == 2
    assert capsys.readouterr().err.startswith("error: a step of sam does not fit the GPU: --set batch_parts=2")


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--set", "lrr=1"], ["--data", "/nowhere"]])
def test_bad_input_ends_with_2_and_one_sentence(
    tones_folder: Path, tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert run_here(*command(tones_folder, tmp_path, *more, "--dry-run")) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert len(said.splitlines()) == 1
    assert json.dumps(list(tmp_path.iterdir())) == "[]"


@pytest.mark.slow
def test_bad_input_ends_a_process_of_its_own_the_same_way(tones_folder: Path, tmp_path: Path) -> None:
    done = run(*command(tones_folder, tmp_path, "--num-samples", "x"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert done.stderr.startswith("error: ")
    assert list(tmp_path.iterdir()) == []
