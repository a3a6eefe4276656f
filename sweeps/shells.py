"""The thin shells that let Ray Tune ask the driver: which trial next, and does this one go on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from esc50tune.trial import EpochResult
from sweeps.driver import Dealer
from sweeps.state import Trial

EPOCH_FIELDS = [field.name for field in dataclasses.fields(EpochResult)]


class DealingSearcher(Searcher):
    """Hands Tune the trials that the driver deals."""

    def __init__(self, driver: Dealer, fields: Callable[[Trial], dict[str, Any]]) -> None:
        super().__init__(metric="val_acc", mode="max")
        self._driver, self._fields = driver, fields

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        trial = self._driver.deal()
        if trial is None:
            return Searcher.FINISHED
        return {"trial": trial.number, "arm": trial.arm, "config": trial.config, **self._fields(trial)}

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Nothing to do: the driver has the trial's events."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to do: the event log is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        raise RuntimeError("a sweep is never restored from Ray's state")

    def __getstate__(self) -> dict[str, Any]:
        return {}


class ArmScheduler(FIFOScheduler):
    """Passes results to the driver, which judges each trial by its own arm's ladder alone."""

    def __init__(self, driver: Dealer) -> None:
        super().__init__()
        self._driver = driver

    @property
    def metric(self) -> str:
        return "val_acc"

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        # Tune adds many fields of its own.
        told = {n: v for n, v in result.items() if n in EPOCH_FIELDS or n.startswith(("train_", "val_", "test_"))}
        goes_on = self._driver.record(trial.config["trial"], told)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_error(self, controller: Any, trial: Any) -> None:
        self._driver.fail(trial.config["trial"], Path(trial.error_file).read_text().strip())

    def __getstate__(self) -> dict[str, Any]:
        return {}
