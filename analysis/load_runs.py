"""Reads the predictions of `confirm/`, those of sound runs alone. `docs/results-folder.md` describes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.confirmed import Run, label_of, run_of
from analysis.files import is_file
from analysis.left_out import LeftOut, named


class Try(NamedTuple):
    """A try of a run: what it was dealt, and why it ended; nothing where the log has no end of it."""

    config: dict[str, Any]
    reason: str


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


def last_tries(events: Sequence[dict[str, Any]]) -> dict[Run, Try]:
    """Return the last try of each run that was dealt: one that failed is dealt anew."""
    reasons = {event["trial"]: event["reason"] for event in events if event["event"] == "end"}
    deals = [event for event in events if event["event"] == "deal"]
    return {run_of(deal): Try(deal["config"], reasons.get(deal["trial"], "")) for deal in deals}


def unseeded(config: dict[str, Any]) -> dict[str, Any]:
    return {knob: value for knob, value in config.items() if knob != "seed"}


def leave_out_strays(folder: Path, manifest: dict[str, Any], left_out: LeftOut) -> None:
    """Tell of predictions that the manifest does not ask for."""
    expected = {predictions_file(*run) for run in asked_runs(manifest)}
    found = (path.name for path in folder.glob("predictions/[!.]*.npy"))  # a dot: a write that was cut
    strays = sorted(set(found) - expected)
    if strays:
        which = named([repr(name) for name in strays])
        left_out.files.append(f"Predictions of no frozen configuration that is tested are left out: {which}.")


def predictions_file(frozen: dict[str, Any], fold: int, seed: int) -> str:
    return f"{frozen['arm']}-{frozen['rank']}-fold{fold}-seed{seed}.npy"


def read_array(path: Path) -> np.ndarray | None:
    try:
        # Mapped, an array takes no more memory than its file has bytes, whatever its header says.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # NumPy raises many kinds for a damaged header
        return None
    return np.array(array) if isinstance(array, np.ndarray) and array.dtype.kind == "f" else None
