"""`make` where nothing must be installed: what it removes, and what it says where there is nothing to go on with."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.sweeps.scripts import ROOT

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the project's Makefile and an environment that is made already."""
    for name in ("requirements.txt", "Makefile"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed").touch()
    return tmp_path


def make(place: Path, target: str) -> subprocess.CompletedProcess:
    above = ("MAKEFLAGS", "MAKELEVEL")  # of `make test`
    own = {name: value for name, value in os.environ.items() if name not in above}
    return subprocess.run(["make", target], cwd=place, env=own, capture_output=True, text=True, timeout=30)


def test_without_a_sweep_resume_says_what_starts_one(place: Path) -> None:
    done = make(place, "resume")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no sweep in results/ to go on with; `make sweep` starts one\n")


def test_resume_takes_the_sweep_that_ran_last_whatever_was_written_beside_it_since(place: Path) -> None:
    for age, name in enumerate(("new", "old")):
        manifest = place / "results" / name / "manifest.json"
        manifest.parent.mkdir(parents=True)
        manifest.touch()
        os.utime(manifest, (1e9 - age, 1e9 - age))
    (place / "results" / "old" / "report").mkdir()
    assert '--resume "results/new"' in make(place, "resume").stdout


def test_clean_keeps_results_and_recordings_and_says_so(place: Path) -> None:
    for name in ("results/x/events.jsonl", "data/ESC-50/meta/esc50.csv", "sweeps/__pycache__/x.pyc"):
        (place / name).parent.mkdir(parents=True)
        (place / name).touch()
    done = make(place, "clean")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1].startswith("kept: results/ and data/")
    left = sorted(str(path.relative_to(place)) for path in place.rglob("*") if path.is_file())
    assert left == ["Makefile", "data/ESC-50/meta/esc50.csv", "requirements.txt", "results/x/events.jsonl"]


def test_help_names_every_target_in_lines_that_fit_a_terminal(place: Path) -> None:
    done = make(place, "help")
    assert (done.returncode, done.stderr) == (0, "")
    told = [line.split()[1] for line in done.stdout.splitlines()]
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    assert sorted(told) == sorted(targets)
    assert all(len(line) <= 100 for line in done.stdout.splitlines())
