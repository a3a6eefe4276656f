"""Runs a plan: starts Ray, lets Tune run what the driver deals, survives an interrupt, prints the tables."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from filelock import FileLock, Timeout

from analysis.files import read_manifest
from analysis.shapes import MANIFEST
from analysis.terminal import write_tables
from esc50tune.command import shown
from esc50tune.data.cache import ClipCache
from esc50tune.errors import UserError
from esc50tune.files import remove_cut_writes
from sweeps.cluster import check_shared, fit, machines_of, start_ray
from sweeps.console import Console, clock, say
from sweeps.driver import Dealer, Driver
from sweeps.dry_run import dry_run
from sweeps.events import EventLog
from sweeps.failure import summary
from sweeps.manifest import FILE, begin_run, end_run, write_manifest
from sweeps.opening import print_plan
from sweeps.optuna_journal import write_journal
from sweeps.packing import measured_share
from sweeps.plan import Plan, make_plan
from sweeps.progress import Progress
from sweeps.resume import OF_THE_MACHINE, as_asked, check_checkpoints, check_same, read_sweep
from sweeps.state import SweepState, Trial
from sweeps.tensorboard_log import TensorBoardLog
from sweeps.trainable import run_trial
from sweeps.travel import Freight, pack, place
from sweeps.wandb_log import logged_to_wandb

OUT_OF_TIME = 3  # exit code of a sweep that a further run must end


def run_sweep(args: argparse.Namespace) -> int:
    """Run a sweep, go on with one, or its dry run; return the exit code: 0, 1 when trials failed, 3 when out of time,
    130 when interrupted.

    Raises:
        UserError: the command line, the data or the machine do not allow it.
        ResultsError: the sweep to go on with cannot be read.
    """
    console, machines = Console(), machines_of(args)
    before = None if args.resume is None else read_sweep(args.resume)
    if before is not None:
        args = as_asked(args, before)
    plan = make_plan(args, machines)
    if args.dry_run:
        dry_run(plan, console)
        return 0
    if plan.share.gpus and args.gpus_per_trial is None:
        configs, classes = [plan.config(arm) for arm in plan.arms], len(plan.dataset.classes)
        args.gpus_per_trial = measured_share(configs, classes, plan.train_clips, plan.val_clips, console)
        plan = make_plan(args, machines)
    forced = check_same(before, plan.manifest(), args.force) if before else []
    print_plan(plan, console)
    caches = {arm.name: plan.open_clips(arm) for arm in plan.arms}
    if before is None:
        make_folder(plan)
    with only_process(plan.folder):
        if before is not None and read_manifest(plan.folder / FILE, MANIFEST) != before:
            what = "was run by another process meanwhile; the same command goes on from there"
            raise UserError(f"'{plan.folder}' {what}")
        driver = open_driver(plan, console)
        manifest = before or plan.manifest()
        manifest = begin_run(manifest, resources=manifest["resources"], forced=forced) | {"trials": plan.trials}
        write_manifest(plan.folder, manifest)
        with nothing_lost(f"--resume {shown(plan.folder)}"):
            how = run_on_ray(plan, manifest, driver, caches, args, console)
    write_tables(plan.folder, console)
    code = report_end(plan.folder, [*driver.state.trials.values()], plan.trials, how, console)
    advise(plan.folder, driver.state, how, args, console)
    return code


def advise(folder: Path, state: SweepState, how: str, args: argparse.Namespace, console: Console) -> None:
    """Print the commands that show what failed, that go on with what has not ended, and what comes next."""
    script = f"python {shown(Path(sys.argv[0]))}"
    failed = [trial.number for trial in state.trials.values() if trial.reason == "error"]
    if failed:
        where = "" if folder.parent == Path("results").absolute() else f"--results {shown(folder.parent)} "
        say(
            console,
            f"see it fail, without Ray: {script} --debug --trial {failed[0]} {where}--name {folder.name}",
            whole=True,
        )
    if how != "done":
        say(console, f"go on with: {script} --resume {shown(folder)}{repeated(args)}", whole=True)
    elif any(trial.reason == "finished" for trial in state.trials.values()):
        say(console, f"next, is it real: python sweeps/confirm.py {shown(folder)}", whole=True)


def repeated(args: argparse.Namespace) -> str:
    """Return the flags that a sweep's folder does not know of, as they were given."""
    flags = {*OF_THE_MACHINE, "wandb"} | ({"data", "force"} if args.resume is not None else set())
    values = {flag.replace("_", "-"): getattr(args, flag) for flag in sorted(flags & args.given)}
    return "".join(f" --{flag}" + f" {shlex.quote(str(value))}" * (value is not True) for flag, value in values.items())


