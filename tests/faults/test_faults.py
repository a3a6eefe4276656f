"""What may happen to a sweep on a machine: the real thing, done to real processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from ray._common.utils import get_system_memory
from ray._private.utils import get_used_memory

from analysis.load import load_results
from esc50tune.data.cache import open_cache
from esc50tune.data.dataset import Dataset
from sweeps.events import FILE
from tests.conftest import RATE, SECONDS
from tests.sweeps.scripts import ROOT, SCRIPT, command, patched, run, slowed, start, wait_for_events

pytestmark = pytest.mark.slow
GB = 10**9
TWO = ["--arms", "convnext,mixup", "--num-samples", "2", "--no-dashboard"]


def last_run(folder: Path) -> dict:
    return json.loads((folder / "manifest.json").read_text())["runs"][-1]


def test_a_trial_killed_with_9_goes_on_and_the_sweep_ends_0(tones_folder: Path, tmp_path: Path) -> None:
    code = """
import os, signal
from esc50tune.trial import Trainer
run_epoch = Trainer.run_epoch
def once(self):
    mark = os.environ["KILLED_ONCE"]
    if self.epoch == 2 and self.config.mixup and not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return run_epoch(self)
Trainer.run_epoch = once
"""
    env = patched(tmp_path, code, after="sweeps.trainable") | {"KILLED_ONCE": str(tmp_path / "killed")}
    done = run(*command(tones_folder, tmp_path, *TWO, "--name", "killed-trial"), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mixup #1 lost its process after epoch 2, and is tried again; " in done.stdout
    assert "tried again: trial 1 (mixup), lost: Worker unexpectedly exits " in done.stdout
    assert "raylet" not in done.stdout + done.stderr  # Ray's own paragraph of advice
    results = load_results(tmp_path / "killed-trial")
    assert results.trials["reason"].tolist() == ["finished", "finished"]
    assert [event["kind"] for event in last_run(tmp_path / "killed-trial")["retries"]] == ["lost"]
    assert run(*command(tones_folder, tmp_path, *TWO, "--name", "whole")).returncode == 0
    whole = load_results(tmp_path / "whole").trials
    assert results.trials[["val_acc", "val_loss"]].equals(whole[["val_acc", "val_loss"]])


def test_out_of_memory_it_tries_once_more_with_half_the_batch(tones_folder: Path, tmp_path: Path) -> None:
    code = """
import torch
from esc50tune.trial import Trainer
add = Trainer.add_gradients
def checked(self, x, batch, size):
    if self.config.mixup and len(x) > 4:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return add(self, x, batch, size)
Trainer.add_gradients = checked
"""
    env = patched(tmp_path, code, after="sweeps.trainable")
    done = run(*command(tones_folder, tmp_path, *TWO, "--name", "memory"), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tried again: trial 1 (mixup), memory:" in done.stdout
    assert load_results(tmp_path / "memory").trials["reason"].tolist() == ["finished", "finished"]


def test_a_trial_that_takes_the_hosts_memory_is_killed_and_tried_once_more_with_half_the_batch(
    tones_folder: Path, tmp_path: Path
) -> None:
    """Ray kills trials when more memory is in use than a threshold: here, 3 GB more than before."""
    code = """
import os, time
import numpy as np
from esc50tune.trial import Trainer
run_epoch = Trainer.run_epoch
def greedy(self):
    if self.config.mixup and self.epoch == 2 and self.config.batch_parts == 1:
        held = []
        while len(held) < 80:  # 8 GB, far beyond the threshold
            held.append(np.ones(10**8, np.uint8))
            time.sleep(0.05)
        raise RuntimeError("nobody stopped me")
    return run_epoch(self)
Trainer.run_epoch = greedy
"""
    env = patched(tmp_path, code, after="sweeps.trainable") | {"RAY_memory_monitor_refresh_ms": "100"}
    for name in ("first", "second", "third"):
        used, every = get_used_memory(), get_system_memory()  # as Ray counts it
        if every - used < 8 * GB:
            pytest.skip("needs 8 GB of free memory")
        env["RAY_memory_usage_threshold"] = f"{(used + 3 * GB) / every:.4f}"
        done = run(*command(tones_folder, tmp_path, *TWO, "--name", name, "--max-concurrent", "1"), env=env)
        retries = last_run(tmp_path / name)["retries"]
        if [retry["trial"] for retry in retries] == [1]:  # else other processes took the 3 GB
            break
    assert done.returncode == 0, done.stdout + done.stderr
    (told,) = (line for line in done.stdout.splitlines() if line.startswith("tried again"))
    assert told.startswith("tried again: trial 1 (mixup), memory: 1 worker(s) were killed due to the node running low")
    assert len(told) < 300
    assert load_results(tmp_path / name).trials["reason"].tolist() == ["finished", "finished"]
    assert [(retry["epochs"], retry["config"]) for retry in retries] == [(2, {"batch_parts": 2})]


# what fails -> what does it, while a file is there, and after which import; what is said of it
FAILING = {
    "a worker, on a full disk": (
        """
