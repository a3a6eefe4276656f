"""The live table: trials by state for each arm, the best so far, what runs and how fast, what failed, and the times."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Container, Iterator, Sequence

from rich import box
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sweeps.console import Console, clock, percent, say
from sweeps.events import Event
from sweeps.failure import summary
from sweeps.state import SweepState, Trial

LOST = {"lost": "lost its process", "node": "lost its machine", "memory": "ran out of memory"}  # kinds of retries
RUN, FAILED = 8, 3  # so many trials that run, and that failed, are named; a terminal has few lines
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
        queued: numbers of trials that go on, but wait for a place to run; others change it.
    """

    def __init__(
        self,
        state: SweepState,
        total: int,
        slots: int,
        console: Console,
        summary: tuple[str, Callable[[Sequence[float]], float]] = ("best val", max),
        queued: Container[int] = (),
    ) -> None:
        self.state, self.total, self.slots, self.console, self.summary = state, total, slots, console, summary
        self.queued, self.start = queued, time.monotonic()
        self._recent: deque[float] = deque(maxlen=50)  # when the newest epochs ended
        self._live = (
            Live(console=console, get_renderable=self.view, refresh_per_second=2) if console.is_terminal else None
        )

    def __enter__(self) -> Progress:
        if self._live:
            self.console.print()
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()
        self.console.print()

    def on_event(self, event: Event) -> None:
        """Take in an event that `state` has taken in."""
        trial = self.state.trials[event["trial"]]
        if event["event"] == "epoch":
            self._recent.append(time.monotonic())
        told = news(event, trial)
        if told and not self._live:
            ended = sum(t.reason is not None for t in self.state.trials.values())
            say(self.console, f"[{ended}/{self.total}] {called(trial)} {told}; {self.times()}")

    def times(self) -> str:
        elapsed = time.monotonic() - self.start
        left = self.seconds_left()
        return f"{clock(elapsed)} gone" + (f", at most {clock(left)} left" if left is not None else "")

    def seconds_left(self) -> float | None:
        """Return the time left if no further trial is stopped early, from each arm's mean epoch so far."""
        trials = self.trials()
        seconds = {arm: mean_seconds([t for t in trials if t.arm == arm]) for arm in self.state.epochs}
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

    def trials(self) -> list[Trial]:
        """Return the trials so far: others may be dealt while the thread that draws the table looks at them."""
        return list(self.state.trials.values())

    def epochs_a_minute(self) -> float | None:
        """Return how fast the newest epochs came, all trials together; None before the second one of this run."""
        if len(self._recent) < 2:
            return None
        return 60.0 * (len(self._recent) - 1) / (time.monotonic() - self._recent[0])

    def view(self) -> Group:
        """Return all that a terminal shows."""
        return Group(self.table(), "", *self.lines())

    def lines(self) -> Iterator[Text]:
        """Yield what stands below the table: trials that run, those that failed and why, speed and times."""
        trials = self.trials()
        yield from newest([self.running(trial) for trial in trials if self.place(trial) == "run"], RUN)
        failed = [trial for trial in trials if trial.reason == "error"]
        yield from newest([f"FAILED  {called(trial)}: {summary(trial.error or '')}" for trial in failed], FAILED, "red")
        retries = [(trial, event) for trial in trials for event in trial.retries]
        again = [f"again   {called(trial)} {LOST[event['kind']]}: {event['error']}" for trial, event in retries]
        yield from newest(again, FAILED, "yellow")
        speed = self.epochs_a_minute()
        ended = sum(trial.reason is not None for trial in trials)
        yield Text(f"{ended} of {self.total} ended; " + (f"{speed:.3g} epochs/min; " if speed else "") + self.times())

    def place(self, trial: Trial) -> str | None:
        """Return the column in which a trial that has not ended counts."""
        if trial.reason is not None:
            return None
        return "rung" if trial.waiting else "wait" if trial.number in self.queued else "run"

    def running(self, trial: Trial) -> str:
        """Return how far a trial is."""
        length, epochs = self.state.epochs[trial.arm], len(trial.epochs)
        rungs = [rung for rung in self.state.rungs(trial.arm) if rung > epochs]
        last = trial.epochs[-1]["val_acc"] if trial.epochs else None
        score = "" if last is None else f", validation {percent(last)}"
        return f"runs    {called(trial)}: epoch {epochs} of {length}{score}" + (
            f", rung at {rungs[0]}" if rungs else ""
        )

    def table(self) -> Table:
        trials = self.trials()
        table = Table(box=box.HORIZONTALS, show_edge=False, padding=0)  # as the tables at the end
        table.add_column("arm", no_wrap=True)
        for name in ("wait", "run", "rung", *STATES, "epochs", self.summary[0]):
            table.add_column(name, justify="right", no_wrap=True)
        per_arm = self.total // len(self.state.epochs)
        for arm in self.state.epochs:
            mine = [trial for trial in trials if trial.arm == arm]
            counts = [str(sum(t.reason == reason for t in mine) or "") for reason in STATES.values()]
            places = [self.place(trial) for trial in mine]
            waits = per_arm - len(mine) + places.count("wait")
            counts = [str(count or "") for count in (waits, places.count("run"), places.count("rung"))] + counts
            scores = [trial.score for trial in mine if trial.score is not None]
            best = percent(self.summary[1](scores)) if scores else ""
            table.add_row(arm, *counts, str(sum(len(t.epochs) for t in mine)), best)
        return table


def news(event: Event, trial: Trial) -> str:
    """Return what an event says of its trial, which has taken it in; nothing where that goes on as it did."""
    if event["event"] == "retry":
        return f"{LOST[event['kind']]} after epoch {event['epochs']}, and is tried again"
    return outcome(trial) if event["event"] == "end" or (event["event"] == "epoch" and trial.waiting) else ""


def newest(lines: Sequence[str], most: int, style: str = "") -> Iterator[Text]:
    """Yield the last ones of some lines, at most so many, and how many others there are."""
    if len(lines) > most:
        yield Text(f"... and {len(lines) - most} before", style)
    yield from (Text(line, style) for line in lines[-most:])


def called(trial: Trial) -> str:
    return f"{trial.arm} #{trial.number}"


def outcome(trial: Trial) -> str:
    if trial.reason == "error":
        return f"FAILED: {summary(trial.error or '')}"
    epochs = len(trial.epochs)
    if trial.reason == "diverged":
        return f"diverged in epoch {epochs}"
    last = trial.epochs[-1]
    scored = f"test {percent(last['test_acc'])}" if "test_acc" in last else f"validation {percent(last['val_acc'])}"
    if trial.reason != "finished" and last["val_loss"] is not None:  # it may be what a trial is stopped by
        scored += f", loss {last['val_loss']:.3f}"
    return f"{trial.reason or 'waits'} at epoch {epochs}, {scored}"


def mean_seconds(trials: Sequence[Trial]) -> float | None:
    seconds = [event["seconds"] for trial in trials for event in trial.epochs]
    return sum(seconds) / len(seconds) if seconds else None