@contextmanager
def nothing_lost(go_on: str) -> Iterator[None]:
    """Say of what stops a sweep how it goes on."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{error}; nothing else is lost: mend that, then {go_on}") from None


def make_folder(plan: Plan) -> None:
    """Make the results folder with its manifest in one step.

    Raises:
        UserError: it cannot be made.
    """
    made = plan.folder.with_name(f".{plan.folder.name}.{os.getpid()}")
    try:
        made.mkdir(parents=True)
        write_manifest(made, plan.manifest())
        made.rename(plan.folder)
    except OSError as error:
        why = "another sweep has just made it" if plan.folder.exists() else error.strerror
        raise UserError(f"cannot make the results folder '{plan.folder}': {why}") from None
    finally:
        shutil.rmtree(made, ignore_errors=True)


def open_driver(plan: Plan, console: Console) -> Driver:
    """Take up what earlier runs left.

    Raises:
        UserError: a checkpoint is damaged, or the time is spent.
        ResultsError: the log is damaged.
    """
    state = SweepState(plan.epochs, plan.scheduler)
    log = EventLog(plan.folder, state.apply)
    check_checkpoints(plan.folder, state.trials)
    if state.trials:
        ended = len(state.trials) - len(state.unended)
        say(console, f"resumed   {ended} of {plan.trials} trials had ended; {len(state.unended)} go on where they were")
    driver = Driver(plan.arms, plan.trials, plan.search, plan.seed, log, state, plan.time_budget)
    if driver.out_of_time:
        raise UserError(f"--time-budget: the sweep has run {clock(log.elapsed)} already; give more than that in all")
    return driver


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Keep other processes from running the same sweep; remove what one that was killed was about to write."""
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        what = f"is being run by another process, which holds '{lock.lock_file}'; wait for it, or stop it"
        raise UserError(f"'{folder}' {what}") from None
    except OSError as error:
        raise UserError(f"'{lock.lock_file}' cannot be locked: {error.strerror}") from None
    try:
        remove_cut_writes(folder)
        yield
    finally:
        lock.release()


def run_on_ray(
    plan: Plan,
    manifest: dict[str, Any],
    driver: Driver,
    caches: dict[str, ClipCache],
    args: argparse.Namespace,
    console: Console,
) -> str:
    """Start Ray, or use the cluster that was joined, and run what is left; return how that ended."""
    freight: Freight = {}
    try:
        if args.address:
            check_shared(plan.folder)
            freight = pack(caches.values())
        else:
            start_ray(plan.machines, not args.no_dashboard, console)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        ray.shutdown()
        end_run(plan.folder, manifest, "interrupted", [])
        return "interrupted"
    try:
        with logged_to_wandb(args.wandb, plan.folder, manifest, driver, console):
            return run_plan(plan, manifest, driver, caches, freight, console)
    finally:
        ray.shutdown()


def run_plan(
    plan: Plan,
    manifest: dict[str, Any],
    driver: Driver,
    caches: dict[str, ClipCache],
    freight: Freight,
    console: Console,
) -> str:
    """Run what is left of a plan; return how that ended, and write it down, whatever it was."""
    before = {trial.number: len(trial.retries) for trial in driver.state.trials.values()}
    progress = Progress(driver.state, plan.trials, plan.share.slots, console, queued=driver.again)
    driver.log.listeners += [progress.on_event, TensorBoardLog(plan.folder, driver, console).on_event]
    common = {
        "results": str(plan.folder),
        **asdict(plan.split),
        "threads": plan.share.cpus,
        "device": "cuda" if plan.share.gpus else "cpu",
    }

    def fields(trial: Trial) -> dict[str, Any]:
        return common | {"cache": place(caches[trial.arm].folder)}

    how = "stopped by an error"
    try:
        interrupted = run_until_interrupt(lambda: fit(driver, run_trial, fields, freight, plan.share), driver, progress)
        how = "interrupted" if interrupted else "out of time" if driver.out_of_time and driver.left else "done"
    finally:
        driver.log.close()
        trials = driver.state.trials.values()
        retries = [event for trial in trials for event in trial.retries[before.get(trial.number, 0) :]]
        with suppress(UserError):  # on a full disk; the log has it all
            end_run(plan.folder, manifest, how, retries)
        write_journal(plan.folder, plan.arms, driver.state, time.time() - driver.log.elapsed, console)
    return how


def run_until_interrupt(run: Callable[[], None], driver: Dealer, progress: Progress) -> bool:
    """Run with its progress shown; tell whether it was interrupted: by Ctrl-C, or by who ends processes kindly."""
    signal.signal(signal.SIGINT, driver.interrupt)
    signal.signal(signal.SIGTERM, driver.interrupt)
    try:
        with progress:
            run()
    except KeyboardInterrupt:
        for number in (signal.SIGINT, signal.SIGTERM):  # what is left is short, and must not be cut
            signal.signal(number, signal.SIG_IGN)
        return True
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return False


def report_end(folder: Path, trials: Sequence[Trial], planned: int, how: str, console: Console) -> int:
    """Say how `trials`, of `planned` ones, ended; return the exit code."""
    for event in (event for trial in trials for event in trial.retries):
        say(
            console,
            f"tried again: trial {event['trial']} ({event['arm']}), {event['kind']}: {summary(event['error'])}",
            "yellow",
        )
    failed = [trial for trial in trials if trial.reason == "error"]
    for trial in failed:
        say(console, f"FAILED: trial {trial.number} ({trial.arm}): {summary(trial.error or '')}", "red")
    say(console, f"results   {shown(folder)}, {megabytes(folder):,.1f} MB")
    lost = planned - sum(trial.reason is not None for trial in trials)
    if how != "done":
        trials_have = "1 trial has" if lost == 1 else f"{lost} trials have"
        say(console, f"{how}: {trials_have} not ended; the tables are made of those that have", "yellow")
        return 130 if how == "interrupted" else OUT_OF_TIME
    if lost:
        say(console, f"FAILED: Ray gave up {lost} trials before they ended", "red")
    return 1 if failed or lost else 0


def megabytes(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
