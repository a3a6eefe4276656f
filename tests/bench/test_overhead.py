"""Where a sweep's time went: the arithmetic, the reading of logs, and that both kinds of sweep run."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import overhead
from bench.overhead import Epoch, account, our_epochs, outcome
from bench.processes import Ran, cpu_seconds, run_watched
from esc50tune.errors import UserError

# Two slots for 10 s. One: a trains 0-2 and 3-5, c 6-10. Other: b 0-4, then nothing is left for it but d 5-8.
EPOCHS = [Epoch("a", 0, 2), Epoch("b", 0, 4), Epoch("a", 3, 5), Epoch("d", 5, 8), Epoch("c", 6, 10)]


def test_time_is_trained_reported_changed_or_waited_away() -> None:
    ran = Ran(begun=-7.0, cpu=[(-7.0, 0.0), (0.5, 1.0), (9.5, 3.5), (11.0, 9.0)])
    assert account(EPOCHS, 2, ran) == {
        "epochs": 5,
        "legs": 4,
        "start_up": 7.0,
        "wall": 10.0,
        "trained": 15.0,
        "epoch": 3.0,
        "beyond": pytest.approx(5 / 20),
        "beyond_but_tail": pytest.approx(3 / 18),  # from 8 to 10 the second slot has nothing to do
        "report": 1.0,
        "change": pytest.approx((20 - 15 - 1 - 2) / 2),
        "elsewhere": pytest.approx(2.5 / 5),
    }


def test_what_was_not_seen_is_not_told() -> None:
    told = account(EPOCHS, 2, Ran(0.0, []))
    assert told["elsewhere"] is None
    assert outcome({"trivial": {"plain Tune": told}}).rows[0][5] == "–"


def test_a_trial_that_waits_comes_in_legs(tmp_path: Path) -> None:
    events = [
        {"event": "deal", "clock": 1.0, "trial": 0},
        {"event": "epoch", "clock": 3.0, "trial": 0, "seconds": 1.5},
        {"event": "promote", "clock": 5.0, "trial": 0},
        {"event": "epoch", "clock": 8.0, "trial": 0, "seconds": 2.0},
        {"event": "end", "clock": 9.0, "trial": 0},
    ]
    log = tmp_path / "events.jsonl"
    log.write_text("".join(json.dumps(event) + "\n" for event in events))
    os.utime(log, (1009.0, 1009.0))
    assert our_epochs(log) == [Epoch("0 after 0 waits", 1001.5, 1003.0), Epoch("0 after 1 waits", 1006.0, 1008.0)]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")
def test_the_time_of_processes_is_that_of_all_below_but_workers() -> None:
    burn = "import sys, time; end = time.process_time() + 0.5\nwhile time.process_time() < end: pass\n"
    child = (
        f"import subprocess, sys; p = subprocess.Popen([{{name}}, '-c', {burn + 'time.sleep(60)'!r}]{{more}}); p.wait()"
    )
    for name, more, least, most in (
        ("sys.executable", "", 0.5, 9.0),
        ("'ray::it'", ", executable=sys.executable", 0, 0.4),
    ):
        process = subprocess.Popen([sys.executable, "-S", "-c", child.format(name=name, more=more)])
        try:
            deadline = time.monotonic() + 300
            while not least <= cpu_seconds(process.pid) and time.monotonic() < deadline:
                time.sleep(0.1)
            time.sleep(1.5 * (most < 1))
            assert least <= cpu_seconds(process.pid) <= most
        finally:
            subprocess.run(["pkill", "-P", str(process.pid)], check=False)
            process.kill()
            process.wait()
    assert cpu_seconds(process.pid) is None


def test_a_command_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such luck"):
        run_watched(["-c", "import sys; sys.exit('no such luck')"], tmp_path)


def test_both_kinds_of_sweep_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overhead, "TRIALS", 5)
    monkeypatch.setattr(overhead, "SIDES", ("asha",))
    told = overhead.measure(tmp_path, [*overhead.KINDS["trivial"], "epochs=3"])
    assert list(told) == ["asha", "plain Tune"]
    for side in told.values():
        assert side["trained"] > 0 and math.isfinite(side["beyond"]) and side["epochs"] >= 5 and side["report"] > 0
    assert len(outcome({"trivial": told}).rows) == 2
