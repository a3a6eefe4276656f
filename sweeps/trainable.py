"""What runs in a Ray worker: one trial, reporting each epoch."""

from __future__ import annotations

import sys
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
import torch.nn.functional as F
from ray import tune

from esc50tune.allocator import keep_freed_memory
from esc50tune.config import TrialConfig
from esc50tune.data.cache import ClipCache, save_array
from esc50tune.data.clips import ClipSet, TrialData, open_confirmation_data, open_search_data
from esc50tune.data.split import Split
from esc50tune.trial import Trainer, train_trial
from sweeps.travel import Freight, unpack


@lru_cache(maxsize=4)
def search_data(folder: Path, split: Split) -> TrialData:
    """Open the data once a process, however many trials it runs."""
    return open_search_data(ClipCache.at(folder), split)


@lru_cache(maxsize=1)
def confirmation_data(folder: Path, test_fold: int) -> TrialData:
    """Open the data once for the runs of all arms that are tested on the same fold, which follow each other."""
    return open_confirmation_data(ClipCache.at(folder), test_fold)


def checkpoint_path(folder: Path, number: int) -> Path:
    return folder / "checkpoints" / f"trial-{number:04d}.pt"


def no_debugger(*_: object, **__: object) -> NoReturn:
    """Take the place of Ray's debugger, which would wait without a word until somebody joins it."""
    raise RuntimeError("no one can answer a breakpoint() in a sweep: take it out, or step through with --debug")


def run_confirmation(spec: dict[str, Any], freight: Freight) -> None:
    """Train a frozen configuration on all folds but one, and only then open that one, once, and predict it."""
    torch.set_num_threads(spec["threads"])
    keep_freed_memory()
    sys.breakpointhook = no_debugger
    folder, fold = unpack(spec["cache"], freight), spec["fold"]

    def test(trainer: Trainer) -> dict[str, float]:
        clips, path = ClipSet(ClipCache.at(folder), [fold]), Path(spec["predictions"])
        if not spec["predicted"]:  # it is, if the run was killed before it could say so: a fold is tested once
            save_array(path, trainer.predict(clips).numpy())
        logits = torch.from_numpy(np.load(path))
        accuracy = (logits.argmax(1) == clips.labels).double().mean().item()
        return {"test_loss": F.cross_entropy(logits, clips.labels).item(), "test_acc": accuracy}

    device, config = torch.device(spec["device"]), TrialConfig.from_flat(spec["config"])
    data = confirmation_data(folder, fold)
    for result in train_trial(config, data, device, Path(spec["checkpoint"]), test, spec["known"], spec["about"]):
        tune.report(result.flat())


def run_trial(spec: dict[str, Any], freight: Freight) -> None:
    """Train the trial that `spec` describes: its number, configuration, data, threads and results folder.

    Args:
        spec: what the driver dealt.
        freight: the clips, for a node that has none; empty on the machine that decoded them.
    """
    torch.set_num_threads(spec["threads"])
    keep_freed_memory()
    sys.breakpointhook = no_debugger
    data = search_data(unpack(spec["cache"], freight), Split(tuple(spec["train"]), spec["val"], spec["test"]))
    checkpoint = checkpoint_path(Path(spec["results"]), spec["trial"])
    # Ray hides no GPU from a trial that was given none, so the device is named.
    device, config = torch.device(spec["device"]), TrialConfig.from_flat(spec["config"])
    for result in train_trial(config, data, device, checkpoint, known=spec["known"]):
        tune.report(result.flat())