import os, resource
from esc50tune.trial import Trainer
save = Trainer.save
def failing(self, *args):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    if self.config.mixup and os.path.exists(os.environ["FAULT"]):
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        save(self, *args)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
Trainer.save = failing
""",
        "sweeps.trainable",
        "trial 1 (mixup) cannot read or write its files: '{folder}/checkpoints/trial-0001.pt': File too large",
    ),
    "the driver, on a disk that turned read-only": (
        """
import errno, os
write = os.write
def failing(file, text):
    if b'"epoch": 2' in text and os.path.exists(os.environ["FAULT"]):
        os.ftruncate = lambda *_: failing(file, text)
        raise OSError(errno.EROFS, "Read-only file system")
    return write(file, text)
os.write = failing
""",
        None,
        "'{folder}/events.jsonl' cannot be written: Read-only file system",
    ),
}


@pytest.mark.parametrize(("code", "after", "words"), FAILING.values(), ids=FAILING)
def test_a_disk_that_cannot_be_written_stops_the_sweep_with_a_sentence_and_it_goes_on_once_it_can(
    tones_folder: Path, tmp_path: Path, code: str, after: str | None, words: str
) -> None:
    fault, folder = tmp_path / "fault", tmp_path / "disk"
    fault.touch()
    env = patched(tmp_path, code, after) | {"FAULT": str(fault)}
    done = run(*command(tones_folder, tmp_path, *TWO, "--name", "disk"), env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    told = words.format(folder=folder)
    assert done.stderr == f"error: {told}; nothing else is lost: mend that, then --resume {folder}\n"
    fault.unlink()
    done = run(*SCRIPT, "--resume", str(folder), "--no-dashboard", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_results(folder).trials["reason"].tolist() == ["finished", "finished"]


def test_a_dashboard_whose_port_is_taken_is_at_another_one(tones_folder: Path, tmp_path: Path) -> None:
    with socket.socket() as opened:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # it may have been closed a moment ago
        with contextlib.suppress(OSError):  # then another process has it
            opened.bind(("127.0.0.1", 8265))
            opened.listen()
        line = command(tones_folder, tmp_path, *TWO[:-1], "--name", "dashboard")
        sweep = start(*line)
        page = None
        for said in sweep.stdout:
            if said.startswith("dashboard http://127.0.0.1:"):
                page = said.split()[1]
                with urllib.request.urlopen(page, timeout=30) as answer:
                    assert b"Ray" in answer.read()
        assert sweep.wait(timeout=60) == 0
    assert page is not None and not page.endswith(":8265")


def test_a_dashboard_that_does_not_start_is_said_to_be_off_and_the_sweep_goes_on(
    tones_folder: Path, tmp_path: Path
) -> None:
    code = """
import sys
if any(part.endswith("dashboard.py") for part in sys.orig_argv):
    sys.exit("no dashboard here")
