"""Runs the second phase: as many trainings as a confirmation has left, then the report."""

from __future__ import annotations

import argparse
import math
from collections import deque
from collections.abc import Sequence
from statistics import fmean
from typing import Any

import ray

from analysis.load import load_results
from analysis.terminal import write_tables
from esc50tune.command import shown
from esc50tune.data.cache import ClipCache
from esc50tune.data.lines import counted
from esc50tune.data.split import Split
from esc50tune.errors import UserError
from esc50tune.inputs import open_clips
from sweeps.cluster import check_shared, fit, machines_of, start_ray
from sweeps.confirmation import RUN_KEY, Confirmation, Run, plan_confirmation
from sweeps.console import Console, percent, say
from sweeps.driver import Dealer
from sweeps.events import EventLog
from sweeps.packing import measured_share
from sweeps.progress import Progress
from sweeps.proposal import points, propose
from sweeps.resources import Machine, Share, share_machines
from sweeps.resume import check_checkpoint
from sweeps.runner import nothing_lost, only_process, report_end, run_until_interrupt
from sweeps.state import SweepState, Trial
from sweeps.tensorboard_log import TensorBoardLog
from sweeps.trainable import run_confirmation
from sweeps.travel import Freight, pack, place
from sweeps.wandb_log import logged_to_wandb


class ConfirmationDriver(Dealer):
    """Deals the runs that are left, in their order.

    Args:
        plan: all runs.
        log: where events go; it must tell `state` of each.
        state: what the events add up to, those of earlier calls among them.
    """

    def __init__(self, plan: Confirmation, log: EventLog, state: SweepState) -> None:
        self.plan, self.runs = plan, {run.key: run for run in plan.runs()}
        super().__init__(log, state)
        tries = self.last_tries
        for trial in tries.values():
            self.tidy(trial)
        self.left = deque(plan.missing(tries))

    @property
    def last_tries(self) -> dict[tuple[str, int, int, int], Trial]:
        """The last try of each run that was dealt, by the run's key: one that failed is dealt anew."""
        return {self.run_of(trial).key: trial for trial in self.state.trials.values()}

    @property
    def to_do(self) -> list[Run]:
        """The runs that have not ended: those that are gone on with, and those that are left to be dealt."""
        return [*map(self.run_of, self.state.unended), *self.left]

    def run_of(self, trial: Trial) -> Run:
        """Return the run that a trial is a try of.

        Raises:
            UserError: it is of none of the plan's.
        """
        key = tuple(trial.dealt.get(name) for name in RUN_KEY)
        if key not in self.runs:
            what = f"trial {trial.number} in its log is no run that its manifest asks for"
            raise UserError(f"'{self.plan.folder}' cannot be gone on with: {what}; move it away to start anew")
        return self.runs[key]

    def next_deal(self, number: int) -> dict[str, Any] | None:
        if not self.left:
            return None
        run = self.left.popleft()
        for path in (self.plan.checkpoint(run), self.plan.predictions(run)):
            path.unlink(missing_ok=True)  # of a try that failed, or that the log does not know
        return dict(zip(RUN_KEY, run.key, strict=True)) | {"config": run.config(self.plan.sweep["seed"]).to_flat()}

    def record(self, number: int, result: dict[str, Any]) -> bool:
        """Take in an epoch's result.

        A loss in the test that is not a number tells that the last epoch's steps diverged. It is infinite where a
        clip's class was given no chance at all.
        """
        loss = result.get("test_loss", 0.0)
        if math.isnan(loss):
            result = result | {"diverged": True, "test_acc": 0.0}
        if not math.isfinite(loss):
            result = result | {"test_loss": None}
        return super().record(number, result)

    def judge(self, arm: str) -> None:
        """No run waits for others."""

    def settle(self, trial: Trial) -> None:
        super().settle(trial)
        self.tidy(trial)

    def tidy(self, trial: Trial) -> None:
        """Keep or drop the last state of a run that is done."""
        run = self.run_of(trial)
        state, kept = self.plan.checkpoint(run), self.plan.kept(run)
        if trial.reason == "finished" and state.is_file() and kept is not None:
            state.replace(kept)
        elif trial.reason in ("finished", "diverged"):
            state.unlink(missing_ok=True)


