"""`--resume`: what an earlier run of a sweep was asked for, and whether this one would go on with the same."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from analysis.files import damaged, read_events
from analysis.load import load_results
from analysis.shapes import Shape, misfit
from esc50tune.checkpoint import load_checkpoint
from esc50tune.config import TrialConfig
from esc50tune.data.latents import check_unchanged
from esc50tune.errors import UserError
from sweeps import events
from sweeps.manifest import FILE, code_changes
from sweeps.plan import OF_THE_STUDY, equal_deal
from sweeps.same_data import place_of
from sweeps.state import Trial
from sweeps.trainable import checkpoint_path

ALLOWED = ("resume", "extend", "force", "time_budget", "data", "results", "wandb")  # beside the machine's flags
OF_THE_MACHINE = ("gpus_per_trial", "max_concurrent", "address", "no_dashboard")
SAME_PACKAGES = ("torch", "torchaudio", "numpy", "scipy", "optuna", "encodec")
SAME_KEYS = ("data", "split", "arms", "search", "scheduler", "seed")
ENDS = ("finished", "stopped", "diverged", "error")


def anything(value: Any) -> bool:
    return True


def of_the_study(flag: str) -> bool:
    return flag in OF_THE_STUDY


def an_end(reason: str) -> bool:
    return reason in ENDS


# what must be in a manifest besides what the tables take from it; of what kind it is was looked at with that
NEEDED: Shape = {
    **dict.fromkeys(("code", "packages", "encoders", "resources"), anything),
    "arguments": dict.fromkeys(OF_THE_STUDY, anything) | {of_the_study: anything},
    "runs?": [anything],
}
# the same of a log's events
NEEDED_OF: dict[str, Shape] = {"end": {"reason": an_end}}


def read_sweep(folder: Path) -> dict[str, Any]:
    """Return the manifest of a sweep that can be resumed.

    Raises:
        ResultsError: the folder is no results folder, of a newer format, or damaged.
        UserError: it is of an older version of this program.
    """
    manifest = load_results(folder).manifest
    if "arguments" not in manifest:
        raise UserError(f"'{folder}' was made by a version of this program that could not resume: start a new sweep")
    if fault := misfit(manifest, NEEDED):
        raise damaged(folder / FILE, fault)
    check_log(folder / events.FILE, {arm["name"] for arm in manifest["arms"]})
    check_unchanged(manifest["encoders"])
    return manifest


def check_log(path: Path, arms: set[str]) -> None:
    """Look for what no driver writes, and what would stop a trial in the middle.

    Args:
        path: the log.
        arms: the names of the manifest's.

    Raises:
        ResultsError: there is something of that kind.
    """
    for event in read_events(path):
        if fault := misfit(event, NEEDED_OF.get(event["event"], {})) or misfit_config(event, arms):
            raise damaged(path, f"of trial {event['trial']}, {fault}")


def misfit_config(event: dict[str, Any], arms: set[str]) -> str:
    """Return what is wrong with what an event says of a trial's arm and configuration; nothing where all is well."""
    if event["event"] not in ("deal", "retry"):
        return ""
    try:
        TrialConfig.from_flat(event["config"])
    except UserError as error:
        return str(error)
    return "" if event["arm"] in arms else f"'{event['arm']}' is no arm of the manifest"


