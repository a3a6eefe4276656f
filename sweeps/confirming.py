"""Runs the second phase: as many trainings as a confirmation has left, then the report."""

from __future__ import annotations

import argparse
import math
from collections import deque
from statistics import fmean
from typing import Any

import ray
from filelock import FileLock, Timeout

from analysis.load import load_results
from analysis.statistics import seeds_needed
from analysis.terminal import write_tables
from esc50tune.data.cache import ClipCache
from esc50tune.data.split import Split
from esc50tune.errors import UserError
from esc50tune.inputs import open_clips
from sweeps.cluster import check_shared, fit, machines_of, start_ray
from sweeps.confirmation import RUN_KEY, Confirmation, Run, plan_confirmation
from sweeps.console import Console, clock, say, shown
from sweeps.driver import Dealer
from sweeps.dry_run import Cost, measure
from sweeps.events import EventLog
from sweeps.progress import Progress
from sweeps.resources import Share, share_machines
from sweeps.runner import measured_share, report_end, run_until_interrupt
from sweeps.state import SweepState, Trial
from sweeps.trainable import run_confirmation
from sweeps.travel import Freight, pack, place


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
        for trial in state.trials.values():
            self.tidy(trial)
        begun = [self.run_of(trial) for trial in state.unended]
        self.left = deque(run for run in plan.missing() if run not in begun)

    def run_of(self, trial: Trial) -> Run:
        return self.runs[tuple(trial.dealt[name] for name in RUN_KEY)]

    def next_deal(self, number: int) -> dict[str, Any] | None:
        if not self.left:
            return None
        run = self.left.popleft()
        self.plan.checkpoint(run).unlink(missing_ok=True)  # of a try that failed
        return dict(zip(RUN_KEY, run.key, strict=True)) | {"config": run.config(self.plan.sweep["seed"]).to_flat()}

    def settle(self, trial: Trial) -> None:
        super().settle(trial)
        self.tidy(trial)

    def tidy(self, trial: Trial) -> None:
        """Keep or drop the last state of a run that is done."""
        run = self.run_of(trial)
        state, kept = self.plan.checkpoint(run), self.plan.kept(run)
        if trial.reason == "finished" and state.is_file():
            state.unlink() if kept is None else state.replace(kept)


def confirm(args: argparse.Namespace) -> int:
    """Run the second phase of a sweep; return the exit code: 0, 1 when runs failed, 130 when interrupted.

    Raises:
        UserError: the command line, the sweep or the machine do not allow it.
        ResultsError: the sweep's folder cannot be read.
    """
    console, folder = Console(), args.folder.absolute()
    results = load_results(folder)
    plan = plan_confirmation(results, folder, args.seeds, args.folds, args.top)
    machines = machines_of(args)
    share = share_machines(machines, args.gpus_per_trial, args.max_concurrent)
    if args.detect is not None:
        return propose(plan, points(args.detect), share, console)
    if share.gpus and args.gpus_per_trial is None:
        wanted = measured_share(lambda: [run_cost(plan, run) for run in first_runs(plan)], console)
        share = share_machines(machines, wanted, args.max_concurrent)
    lock = FileLock(f"{plan.folder}.lock")
    try:
        with lock.acquire(timeout=0):
            plan.write()
            left = plan.missing()
            print_confirmation(plan, len(left), share, console)
            data = {(run.frozen.label, run.fold): run for run in left}  # all seeds share it
            caches = {key: open_run_clips(plan, run) for key, run in data.items()}
            if args.address:
                check_shared(plan.folder)
            elif left:
                start_ray(machines, not args.no_dashboard, console)
            try:
                freight = pack(caches.values()) if args.address else {}
                return run_left(plan, left, caches, freight, share, console)
            finally:
                ray.shutdown()
    except Timeout:
        raise UserError(f"'{plan.folder}' is being confirmed by another process") from None


def first_runs(plan: Confirmation) -> list[Run]:
    return [run for run in plan.runs() if (run.fold, run.seed) == (plan.folds[0], 0)]


