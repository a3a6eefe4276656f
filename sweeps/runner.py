"""Runs a plan: starts Ray, lets Tune run what the driver deals, survives an interrupt, prints the tables."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import ray
import torch

from analysis.terminal import write_tables
from esc50tune.data.cache import ClipCache
from esc50tune.errors import UserError
from sweeps.cluster import fit, machines_of, start_ray
from sweeps.console import Console, say, shown
from sweeps.driver import Driver
from sweeps.dry_run import Cost, dry_run, plan_cost
from sweeps.events import EventLog
from sweeps.manifest import write_manifest
from sweeps.plan import Plan, make_plan, print_plan
from sweeps.progress import Progress
from sweeps.resources import gpu_share
from sweeps.state import SweepState, Trial
from sweeps.trainable import run_trial


def run_sweep(args: argparse.Namespace) -> int:
    """Run a sweep, or its dry run; return the exit code: 0, 1 when trials failed, 130 when interrupted.

    Raises:
        UserError: the command line, the data or the machine do not allow it.
    """
    console, machines = Console(), machines_of(args)
    plan = make_plan(args, machines)
    if args.dry_run:
        dry_run(plan, console)
        return 0
    if plan.share.gpus and args.gpus_per_trial is None:
        args.gpus_per_trial = measured_share(lambda: [plan_cost(arm, plan) for arm in plan.arms], console)
        plan = make_plan(args, machines)
    print_plan(plan, console)
    caches = {arm.name: plan.open_clips(arm) for arm in plan.arms}
    if not args.address:
        start_ray(machines, not args.no_dashboard, console)
    try:
        return run_plan(plan, caches, console)
    finally:
        ray.shutdown()


def measured_share(costs: Callable[[], Sequence[Cost]], console: Console) -> float:
    """Return the share of a GPU that the hungriest arm needs, from a measured step of each."""
    if not torch.cuda.is_available():
        say(console, "no GPU here to measure a trial on: each gets a whole one; --gpus-per-trial for a share")
        return 1.0
    peak = max(cost.peak_bytes for cost in costs())
    torch.cuda.empty_cache()  # this process stays, and the trials need the memory
    return gpu_share(peak, torch.cuda.get_device_properties(0).total_memory)


def run_plan(plan: Plan, caches: dict[str, ClipCache], console: Console) -> int:
    try:
        plan.folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make the results folder '{plan.folder}': {error.strerror}") from None
    write_manifest(plan.folder, plan.manifest())
    state = SweepState(plan.epochs, plan.scheduler == "asha")
    progress = Progress(state, plan.trials, plan.share.slots, console)
    log = EventLog(plan.folder, state.apply, progress.on_event)
    driver = Driver(plan.arms, plan.trials, plan.search, plan.seed, log, state)
    common = {
        "results": str(plan.folder),
        **asdict(plan.split),
        "threads": plan.share.cpus,
        "device": "cuda" if plan.share.gpus else "cpu",
    }

    def fields(trial: Trial) -> dict:
        return common | {"cache": str(caches[trial.arm].folder)}

    interrupted = run_until_interrupt(lambda: fit(driver, run_trial, fields, plan.trials, plan.share), progress)
    log.close()
    write_tables(plan.folder, console)
    return report_end(plan.folder, state, plan.trials, interrupted, console)


def run_until_interrupt(run: Callable[[], None], progress: Progress) -> bool:
    """Run with its progress shown; tell whether it was interrupted."""
    try:
        with progress:
            run()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is short, and must not be cut
        return True
    return False


def report_end(folder: Path, state: SweepState, trials: int, interrupted: bool, console: Console) -> int:
    """Say how it ended; return the exit code."""
    failed = [trial for trial in state.trials.values() if trial.reason == "error"]
    for trial in failed:
        last = (trial.error or "no message").splitlines()[-1]
        say(console, f"FAILED: trial {trial.number} ({trial.arm}): {last}", "red")
    say(console, f"results   {shown(folder)}")
    if interrupted:
        say(console, "interrupted: the tables are made of what had finished", "yellow")
        return 130
    lost = trials - sum(trial.reason is not None for trial in state.trials.values())
    if lost:
        say(console, f"FAILED: Ray gave up {lost} trials before they ended", "red")
    return 1 if failed or lost else 0
