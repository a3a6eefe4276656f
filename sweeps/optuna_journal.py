"""`optuna.log`: each arm's study as Optuna keeps one, for optuna-dashboard. It is made from the events; nothing of a
sweep reads it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import optuna
from optuna.distributions import FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from esc50tune.files import write_whole
from sweeps.arms import Arm
from sweeps.console import Console, say
from sweeps.search import as_optuna
from sweeps.state import SweepState, Trial

FILE = "optuna.log"


def write_journal(folder: Path, arms: Sequence[Arm], state: SweepState, start: float, console: Console) -> None:
    """Write the studies into a results folder in one step. Where that fails, it is said, and all goes on.

    A journal rather than SQLite, whose locks many network file systems lack.

    Args:
        folder: the results folder.
        arms: a study each, under its name.
        state: what the events add up to.
        start: when the sweep's clock was 0, in seconds since 1970.
        console: where to say what went wrong.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with TemporaryDirectory() as scratch, warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            path = Path(scratch) / FILE
            storage = JournalStorage(JournalFileBackend(str(path)))
            for arm in arms:
                study = optuna.create_study(storage=storage, study_name=arm.name, direction="maximize")
                study.set_metric_names(["val_acc"])
                study.add_trials([stored(trial, arm, start) for trial in state.of_arm(arm.name)])
            write_whole(folder / FILE, path.read_bytes())
    except Exception as error:  # it is of no use to the sweep
        say(console, f"'{folder / FILE}' cannot be written ({error})", "yellow")


def stored(trial: Trial, arm: Arm, start: float) -> FrozenTrial:
    """Return a trial as the study keeps it: one that has not ended is running, though it may wait at a rung.

    Args:
        trial: one of the arm's.
        arm: it knows what is searched.
        start: when the sweep's clock was 0, in seconds since 1970.
    """
    space = {}
    for knob, known in arm.space.items():
        value = trial.config[knob]  # with --force, the range may be another than when it was dealt
        space[knob] = FloatDistribution(min(known.low, value), max(known.high, value), log=known.log)
    told = as_optuna(trial, space)
    last = trial.epochs[-1] if trial.epochs else trial.dealt
    told.datetime_start = datetime.fromtimestamp(start + trial.dealt["clock"])
    told.datetime_complete = datetime.fromtimestamp(start + last["clock"]) if trial.reason else None
    told.user_attrs = {"trial": trial.number}
    if trial.reason is None:
        told.state = TrialState.RUNNING
    return told