def run_cost(plan: Confirmation, run: Run) -> Cost:
    clips = len(plan.dataset.clips)
    return measure(run.config(0), len(plan.dataset.classes), clips, clips // len(plan.dataset.folds))


def open_run_clips(plan: Confirmation, run: Run) -> ClipCache:
    """Open the clips of a run; what its features learn beforehand, they learn on its training folds."""
    train = tuple(fold for fold in plan.dataset.folds if fold != run.fold)
    return open_clips(plan.dataset, run.config(0), Split(train, run.fold, None))


def run_left(
    plan: Confirmation,
    left: list[Run],
    caches: dict[tuple[str, int], ClipCache],
    freight: Freight,
    share: Share,
    console: Console,
) -> int:
    epochs = {frozen.arm: frozen.epochs for frozen in plan.frozen}
    state = SweepState(epochs, early_stopping=False)
    log = EventLog(plan.folder, state.apply)
    driver = ConfirmationDriver(plan, log, state)
    every = len(state.trials) + len(driver.left)
    progress = Progress(state, every, share.slots, console, ("mean test", fmean))
    log.listeners.append(progress.on_event)

    def fields(trial: Trial) -> dict[str, Any]:
        run = driver.run_of(trial)
        return {
            "fold": run.fold,
            "cache": place(caches[run.frozen.label, run.fold].folder),
            "predictions": str(plan.predictions(run)),
            "predicted": plan.predicted(run),
            "checkpoint": str(plan.checkpoint(run)),
            "threads": share.cpus,
            "device": "cuda" if share.gpus else "cpu",
        }

    def run() -> None:
        fit(driver, run_confirmation, fields, freight, share)

    interrupted = bool(left) and run_until_interrupt(run, driver, progress)
    log.close()
    write_tables(plan.folder.parent, console)
    return report_end(plan.folder.parent, state, every, "interrupted" if interrupted else "done", console)


def print_confirmation(plan: Confirmation, left: int, share: Share, console: Console) -> None:
    """Print what was frozen and what will be run."""
    unended = plan.sweep["trials"] - plan.ended
    if unended:
        say(
            console, f"THE SWEEP IS UNFINISHED: {unended} of its {plan.sweep['trials']} trials have not ended", "yellow"
        )
    for frozen in plan.frozen:
        say(console, f"frozen    {frozen.label}: trial {frozen.trial}, validation {100 * frozen.val_acc:.1f} %")
    for arm in plan.left_out:
        say(console, f"left out  {arm['arm']}: {arm['why']}", "yellow")
    every = len(list(plan.runs()))
    folds = ", ".join(map(str, plan.folds))
    say(
        console,
        f"runs      {len(plan.frozen)} configurations x folds {folds} x {plan.seeds} seeds: {every}, {left} left",
    )
    if plan.test_fold is None:
        say(console, "folds     NO TEST FOLD was kept: no result of these is untouched by the search", "yellow")
    elif len(plan.folds) > 1:
        say(console, f"folds     fold {plan.test_fold} was kept from the search; the others were used in it")
    say(console, f"machine   {share}")


def points(text: str) -> float:
    """Read --detect.

    Raises:
        UserError: it is no positive number below 100.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < 100.0:
        raise UserError(f"--detect {text}: give a difference in points of accuracy, for instance 2")
    return value / 100.0


def propose(plan: Confirmation, difference: float, share: Share, console: Console) -> int:
    """Say how many seeds this design needs to see a difference, and what they cost. Nothing is started."""
    clips = sum(clip.fold in plan.folds for clip in plan.dataset.clips)
    arms = max(1, len(plan.frozen) - 1)
    seeds = seeds_needed(difference, clips, len(plan.folds), arms)
    runs = len(plan.frozen) * len(plan.folds) * seeds
    say(
        console,
        f"{seeds} seeds find a true difference of {100 * difference:g} points in 8 of 10 studies of this design:",
    )
    say(console, f"{runs} runs on {len(plan.folds)} folds, about {clock(cost(plan, seeds) / share.slots)} ({share})")
    say(console, f"nothing was started: python sweeps/confirm.py {shown(plan.folder.parent)} --seeds {seeds}")
    return 0


def cost(plan: Confirmation, seeds: int) -> float:
    """Return the seconds that all runs take one after the other, from those of the sweep's trials."""
    split = plan.sweep["split"]
    clips = len(plan.dataset.clips) * (1.0 - 1.0 / len(plan.dataset.folds))
    longer = clips / split["train_clips"]
    return sum(longer * frozen.seconds * len(plan.folds) * seeds for frozen in plan.frozen)
