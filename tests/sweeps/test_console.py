"""What the scripts print, and what they do when nobody reads it."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from esc50tune.command import shown
from sweeps.console import clock, percent

ROOT = Path(__file__).resolve().parents[2]


def test_a_run_goes_on_when_its_output_is_cut_off(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from sweeps.console import Console, say
console = Console()
for number in range(100_000):
    say(console, f"line {{number}}")
Path({str(tmp_path / "end")!r}).write_text("reached")
"""
    line = f"{shlex.quote(sys.executable)} -c {shlex.quote(code)} | head -1"
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "line 0\n"
    assert done.stderr == ""
    assert (tmp_path / "end").read_text() == "reached"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (75, "1:15"), (3_725, "1:02:05")])
def test_times_read_like_a_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("share", "text"), [(0.2875, "28.8 %"), (0.6125, "61.2 %"), (0.90646, "90.6 %"), (1.0, "100.0 %"), (0.0, "0.0 %")]
)
def test_percents_are_rounded_as_in_the_tables(share: float, text: str) -> None:
    assert percent(share) == text


def test_a_path_is_shown_as_a_user_would_type_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "results" / "x") == "results/x"
    assert shown(Path("/elsewhere/x")) == "/elsewhere/x"
    assert shlex.split(shown(Path("/my data/büro/it's"))) == ["/my data/büro/it's"]
    assert shown(Path("/my data/x")) == "'/my data/x'"
