"""What the events of a sweep add up to: each trial's epochs and end, each arm's rungs and history."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sweeps.events import Event
from sweeps.halving import rung_epoch
from sweeps.ladder import Ladder


@dataclass
class Trial:
    """One dealt trial.

    Attributes:
        number: its number in the sweep, 0 first.
        arm: name of its arm.
        dealt: its `deal` event.
        config: its full configuration, with what its retries changed.
        epochs: its `epoch` events so far.
        retries: its `retry` events: it lost its process, or ran out of memory.
        waiting: it is put aside at a rung, until those of its arm that go on from there are known.
        reason: why it ended: 'finished', 'stopped', 'diverged' or 'error'; None before.
        error: the traceback where it ended with an error.
    """

    number: int
    arm: str
    dealt: Event
    config: dict[str, Any]
    epochs: list[Event] = field(default_factory=list)
    retries: list[Event] = field(default_factory=list)
    waiting: bool = False
    reason: str | None = None
    error: str | None = None

    @property
    def sampled(self) -> dict[str, float]:
        """The values that the search chose; empty for an arm's default setting."""
        return self.dealt["sampled"]

    @property
    def score(self) -> float | None:
        """Accuracy at the end of the full schedule: on the test fold in the second phase, else on the validation fold.

        0 if it diverged; None if it never got there.
        """
        if self.reason == "diverged":
            return 0.0
        return self.epochs[-1].get("test_acc", self.epochs[-1]["val_acc"]) if self.reason == "finished" else None


class SweepState:
    """Folds events, one by one, into trials and ladders.

    Args:
        epochs: length of the full schedule of each arm, by name.
        scheduler: 'halving', 'asha', or 'none' where all trials run in full.

    Attributes:
        trials: by number.
    """

    def __init__(self, epochs: dict[str, int], scheduler: str) -> None:
        self.epochs, self.scheduler = epochs, scheduler
        self.trials: dict[int, Trial] = {}
        self.ladders = {arm: Ladder(length) for arm, length in epochs.items()} if scheduler == "asha" else {}
        self._goes_on: dict[int, bool] = {}

    def apply(self, event: Event) -> None:
        """Take in the next event of the log."""
        number = event["trial"]
        if event["event"] == "deal":
            self.trials[number] = Trial(number, event["arm"], event, event["config"])
        elif event["event"] == "epoch":
            trial = self.trials[number]
            trial.epochs.append(event)
            ladder = self.ladders.get(trial.arm)
            self._goes_on[number] = ladder is None or ladder.goes_on(number, event["epoch"], event["val_acc"])
            at_rung = self.scheduler == "halving" and event["epoch"] in self.rungs(trial.arm)
            trial.waiting = at_rung and not event["diverged"]
        elif event["event"] == "promote":
            self.trials[number].waiting = False
        elif event["event"] == "retry":
            trial = self.trials[number]
            trial.retries.append(event)
            trial.config = trial.config | event["config"]
        elif event["event"] == "end":
            trial = self.trials[number]
            trial.reason, trial.error, trial.waiting = event["reason"], event.get("error"), False

    def rungs(self, arm: str) -> list[int]:
        """Return the epochs after which an arm's trials are judged, but for their last."""
        if self.scheduler == "halving":
            return [rung for rung in [rung_epoch(self.epochs[arm])] if rung < self.epochs[arm]]
        return list(self.ladders[arm].rungs) if arm in self.ladders else []

    def verdict(self, number: int) -> str | None:
        """Return why the trial must end after its newest epoch, if it has any, or None if it goes on."""
        trial = self.trials[number]
        if not trial.epochs:
            return None
        last = trial.epochs[-1]
        if last["diverged"]:
            return "diverged"
        if last["epoch"] >= self.epochs[trial.arm]:
            return "finished"
        return None if self._goes_on[number] else "stopped"

    @property
    def unended(self) -> list[Trial]:
        """The trials that were dealt and have not ended, in the order of their numbers."""
        return [trial for trial in self.trials.values() if trial.reason is None]

    def of_arm(self, arm: str) -> list[Trial]:
        return [trial for trial in self.trials.values() if trial.arm == arm]
