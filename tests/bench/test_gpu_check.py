"""The check of a GPU machine: its parts run, fail and time out as told; the real one is only for such a machine."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
import torch

from bench import gpu_check
from bench.gpu_check import Part, print_parts, run_part
from esc50tune.errors import UserError
from sweeps.console import Console

CELLS = [f"the figure of column {number}" for number in range(9)]
TABLE = {"title": "How fast", "columns": CELLS, "rows": [CELLS], "notes": ["A note."], "figures": {}}


@pytest.mark.parametrize(
    ("code", "result", "says"),
    [
        ("print('one'); print('12 passed')", "passed", "12 passed"),
        ("import sys; print('3 failed'); sys.exit(1)", "failed", "3 failed"),
        ("import time; print('begun', flush=True); time.sleep(60)", "out of time", "begun"),
    ],
)
def test_a_part_tells_how_it_ended(tmp_path: Path, code: str, result: str, says: str) -> None:
    part = run_part(["-c", code], tmp_path, 5.0 if result == "out of time" else 60.0, lambda: {"x": 1})
    assert (part.result, part.says) == (result, says)
    assert part.figures == ({"x": 1} if result == "passed" else None)


def test_without_ray_the_sweep_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []
    monkeypatch.setattr(gpu_check, "find_spec", lambda name: None)
    monkeypatch.setattr(gpu_check, "run_part", lambda command, *_: ran.append(command) or Part("passed"))
    parts = gpu_check.check(tmp_path)
    assert parts["sweep"] == Part("left out", says="Ray is not installed")
    assert [command[1:3] for command in ran] == [
        ["pytest", "tests/gpu"],
        *(["bench", name] for name in gpu_check.BENCHMARKS),
    ]


def test_all_parts_together_take_at_most_nine_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limits = []
    monkeypatch.setattr(gpu_check, "run_part", lambda _, __, seconds, *___: limits.append(seconds) or Part("passed"))
    assert list(gpu_check.check(tmp_path)) == list(gpu_check.SECONDS)
    assert sum(limits) <= 9 * 60


def test_the_tables_have_every_part_and_whole_what_was_measured() -> None:
    parts = {name: Part("passed", 3.0, "12 passed") for name in gpu_check.SECONDS}
    parts["steps"] = Part("passed", 100.0, "said", TABLE)
    parts["sweep"] = Part("out of time", 90.0, "[3/12] mixup")
    said = io.StringIO()
    print_parts(parts, Console(file=said))
    text = said.getvalue()
    assert all(word in text for word in ("12 passed", "out of time", "[3/12] mixup", "How fast", "A note."))
    assert all(text.count(cell) == 2 for cell in CELLS)


def test_a_short_sweeps_figures_are_read_from_its_log(tmp_path: Path) -> None:
    events = [{"event": "epoch", "seconds": 0.5, "clock": 2.0}, {"event": "end", "reason": "stopped", "clock": 3.0}]
    (tmp_path / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (tmp_path / "manifest.json").write_text(json.dumps({"resources": {"share": {"slots": 4}}}))
    assert gpu_check.sweep_figures(tmp_path) == {
        "ends": {"stopped": 1},
        "slots": 4,
        "epochs": 1,
        "trained_seconds": 0.5,
        "wall_seconds": 3.0,
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gpu_check"])
    with pytest.raises(UserError, match="no GPU here"):
        gpu_check.main()
