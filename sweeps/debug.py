"""`--debug`: one trial in this process, without Ray, so that breakpoints, pdb and real tracebacks work."""

from __future__ import annotations

import argparse
import os
from bdb import BdbQuit
from collections.abc import Iterable
from pathlib import Path

import torch

from analysis.load import Results, load_results
from esc50tune.allocator import keep_freed_memory
from esc50tune.classifier import check_clip_length
from esc50tune.config import TrialConfig
from esc50tune.data.clips import TrialData, open_search_data
from esc50tune.data.latents import check_unchanged
from esc50tune.data.split import Split
from esc50tune.errors import UserError
from esc50tune.inputs import open_clips
from esc50tune.trial import EpochResult, train_trial
from sweeps.console import Console, percent, say
from sweeps.opening import print_study
from sweeps.plan import make_plan
from sweeps.resources import this_machine
from sweeps.same_data import same_data
from sweeps.studies import study_of

HEADER = f"{'epoch':>5} {'train loss':>11} {'train acc':>10} {'val loss':>9} {'val acc':>8} {'lr':>9} {'seconds':>8}"


def debug(args: argparse.Namespace) -> None:
    """Run one trial: an arm's default setting, or trial `--trial` of a finished sweep once more."""
    if args.trial is not None:
        config, data, threads = trial_of_sweep(args)
    else:
        config, data, threads = default_of_arm(args)
    torch.set_num_threads(threads)
    keep_freed_memory()
    if os.environ.get("PYTHONBREAKPOINT", "").startswith("ray."):  # of a notebook that has started Ray
        del os.environ["PYTHONBREAKPOINT"]
    try:
        print_epochs(train_trial(config, data), config.epochs)
    except BdbQuit:
        print("left the debugger")
    except RuntimeError:
        check_clip_length(config, data.num_classes)  # if that is the cause, it says so; a sweep checks it beforehand
        raise


def default_of_arm(args: argparse.Namespace) -> tuple[TrialConfig, TrialData, int]:
    args.arms = args.arm or (args.arms or study_of(args).default[0]).split(",")[0]
    args.num_samples = 1
    plan, console = make_plan(args, [this_machine()]), Console()
    print_study(plan, console)
    say(console, f"arm       {args.arms}, {plan.parameters[args.arms]:,} parameters, its default setting")
    data = open_search_data(plan.open_clips(plan.arms[0]), plan.split)
    return plan.config(plan.arms[0]), data, plan.share.cpus


def trial_of_sweep(args: argparse.Namespace) -> tuple[TrialConfig, TrialData, int]:
    if args.name is None:
        raise UserError("--trial needs --name (and --results): the sweep whose trial it is")
    for flag in sorted(args.given - {"debug", "trial", "name", "results", "data"}):
        raise UserError(f"--trial runs a trial as it was: leave out --{flag.replace('_', '-')}")
    results = load_results(Path(args.results) / args.name)
    config = dealt_config(results, args.trial)
    dataset = same_data(results.manifest, args.data)
    check_unchanged(results.manifest["encoders"])
    folds = results.manifest["split"]
    split = Split(tuple(folds["train"]), folds["val"], folds["test"])
    data = open_search_data(open_clips(dataset, config, split), split)
    return config, data, results.manifest["resources"]["share"]["cpus"]


def dealt_config(results: Results, number: int) -> TrialConfig:
    dealt = {event["trial"]: event["config"] for event in results.events if event["event"] == "deal"}
    if number not in dealt:
        raise UserError(f"sweep '{results.manifest['name']}' has no trial {number}; it dealt {len(dealt)}, from 0 on")
    return TrialConfig.from_flat(dealt[number])


def print_epochs(results: Iterable[EpochResult], epochs: int) -> None:
    """Print an aligned line an epoch."""
    print(f"{epochs} epoch{'s' * (epochs > 1)}\n{HEADER}")
    for r in results:
        losses = ["-" if loss is None else f"{loss:.4f}" for loss in (r.train_loss, r.val_loss)]
        print(
            f"{r.epoch:>5} {losses[0]:>11} {percent(r.train_acc):>10} {losses[1]:>9} {percent(r.val_acc):>8} "
            f"{r.lr:>9.2e} {r.seconds:>8.2f}" + ("  diverged" if r.diverged else ""),
            flush=True,
        )
