"""The live table: trials by state for each arm, the best so far, time gone and left."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rich import box
from rich.live import Live
from rich.table import Table

from sweeps.console import Console, clock, percent, say
from sweeps.events import Event
from sweeps.state import SweepState, Trial

LOST = {"lost": "lost its process", "node": "lost its machine", "memory": "ran out of memory"}  # kinds of retries
# heading -> reason for which a trial ended
STATES = {"full": "finished", "stop": "stopped", "div.": "diverged", "fail": "error"}


class Progress:
    """Shows a sweep while it runs: a table in a terminal, elsewhere a plain line for each trial that ends, waits, or is
    tried again.

    Args:
        state: what the events add up to.
        total: trials in all.
        slots: trials at a time.
        console: where to show it.
        summary: heading of the column that sums up an arm's scores, and how.
    """

    def __init__(
        self,
        state: SweepState,
        total: int,
        slots: int,
        console: Console,
        summary: tuple[str, Callable[[Sequence[float]], float]] = ("best val", max),
    ) -> None:
        self.state, self.total, self.slots, self.console, self.summary = state, total, slots, console, summary
        self.start = time.monotonic()
        self._live = (
            Live(console=console, get_renderable=self.table, refresh_per_second=2) if console.is_terminal else None
        )

    def __enter__(self) -> Progress:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def on_event(self, event: Event) -> None:
        """Take in an event that `state` has taken in."""
        trial = self.state.trials[event["trial"]]
        told = news(event, trial)
        if told and not self._live:
            ended = sum(t.reason is not None for t in self.state.trials.values())
            say(self.console, f"[{ended}/{self.total}] {trial.arm} #{trial.number} {told}; {self.times()}")

    def times(self) -> str:
        elapsed = time.monotonic() - self.start
        left = self.seconds_left()
        return f"{clock(elapsed)} gone" + (f", at most {clock(left)} left" if left is not None else "")

    def seconds_left(self) -> float | None:
        """Return the time left if no further trial is stopped early, from each arm's mean epoch so far."""
        trials = list(self.state.trials.values())
        seconds = {arm: mean_seconds(self.state.of_arm(arm)) for arm in self.state.epochs}
        known = [value for value in seconds.values() if value is not None]
        if not known:
            return None
        usual = sum(known) / len(known)
        per_arm = self.total // len(self.state.epochs)
        left = 0.0
        for arm, length in self.state.epochs.items():
            mine = [trial for trial in trials if trial.arm == arm]
            epochs = sum(length - len(trial.epochs) for trial in mine if trial.reason is None)
            left += (epochs + length * (per_arm - len(mine))) * (seconds[arm] or usual)
        return left / self.slots

    def table(self) -> Table:
        trials = list(self.state.trials.values())
        table = Table(caption=self.times(), caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        table.add_column("arm", no_wrap=True)
        for name in ("wait", "run", "rung", *STATES, "epochs", self.summary[0]):
            table.add_column(name, justify="right", no_wrap=True)
        per_arm = self.total // len(self.state.epochs)
        for arm in self.state.epochs:
            mine = [trial for trial in trials if trial.arm == arm]
            counts = [str(sum(t.reason == reason for t in mine) or "") for reason in STATES.values()]
            here = [t.waiting for t in mine if t.reason is None]
            counts = [str(here.count(waiting) or "") for waiting in (False, True)] + counts
            scores = [trial.score for trial in mine if trial.score is not None]
            best = percent(self.summary[1](scores)) if scores else ""
            table.add_row(arm, str(per_arm - len(mine) or ""), *counts, str(sum(len(t.epochs) for t in mine)), best)
        return table


def news(event: Event, trial: Trial) -> str:
    """Return what an event says of its trial, which has taken it in; nothing where that goes on as it did."""
    if event["event"] == "retry":
        return f"{LOST[event['kind']]} after epoch {event['epochs']}, and is tried again"
    return outcome(trial) if event["event"] == "end" or (event["event"] == "epoch" and trial.waiting) else ""


def outcome(trial: Trial) -> str:
    if trial.reason == "error":
        return "FAILED"
    epochs = len(trial.epochs)
    if trial.reason == "diverged":
        return f"diverged in epoch {epochs}"
    last = trial.epochs[-1]
    scored = f"test {percent(last['test_acc'])}" if "test_acc" in last else f"validation {percent(last['val_acc'])}"
    return f"{trial.reason or 'waits'} at epoch {epochs}, {scored}"


def mean_seconds(trials: Sequence[Trial]) -> float | None:
    seconds = [event["seconds"] for trial in trials for event in trial.epochs]
    return sum(seconds) / len(seconds) if seconds else None
