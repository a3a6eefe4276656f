"""The script that kills a sweep's driver again and again: a short run of it, and that it sees what would be lost."""

from __future__ import annotations

import copy
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.kill_driver import faults
from tests.sweeps.scripts import ROOT, SETTINGS

Log = list[dict]


@pytest.mark.slow
def test_killed_at_random_moments_with_two_trials_at_a_time_nothing_is_lost(tones_folder: Path, tmp_path: Path) -> None:
    fixed = [part for knob, value in (SETTINGS | {"epochs": 60}).items() for part in ("--set", f"{knob}={value}")]
    line = [sys.executable, "tests/faults/kill_driver.py", "--data", str(tones_folder), "--results", str(tmp_path)]
    line += ["--kills", "3", "--max-concurrent", "2", "--", "--arms", "convnext,mixup", "--num-samples", "6", *fixed]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^3 kills, \d+ events: nothing was lost$", done.stdout, re.MULTILINE)


def log() -> Log:
    """Two trials of three epochs, the second in turns with the first."""
    told = [{"event": "deal", "trial": number, "arm": "convnext"} for number in (0, 1)]
    for epoch in (1, 2, 3):
        told += [{"event": "epoch", "trial": number, "epoch": epoch, "val_acc": epoch / 4} for number in (0, 1)]
    told += [{"event": "end", "trial": number, "reason": "finished", "epochs": 3} for number in (0, 1)]
    return [{"seq": seq, **event} for seq, event in enumerate(told)]


def renumbered(events: Log) -> Log:
    return [event | {"seq": seq} for seq, event in enumerate(events)]


def test_another_order_and_another_stop_are_no_faults() -> None:
    killed = log()
    killed[2], killed[3] = killed[3], killed[2]
    stopped = [event for event in killed if (event["trial"], event.get("epoch")) != (1, 3)]
    stopped[-1] = stopped[-1] | {"reason": "stopped", "epochs": 2}
    assert list(faults(log(), renumbered(stopped), in_order=False)) == []
    assert list(faults(log(), renumbered(killed), in_order=True)) == [
        "the events differ from those of the sweep that was left alone"
    ]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda events: events.pop(4), "trial 0 has epochs [1, 3]"),
        (lambda events: events.insert(4, events[2]), "trial 0 has epochs [1, 1, 2, 3]"),
        (lambda events: events[3].update(val_acc=0.9), "epochs [1] of trial 1 came out differently"),
        (lambda events: events.pop(), "trial 1 ended as []"),
        (lambda events: events.append(events[-1]), "trial 1 ended as ['finished', 'finished']"),
        (lambda events: events[-1].update(reason="error"), "trial 1 ended as ['error']"),
        (lambda events: events.insert(1, events[1]), "other trials were dealt"),
        (lambda events: events[1].update(arm="mixup"), "other trials were dealt"),
    ],
)
def test_what_is_lost_doubled_or_different_is_seen(damage: Callable[[Log], object], words: str) -> None:
    killed = copy.deepcopy(log())
    damage(killed)
    assert next(faults(log(), renumbered(killed), in_order=False)) == words


def test_a_lost_line_is_seen() -> None:
    killed = log()
    killed[-1]["seq"] += 1
    assert list(faults(log(), killed, in_order=False)) == ["events are missing or doubled"]
