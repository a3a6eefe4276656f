"""Which weights of a results folder are used: those of the best confirmed arm, or of the search's best trial.

`docs/results-folder.md` describes the files. Only what the choice needs is read of them, and without PyTorch.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from esc50tune.command import shown
from esc50tune.errors import UserError

FORMAT = 1  # the newest format of a results folder that this reader understands
Run = tuple[int, int]  # fold, seed


@dataclass(frozen=True)
class Chosen:
    """Weights, and what their folder tells of them.

    Attributes:
        checkpoint: where they lie.
        why: how they were chosen, in words.
        about: as a confirmed run's checkpoint carries it: `arm`, `fold` (not trained on) and `seed`, or the `folds`
            that a trial of the search was trained on; of the data `title`, `stand_in`, `fingerprint` and `classes`;
            `encoders`, the hashes of EnCodec's weights. None where there is only the checkpoint itself.
    """

    checkpoint: Path
    why: str
    about: dict[str, Any] | None


def choose(named: Path, search: bool) -> Chosen:
    """Return the weights that are meant by a results folder, or by the file of a checkpoint.

    Args:
        named: the one or the other.
        search: take the search's best trial instead of the best confirmed arm.

    Raises:
        UserError: it is neither, is damaged, or has no such weights.
    """
    try:
        if named.is_file():
            if search:
                raise UserError(f"--search goes with a results folder, and '{named}' is a file")
            return Chosen(named, "the checkpoint that was named", None)
        return best_trial(named) if search else best_confirmed(named)
    except OSError as error:
        raise UserError(f"'{error.filename or named}' cannot be read: {error.strerror or error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError):
        more = f"`python -m analysis {shown(named)}` says more"
        raise UserError(f"'{named}' is damaged: its manifests and logs do not fit together; {more}") from None


def best_confirmed(folder: Path) -> Chosen:
    """Return the kept weights of the arm with the highest test accuracy over its confirmed runs.

    Arms are compared over the folds and seeds that all of them have, without those that have less than half of the runs
    of the most complete one. Each clip counts alike, as in the report; a tie goes to the arm that stands first.
    """
    sweep, place = read_manifest(folder), folder / "confirm"
    if not (place / "manifest.json").is_file():
        raise UserError(
            f"'{folder}' has no confirmed arm: `python sweeps/confirm.py {shown(folder)}` confirms them; --search "
            "takes the search's best trial instead, whose score is optimistic"
        )
    manifest = read_manifest(place)
    if manifest["data"]["fingerprint"] != sweep["data"]["fingerprint"]:
        raise UserError(f"'{place}' is of other data than '{folder}': move it to its own sweep")
    accuracies = test_accuracies(read_log(place / "events.jsonl"))
    arms = {frozen["arm"]: accuracies.get(frozen["arm"], {}) for frozen in manifest["frozen"]}
    compared, runs = comparable(arms)
    if not runs:
        more = f"`python sweeps/confirm.py {shown(folder)}` goes on with it"
        raise UserError(f"'{place}' has no run that every arm has: {more}")
    sizes = fold_sizes(place / "clips.csv")
    means = {arm: mean_accuracy(arms[arm], runs, sizes) for arm in compared}
    best = max(compared, key=means.__getitem__)
    test = sweep["split"]["test"]
    fold = manifest["folds"][-1] if test is None else test
    checkpoint = place / "checkpoints" / f"{best}.pt"
    if not checkpoint.is_file():
        raise UserError(
            f"the best confirmed arm is {best}, and its weights '{checkpoint}' are not there: those of its run on fold "
            f"{fold} with seed 0 are kept, once it has ended; or name another arm's checkpoint instead of '{folder}'"
        )
    told = f"{100 * means[best]:.1f} % of the test clips right in {len(runs)} run{'s' * (len(runs) > 1)}"
    if len(runs) < (asked := len(manifest["folds"]) * manifest["seeds"]):
        told += f" of {asked}, WHICH HAVE NOT ALL ENDED"
    of = f"the best of {len(compared)} confirmed arms" if len(compared) > 1 else "the only confirmed arm"
    return Chosen(checkpoint, f"{of}: {told}", {"arm": best, "fold": fold, "seed": 0} | facts(sweep))


def best_trial(folder: Path) -> Chosen:
    """Return the weights of the trial with the highest score of the whole search; a tie goes to the lower loss."""
    manifest, log = read_manifest(folder), read_log(folder / "events.jsonl")
    last = {event["trial"]: event for event in log if event["event"] == "epoch"}
    finished = [event["trial"] for event in log if event["event"] == "end" and event["reason"] == "finished"]
    if not finished:
        raise UserError(f"no trial of '{folder}' ran its full schedule: there is no best one")
    best = max(finished, key=lambda trial: (last[trial]["val_acc"], -last[trial]["val_loss"]))
    arm, split = last[best]["arm"], manifest["split"]
    checkpoint = folder / "checkpoints" / f"trial-{best:04d}.pt"
    if not checkpoint.is_file():
        raise UserError(f"the search's best trial is {best} ({arm}), and its weights '{checkpoint}' are not there")
    why = (
        f"trial {best}, the best of {len(finished)} that ran in full: {100 * last[best]['val_acc']:.1f} % right on "
        f"validation fold {split['val']}, which chose it: optimistic, and not confirmed"
    )
    return Chosen(checkpoint, why, {"arm": arm, "folds": split["train"]} | facts(manifest))


def facts(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return what a sweep's manifest tells of its data; and of EnCodec's weights, which an older one does not."""
    data = {name: manifest["data"][name] for name in ("title", "stand_in", "fingerprint", "classes")}
    return data | {"encoders": manifest.get("encoders", {})}


