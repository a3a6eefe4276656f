"""Reads `confirm/` of a results folder, and leaves out what is unsound. `docs/results-folder.md` describes it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.confirmed import Confirmed, Run, label, labels, run_of
from analysis.errors import ResultsError
from analysis.files import damaged, is_cut, is_file, read_events, read_manifest
from analysis.shapes import CONFIRM, CONFIRMED, LARGE, ROWS

RUNS = 100_000  # a manifest that asks for more would keep the reader busy for hours
COLUMNS = ("filename", "fold", "target", "category", "source")


def load_confirmed(folder: Path, arms: Collection[str]) -> Confirmed | None:
    """Read `confirm/` of a results folder; None where the second phase has not begun.

    What is unsound of its runs is left out, and said in `left_out`.

    Args:
        folder: the results folder.
        arms: those of its sweep.

    Raises:
        ResultsError: nothing of it can be used.
    """
    path = folder / "confirm" / "manifest.json"
    if not is_file(path):
        return None
    manifest = read_frozen(path)
    clips = read_clips(path.with_name("clips.csv"), manifest)
    faults = [f"{name} is frozen and is no arm of this sweep: left out." for name in foreign(manifest, arms)]
    manifest["frozen"] = [entry for entry in manifest["frozen"] if entry["arm"] in arms]
    events = read_log(path.with_name("events.jsonl"), faults)
    logits = dict(read_predictions(path.parent, manifest, clips, faults))
    for run in sorted(other_configurations(manifest, events) & set(logits)):
        del logits[run]
        faults.append(f"{run_words(run)} had another configuration than the frozen one, and is left out.")
    confirmed = Confirmed(manifest, events, clips, logits)
    return replace(confirmed, left_out=[*faults, *incomplete(confirmed)])


def read_frozen(path: Path) -> dict[str, Any]:
    """Read the manifest of the second phase.

    Raises:
        ResultsError: it has a newer format, or is damaged.
    """
    manifest = read_manifest(path, CONFIRM)
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


def foreign(manifest: dict[str, Any], arms: Collection[str]) -> list[str]:
    return sorted({entry["arm"] for entry in manifest["frozen"]} - set(arms))


def read_log(path: Path, faults: list[str]) -> list[dict[str, Any]]:
    """Read the events; nothing of a damaged log, which is told to `faults`."""
    if is_cut(path):
        faults.append(f"The last line of 'confirm/{path.name}' was cut, and is left out.")
    try:
        return read_events(path, CONFIRMED)
    except ResultsError as error:
        faults.append(f"{error}: the costs of the confirmed runs are left out.")
        return []


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


def read_predictions(
    folder: Path, manifest: dict[str, Any], clips: pd.DataFrame, faults: list[str]
) -> Iterator[tuple[Run, np.ndarray]]:
    """Yield the logits of the runs that the manifest asks for, and of no other; tell `faults` of what is not sound."""
    expected, classes = set(), len(manifest["data"]["classes"])
    for frozen in manifest["frozen"]:
        for fold in manifest["folds"]:
            for seed in range(manifest["seeds"]):
                path = folder / "predictions" / f"{frozen['arm']}-{frozen['rank']}-fold{fold}-seed{seed}.npy"
                run = label(frozen["arm"], frozen["rank"]), fold, seed
                expected.add(path)
                if not is_file(path):
                    continue
                logits, shape = read_array(path), (int((clips["fold"] == fold).sum()), classes)
                if logits is None or logits.shape != shape:
                    what = "damaged" if logits is None else f"of shape {list(logits.shape)} instead of {list(shape)}"
                    faults.append(f"The predictions of {run_words(run)} are {what}, and are left out.")
                else:
                    yield run, logits
    for path in sorted(set(folder.glob("predictions/*.npy")) - expected):
        faults.append(f"'{path.name}' belongs to no frozen configuration that is tested, and is left out.")


def read_array(path: Path) -> np.ndarray | None:
    try:
        # Mapped, an array takes no more memory than its file has bytes, whatever its header says.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy raises many kinds for a damaged header
        return None
    return np.array(array) if isinstance(array, np.ndarray) and array.dtype.kind == "f" else None


def other_configurations(manifest: dict[str, Any], events: list[dict[str, Any]]) -> set[Run]:
    """Return the runs that were dealt another configuration than the frozen one."""
    frozen = dict(zip(labels(manifest), (entry["config"] for entry in manifest["frozen"]), strict=True))
    deals = [event for event in events if event["event"] == "deal" and run_of(event)[0] in frozen]
    return {run_of(deal) for deal in deals if not frozen[run_of(deal)[0]].items() <= deal["config"].items()}


def run_words(run: Run) -> str:
    return f"{run[0]}, fold {run[1]}, seed {run[2]}"


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
