"""The README's first hour, walked: its commands in their order, each on what the ones before it left."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from esc50tune.data.synthetic import VERSION
from tests.conftest import SMALL
from tests.docs.pages import ROOT, blocks, commands, copy_of_program, extended

README = (ROOT / "README.md").read_text()
WALK = README.partition("## The first hour")[2].partition("\n## ")[0]
# What makes it short: small models, few epochs, no dashboard. The data and models of a reader take minutes.
SETTINGS = {**SMALL, "epochs": 2, "convnext_depths": "1,1", "clip_seconds": None}
SHORT = [part for knob, value in SETTINGS.items() if value for part in ("--set", f"{knob}={value}")]
LABEL = re.compile(r"^([a-z]+ {2,}|report {4})", re.MULTILINE)


def test_the_stand_in_lies_where_the_readme_takes_it_from() -> None:
    assert f"~/.cache/esc50tune/stand-in-v{VERSION}/audio/*-$c.wav" in WALK


@dataclass
class Walk:
    """Where it was walked, and what each command said, all output together."""

    folder: Path
    said: dict[str, str]


def class_folders(tones: Path, folder: Path) -> None:
    """Sort the clips of the tones, all five folds of them, into one folder a class."""
    for path in sorted((tones / "audio").glob("*-*-[AB]-*.wav")):
        name = ("dog", "rain", "rooster")[int(path.stem[-1])]
        (folder / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, folder / name / path.name)


@pytest.fixture(scope="module")
def walk(tones_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    folder = copy_of_program(tmp_path_factory.mktemp("hour"))
    class_folders(tones_folder, folder / "my-sounds")
    extended(folder, "docs/extend.md", "A regularizer")
    (words,) = (line for line in commands(WALK) if "esc50tune.predict" in line)
    for heard in (folder / word for word in words if word.startswith("my-sounds/")):
        shutil.copy(next(heard.parent.iterdir()), heard)
    said = {}
    for _, *line in commands(WALK):
        more = ["--no-dashboard"] if line[0].startswith("sweeps/") else []
        more += SHORT if line[0] == "sweeps/regularization.py" else []
        done = subprocess.run(
            [sys.executable, *line, *more],
            cwd=folder,
            env={**os.environ, "ESC50_ROOT": str(tones_folder)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, (line, done.stdout + done.stderr)
        said[" ".join(line)] = done.stdout + done.stderr
    return Walk(folder, said)


@pytest.mark.slow
def test_the_hour_ends_with_a_report_and_a_label(walk: Walk) -> None:
    assert (walk.folder / "results" / "mine" / "report" / "index.html").is_file()
    last = list(walk.said.values())[-1].splitlines()[-1]
    assert re.search(r": (dog|rain|rooster) \d+\.\d %", last)


@pytest.mark.slow
def test_each_long_command_names_the_one_that_comes_next(walk: Walk) -> None:
    follows = {
        "sweeps/regularization.py": "sweeps/confirm.py results/mine",
        "sweeps/confirm.py": "-m analysis results/mine",
    }
    for first, following in follows.items():
        (said,) = (said for line, said in walk.said.items() if line.startswith(first) and "\nresults " in said)
        assert said.splitlines()[-1].endswith(f": python {following}")


@pytest.mark.slow
def test_the_own_regularizer_has_an_arm_and_is_confirmed(walk: Walk) -> None:
    index = (walk.folder / "results" / "mine" / "report" / "report.md").read_text()
    assert re.search(r"^- \*\*noise\*\*: ", index, re.MULTILINE)


@pytest.mark.slow
def test_what_the_readme_shows_of_an_output_is_still_in_it(walk: Walk) -> None:
    all_said = "\n".join(walk.said.values())
    shown = [block for _, language, block in blocks(WALK) if not language]
    labels = {label.strip() for block in shown for label in LABEL.findall(block)}
    assert {"data", "folds", "trials", "model", "report"} <= labels
    assert labels <= {label.strip() for label in LABEL.findall(all_said)}
