"""The sweep without Ray: deals trials, takes in their epochs, says when one ends. All of it goes through the log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from esc50tune.errors import UserError
from sweeps.arms import Arm, trial_seed
from sweeps.events import EventLog
from sweeps.failure import Failure
from sweeps.halving import judged
from sweeps.search import next_point
from sweeps.state import SweepState, Trial

LOSSES = 3  # so often in a row a trial may lose its process before it counts as failed


class Dealer(ABC):
    """Deals trials, and writes down what comes of them. Trials that an earlier run of the sweep left are dealt first.

    Args:
        log: where events go; it must tell `state` of each.
        state: what the events add up to.
        budget: seconds, all runs of the sweep together, after which no trial goes on; None for no limit.

    Attributes:
        trouble: what stopped the sweep, where something did: Tune would wrap it in an error of its own.
    """

    trouble: UserError | None

    def __init__(self, log: EventLog, state: SweepState, budget: float | None = None) -> None:
        self.log, self.state, self.budget = log, state, budget
        self.interrupted, self._busy, self.trouble = False, False, None
        for trial in state.unended:
            self.settle(trial)  # the run may have been killed between an epoch's event and the end's
        self.again = {trial.number for trial in state.unended if not trial.waiting}

    @abstractmethod
    def next_deal(self, number: int) -> dict[str, Any] | None:
        """Return the `deal` event of trial `number`: its arm, its configuration; None when all are dealt."""

    def interrupt(self, *_: object) -> None:
        """Take in a Ctrl-C. Raised within Ray it may be lost, so it is raised again at the next call."""
        self.interrupted = True
        if not self._busy:
            raise KeyboardInterrupt

    def check_interrupt(self) -> None:
        if self.interrupted:
            raise KeyboardInterrupt

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """Put a Ctrl-C off until what is inside is done.

        Within a search's compiled code it would be printed and ignored, and a wrong point dealt; between the writing of
        an event and the telling of it, `state` would miss it.
        """
        self.check_interrupt()
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
        self.check_interrupt()

    @property
    def out_of_time(self) -> bool:
        return self.budget is not None and self.log.elapsed >= self.budget

    @property
    def done(self) -> bool:
        """Whether no trial will be dealt any more, come what may."""
        return self.out_of_time or not self.state.unended

    def deal(self) -> Trial | None:
        """Deal the next trial; None while none is to be dealt."""
        with self.undisturbed():
            if self.out_of_time:
                return None
            if self.again:
                number = min(self.again)  # in an order that does not tell whether the sweep was cut
                self.again.remove(number)
                return self.state.trials[number]
            number = len(self.state.trials)
            fields = self.next_deal(number)
            if fields is None:
                return None
            self.log.append("deal", trial=number, **fields)
            return self.state.trials[number]

    def record(self, number: int, result: dict[str, Any]) -> bool:
        """Take in an epoch's result; tell whether the trial goes on now.

        Raises:
            RuntimeError: it is not the epoch after the last one.
        """
        with self.undisturbed():
            trial = self.state.trials[number]
            if result["epoch"] != len(trial.epochs) + 1:
                raise RuntimeError(f"trial {number} reports epoch {result['epoch']} after epoch {len(trial.epochs)}")
            self.log.append("epoch", trial=number, arm=trial.arm, **result)
            self.settle(trial)
            goes_on = trial.reason is None and not trial.waiting
            if not goes_on:
                self.judge(trial.arm)
            return goes_on and not self.out_of_time

    @abstractmethod
    def judge(self, arm: str) -> None:
        """End the wait of an arm's trials, if it is over."""

    def settle(self, trial: Trial) -> None:
        """End the trial if its newest epoch says so."""
        reason = self.state.verdict(trial.number)
        if reason is not None:
            self.log.append("end", trial=trial.number, arm=trial.arm, reason=reason, epochs=len(trial.epochs))

    def fail(self, number: int, failure: Failure) -> None:
        """Take in that a trial failed: it is dealt again, or ends.

        Raises:
            UserError: it is no fault of the trial, and the next one would fail as well.
        """
        with self.undisturbed():
            trial = self.state.trials[number]
            if failure.kind == "storage":
                raise UserError(f"trial {number} ({trial.arm}) cannot read or write its files: {failure.text}")
            change = self.second_try(trial, failure.kind)
            if change is None:
                often = f"its process was lost {LOSSES} times in one epoch: " if failure.kind == "lost" else ""
                end = {"reason": "error", "epochs": len(trial.epochs), "error": often + failure.text}
                self.log.append("end", trial=number, arm=trial.arm, **end)
                self.judge(trial.arm)
            else:
                why = {"kind": failure.kind, "error": failure.summary}
                self.log.append("retry", trial=number, arm=trial.arm, epochs=len(trial.epochs), **why, config=change)
                self.again.add(number)

    @staticmethod
    def second_try(trial: Trial, kind: str) -> dict[str, Any] | None:
        """Return what to change for another try from the last epoch on, or None for no further one.

        A process that is lost twice before the next epoch may have been killed for its memory.
        """
        parts = trial.config.get("batch_parts", 1)  # the knob is younger than some logs
        halved = parts > 1 or trial.config["batch_size"] < 4  # norms over a batch take two clips and more
        half = {"batch_parts": 2}
        lost = sum(event["kind"] == "lost" and event["epochs"] == len(trial.epochs) for event in trial.retries)
        if kind == "node":
            return {}
        if kind == "memory":
            return None if halved else half
        if kind == "lost" and lost < LOSSES - 1:
            return half if lost and not halved else {}
        return None


class Driver(Dealer):
    """Deals a sweep's trials to its arms in turn; each is judged against its own arm alone.

    Args:
        arms: the arms, in the order of the tables.
        total: how many trials to deal.
        search: 'sobol', 'tpe' or 'random'.
        seed: the sweep's seed.
        log: where events go; it must tell `state` of each.
        state: what the events add up to.
        budget: as in `Dealer`.
    """

    def __init__(
        self,
        arms: list[Arm],
        total: int,
        search: str,
        seed: int,
        log: EventLog,
        state: SweepState,
        budget: float | None = None,
    ) -> None:
        super().__init__(log, state, budget)
        self.arms, self.total, self.search, self.seed = arms, total, search, seed
        for arm in arms:  # the run may have been killed between what ended a wait and its end
            self.judge(arm.name)
        self.again = {trial.number for trial in state.unended if not trial.waiting}

    def next_deal(self, number: int) -> dict[str, Any] | None:
        if number >= self.total:
            return None
        arm, index = self.arms[number % len(self.arms)], number // len(self.arms)
        sampled = next_point(arm, self.search, self.seed, index, self.state.of_arm(arm.name))
        config = arm.config(sampled, trial_seed(self.seed, index)).to_flat()
        return {"arm": arm.name, "sampled": sampled, "config": config}

    def judge(self, arm: str) -> None:
        planned = self.total // len(self.arms)
        for trial, goes_on in judged(self.state.of_arm(arm), planned, self.state.epochs[arm]):
            told = {"trial": trial.number, "arm": arm, "epochs": len(trial.epochs)}
            if goes_on:
                self.log.append("promote", **told)
                self.again.add(trial.number)
            else:
                self.log.append("end", **told, reason="stopped")

    @property
    def left(self) -> int:
        """How many trials have not ended, dealt or not."""
        return self.total - sum(trial.reason is not None for trial in self.state.trials.values())
