"""Runs the real scripts, as a user types them, on data and models that take no time."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import SMALL

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {**SMALL, "epochs": 4, "convnext_depths": "1,1"}
SCRIPT = [sys.executable, str(ROOT / "sweeps" / "regularization.py")]
CONFIRM = [sys.executable, str(ROOT / "sweeps" / "confirm.py")]


def command(
    data: Path, results: Path, *more: str, script: str = "regularization", settings: dict[str, Any] = SETTINGS
) -> list[str]:
    fixed = [part for knob, value in settings.items() for part in ("--set", f"{knob}={value}")]
    line = [sys.executable, str(ROOT / "sweeps" / f"{script}.py")]
    return [*line, "--data", str(data), "--results", str(results), *fixed, *more]


def run(*line: str, **more: Any) -> subprocess.CompletedProcess:
    return subprocess.run(line, cwd=ROOT, capture_output=True, text=True, **more)


def start(*line: str, **more: Any) -> subprocess.Popen:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(line, cwd=ROOT, text=True, start_new_session=True, **pipes, **more)


def run_here(*line: str) -> int:
    """Run a script's command line in this process, which has imported what takes a new one seconds: its exit code."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", list(line[1:]))
        patch.setattr(sys, "path", ["", *sys.path])  # the script replaces the first one
        patch.chdir(ROOT)
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(line[1], run_name="__main__")
    torch.set_num_threads(threads)
    return ended.value.code


def wait_for_events(path: Path, count: int, kind: str = "") -> None:
    """Wait until a log has `count` events, or so many of one kind."""
    deadline = time.monotonic() + 120
    while not path.is_file() or path.read_text().count(f'"event": "{kind}') < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def patched(tmp_path: Path, code: str, after: str | None = None) -> dict[str, str]:
    """Return an environment in which `code` runs in all of this command's processes, workers included.

    Args:
        tmp_path: where to put what does it.
        code: what runs.
        after: the module after whose import it runs; None for the start of the process.
    """
    if after is not None:
        code = f"""
import builtins
original = __import__
def importing(name, *args, **kwargs):
    module = original(name, *args, **kwargs)
    if name == {after!r}:
        builtins.__import__ = original
        exec({code!r}, {{}})
    return module
builtins.__import__ = importing
"""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(code)
    return {**os.environ, "PYTHONPATH": str(tmp_path / "site")}


def killed_at(what: str, count: int) -> str:
    """Return code with which a command kills its process group by the event that is, or has, `what` for the
    `count`th time: written it is, but nothing has acted on it."""
    return f"""
import os, signal
from sweeps.events import EventLog
append, seen = EventLog.append, []
def counted(self, event, **fields):
    seen.extend(name for name in (event, *fields) if name == {what!r})
    if len(seen) == {count}:
        self.tell = lambda line: os.killpg(0, signal.SIGKILL)
    append(self, event, **fields)
EventLog.append = counted
"""


def slowed(tmp_path: Path, seconds: float) -> dict[str, str]:
    """Return an environment in which each epoch takes so much longer, so that a sweep can be cut where it should be."""
    code = f"""
import time
from esc50tune.trial import Trainer
run_epoch = Trainer.run_epoch
def slow(self):
    time.sleep({seconds})
    return run_epoch(self)
Trainer.run_epoch = slow
"""
    return patched(tmp_path, code, after="sweeps.trainable")
