"""Runs a plan: starts Ray, lets Tune run what the driver deals, survives an interrupt, prints the tables."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from analysis.__main__ import write_tables
from esc50tune.data.cache import ClipCache
from esc50tune.errors import UserError
from sweeps.console import Console, say, shown
from sweeps.driver import Driver
from sweeps.dry_run import dry_run, measure
from sweeps.events import EventLog
from sweeps.manifest import ROOT, write_manifest
from sweeps.plan import Plan, make_plan, print_plan
from sweeps.progress import Progress
from sweeps.resources import Machine, gpu_share, this_machine, total
from sweeps.shells import ArmScheduler, DealingSearcher
from sweeps.state import SweepState
from sweeps.trainable import run_trial

# Set before Ray starts its processes; they inherit them.
RAY_SETTINGS = {
    "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the event log is the record; Tune's own files are never read
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # an interrupt must reach us, and end with exit code 130
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_WARN_THRESHOLD_S": "60",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}


def run_sweep(args: argparse.Namespace) -> int:
    """Run a sweep, or its dry run; return the exit code: 0, 1 when trials failed, 130 when interrupted.

    Raises:
        UserError: the command line, the data or the machine do not allow it.
    """
    console = Console()
    os.environ.update(RAY_SETTINGS)
    machines = join_cluster(args.address) if args.address else [this_machine()]
    plan = make_plan(args, machines)
    if args.dry_run:
        dry_run(plan, console)
        return 0
    if plan.share.gpus and args.gpus_per_trial is None:
        args.gpus_per_trial = measured_share(plan, console)
        plan = make_plan(args, machines)
    print_plan(plan, console)
    caches = {arm.name: plan.open_clips(arm) for arm in plan.arms}
    if not args.address:
        start_ray(plan, not args.no_dashboard, console)
    try:
        return run_plan(plan, caches, console)
    finally:
        ray.shutdown()


def join_cluster(address: str) -> list[Machine]:
    """Join a running cluster and return its nodes; its workers get this project's code from here."""
    if address != "auto":
        check_reachable(address)
    modules = [str(ROOT / name) for name in ("esc50tune", "sweeps", "analysis")]
    try:
        ray.init(address=address, runtime_env={"py_modules": modules}, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(
            f"--address {address}: joining the Ray cluster failed ({str(error).splitlines()[0]}); if it was started "
            "with token authentication, set RAY_AUTH_MODE=token here too"
        ) from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return [Machine(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]


def check_reachable(address: str) -> None:
    """Ray itself waits for minutes before it says that nobody answers."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--address '{address}' must be auto, or HOST:PORT as `ray start` prints it")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UserError(f"--address {address}: no Ray cluster answers there ({error})") from None


def start_ray(plan: Plan, dashboard: bool, console: Console) -> None:
    with console.status("starting Ray"):
        context = ray.init(
            address="local",
            num_cpus=total(plan.machines).cpus,
            num_gpus=total(plan.machines).gpus,
            include_dashboard=dashboard,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    if context.dashboard_url:
        token = shown(Path(sys.executable).with_name("ray"))
        say(console, f"dashboard http://{context.dashboard_url} (the token it asks for: `{token} get-auth-token`)")
    elif dashboard:
        say(console, "dashboard did not start; the sweep goes on without it")


def measured_share(plan: Plan, console: Console) -> float:
    """Return the share of a GPU that the hungriest arm needs, from one step of each arm's default setting."""
    if not torch.cuda.is_available():
        say(console, "no GPU here to measure a trial on: each gets a whole one; --gpus-per-trial for a share")
        return 1.0
    peak = max(measure(arm, plan).peak_bytes for arm in plan.arms)
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
    interrupted = False
    try:
        with progress:
            fit(driver, plan, caches)
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # what is left is short, and must not be cut
        interrupted = True
    log.close()
    write_tables(plan.folder, console)
    return report_end(plan, state, interrupted, console)


def fit(driver: Driver, plan: Plan, caches: dict[str, ClipCache]) -> None:
    """Let Ray Tune run all trials. Its own files go to a folder that is thrown away: nothing of it is read."""
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    fields: dict[str, Any] = {
        "results": str(plan.folder),
        "caches": {name: str(cache.folder) for name, cache in caches.items()},
        **asdict(plan.split),
        "threads": plan.share.cpus,
        "device": "cuda" if plan.share.gpus else "cpu",
    }
    resources = {"cpu": plan.share.cpus, "gpu": plan.share.gpus}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        tuner = tune.Tuner(
            tune.with_resources(run_trial, resources),
            tune_config=tune.TuneConfig(
                metric="val_acc",
                mode="max",
                num_samples=plan.trials,
                search_alg=DealingSearcher(driver, fields),
                scheduler=ArmScheduler(driver),
                max_concurrent_trials=plan.share.slots,
                # Fresh processes cost more than a short trial; the loop keeps no state between trials.
                reuse_actors=True,
                trial_dirname_creator=trial_folder,
            ),
            run_config=tune.RunConfig(name=plan.folder.name, storage_path=scratch, verbose=0),
        )
        tuner.fit()


def trial_folder(trial: Any) -> str:
    return str(trial.trial_id)  # Tune's own name holds every knob and can outgrow a file system's limit


def report_end(plan: Plan, state: SweepState, interrupted: bool, console: Console) -> int:
    failed = [trial for trial in state.trials.values() if trial.reason == "error"]
    for trial in failed:
        last = (trial.error or "no message").splitlines()[-1]
        say(console, f"FAILED: trial {trial.number} ({trial.arm}): {last}", "red")
    say(console, f"results   {shown(plan.folder)}")
    if interrupted:
        say(console, "interrupted: the tables are made of what had finished", "yellow")
        return 130
    lost = plan.trials - sum(trial.reason is not None for trial in state.trials.values())
    if lost:
        say(console, f"FAILED: Ray gave up {lost} trials before they ended", "red")
    return 1 if failed or lost else 0
