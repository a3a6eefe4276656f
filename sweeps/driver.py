"""The sweep without Ray: deals trials, takes in their epochs, says when one ends. All of it goes through the log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from sweeps.arms import Arm, trial_seed
from sweeps.events import EventLog
from sweeps.search import next_point
from sweeps.state import SweepState, Trial


class Dealer(ABC):
    """Deals trials, and writes down what comes of them.

    Args:
        log: where events go; it must tell `state` of each.
        state: what the events add up to.
    """

    def __init__(self, log: EventLog, state: SweepState) -> None:
        self.log, self.state = log, state

    @abstractmethod
    def next_deal(self, number: int) -> dict[str, Any] | None:
        """Return the `deal` event of trial `number`: its arm, its configuration; None when all are dealt."""

    def deal(self) -> Trial | None:
        """Deal the next trial; None when all are dealt."""
        number = len(self.state.trials)
        fields = self.next_deal(number)
        if fields is None:
            return None
        self.log.append("deal", trial=number, **fields)
        return self.state.trials[number]

    def record(self, number: int, result: dict[str, Any]) -> bool:
        """Take in an epoch's result; tell whether the trial goes on."""
        trial = self.state.trials[number]
        self.log.append("epoch", trial=number, arm=trial.arm, **result)
        reason = self.state.verdict(number)
        if reason is not None:
            self.log.append("end", trial=number, arm=trial.arm, reason=reason, epochs=len(trial.epochs))
        return reason is None

    def fail(self, number: int, error: str) -> None:
        """Take in that a trial raised an error or lost its process."""
        trial = self.state.trials[number]
        if trial.reason is None:
            self.log.append("end", trial=number, arm=trial.arm, reason="error", epochs=len(trial.epochs), error=error)


class Driver(Dealer):
    """Deals a sweep's trials to its arms in turn; each is judged against its own arm alone.

    Args:
        arms: the arms, in the order of the tables.
        total: how many trials to deal.
        search: 'sobol', 'tpe' or 'random'.
        seed: the sweep's seed.
        log: where events go; it must tell `state` of each.
        state: what the events add up to.
    """

    def __init__(self, arms: list[Arm], total: int, search: str, seed: int, log: EventLog, state: SweepState) -> None:
        super().__init__(log, state)
        self.arms, self.total, self.search, self.seed = arms, total, search, seed

    def next_deal(self, number: int) -> dict[str, Any] | None:
        if number >= self.total:
            return None
        arm, index = self.arms[number % len(self.arms)], number // len(self.arms)
        sampled = next_point(arm, self.search, self.seed, index, self.state.of_arm(arm.name))
        config = arm.config(sampled, trial_seed(self.seed, index)).to_flat()
        return {"arm": arm.name, "sampled": sampled, "config": config}
