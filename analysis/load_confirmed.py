"""Reads `confirm/` of a results folder, and leaves out what is unsound. `docs/results-folder.md` describes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.confirmed import Confirmed, Run, label_of, labels, run_of
from analysis.errors import ResultsError
from analysis.files import damaged, is_cut, is_file, read_manifest, read_sound_events
from analysis.shapes import CONFIRM, CONFIRMED, LARGE, MANIFEST, ROWS, SEARCH, Shape

RUNS = 100_000  # a manifest that asks for more would keep the reader busy for hours
NAMED = 4  # runs or files that a sentence names before it counts the rest
COLUMNS = ("filename", "fold", "target", "category", "source")


class Try(NamedTuple):
    """A try of a run: what it was dealt, and why it ended; nothing where the log has no end of it."""

    config: dict[str, Any]
    reason: str


class LeftOut:
    """What is left out of the confirmed runs.

    Attributes:
        files: sentences on files as a whole.
        runs: by the labels of arms, the sentences on their runs, each with the runs that stand in it at `{}`.
        unchecked: the labels of arms that are not left out, though the sweep's log does not tell of their trials.
    """

    def __init__(self) -> None:
        self.files: list[str] = []
        self.runs: dict[str, dict[str, list[str]]] = {}
        self.unchecked: list[str] = []

    def of_arm(self, arm: str, sentence: str) -> None:
        self.runs.setdefault(arm, {})[sentence] = []

    def of_run(self, run: Run, sentence: str) -> None:
        arm, fold, seed = run
        self.runs.setdefault(arm, {}).setdefault(sentence, []).append(f"fold {fold}, seed {seed}")

    def paragraphs(self) -> list[str]:
        """Return a paragraph for each of the files, and one for each arm."""
        of_arms = (
            " ".join(sentence.replace("{}", f"{arm}, {named(runs)}") for sentence, runs in told.items())
            for arm, told in self.runs.items()
        )
        return [*self.files, *of_arms]


def load_confirmed(folder: Path, arms: Mapping[str, dict[str, Any]]) -> Confirmed | None:
    """Read `confirm/` of a results folder; None where the second phase has not begun.

    What is unsound of its runs is left out, and said in `left_out`.

    Args:
        folder: the results folder.
        arms: those of its sweep, by name.

    Raises:
        ResultsError: nothing of it can be used.
    """
    path = folder / "confirm" / "manifest.json"
    if not is_file(path):
        return None
    manifest, left_out = read_frozen(path), LeftOut()
    sweep = read_manifest(folder / "manifest.json", MANIFEST)
    refuse_other_data(sweep, manifest)
    clips = read_clips(path.with_name("clips.csv"), manifest)
    events = read_log(path.with_name("events.jsonl"), left_out)
    manifest |= searched_folds(sweep, manifest, left_out)
    leave_out_strays(path.parent, manifest, left_out)
    manifest["frozen"] = list(tried_by_the_sweep(folder / "events.jsonl", manifest["frozen"], arms, left_out))
    logits = dict(read_runs(path.parent, manifest, clips, last_tries(events), left_out))
    confirmed = Confirmed(manifest, events, clips, logits, unchecked=left_out.unchecked)
    return replace(confirmed, left_out=[*left_out.paragraphs(), *incomplete(confirmed)])


def refuse_other_data(sweep: dict[str, Any], manifest: dict[str, Any]) -> None:
    """Refuse runs on other clips than the sweep's: what they say is not of the arms that it chose on its own.

    Raises:
        ResultsError: the data of the two manifests are not the same.
    """
    own, sweeps = (facts["data"]["fingerprint"][:10] for facts in (manifest, sweep))
    if manifest["data"]["fingerprint"] != sweep["data"]["fingerprint"]:
        raise ResultsError(
            f"OTHER DATA: 'confirm/manifest.json' has the fingerprint {own}, the sweep's manifest {sweeps}; move the "
            "folder 'confirm' to its own sweep, or away, and run sweeps/confirm.py anew"
        )


def read_frozen(path: Path, shape: dict[str, Shape] = CONFIRM) -> dict[str, Any]:
    """Read the manifest of the second phase.

    Raises:
        ResultsError: it has a newer format, or is damaged.
    """
    manifest = read_manifest(path, shape)
    if fault := misfit_runs(manifest):
        raise damaged(path, fault)
    return manifest


def misfit_runs(manifest: dict[str, Any]) -> str:
    """Return what is wrong with the runs that a manifest asks for, in words; nothing where all is well."""
    arms, folds = labels(manifest), manifest["folds"]
    if len(arms) > len(set(arms)):
        return "two of its frozen configurations have one rank"
    if len(folds) > len(set(folds)):
        return "one of its folds is there twice"
    if len(arms) > ROWS or len(arms) * len(folds) * manifest["seeds"] > RUNS:
        return f"it has {len(arms)} frozen configurations, {len(folds)} folds and {manifest['seeds']} seeds"
    return ""


def read_clips(path: Path, manifest: dict[str, Any]) -> pd.DataFrame:
    try:
        clips = pd.read_csv(path, dtype={"source": str, "category": str}, keep_default_na=False)
    except FileNotFoundError:
        raise ResultsError(f"'{path}' is missing") from None
    except OSError as error:
        raise ResultsError(f"'{path}' cannot be read: {error.strerror}") from None
    except (ValueError, pd.errors.ParserError):  # no UTF-8, nothing in it, or lines of different lengths
        raise damaged(path, "it is no table") from None
    missing = [name for name in COLUMNS if name not in clips]
    if missing:
        raise damaged(path, f"it has no column {missing[0]}")
    if len(clips) != manifest["data"]["clips"]:
        raise damaged(path, f"it has {len(clips)} clips, the manifest {manifest['data']['clips']}")
    for column, end in (("fold", LARGE), ("target", len(manifest["data"]["classes"]))):
        if len(clips) and not (clips[column].dtype.kind in "iu" and clips[column].between(0, end - 1).all()):
            raise damaged(path, f"its column {column} has values that cannot be")
    return clips


def read_log(path: Path, left_out: LeftOut) -> list[dict[str, Any]]:
    """Read the events, without damaged ones. Costs are counted from all of them or not at all.

    Raises:
        ResultsError: there are predictions, and no event that tells what they are of.
    """
    events, damages = read_sound_events(path, CONFIRMED)
    if not events and any(path.parent.glob("predictions/[!.]*.npy")):  # a dot: a write that was cut
        raise ResultsError(
            f"'confirm/{path.name}' is missing or has no sound line, and it alone tells which runs finished, and with "
            "which configuration; bring it back, or move the folder 'confirm' away and run sweeps/confirm.py anew"
        )
    if is_cut(path):
        left_out.files.append(f"The last line of 'confirm/{path.name}' was cut, and is left out.")
    if not damages:
        return events
    what = "it is" if len(damages) == 1 else f"{len(damages)} such lines are"
    gone = f"{what} left out, and so are the costs of the confirmed runs"
    left_out.files.append(f"'confirm/{path.name}', {damages[0]}; {gone}.")
    return [event for event in events if event["event"] != "epoch"]


def searched_folds(sweep: dict[str, Any], manifest: dict[str, Any], left_out: LeftOut) -> dict[str, Any]:
    """Return the sweep's own word on the folds that it searched and the one that it kept: it alone can know."""
    split = sweep["split"]
    folds = {"test_fold": split["test"], "searched": sorted([*split["train"], split["val"]])}
    said = {"test_fold": manifest["test_fold"], "searched": sorted(manifest["searched"])}
    if folds != said:
        left_out.files.append(
            f"'confirm/manifest.json' says that {split_words(said)}; the sweep's manifest says that "
            f"{split_words(folds)}, and that is taken."
        )
    return folds