def test_accuracies(log: Sequence[dict[str, Any]]) -> dict[str, dict[Run, float]]:
    """Return the test accuracies, 0 to 1, of each arm's best configuration: of the runs whose last try has ended.

    One that diverged has none of its clips right.
    """
    tries = {
        (event["arm"], event["fold"], event["seed"]): event["trial"]
        for event in log
        if event["event"] == "deal" and event["rank"] == 1
    }
    told = {event["trial"]: event["test_acc"] for event in log if "test_acc" in event}
    reasons = {event["trial"]: event["reason"] for event in log if event["event"] == "end"}
    accuracies: dict[str, dict[Run, float]] = {}
    for (arm, fold, seed), trial in tries.items():
        reason = reasons.get(trial)
        if reason in ("finished", "diverged"):
            accuracies.setdefault(arm, {})[fold, seed] = told[trial] if reason == "finished" else 0.0
    return accuracies


def comparable(arms: dict[str, dict[Run, float]]) -> tuple[list[str], set[Run]]:
    """Return the arms that are compared, and the runs that all of these have."""
    most = max(map(len, arms.values()))
    compared = [arm for arm, runs in arms.items() if runs and 2 * len(runs) >= most]
    return compared, set.intersection(*(set(arms[arm]) for arm in compared)) if compared else set()


def mean_accuracy(accuracies: dict[Run, float], runs: set[Run], sizes: Counter[int]) -> float:
    """Return the mean over all clips of the folds, of `sizes` clips each, that `runs` were tested on."""
    return sum(accuracies[run] * sizes[run[0]] for run in runs) / sum(sizes[fold] for fold, _ in runs)


def fold_sizes(path: Path) -> Counter[int]:
    """Return how many clips each fold has."""
    with path.open(newline="", encoding="utf-8") as file:
        return Counter(int(row["fold"]) for row in csv.DictReader(file))


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder.

    Raises:
        UserError: there is none, or it is of a newer format.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        raise UserError(
            f"'{folder}' is no results folder: there is no manifest.json in it; name that of a sweep, results/NAME"
        )
    manifest = json.loads(path.read_text(encoding="utf-8"))
    if manifest["format"] > FORMAT:
        newer = f"'{folder}' has format {manifest['format']}, this program reads up to {FORMAT}"
        raise UserError(f"{newer}; use a newer version of it")
    return manifest


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the events of a log. A last line without its end is a write that was cut, and is left out."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
