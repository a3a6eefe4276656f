"""What an import drags in: a trial and its debugging need no Ray, tables need no torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("modules", "needed", "unwanted"),
    [
        ("esc50tune.trial, esc50tune.config", "torch", {"ray", "optuna", "encodec", "sweeps", "analysis"}),
        ("sweeps.debug", "torch", {"ray", "encodec"}),
        (
            "analysis.__main__, analysis.report, analysis.study",
            "analysis",
            {"torch", "torchaudio", "ray", "optuna", "sweeps", "esc50tune"},
        ),
    ],
)
def test_a_part_loads_only_what_it_stands_on(modules, needed, unwanted):
    code = f"import sys, {modules}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert needed in loaded
    assert not loaded & unwanted