def as_asked(args: argparse.Namespace, manifest: dict[str, Any]) -> argparse.Namespace:
    """Return the sweep's first command line, with what this one says of data, machine and time.

    Raises:
        UserError: this command line would change the study.
    """
    for flag in sorted(args.given - {*ALLOWED, *OF_THE_MACHINE}):
        raise UserError(f"--resume goes on with the sweep as it was: leave out --{flag.replace('_', '-')}")
    asked = argparse.Namespace(**vars(args) | manifest["arguments"] | {"resume": args.resume.absolute()})
    asked.num_samples = manifest["trials"]
    asked.data = place_of(manifest["data"], args.data)
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
    code = before["code"], now["code"]
    differ = ["code was {}, is {}".format(*code) + code_changes(before)] if code[0] != code[1] else []
    pairs = {name: (before["packages"].get(name), now["packages"].get(name)) for name in SAME_PACKAGES}
    pairs["a GPU for each trial"] = tuple(bool(m["resources"]["share"]["gpus"]) for m in (before, now))
    differ += [f"{name} was {was}, is {is_}" for name, (was, is_) in pairs.items() if was != is_]
    for key in SAME_KEYS:
        differ += differences(key, compared(before[key]), compared(now[key]))
    arms = [[(arm["name"], arm["epochs"]) for arm in manifest["arms"]] for manifest in (before, now)]
    if arms[0] != arms[1]:
        raise UserError(f"the sweep has arms (epochs) {arms[0]}, and they would be {arms[1]}: start a new sweep")
    if differ and not force:
        raise UserError(
            f"what goes on would not be what was begun: {'; '.join(differ)}; go back to it, or --force to mix them"
        )
    return differ


def compared(value: Any) -> Any:
    """Return what is compared of a manifest's value: of the data their content, wherever they lie; arms by name."""
    if isinstance(value, dict) and "fingerprint" in value:
        value = value["fingerprint"]
    if isinstance(value, list):
        value = {arm["name"]: arm for arm in value}
    return json.loads(json.dumps(value))  # what was read has no tuples


def differences(what: str, was: Any, is_: Any) -> Iterator[str]:
    """Yield a phrase for each single value that differs between two of a manifest's, called `what`."""
    if isinstance(was, dict) and isinstance(is_, dict):
        for key in sorted({*was, *is_}):
            yield from differences(f"{what}.{key}", was.get(key), is_.get(key))
    elif was != is_:
        yield f"{what} was {json.dumps(was)}, is {json.dumps(is_)}"


def check_checkpoints(folder: Path, trials: Mapping[int, Trial]) -> None:
    """Read the checkpoints of trials that go on, and look for those of trials that the log does not have.

    Args:
        folder: the results folder.
        trials: all of the log, by number.

    Raises:
        UserError: one is damaged, of another trial, or of none: the log has lost events.
    """
    known = {checkpoint_path(folder, number) for number in trials}
    if strange := sorted({*checkpoint_path(folder, 0).parent.glob("trial-*.pt")} - known):
        more = f" and {len(strange) - 1} more there" if len(strange) > 1 else ""
        raise UserError(
            f"'{folder / events.FILE}' lacks trials that have checkpoints ('{strange[0]}'{more}): it was cut or "
            "replaced; bring it back, or remove these checkpoints, and their trials are trained anew"
        )
    for trial in trials.values():
        if trial.reason is None:
            check_checkpoint(checkpoint_path(folder, trial.number), trial)


def check_checkpoint(path: Path, trial: Trial) -> None:
    """Read the checkpoint of a trial that goes on, where it has one.

    Raises:
        UserError: it is damaged, of another trial, or so far ahead that the log must have lost epochs.
    """
    try:
        if not path.is_file():
            return
        state = load_checkpoint(path)
        found = state["config"] | {"batch_parts": 1}  # a retry may have changed that
        same = found == trial.dealt["config"] | {"batch_parts": 1}
        ahead = int(state["result"]["epoch"]) - len(trial.epochs)
    except OSError as error:
        raise UserError(f"'{path}' cannot be read: {error.strerror or error}") from None
    except Exception:  # there may be anything in it, and torch raises many kinds for a damaged file
        raise UserError(
            f"'{path}' is damaged or no checkpoint: remove it, and trial {trial.number} is trained from its first "
            "epoch again"
        ) from None
    if not same:
        raise UserError(f"'{path}' is not of trial {trial.number} as the log has it: remove it to train it anew")
    if ahead > 1:  # a killed driver may have missed one
        raise UserError(
            f"'{path}' is {ahead} epochs ahead of the log, which was cut, or copied before it: remove it, and trial "
            f"{trial.number} is trained from its first epoch again"
        )
