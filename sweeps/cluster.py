"""Ray: its settings, joining or starting it, and letting Ray Tune run what a driver deals."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray._private.services import canonicalize_bootstrap_address
from ray.exceptions import RayError
from ray.tune import TuneError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from esc50tune.command import shown
from esc50tune.errors import UserError
from sweeps.console import Console, say
from sweeps.driver import Dealer
from sweeps.manifest import ROOT
from sweeps.resources import Machine, Share, this_machine, total
from sweeps.shells import ArmScheduler, DealingSearcher, TaskNames, kills_for_memory_end_trials
from sweeps.state import Trial
from sweeps.travel import Freight

# A process has one heap for all its threads. Ray runs each trial in a thread of its own, and one heap after another
# would keep what trials freed in it: after 30 trials 1.9 GB instead of 0.7. Later is too late: Ray has several.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}

# Set before Ray starts its processes; they inherit them.
RAY_SETTINGS = ONE_HEAP | {
    "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the event log is the record; Tune's own files are never read
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # an interrupt must reach us, and end with exit code 130
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "TUNE_WARN_THRESHOLD_S": "60",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
}

RAYS_FILES = "its own files are in /tmp, or where TMPDIR says, and need room there"


def machines_of(args: argparse.Namespace) -> list[Machine]:
    """Return the nodes of the cluster that the command line names, after joining it, or this machine.

    Raises:
        UserError: the cluster cannot be joined.
    """
    os.environ.update(RAY_SETTINGS)
    ray._private.worker._worker_logs_enabled = False  # or each lost process prints ten lines of advice into the table
    return join_cluster(args.address) if args.address else [this_machine()]


def join_cluster(address: str) -> list[Machine]:
    """Join a running cluster and return its nodes; its workers get this project's code from here.

    As many trials run at a time as these nodes take: one that joins later is used where another was lost.

    Raises:
        UserError: it cannot be joined.
    """
    check_reachable(address)
    modules = [str(ROOT / name) for name in ("esc50tune", "sweeps", "analysis")]
    code = {"py_modules": modules, "env_vars": ONE_HEAP}
    try:
        ray.init(address=address, runtime_env=code, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        why, _, _ = " ".join(str(error).split()).partition(". ")  # how to program with Ray follows
        raise UserError(
            f"--address {address}: joining the Ray cluster failed ({why}); one that asks for a token wants "
            "RAY_AUTH_MODE=token here too, and its token in ~/.ray/auth_token"
        ) from None
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    now = f"{len(nodes)} node{'s' * (len(nodes) > 1)} now"
    say(Console(), f"cluster   {now}; those that join later take the place of lost ones, or wait for --resume")
    return [Machine(int(node.get("CPU", 0)), int(node.get("GPU", 0))) for node in nodes]


def check_shared(folder: Path) -> None:
    """Look for a folder on every node of the cluster: a trial whose node dies goes on elsewhere from there.

    Raises:
        UserError: a node does not see it.
    """

    sees = ray.remote(num_cpus=0)(Path.is_dir)
    asked = {
        node["NodeManagerAddress"]: sees.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote(folder)
        for node in ray.nodes()
        if node["Alive"]
    }
    blind = [name for name, answer in asked.items() if not ray.get(answer)]
    if blind:
        raise UserError(
            f"'{folder}' is not there on {', '.join(blind)}: --results must be on a path that all nodes share"
        )


def check_reachable(address: str) -> None:
    """Ray itself waits for minutes before it says that nobody answers.

    Raises:
        UserError: nobody answers there, or it is no address.
    """
    if address == "auto":  # RAY_ADDRESS, or the last cluster that was started here, though it may be gone
        address = canonicalize_bootstrap_address("auto") or "auto"
    if address == "auto":
        return  # there is none; Ray says so at once
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(f"--address '{address}' must be auto, or HOST:PORT as `ray start` prints it")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, OverflowError) as error:
        raise UserError(
            f"--address {address}: no Ray cluster answers there ({error}); `ray start --head` starts one"
        ) from None


@contextmanager
def interrupt_held() -> Iterator[None]:
    """Hold a Ctrl-C back until the end: where one cuts Ray's start, the process may crash as it ends. A second one does
    not wait."""
    held: list[int] = []

    def hold(number: int, _: object) -> None:
        if held:
            raise KeyboardInterrupt
        held.append(number)
        print("stopping, once Ray has started (Ctrl-C again: at once)", file=sys.stderr)

    before = signal.signal(signal.SIGINT, hold)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


def start_ray(machines: Sequence[Machine], dashboard: bool, console: Console) -> None:
    """Start Ray on this machine.

    Raises:
        UserError: it does not start.
    """
    try:
        with console.status("starting Ray"), interrupt_held():
            context = ray.init(
                address="local",
                num_cpus=total(machines).cpus,
                num_gpus=total(machines).gpus,
                include_dashboard=None if dashboard else False,  # True would let the sweep fail where it does not start
                log_to_driver=False,
                logging_level=logging.CRITICAL,  # errors that stop Ray are raised
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"Ray did not start on this machine ({str(error).splitlines()[0]}); {RAYS_FILES}") from None
    with suppress(OSError, RuntimeError):  # there may be none, nor a home
        # Who has it can run code here, and Ray lets everyone read it.
        (Path.home() / ".ray" / "auth_token").chmod(0o600)
    if context.dashboard_url:
        token = shown(Path(sys.executable).with_name("ray"))
        say(console, f"dashboard http://{context.dashboard_url} (token: `{token} get-auth-token`)", whole=True)
    elif dashboard:
        say(console, "dashboard did not start; the sweep goes on without it")


def fit(
    driver: Dealer,
    run: Callable[[dict[str, Any], Freight], None],
    fields: Callable[[Trial], dict[str, Any]],
    freight: Freight,
    share: Share,
) -> None:
    """Let Ray Tune run all trials. Its own files go to a folder that is thrown away: nothing of it is read.

    Args:
        driver: deals them and takes in their results.
        run: what runs in a worker for each of them.
        fields: what it is told besides number, arm, configuration and known epochs.
        freight: the clips, for nodes that have none.
        share: what each of them gets, and how many run at a time.

    Raises:
        UserError: what stops all trials can be mended: the driver says what, or Ray cannot write its own files.
    """
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    trainable = tune.with_resources(tune.with_parameters(run, freight=freight), {"cpu": share.cpus, "gpu": share.gpus})
    config = tune.TuneConfig(
        metric="val_acc",
        mode="max",
        num_samples=-1,  # as many as the driver deals
        search_alg=DealingSearcher(driver, fields),
        scheduler=ArmScheduler(driver),
        max_concurrent_trials=share.slots,
        # Fresh processes cost more than a short trial; the loop keeps no state between trials.
        reuse_actors=True,
        trial_dirname_creator=trial_folder,
    )
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch, kills_for_memory_end_trials():
            kept = tune.RunConfig(storage_path=scratch, verbose=0, callbacks=[TaskNames(driver)])
            tune.Tuner(trainable, tune_config=config, run_config=kept).fit()
    except TuneError:
        if driver.trouble is None:
            raise
        raise driver.trouble from None
    except OSError as error:
        raise UserError(f"Ray stopped ({error.strerror or error}); {RAYS_FILES}") from None


def trial_folder(trial: Any) -> str:
    return str(trial.trial_id)  # Tune's own name holds every knob and can outgrow a file system's limit
