"""The thin shells that let Ray Tune ask the driver: which trial next, and does this one go on."""

from __future__ import annotations

import dataclasses
import errno
import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from ray import tune
from ray.air.execution._internal import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from esc50tune.errors import UserError
from esc50tune.trial import EpochResult
from sweeps.driver import Dealer
from sweeps.failure import Failure, summary
from sweeps.state import Trial
from sweeps.watched import run_name

# a disk that is full, read-only, not ours, broken or out of reach
STORAGE = {getattr(errno, f"E{name}") for name in ("NOSPC", "DQUOT", "FBIG", "ROFS", "ACCES", "PERM", "IO", "STALE")}
EPOCH_FIELDS = [field.name for field in dataclasses.fields(EpochResult)]


@contextmanager
def remembered(driver: Dealer) -> Iterator[None]:
    """Leave what stops the sweep with the driver."""
    try:
        yield
    except UserError as error:
        driver.trouble = error
        raise


class DealingSearcher(Searcher):
    """Hands Tune the trials that the driver deals."""

    def __init__(self, driver: Dealer, fields: Callable[[Trial], dict[str, Any]]) -> None:
        super().__init__(metric="val_acc", mode="max")
        self._driver, self._fields = driver, fields

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        with remembered(self._driver):
            trial = self._driver.deal()
        if trial is None:  # one that runs may fail and be dealt again
            return Searcher.FINISHED if self._driver.done else None
        told = {"trial": trial.number, "arm": trial.arm, "config": trial.config, "known": len(trial.epochs)}
        return told | self._fields(trial)

    def on_trial_complete(self, trial_id: str, result: dict | None = None, error: bool = False) -> None:
        """Nothing to do: the driver has the trial's events."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing to do: the event log is the only state."""

    def restore(self, checkpoint_path: str) -> None:
        raise RuntimeError("a sweep is never restored from Ray's state")

    def __getstate__(self) -> dict[str, Any]:
        return {}


class ArmScheduler(FIFOScheduler):
    """Passes results to the driver, which judges each trial among those of its own arm alone."""

    def __init__(self, driver: Dealer) -> None:
        super().__init__()
        self._driver = driver

    @property
    def metric(self) -> str:
        return "val_acc"

    def on_trial_result(self, controller: Any, trial: Any, result: dict[str, Any]) -> str:
        # Tune adds many fields of its own.
        told = {n: v for n, v in result.items() if n in EPOCH_FIELDS or n.startswith(("train_", "val_", "test_"))}
        with remembered(self._driver):
            goes_on = self._driver.record(trial.config["trial"], told)
        return TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP

    def on_trial_error(self, controller: Any, trial: Any) -> None:
        # Tune's own reader looks where the file is put later. This process wrote it a moment ago.
        path = trial.pickled_error_file
        error = pickle.loads(Path(path).read_bytes()) if path else None
        failure = classified(error, Path(trial.error_file).read_text().strip())
        with remembered(self._driver):
            self._driver.fail(trial.config["trial"], failure)

    def __getstate__(self) -> dict[str, Any]:
        return {}


class TaskNames(tune.Callback):
    """Calls the tasks that Ray's dashboard shows as their trials' runs are called: an actor runs many, one a task.

    Args:
        driver: it knows the trials.
    """

    def __init__(self, driver: Dealer) -> None:
        self._driver = driver

    def on_trial_start(self, iteration: int, trials: Sequence[Any], trial: Any, **info: Any) -> None:
        actor = trial.temporary_state.ray_actor
        vars(actor).pop("train", None)  # that of the trial before
        name = run_name(self._driver.state.trials[trial.config["trial"]].dealt, "/")
        actor.train = actor.train.options(name=name)

    def __getstate__(self) -> dict[str, Any]:
        return {}


@contextmanager
def kills_for_memory_end_trials() -> Iterator[None]:
    """Let Tune take a trial that Ray killed for its memory as one whose process died: by itself it ends the sweep."""
    original = RayActorManager._actor_task_failed

    def failed(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        original(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = failed
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original


def classified(error: Exception | None, text: str) -> Failure:
    """Tell what kind of failure `error` is, as Ray gives it, with the traceback `text`."""
    cause = getattr(error, "cause", error)  # Ray wraps what a worker raised
    if isinstance(cause, (torch.OutOfMemoryError, MemoryError)):
        return Failure("memory", text)
    if isinstance(cause, (RayActorError, OutOfMemoryError)):
        return without_advice(str(cause), text)
    if isinstance(cause, UserError):
        return Failure("storage", str(cause))
    if isinstance(cause, OSError) and cause.errno in STORAGE:
        where = f"'{cause.filename}': " if cause.filename else ""
        return Failure("storage", f"{where}{cause.strerror}")
    return Failure("error", text)


def without_advice(told: str, text: str) -> Failure:
    """Return the failure of a trial whose process is gone, in as much of what Ray tells of it as says why.

    Args:
        told: the error's own words.
        text: its traceback, which may have more of them.
    """
    low = [line for line in told.splitlines() if "running low on memory" in line]
    if low:
        return Failure("memory", low[0])  # 50 lines of advice follow
    if "node has died" in told:
        return Failure("node", text)
    known, _, _ = text.partition(" Some common causes include")  # advice, too
    _, _, detail = known.rpartition("Worker exit detail: ")
    return Failure("lost", summary(detail))
