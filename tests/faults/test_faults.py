"""What may happen to a sweep on a machine: the real thing, done to real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from analysis.load import load_results
from sweeps.events import FILE
from tests.sweeps.test_regularization_script import ROOT, SCRIPT, command, patched, run
from tests.sweeps.test_resume import start, wait_for_events

pytestmark = pytest.mark.slow
TWO = ["--arms", "convnext,mixup", "--num-samples", "2", "--no-dashboard"]


def last_run(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())["runs"][-1]


def test_a_trial_killed_with_9_goes_on_and_the_sweep_ends_0(tones_folder: Path, tmp_path: Path) -> None:
    code = """
import os, signal, sys
def install():
    from esc50tune.trial import Trainer
    run_epoch = Trainer.run_epoch
    def once(self):
        mark = os.environ["KILLED_ONCE"]
        if self.epoch == 2 and self.config.mixup and not os.path.exists(mark):
            open(mark, "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        return run_epoch(self)
    Trainer.run_epoch = once
import builtins
original = __import__
def importing(name, *args, **kwargs):
    module = original(name, *args, **kwargs)
    if name == "sweeps.trainable":
        builtins.__import__ = original
        install()
    return module
builtins.__import__ = importing
"""
    env = patched(tmp_path, code) | {"KILLED_ONCE": str(tmp_path / "killed")}
    done = run(*command(tones_folder, tmp_path, *TWO, "--name", "killed-trial"), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tried again: trial 1 (mixup), lost:" in done.stdout
    results = load_results(tmp_path / "killed-trial")
    assert results.trials["reason"].tolist() == ["finished", "finished"]
    assert [event["kind"] for event in last_run(tmp_path / "killed-trial")["retries"]] == ["lost"]
    assert run(*command(tones_folder, tmp_path, *TWO, "--name", "whole")).returncode == 0
    whole = load_results(tmp_path / "whole").trials
    assert results.trials[["val_acc", "val_loss"]].equals(whole[["val_acc", "val_loss"]])


def test_out_of_memory_it_tries_once_more_with_half_the_batch(tones_folder: Path, tmp_path: Path) -> None:
    code = """
import sys
def install():
    import torch
    from esc50tune.trial import Trainer
    add = Trainer.add_gradients
    def checked(self, x, batch, size):
        if self.config.mixup and len(x) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return add(self, x, batch, size)
    Trainer.add_gradients = checked
import builtins
original = __import__
def importing(name, *args, **kwargs):
    module = original(name, *args, **kwargs)
    if name == "sweeps.trainable":
        builtins.__import__ = original
        install()
    return module
builtins.__import__ = importing
"""
    done = run(*command(tones_folder, tmp_path, *TWO, "--name", "memory"), env=patched(tmp_path, code))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tried again: trial 1 (mixup), memory:" in done.stdout
    assert load_results(tmp_path / "memory").trials["reason"].tolist() == ["finished", "finished"]


def test_a_full_disk_stops_the_sweep_with_a_sentence_and_it_goes_on_once_there_is_room(
    tones_folder: Path, tmp_path: Path
) -> None:
    code = """
import errno, os
replace = os.replace
def full(source, target, **more):
    if str(target).endswith("trial-0001.pt") and os.path.exists(os.environ["FULL"]):
        raise OSError(errno.ENOSPC, "No space left on device", str(source))
    return replace(source, target, **more)
os.replace = full
"""
    full = tmp_path / "full"
    full.touch()
    env = patched(tmp_path, code) | {"FULL": str(full)}
    done = run(*command(tones_folder, tmp_path, *TWO, "--name", "disk"), env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert "--resume" in done.stderr.splitlines()[-1]
    full.unlink()
    done = run(*SCRIPT, "--resume", str(tmp_path / "disk"), "--no-dashboard", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_results(tmp_path / "disk").trials["reason"].tolist() == ["finished", "finished"]


@pytest.mark.parametrize("times", [1, 2])
def test_interrupted_it_leaves_tables_and_goes_on(tones_folder: Path, tmp_path: Path, times: int) -> None:
    process = start(*command(tones_folder, tmp_path, *TWO, "--name", "interrupted", "--set", "epochs=60"))
    folder = tmp_path / "interrupted"
    wait_for_events(folder / FILE, 6)
    for _ in range(times):
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.3)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert f"--resume {folder}" in output or "--resume" in output
    assert last_run(folder)["how"] == "interrupted"
    assert (folder / "tables").is_dir()
    load_results(folder)


def test_two_sweeps_at_once_share_one_cache(tones_folder: Path, tmp_path: Path) -> None:
    env = os.environ | {"ESC50TUNE_CACHE": str(tmp_path / "cache")}
    lines = [command(tones_folder, tmp_path, *TWO, "--max-concurrent", "1", "--name", name) for name in ("a", "b")]
    both = [subprocess.Popen(line, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for line in lines]
    assert [process.communicate(timeout=240) and process.returncode for process in both] == [0, 0]
    first, second = (load_results(tmp_path / name).trials for name in ("a", "b"))
    assert first[["val_acc", "val_loss"]].equals(second[["val_acc", "val_loss"]])


def test_a_sweep_that_runs_cannot_be_resumed_beside_it(tones_folder: Path, tmp_path: Path) -> None:
    process = start(*command(tones_folder, tmp_path, *TWO, "--name", "running", "--set", "epochs=200"))
    try:
        wait_for_events(tmp_path / "running" / FILE, 4)
        done = run(*SCRIPT, "--resume", str(tmp_path / "running"), "--no-dashboard")
        assert done.returncode == 2
        assert "is being run by another process" in done.stderr
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_cache_that_is_cut_or_gone_stops_the_sweep_with_a_sentence(tones_folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    env = os.environ | {"ESC50TUNE_CACHE": str(cache)}
    assert run(*command(tones_folder, tmp_path, *TWO, "--name", "whole"), env=env).returncode == 0
    (folder,) = (path for path in (cache / "clips").iterdir() if path.is_dir())
    fold = folder / "fold-2.npy"
    fold.write_bytes(fold.read_bytes()[:500])
    done = run(*command(tones_folder, tmp_path, *TWO, "--name", "cut"), env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"remove '{folder}'" in done.stderr
    assert sys.getsizeof(done.stderr) < 2_000
