"""`--resume`: what an earlier run of a sweep was asked for, and whether this one would go on with the same."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from analysis.load import load_results
from esc50tune.checkpoint import load_checkpoint
from esc50tune.data.latents import check_unchanged
from esc50tune.errors import UserError
from sweeps.plan import equal_deal
from sweeps.state import Trial
from sweeps.trainable import checkpoint_path

ALLOWED = ("resume", "extend", "force", "time_budget", "data", "results", "wandb")  # beside the machine's flags
OF_THE_MACHINE = ("gpus_per_trial", "max_concurrent", "address", "no_dashboard")
SAME_PACKAGES = ("torch", "torchaudio", "numpy", "scipy", "optuna", "encodec")
SAME_KEYS = ("data", "split", "arms", "search", "scheduler", "seed")


def read_sweep(folder: Path) -> dict[str, Any]:
    """Return the manifest of a sweep that can be resumed.

    Raises:
        ResultsError: the folder is no results folder, of a newer format, or damaged.
        UserError: it is of an older version of this program.
    """
    manifest = load_results(folder).manifest
    if "arguments" not in manifest:
        raise UserError(f"'{folder}' was made by a version of this program that could not resume: start a new sweep")
    check_unchanged(manifest["encoders"])
    return manifest


def as_asked(args: argparse.Namespace, manifest: dict[str, Any]) -> argparse.Namespace:
    """Return the sweep's first command line, with what this one says of data, machine and time.

    Raises:
        UserError: this command line would change the study.
    """
    for flag in sorted(args.given - {*ALLOWED, *OF_THE_MACHINE}):
        raise UserError(f"--resume goes on with the sweep as it was: leave out --{flag.replace('_', '-')}")
    asked = argparse.Namespace(**vars(args) | manifest["arguments"] | {"resume": args.resume.absolute()})
    asked.num_samples = manifest["trials"]
    if args.data != "auto":
        asked.data = args.data
    if args.extend is not None:
        if (args.resume / "confirm").exists():
            raise UserError(f"'{args.resume}' is confirmed: what it chose cannot change any more; start a new sweep")
        asked.num_samples += equal_deal(args.extend, len(manifest["arms"]), "--extend")
    return asked


def check_same(before: dict[str, Any], now: dict[str, Any], force: bool) -> list[str]:
    """Return what differs between a sweep and what would go on with it, a phrase each.

    Raises:
        UserError: something differs, and `force` is off or cannot help.
    """
    pairs = {"code": (before["code"], now["code"])}
    pairs |= {name: (before["packages"].get(name), now["packages"].get(name)) for name in SAME_PACKAGES}
    pairs["a GPU for each trial"] = tuple(bool(m["resources"]["share"]["gpus"]) for m in (before, now))
    pairs |= {key: (compared(before[key]), compared(now[key])) for key in SAME_KEYS}
    differ = [f"{name} was {was}, is {is_}" for name, (was, is_) in pairs.items() if was != is_]
    arms = [[(arm["name"], arm["epochs"]) for arm in manifest["arms"]] for manifest in (before, now)]
    if arms[0] != arms[1]:
        raise UserError(f"the sweep has arms (epochs) {arms[0]}, and they would be {arms[1]}: start a new sweep")
    if differ and not force:
        raise UserError(
            f"what goes on would not be what was begun: {'; '.join(differ)}; go back to it, or --force to mix them"
        )
    return differ


def compared(value: Any) -> str:
    """Return what is compared of a manifest's value: of the data its content, wherever it lies."""
    if isinstance(value, dict) and "fingerprint" in value:
        value = value["fingerprint"]
    return json.dumps(value, sort_keys=True)


def check_checkpoints(folder: Path, trials: list[Trial]) -> None:
    """Read the checkpoints of trials that go on.

    Raises:
        UserError: one is damaged, or of another trial.
    """
    for trial in trials:
        path = checkpoint_path(folder, trial.number)
        if not path.is_file():
            continue
        try:
            found = load_checkpoint(path)["config"]
        except Exception as error:  # torch raises many kinds for a damaged file
            raise UserError(
                f"'{path}' is damaged ({str(error).splitlines()[0]}): remove it, and trial {trial.number} is trained "
                "from its first epoch again"
            ) from None
        if found | {"batch_parts": 1} != trial.dealt["config"] | {"batch_parts": 1}:  # a retry may have changed that
            raise UserError(f"'{path}' is not of trial {trial.number} as the log has it: remove it to train it anew")
