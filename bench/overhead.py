"""What a sweep does besides training: this project's sweeps beside Ray Tune's own with OptunaSearch and ASHA."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.base import Options, Outcome
from bench.plain_tune import EPOCHS
from bench.processes import Ran, run_watched

SWEEP = Path(__file__).resolve().parent.parent / "sweeps/regularization.py"
TRIALS = 40
SIDES = ("halving", "asha")  # of this project; plain Tune has ASHA
ARMS = "convnext,dropout,label-smoothing,mixup,shift"
KINDS = {
    "trivial": ("epochs=9", "sample_rate=2000", "clip_seconds=0.5", "logmel_bands=16", "convnext_width=4"),
    "real": ("epochs=6", "convnext_width=64", "convnext_stem_stride=1"),
}


class Epoch(NamedTuple):
    """When a slot trained an epoch, in seconds since 1970; `leg`: which trial, or which part of one that waited."""

    leg: str
    start: float
    end: float


def run(options: Options) -> Outcome:
    """Run each sweep once: they take minutes, whatever `options.rounds` says."""
    figures = {}
    for kind, settings in KINDS.items():
        with TemporaryDirectory() as folder:
            figures[kind] = measure(Path(folder), settings)
    return outcome(figures)


def measure(folder: Path, settings: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return what the sweeps of one kind spent, by side."""
    found = {}
    common = [str(SWEEP), "--arms", ARMS, "--num-samples", str(TRIALS), "--results", str(folder), "--no-dashboard"]
    common += [part for setting in settings for part in ("--set", setting)]
    for side in SIDES:
        ran = run_watched([*common, "--scheduler", side, "--name", side], folder)
        found[side] = account(our_epochs(folder / side / "events.jsonl"), slots_of(folder / side), ran)
    ran = run_watched(["-m", "bench.plain_tune", str(folder / "asha/manifest.json"), str(folder)], folder)
    lines = [json.loads(line) for line in (folder / EPOCHS).read_text().splitlines()]
    found["plain Tune"] = account([Epoch(**line) for line in lines], slots_of(folder / "asha"), ran)
    return found


def slots_of(folder: Path) -> int:
    """Return how many trials a sweep ran at a time."""
    return json.loads((folder / "manifest.json").read_text())["resources"]["share"]["slots"]


def our_epochs(path: Path) -> list[Epoch]:
    """Read when epochs ran from a sweep's log: an epoch's event is written when its report arrives."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    begun = path.stat().st_mtime - events[-1]["clock"]
    waits, epochs = Counter(), []
    for event in events:
        if event["event"] == "promote":
            waits[event["trial"]] += 1
        if event["event"] == "epoch":
            leg = f"{event['trial']} after {waits[event['trial']]} waits"
            epochs.append(Epoch(leg, begun + event["clock"] - event["seconds"], begun + event["clock"]))
    return epochs


def account(epochs: Sequence[Epoch], slots: int, ran: Ran) -> dict[str, float | None]:
    """Return where the time of a sweep's slots went.

    Between the first epoch's start and the last one's end, a slot trains, or reports (between two epochs of a leg),
    or waits at the end for others that still train, or else changes from one leg to the next.
    """
    first, last = min(epoch.start for epoch in epochs), max(epoch.end for epoch in epochs)
    legs: dict[str, list[Epoch]] = {}
    for epoch in sorted(epochs, key=lambda epoch: epoch.start):
        legs.setdefault(epoch.leg, []).append(epoch)
    trained = sum(epoch.end - epoch.start for epoch in epochs)
    reports = [after.start - before.end for leg in legs.values() for before, after in pairwise(leg)]
    tail = sum(last - end for end in sorted(leg[-1].end for leg in legs.values())[-slots:])
    changing = slots * (last - first) - trained - sum(reports) - tail
    elsewhere = ran.cpu_between(first, last)
    return {
        "epochs": len(epochs),
        "legs": len(legs),
        "start_up": first - ran.begun,
        "wall": last - first,
        "trained": trained,
        "epoch": trained / len(epochs),
        "beyond": 1 - trained / (slots * (last - first)),
        "beyond_but_tail": 1 - trained / (slots * (last - first) - tail),
        "report": median(reports),
        "change": changing / max(1, len(legs) - slots),
        "elsewhere": None if elsewhere is None else elsewhere / len(epochs),
    }


def outcome(figures: dict[str, dict[str, dict[str, float | None]]]) -> Outcome:
    rows = [
        (
            f"{kind}, {side}",
            f"{told['start_up']:.1f}",
            *(f"{told[what]:.3f}" for what in ("epoch", "report", "change")),
            "–" if told["elsewhere"] is None else f"{told['elsewhere']:.3f}",
            *(f"{100 * told[what]:.1f}" for what in ("beyond", "beyond_but_tail")),
        )
        for kind, sides in figures.items()
        for side, told in sides.items()
    ]
    return Outcome(
        f"Sweeps of {TRIALS} trials: what they do besides training",
        ("seconds", "start-up", "epoch", "report", "change", "elsewhere", "%", "but tail"),
        rows,
        (
            "Each sweep once, a trial on each core. Epoch: a mean one. Report: from an epoch's end to the next one's",
            "start, with its checkpoint. Change: from a trial's last epoch to the next trial's first. Elsewhere: core-",
            "seconds of the driver and of Ray's own processes per epoch, while trials ran: they take cores from those.",
            "%: share of the slots' time, from the first epoch's start to the last one's end, in which no epoch",
            "trained; but tail: without that of slots that had no trial left while another still trained.",
        ),
        figures,
    )