def split_words(folds: dict[str, Any]) -> str:
    kept = "no test fold" if folds["test_fold"] is None else f"fold {folds['test_fold']}"
    return f"the search used folds {', '.join(map(str, folds['searched'])) or 'none'} and kept {kept}"


def tried_by_the_sweep(
    log: Path, frozen: Sequence[dict[str, Any]], arms: Mapping[str, dict[str, Any]], left_out: LeftOut
) -> Iterator[dict[str, Any]]:
    """Yield the frozen configurations that trials of the sweep had, or may have had where its log has lost events: the
    confirmed runs are as sound without."""
    events, damages = read_sound_events(log, SEARCH)  # what is lost there is said of the search
    deals = {event["trial"]: event for event in events if event["event"] == "deal"}
    for entry in frozen:
        arm = label_of(entry)
        if entry["arm"] not in arms:
            left_out.of_arm(arm, f"{arm} is frozen and is no arm of this sweep: left out.")
        elif entry["trial"] not in deals and (damages or not deals):
            left_out.unchecked.append(arm)
            yield entry
        elif fault := never_tried(entry, arms[entry["arm"]], deals):
            left_out.of_arm(arm, f"{arm} is left out: {fault}.")
        else:
            yield entry


def never_tried(entry: dict[str, Any], arm: dict[str, Any], deals: Mapping[int, dict[str, Any]]) -> str:
    """Return why a frozen configuration of an arm is none that the sweep tried, in words; nothing where it is.

    Args:
        entry: that of the frozen configuration in the manifest.
        arm: of the sweep.
        deals: the sweep's, by their trials.
    """
    number = entry["trial"]
    deal = deals.get(number)
    if deal is None or deal["arm"] != entry["arm"]:
        return f"it was frozen from trial {number}, and the sweep's log has no such trial of this arm"
    if unseeded(entry["config"]) != unseeded(arm["fixed"] | deal["sampled"] | deal.get("config", {})):
        return f"its frozen configuration is not that of the sweep's trial {number}"
    return ""


def unseeded(config: dict[str, Any]) -> dict[str, Any]:
    return {knob: value for knob, value in config.items() if knob != "seed"}


