"""`python -m bench.gpu_check`: all that needs a GPU, in at most nine minutes: tests, benchmarks, and a short sweep.

`make gpu-check` runs it. It works where Ray is not installed, too, and then leaves the sweep out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich import box
from rich.table import Table

from bench.base import Outcome, write_json
from bench.machine import describe_machine, name_machine
from bench.processes import ROOT
from bench.run import print_outcome
from esc50tune.errors import UserError
from sweeps.cli import OneSentenceParser, end_with
from sweeps.console import Console, say

SECONDS = {"tests": 150, "steps": 120, "floor": 60, "packing": 90, "sweep": 90}  # that each part may take
BENCHMARKS = ("steps", "floor", "packing")
SWEEP = ("--arms", "baseline,convnext,mixup,shift", "--num-samples", "12", "--preset", "small", "--set", "epochs=4")
SHARE = 0.25  # of a GPU for each of the sweep's trials


@dataclass(frozen=True)
class Part:
    """What came of one part of the check.

    Attributes:
        result: 'passed', 'failed', 'out of time' or 'left out'.
        seconds: that it took.
        says: its last line, or why it was left out.
        figures: what it measured.
    """

    result: str
    seconds: float = 0.0
    says: str = ""
    figures: dict[str, Any] | None = None


def run_part(arguments: list[str], folder: Path, seconds: float, figures: Callable[[], dict] | None = None) -> Part:
    """Run Python with `arguments` in the repository, for so many seconds at most; its output goes to a file."""
    start, said = time.monotonic(), folder / "said.txt"
    with said.open("w") as file:
        try:
            code = subprocess.run(
                [sys.executable, *arguments], cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, timeout=seconds
            ).returncode
        except subprocess.TimeoutExpired:
            return Part("out of time", time.monotonic() - start, last_line(said))
    told = figures() if figures and not code else None
    return Part("failed" if code else "passed", time.monotonic() - start, last_line(said), told)


def last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def check(folder: Path) -> dict[str, Part]:
    """Run all parts, one after the other."""
    parts = {"tests": run_part(["-m", "pytest", "tests/gpu", "-q"], folder, SECONDS["tests"])}
    parts |= {name: run_benchmark(name, folder) for name in BENCHMARKS}
    if find_spec("ray") is None:
        parts["sweep"] = Part("left out", says="Ray is not installed")
        return parts
    where = ["--gpus-per-trial", str(SHARE), "--no-dashboard", "--results", str(folder), "--name", "sweep"]
    command = ["sweeps/regularization.py", *SWEEP, *where]
    parts["sweep"] = run_part(command, folder, SECONDS["sweep"], lambda: sweep_figures(folder / "sweep"))
    return parts


def run_benchmark(name: str, folder: Path) -> Part:
    measured = folder / f"{name}.json"
    command = ["-m", "bench", name, "--json", str(measured)]
    return run_part(command, folder, SECONDS[name], lambda: json.loads(measured.read_text())[name])


def sweep_figures(folder: Path) -> dict[str, Any]:
    """Return how many trials a sweep ended and how, how many ran at a time, and how long its epochs took."""
    events = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    ends = [event["reason"] for event in events if event["event"] == "end"]
    share = json.loads((folder / "manifest.json").read_text())["resources"]["share"]
    seconds = [event["seconds"] for event in events if event["event"] == "epoch"]
    return {
        "ends": {reason: ends.count(reason) for reason in sorted(set(ends))},
        "slots": share["slots"],
        "epochs": len(seconds),
        "trained_seconds": sum(seconds),
        "wall_seconds": events[-1]["clock"],
    }


def print_parts(parts: dict[str, Part], console: Console) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("part", "result", "seconds", "says"):
        table.add_column(name, justify="right" if name == "seconds" else "left", overflow="fold")
    for name, part in parts.items():
        table.add_row(name, part.result, f"{part.seconds:.0f}", part.says)
    console.print(table)
    for name in BENCHMARKS:
        if parts[name].figures:
            print_outcome(Outcome(**parts[name].figures), console)


def main() -> int:
    parser = OneSentenceParser(prog="python -m bench.gpu_check", description=__doc__, allow_abbrev=False)
    parser.add_argument("--json", type=Path, default=Path("gpu-check.json"), metavar="FILE", help="where figures go")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise UserError("there is no GPU here that torch can use; run it where `nvidia-smi` shows one")
    console, machine = Console(), describe_machine()
    say(console, name_machine(machine))
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # what ran out of time may still write there
        parts = check(Path(folder))
    print_parts(parts, console)
    write_json(args.json, {"machine": machine, "parts": {name: asdict(part) for name, part in parts.items()}})
    say(console, f"figures   {args.json}")
    return 0 if {part.result for part in parts.values()} <= {"passed", "left out"} else 1


if __name__ == "__main__":
    end_with(main)
