"""The regularizer, model and feature of docs/extend.md work as they stand there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import SMALL
from tests.docs.pages import ROOT, commands, copy_of_program, extended

PAGE = "docs/extend.md"
# Knobs that a flag of the page settles.
GIVEN = {
    "--base": ("feature", "sample_rate", "logmel_bands", "logmel_frames_per_second"),
    "--feature": ("feature",),
}
# Runs command lines one after the other in one process: a new one takes seconds to import torch.
RUN = """
import json, runpy, sys
for line in json.loads(sys.argv[1]):
    sys.argv = line
    sys.path.insert(0, "")  # the script replaces the first one
    try:
        runpy.run_path(line[0], run_name="__main__")
    except SystemExit as end:
        print("\\nexit code", end.code)
"""


def run_all(lines: list[list[str]], folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", RUN, json.dumps(lines)], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of_program(tmp_path_factory.mktemp("extended"))
    added = extended(folder, PAGE)
    assert added == {f"esc50tune/{path}.py" for path in ("regularizers/noise", "models/tiny", "features/mfcc")}
    return folder


@pytest.mark.slow
def test_every_command_of_the_page_runs(copy: Path, tones_folder: Path) -> None:
    lines = []
    for _, *line in commands((ROOT / PAGE).read_text()):
        if line[0].startswith("sweeps/"):
            settings = SMALL | {"epochs": 2, "convnext_depths": "1,1"}
            for knob in GIVEN.get(next((word for word in line if word in GIVEN), ""), ()):
                del settings[knob]
            fixed = [part for knob, value in settings.items() for part in ("--set", f"{knob}={value}")]
            lines.append([*line, "--data", str(tones_folder), *fixed, *([] if "--debug" in line else ["--dry-run"])])
    told = run_all(lines, copy)
    assert told.count("exit code 0") == len(lines) == 7, told
    for seen in ("arm       noise, ", "lr 0.001, noise 0.1", "arm       tiny, ", "  tiny-logmel "):
        assert seen in told
