"""Recorded learning curves, to replay searches on. Each file is of a sweep whose trials all ran their full schedule.

`esc10.csv`: `python sweeps/regularization.py --num-samples 64 --scheduler none` on ESC-10, 400 real recordings; preset
small, 8 arms of 8 trials of 60 epochs, judged on the 80 clips of fold 4. `python -m bench.curves` makes such a file.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from esc50tune.errors import UserError

ESC10 = Path(__file__).with_name("esc10.csv")


class Curve(NamedTuple):
    """What a trial came to after each of its epochs.

    Attributes:
        arm: name of its arm.
        trial: its number in the sweep.
        accuracies: share of the validation clips classified right.
        losses: loss on them; it breaks ties.
    """

    arm: str
    trial: int
    accuracies: list[float]
    losses: list[float]


def full_curves(events: Sequence[dict[str, Any]]) -> list[Curve]:
    """Return the curves of the trials that ran in full, of a log's events.

    Raises:
        UserError: there are none, or they are of several lengths.
    """
    finished = [event["trial"] for event in events if event["event"] == "end" and event["reason"] == "finished"]
    curves: dict[int, Curve] = {}
    for event in events:
        if event["event"] == "deal":
            curves[event["trial"]] = Curve(event["arm"], event["trial"], [], [])
        elif event["event"] == "epoch":
            curves[event["trial"]].accuracies.append(event["val_acc"])
            curves[event["trial"]].losses.append(event["val_loss"])
    full = [curves[trial] for trial in sorted(finished)]
    if not full:
        raise UserError("no trial of this log ran in full")
    lengths = sorted({len(curve.accuracies) for curve in full})
    if len(lengths) > 1:
        raise UserError(
            f"arms have schedules of {', '.join(map(str, lengths))} epochs: no search can be replayed on them"
        )
    return full


def write_curves(path: Path, curves: Sequence[Curve]) -> None:
    """Write a row a trial: arm, trial, then accuracy and loss after each epoch, with four digits."""
    epochs = range(1, len(curves[0].accuracies) + 1)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arm", "trial", *(f"{name}_{epoch}" for epoch in epochs for name in ("acc", "loss"))])
        for curve in curves:
            pairs = zip(curve.accuracies, curve.losses, strict=True)
            writer.writerow([curve.arm, curve.trial, *(f"{number:.4f}" for pair in pairs for number in pair)])


def read_curves(path: Path) -> dict[str, list[Curve]]:
    """Read what `write_curves` wrote: the curves of each arm."""
    arms: dict[str, list[Curve]] = {}
    with path.open(newline="") as file:
        _, *rows = csv.reader(file)
    for arm, trial, *numbers in rows:
        accuracies, losses = ([float(number) for number in numbers[first::2]] for first in (0, 1))
        arms.setdefault(arm, []).append(Curve(arm, int(trial), accuracies, losses))
    return arms
