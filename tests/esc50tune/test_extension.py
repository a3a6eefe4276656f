"""A new regularizer is one file and one line: knobs, checks, hooks and the table of knobs follow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "esc50tune"

METHOD = '''"""Plays training clips more quietly."""

from dataclasses import replace

from pydantic import BaseModel

from esc50tune.knobs import Search, knob
from esc50tune.regularizers.base import Regularizer


class Dummy(Regularizer):
    name = "dummy"
    on = {"dummy": 0.5}

    class Knobs(BaseModel):
        dummy: float = knob(0.0, "share taken away", source="none", search=Search(0.1, 0.9), ge=0.0, lt=1.0)

    def on_batch(self, batch, rng):
        return replace(batch, waves=batch.waves * (1.0 - self.config.dummy))
'''

TRIAL = """
import json
import torch
from esc50tune.config import TrialConfig
from esc50tune.data.clips import ClipsInMemory, TrialData
from esc50tune.errors import UserError
from esc50tune.knob_table import knob_table
from esc50tune.trial import Trainer

torch.manual_seed(0)
torch.set_num_threads(1)
clips = ClipsInMemory(torch.randn(6, 1, 64), torch.arange(6) % 3, 3)
raw = {"feature": "raw", "convnext_width": 4, "convnext_depths": [1], "lr": 1e-12, "convnext_form": "seed"}


def epoch(**knobs):
    trainer = Trainer(TrialConfig.from_flat(raw | knobs), TrialData(clips, clips), torch.device("cpu"))
    result = trainer.run_epoch()
    with torch.no_grad():
        logits = [trainer.classifier(level * clips.held) for level in (1.0, 0.5)]
    expected = [torch.nn.functional.cross_entropy(values, clips.labels).item() for values in logits]
    return {"train": result.train_loss, "val": result.val_loss, "whole": expected[0], "half": expected[1]}


try:
    TrialConfig.from_flat({"dummy": 2.0})
except UserError as error:
    refusal = str(error)
rows = [line for line in knob_table().splitlines() if line.startswith("| `dummy` |")]
print(json.dumps({"off": epoch(), "on": epoch(dummy=0.5), "refusal": refusal, "rows": rows}))
"""


def test_a_new_regularizer_is_one_file_and_one_line(tmp_path):
    folder = Path(shutil.copytree(PACKAGE, tmp_path / "esc50tune", ignore=shutil.ignore_patterns("__pycache__")))
    (folder / "regularizers" / "dummy.py").write_text(METHOD)
    index = folder / "regularizers" / "__init__.py"
    lines = index.read_text().splitlines()
    lines.insert(lines.index('    "scale:Scale",'), '    "dummy:Dummy",')
    index.write_text("\n".join(lines))
    run = subprocess.run(
        [sys.executable, "-c", TRIAL],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    off, on = told["off"], told["on"]
    for outcome, heard in ((off, "whole"), (on, "half")):
        assert outcome["train"] == pytest.approx(outcome[heard], rel=1e-5)
        assert outcome["val"] == pytest.approx(outcome["whole"], rel=1e-5)
    assert abs(on["half"] - on["whole"]) > 1e-3
    assert "dummy = 2.0" in told["refusal"]
    assert "less than 1" in told["refusal"]
    assert told["rows"] == ["| `dummy` | 0 | ≥ 0, < 1 |  | 0.5 | 0.1 to 0.9 | share taken away | none |"]