def last_tries(events: Sequence[dict[str, Any]]) -> dict[Run, Try]:
    """Return the last try of each run that was dealt: one that failed is dealt anew."""
    reasons = {event["trial"]: event["reason"] for event in events if event["event"] == "end"}
    deals = [event for event in events if event["event"] == "deal"]
    return {run_of(deal): Try(deal["config"], reasons.get(deal["trial"], "")) for deal in deals}


def leave_out_strays(folder: Path, manifest: dict[str, Any], left_out: LeftOut) -> None:
    """Tell of predictions that the manifest does not ask for."""
    expected = {predictions_file(*run) for run in asked_runs(manifest)}
    found = (path.name for path in folder.glob("predictions/[!.]*.npy"))  # a dot: a write that was cut
    strays = sorted(set(found) - expected)
    if strays:
        which = named([repr(name) for name in strays])
        left_out.files.append(f"Predictions of no frozen configuration that is tested are left out: {which}.")


def read_runs(
    folder: Path, manifest: dict[str, Any], clips: pd.DataFrame, tries: Mapping[Run, Try], left_out: LeftOut
) -> Iterator[tuple[Run, np.ndarray]]:
    """Yield the logits of the runs that count: those that the manifest asks for, and that ended, by the log, in full or
    because they diverged."""
    sizes, classes = clips["fold"].value_counts(), len(manifest["data"]["classes"])
    for frozen, fold, seed in asked_runs(manifest):
        if fold not in sizes:
            continue  # no run of it is there
        run, path = (label_of(frozen), fold, seed), folder / "predictions" / predictions_file(frozen, fold, seed)
        logits, fault = read_run(path, (int(sizes[fold]), classes), frozen["config"], tries.get(run))
        if logits is not None:
            yield run, logits
        elif fault:
            left_out.of_run(run, fault)


def read_run(
    path: Path, shape: tuple[int, int], config: dict[str, Any], tried: Try | None
) -> tuple[np.ndarray | None, str]:
    """Return the logits of a run, if it counts, and else why it is left out, as `of_run` takes it; nothing where it
    is not done. A run that diverged predicts nothing: none of its logits is a number."""
    if tried and not unseeded(config).items() <= tried.config.items():  # newer code may have knobs more
        return None, "{} had another configuration than the frozen one: left out."
    if tried and tried.reason == "diverged":
        return np.broadcast_to(np.float32(np.nan), shape), ""  # it takes no memory, however many there are
    if not is_file(path):
        return None, ""
    if not tried or tried.reason != "finished":
        return None, "The log does not say that {} finished: left out, though there are predictions."
    logits = read_array(path)
    if logits is None:
        return None, "The predictions of {} are damaged, and are left out."
    if logits.shape != shape:
        instead = f"of shape {list(logits.shape)} instead of {list(shape)}"
        return None, f"The predictions of {{}} are {instead}, and are left out."
    return logits, ""


def asked_runs(manifest: dict[str, Any]) -> Iterator[tuple[dict[str, Any], int, int]]:
    """Return the runs that a manifest asks for: frozen configuration, fold and seed."""
    return product(manifest["frozen"], manifest["folds"], range(manifest["seeds"]))


def predictions_file(frozen: dict[str, Any], fold: int, seed: int) -> str:
    return f"{frozen['arm']}-{frozen['rank']}-fold{fold}-seed{seed}.npy"


def read_array(path: Path) -> np.ndarray | None:
    try:
        # Mapped, an array takes no more memory than its file has bytes, whatever its header says.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy raises many kinds for a damaged header
        return None
    return np.array(array) if isinstance(array, np.ndarray) and array.dtype.kind == "f" else None


def named(things: Sequence[str]) -> str:
    """Name the first few things and count the others."""
    rest = len(things) - NAMED
    return "; ".join(things[:NAMED]) + f" and {rest} more" * (rest > 0)


def incomplete(confirmed: Confirmed) -> Iterator[str]:
    """Say which arms, folds and seeds are in no number because runs are missing."""
    block, manifest, arms = confirmed.block, confirmed.manifest, labels(confirmed.manifest)
    for entry in manifest["left_out"]:
        yield f"{entry['arm']} was not confirmed: {entry['why'].rstrip('.')}."
    asked = len(manifest["folds"]) * manifest["seeds"]
    missing = {arm: asked - sum(run[0] == arm for run in confirmed.logits) for arm in arms}
    if any(missing.values()):
        which = ", ".join(f"{arm} {count}" for arm, count in missing.items() if count)
        yield f"INCOMPLETE: missing {sum(missing.values())} of {asked * len(arms)} confirmed runs ({which})."
    lacking = [arm for arm in arms if arm not in block.arms]
    if lacking:
        yield f"Left out of every number, since most of their runs are missing: {', '.join(lacking)}."
    lost = [f"fold {fold}" for fold in manifest["folds"] if fold not in block.folds]
    lost += [f"seed {seed}" for seed in range(block.seeds, manifest["seeds"])]
    if block.arms and lost:
        yield f"Left out of every number, since not every compared arm has its runs: {', '.join(lost)}."