"""
    line = command(tones_folder, tmp_path, *TWO[:-1], "--name", "dashboard")
    done = run(*line, env=patched(tmp_path, code))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert done.stdout.count("\ndashboard ") == 1
    assert "\ndashboard did not start; the sweep goes on without it" in done.stdout


def test_interrupted_twice_it_leaves_tables_and_goes_on(tones_folder: Path, tmp_path: Path) -> None:
    process = start(*command(tones_folder, tmp_path, *TWO, "--name", "interrupted", "--set", "epochs=60"))
    folder = tmp_path / "interrupted"
    wait_for_events(folder / FILE, 6)
    for _ in range(2):  # the second one falls into what the first one began
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.3)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert "Traceback" not in output
    assert f"--resume {folder}" in output
    assert last_run(folder)["how"] == "interrupted"
    assert (folder / "tables").is_dir()
    load_results(folder)
    done = run(*SCRIPT, "--resume", str(folder), "--no-dashboard")
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_results(folder).trials["reason"].tolist() == ["finished", "finished"]


def test_told_to_end_as_schedulers_do_it_leaves_tables(tones_folder: Path, tmp_path: Path) -> None:
    process = start(*command(tones_folder, tmp_path, *TWO, "--name", "ended", "--set", "epochs=60"))
    folder = tmp_path / "ended"
    wait_for_events(folder / FILE, 6)
    process.terminate()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 130, output
    assert output.splitlines()[-1] == f"go on with: python sweeps/regularization.py --resume {folder} --no-dashboard"
    assert (last_run(folder)["how"], (folder / "tables").is_dir()) == ("interrupted", True)


def test_out_of_time_it_ends_with_3_and_goes_on_with_more_time_and_more_trials(
    tones_folder: Path, tmp_path: Path
) -> None:
    short = ["--set", "epochs=100", "--time-budget", "14s"]
    line = command(tones_folder, tmp_path, *TWO, "--name", "late", *short)
    done = run(*line, env=slowed(tmp_path, 0.5))
    assert done.returncode == 3, done.stdout + done.stderr
    folder = tmp_path / "late"
    assert "out of time: 2 trials have not ended" in done.stdout
    assert done.stdout.splitlines()[-1].endswith(f"--resume {folder} --no-dashboard")
    assert (last_run(folder)["how"], (folder / "tables").is_dir()) == ("out of time", True)
    refused = run(*SCRIPT, "--resume", str(folder), "--time-budget", "2s", "--no-dashboard")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "--time-budget: the sweep has run 0:" in refused.stderr
    done = run(*SCRIPT, "--resume", str(folder), "--time-budget", "1h", "--extend", "2", "--no-dashboard")
    assert done.returncode == 0, done.stdout + done.stderr
    trials = load_results(folder).trials
    assert trials["arm"].tolist() == ["convnext", "mixup"] * 2
    assert set(trials["reason"]) == {"finished", "stopped"}


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


def test_a_cache_that_is_cut_stops_the_sweep_with_a_sentence(
    tones: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESC50TUNE_CACHE", str(tmp_path / "cache"))
    folder = open_cache(tones, RATE, SECONDS).folder
    fold = folder / "fold-2.npy"
    fold.write_bytes(fold.read_bytes()[:500])
    done = run(*command(tones.root, tmp_path, *TWO, "--name", "cut"))
    assert done.returncode == 2, done.stdout + done.stderr
    assert f"remove '{folder}'" in done.stderr
    assert done.stderr.count("\n") == 1


# what becomes of the cache while a trial reads it -> what does that; what is said; whether the user must remove it
SPOILED = {
    "cut": ("for fold in root.glob('clips/*/fold-*.npy'): os.truncate(fold, 500)", "is damaged (", True),
    "deleted": ("shutil.rmtree(root); os.kill(os.getpid(), 9)", "' is gone; it is made again at the next start", False),
}


@pytest.mark.parametrize(("spoil", "words", "remove"), SPOILED.values(), ids=SPOILED)
def test_a_cache_that_is_spoiled_in_mid_run_stops_the_sweep_with_a_sentence_and_it_goes_on(
    tones_folder: Path, tmp_path: Path, spoil: str, words: str, remove: bool
) -> None:
    code = f"""
import os, shutil
from pathlib import Path
from esc50tune.trial import Trainer
run_epoch, root, once = Trainer.run_epoch, Path(os.environ["ESC50TUNE_CACHE"]), Path(os.environ["ONCE"])
def spoiling(self):
    if self.epoch == 2 and not once.exists():
        once.touch()
        {spoil}
    return run_epoch(self)
Trainer.run_epoch = spoiling
"""
    cache, folder = tmp_path / "cache", tmp_path / "spoiled"
    env = patched(tmp_path, code, after="sweeps.trainable")
    env |= {"ONCE": str(tmp_path / "once"), "ESC50TUNE_CACHE": str(cache)}
    done = run(*command(tones_folder, tmp_path, *TWO, "--name", "spoiled", "--max-concurrent", "1"), env=env)
    assert done.returncode == 2, done.stdout + done.stderr
    (said,) = done.stderr.splitlines()
    # Where the plain ConvNeXt goes on from the log-mel that it has, mixup reads the clips.
    assert re.match(r"error: trial [01] \((convnext|mixup)\) cannot read or write its files: ", said)
    assert words in said
    assert said.endswith(f"; nothing else is lost: mend that, then --resume {folder}")
    if remove:
        (named,) = re.findall(r"remove '([^']+)', and it is made again", said)
        shutil.rmtree(named)
    done = run(*SCRIPT, "--resume", str(folder), "--no-dashboard", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert load_results(folder).trials["reason"].tolist() == ["finished", "finished"]
