"""The real command, end to end, as a user types it."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from analysis.load import load_results
from tests.conftest import SMALL

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {**SMALL, "epochs": 4, "convnext_depths": "1,1"}
SCRIPT = [sys.executable, str(ROOT / "sweeps" / "regularization.py")]
TIMES = ("seconds", "clock")


def command(
    data: Path, results: Path, *more: str, script: str = "regularization", settings: dict[str, Any] = SETTINGS
) -> list[str]:
    fixed = [part for knob, value in settings.items() for part in ("--set", f"{knob}={value}")]
    line = [sys.executable, str(ROOT / "sweeps" / f"{script}.py")]
    return [*line, "--data", str(data), "--results", str(results), *fixed, *more]


def run(*line: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=240, **more)


def patched(tmp_path: Path, code: str) -> dict[str, str]:
    """Return an environment in which `code` runs at the start of this command's processes, workers included."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(code)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site")}


@pytest.fixture(scope="module")
def sweep(tones_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished sweep: three arms, two trials each, one at a time."""
    results = tmp_path_factory.mktemp("results")
    arms = ["--arms", "baseline,convnext,mixup", "--num-samples", "7", "--max-concurrent", "1"]
    done = run(*command(tones_folder, results, *arms, "--name", "first", "--no-dashboard"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 of 7: 2 for each of 3 arms" in done.stdout
    assert "Baseline (HiFi-GAN discriminator) against 1d ConvNeXt" in done.stdout
    assert "Regularization ablation" in done.stdout
    return results / "first"


@pytest.mark.slow
def test_a_sweep_leaves_manifest_events_checkpoints_and_both_tables(sweep: Path) -> None:
    results = load_results(sweep)
    assert results.manifest["commit"] is None or len(results.manifest["commit"]) == 40
    assert results.trials["arm"].tolist() == ["baseline", "convnext", "mixup"] * 2
    assert set(results.trials["reason"]) <= {"finished", "stopped"}
    assert results.trials["score"].notna().sum() >= 3  # the first trial of each arm is never stopped
    assert len(list((sweep / "checkpoints").iterdir())) == 6
    for name in ("baseline-vs-convnext", "regularization-ablation"):
        assert "optimistic" in (sweep / "tables" / f"{name}.md").read_text()
        with (sweep / "tables" / f"{name}.csv").open() as file:
            assert len(list(csv.DictReader(file))) == 2


@pytest.mark.slow
def test_the_same_seed_gives_the_same_events_but_for_times(sweep: Path, tones_folder: Path) -> None:
    arms = ["--arms", "baseline,convnext,mixup", "--num-samples", "6", "--max-concurrent", "1"]
    done = run(*command(tones_folder, sweep.parent, *arms, "--name", "again", "--no-dashboard"))
    assert done.returncode == 0, done.stderr
    first, again = (
        [{key: value for key, value in event.items() if key not in TIMES} for event in load_results(folder).events]
        for folder in (sweep, sweep.parent / "again")
    )
    assert first == again


@pytest.mark.slow
def test_debug_runs_a_trial_of_a_sweep_again_with_the_same_results(sweep: Path) -> None:
    more = ["--debug", "--trial", "2", "--name", sweep.name, "--results", str(sweep.parent)]
    done = run(*SCRIPT, *more)
    assert done.returncode == 0, done.stderr
    events = [e for e in load_results(sweep).events if e["event"] == "epoch" and e["trial"] == 2]
    lines = done.stdout.splitlines()[-len(events) :]
    assert [line.split()[1] for line in lines] == [f"{event['train_loss']:.4f}" for event in events]
    assert [line.split()[5] for line in lines] == [f"{100 * event['val_acc']:.1f}" for event in events]


@pytest.mark.slow
def test_a_trial_that_is_run_again_cannot_be_changed(sweep: Path) -> None:
    more = ["--debug", "--trial", "2", "--name", sweep.name, "--results", str(sweep.parent), "--set", "epochs=2"]
    done = run(*SCRIPT, *more)
    assert done.returncode == 2
    assert "--trial runs a trial as it was" in done.stderr


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_the_tables_of_what_finished(tones_folder: Path, tmp_path: Path) -> None:
    more = ["--arms", "convnext,mixup", "--num-samples", "60", "--scheduler", "none", "--name", "cut", "--no-dashboard"]
    line = command(tones_folder, tmp_path, *more, "--set", "epochs=30")
    sweep = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    events = tmp_path / "cut" / "events.jsonl"
    deadline = time.monotonic() + 120
    while not events.exists() or events.read_text().count('"finished"') < 4:
        assert time.monotonic() < deadline, "no trial finished in two minutes"
        assert sweep.poll() is None, "the sweep ended before it was interrupted"
        time.sleep(0.1)
    sweep.send_signal(signal.SIGINT)
    output, _ = sweep.communicate(timeout=60)
    assert sweep.returncode == 130, output
    assert "interrupted" in output
    assert "Traceback" not in output
    table = (tmp_path / "cut" / "tables" / "regularization-ablation.md").read_text()
    assert "INCOMPLETE" in table
    assert load_results(tmp_path / "cut").trials["score"].notna().sum() >= 4


@pytest.mark.slow
def test_failed_trials_are_named_and_end_with_1(tones_folder: Path, tmp_path: Path) -> None:
    code = """
import sys
if any("default_worker" in part for part in sys.argv):  # Ray's workers alone
    import esc50tune.regularizers.mixup as module
    def broken(self, batch, rng):
        raise RuntimeError("a defect in the regularizer")
    module.Mixup.on_batch = broken
"""
    more = ["--arms", "convnext,mixup", "--num-samples", "2", "--name", "failing", "--no-dashboard"]
    done = run(*command(tones_folder, tmp_path, *more), env=patched(tmp_path, code))
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED: trial 1 (mixup)" in done.stdout
    assert "a defect in the regularizer" in done.stdout
    trials = load_results(tmp_path / "failing").trials
    assert trials["reason"].tolist() == ["finished", "error"]


@pytest.mark.slow
def test_a_breakpoint_in_the_model_stops_in_debug_mode(tones_folder: Path, tmp_path: Path) -> None:
    code = """
def stop(self, x):
    breakpoint()
    return self.trunk(x)
def install():
    from esc50tune.models.convnext import ConvNeXt
    ConvNeXt.frames = stop
import atexit, builtins, sys
original = __import__
def importing(name, *args, **kwargs):
    module = original(name, *args, **kwargs)
    if name == "sweeps.debug":
        builtins.__import__ = original
        install()
    return module
builtins.__import__ = importing
"""
    more = ["--debug", "--arm", "convnext"]
    done = run(*command(tones_folder, tmp_path, *more), env=patched(tmp_path, code), input="p tuple(x.shape)\nq\n")
    assert "(Pdb)" in done.stdout
    assert "(8, 16," in done.stdout  # 8 clips, 16 mel bands


@pytest.mark.slow
def test_debug_says_in_a_sentence_that_clips_are_too_short_for_a_model(tones_folder: Path, tmp_path: Path) -> None:
    done = run(*command(tones_folder, tmp_path, "--debug", "--arm", "convnext", "--set", "convnext_stem_kernel=4000"))
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "clip_seconds = 0.25: raise it or lower convnext_stem_kernel" in done.stderr


@pytest.mark.slow
def test_a_dry_run_prints_arms_parameters_time_and_disk_and_writes_nothing(tones_folder: Path, tmp_path: Path) -> None:
    done = run(*command(tones_folder, tmp_path / "results", "--num-samples", "8", "--dry-run"))
    assert done.returncode == 0, done.stderr
    for word in ("baseline", "label-smoothing", "parameters", "points", "about", "checkpoints", "nothing was started"):
        assert word in done.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
@pytest.mark.parametrize("more", [["--set", "lrr=1"], ["--data", "/nowhere"], ["--num-samples", "x"]])
def test_bad_input_ends_with_2_and_one_sentence(tones_folder: Path, tmp_path: Path, more: list[str]) -> None:
    done = run(*command(tones_folder, tmp_path, *more, "--dry-run"))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert json.dumps(list(tmp_path.iterdir())) == "[]"