def confirm(args: argparse.Namespace) -> int:
    """Run the second phase of a sweep; return the exit code: 0, 1 when runs failed, 130 when interrupted.

    Raises:
        UserError: the command line, the sweep or the machine do not allow it.
        ResultsError: the sweep's folder cannot be read.
    """
    console, folder = Console(), args.folder.absolute()
    results = load_results(folder)  # before the lock, which would make a folder that is not there
    if args.detect is not None:
        plan = plan_confirmation(results, folder, args.seeds, args.folds, args.top, args.data)
        share = share_machines(machines_of(args), args.gpus_per_trial, args.max_concurrent)
        return propose(results, plan, points(args.detect), share, console)
    with only_process(folder):  # neither its sweep nor another second phase of it
        plan = plan_confirmation(load_results(folder), folder, args.seeds, args.folds, args.top, args.data)
        machines = machines_of(args)
        share = share_machines(machines, args.gpus_per_trial, args.max_concurrent)
        if share.gpus and args.gpus_per_trial is None:
            clips, folds = len(plan.dataset.clips), len(plan.dataset.folds)
            configs = [run.config(0) for run in first_runs(plan)]
            wanted = measured_share(configs, len(plan.dataset.classes), clips, clips // folds, console)
            share = share_machines(machines, wanted, args.max_concurrent)
        plan.write()
        driver = open_driver(plan)
        print_confirmation(plan, len(driver.to_do), share, console)
        with nothing_lost("the same command goes on"):
            return run_left(driver, machines, share, args, console)


def open_driver(plan: Confirmation) -> ConfirmationDriver:
    """Take up what earlier calls left.

    Raises:
        UserError: the log has runs that are not the plan's, or a checkpoint is damaged.
        ResultsError: the log is damaged.
    """
    state = SweepState({frozen.arm: frozen.epochs for frozen in plan.frozen}, scheduler="none")
    driver = ConfirmationDriver(plan, EventLog(plan.folder, state.apply), state)
    for trial in state.unended:
        check_checkpoint(plan.checkpoint(driver.run_of(trial)), trial)
    return driver


def first_runs(plan: Confirmation) -> list[Run]:
    return [run for run in plan.runs() if (run.fold, run.seed) == (plan.folds[0], 0)]


def open_run_clips(plan: Confirmation, run: Run) -> ClipCache:
    """Open the clips of a run; what its features learn beforehand, they learn on its training folds."""
    train = tuple(fold for fold in plan.dataset.folds if fold != run.fold)
    return open_clips(plan.dataset, run.config(0), Split(train, run.fold, None))


def run_left(
    driver: ConfirmationDriver, machines: Sequence[Machine], share: Share, args: argparse.Namespace, console: Console
) -> int:
    """Start Ray, or use the cluster that was joined, run what is left, and tell; return the exit code."""
    plan, left = driver.plan, driver.to_do
    data = {(run.frozen.label, run.fold): run for run in left}  # all seeds share it
    caches = {key: open_run_clips(plan, run) for key, run in data.items()}
    freight: Freight = {}
    if args.address:
        check_shared(plan.folder)
        freight = pack(caches.values())
    elif left:
        start_ray(machines, not args.no_dashboard, console)
    try:
        with logged_to_wandb(args.wandb, plan.folder, plan.sweep, driver, console):
            return run_on_ray(driver, caches, freight, share, console)
    finally:
        ray.shutdown()


def run_on_ray(
    driver: ConfirmationDriver,
    caches: dict[tuple[str, int], ClipCache],
    freight: Freight,
    share: Share,
    console: Console,
) -> int:
    plan, state, left = driver.plan, driver.state, driver.to_do
    every = len(state.trials) + len(driver.left)
    progress = Progress(state, every, share.slots, console, ("mean test", fmean), driver.again)
    driver.log.listeners += [progress.on_event, TensorBoardLog(plan.folder, driver, console).on_event]

    def fields(trial: Trial) -> dict[str, Any]:
        run = driver.run_of(trial)
        return {
            "fold": run.fold,
            "cache": place(caches[run.frozen.label, run.fold].folder),
            "predictions": str(plan.predictions(run)),
            "predicted": plan.predicted(run),
            "checkpoint": str(plan.checkpoint(run)),
            "about": plan.about(run),
            "threads": share.cpus,
            "device": "cuda" if share.gpus else "cpu",
        }

    def run() -> None:
        fit(driver, run_confirmation, fields, freight, share)

    interrupted = bool(left) and run_until_interrupt(run, driver, progress)
    driver.log.close()
    write_tables(plan.folder.parent, console)
    how, tries = "interrupted" if interrupted else "done", [*driver.last_tries.values()]
    code = report_end(plan.folder.parent, tries, len(driver.runs), how, console)
    if interrupted:
        say(console, "go on with the same command")
    elif not code:
        say(console, f"next, the report: python -m analysis {shown(plan.folder.parent)}", whole=True)
    return code


def print_confirmation(plan: Confirmation, left: int, share: Share, console: Console) -> None:
    """Print what was frozen and what will be run."""
    unended = plan.sweep["trials"] - plan.ended
    if unended:
        say(
            console, f"THE SWEEP IS UNFINISHED: {unended} of its {plan.sweep['trials']} trials have not ended", "yellow"
        )
    for frozen in plan.frozen:
        say(console, f"frozen    {frozen.label}: trial {frozen.trial}, validation {percent(frozen.val_acc)}")
    for arm in plan.left_out:
        say(console, f"left out  {arm['arm']}: {arm['why']}", "yellow")
    every = len(list(plan.runs()))
    folds = ", ".join(map(str, plan.folds))
    configurations, seeds = counted(len(plan.frozen), "configuration"), counted(plan.seeds, "seed")
    say(console, f"runs      {configurations} x folds {folds} x {seeds}: {every}, {left} left")
    if plan.test_fold is None:
        say(console, "folds     NO TEST FOLD was kept: no result of these is untouched by the search", "yellow")
    elif len(plan.folds) > 1:
        say(console, f"folds     fold {plan.test_fold} was kept from the search; the others were used in it")
    say(console, f"machine   {share}")
